"""The page beside every checkpoint: what it is, what it learned from, what it cannot do.

It is written from the configuration and the facts of the header, so that it cannot disagree with
them; what is not known is said to be unknown.
"""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dreamdrive.worldmodel.shortcut import NUM_STEPS

if TYPE_CHECKING:
    from dreamdrive.worldmodel.model import WorldModel, WorldModelConfig

FILE = "README.md"
TOLD = ("data", "episodes", "frames", "drivers", "teacher", "step", "steps", "seconds")
"""Facts of a header that have a line of their own."""
SCORED = ("scores", "diversity", "loss")
"""Facts that are measurements: a mapping from names to numbers."""


def model_card(model: "WorldModel", facts: Mapping[str, Any], commit: str = "") -> str:
    """Returns the page as Markdown.

    Args:
        model: The model.
        facts: The JSON facts of its header.
        commit: Of the source that wrote it, if known.
    """
    config = model.config
    environment = "CarlaDrive-v0" if config.interface is None else config.interface.env_id
    sizes = {
        name: sum(p.numel() for p in part.parameters())
        for name, part in model.named_children()
    }  # fmt: skip
    parts = ", ".join(f"{name} {count:,}" for name, count in sizes.items())
    channels, height, width = config.latent_shape
    lines = [
        f"# A world model of {environment}",
        "",
        "Written by `save_pretrained` from `config.json`, which holds the same facts in full.",
        "",
        "## What it is",
        f"* Dynamics: {config.kind}, {sum(sizes.values()):,} parameters ({parts}).",
        f"* A frame: {config.image_size} x {config.image_size} RGB as a latent of "
        f"{channels} x {height} x {width}, and a vector of {config.vector_size}: "
        f"{', '.join(config.vector_names)}.",
        f"* A step: {_step(config)}; an action: {config.action_size} numbers in [-1, 1].",
        f"* Rewards are predicted in units of {config.reward_scale:g}; causes of termination: "
        f"{', '.join(config.causes)}.",
        *([f"* Of each decision it also tells: {', '.join(config.quantities)}."]
          if config.quantities else []),
        "",
        "```python",
        "from dreamdrive.worldmodel.model import WorldModel",
        "",
        'model = WorldModel.from_pretrained("this folder")',
        "```",
        "",
        "## Data",
        *_known(facts, {
            "data": "Episodes from", "episodes": "Episodes", "frames": "Frames",
            "drivers": "Drivers",
        }),
        "",
        "## Training",
        *_known(facts, {
            "teacher": "Distilled from", "step": "Steps of the last run",
            "steps": "Steps of the last run", "seconds": "Time of the last run",
        }),
        *([f"* Source: commit {commit}."] if commit else []),
        "",
        "## Scores",
        *_scores(facts),
        "",
        "## Limits",
        *(f"* {limit}" for limit in limits(model)),
    ]  # fmt: skip
    others = {k: v for k, v in facts.items() if k not in (*TOLD, *SCORED)}
    if others:
        lines += ["", "## Further facts"]
        lines += [f"* {name}: {json.dumps(value)}" for name, value in sorted(others.items())]
    return "\n".join(lines) + "\n"


def limits(model: "WorldModel") -> list[str]:
    """Returns what a user of the model must not expect of it, one sentence each or more."""
    config = model.config
    curve = config.calibration
    found = [
        "It knows what its data shows. Elsewhere `uncertainty` rises, as far as the heads "
        + (
            "disagree; it is no probability."
            if curve is None
            else "disagree; `doubt` is the probability that comes with it, of a latent that is off "
            f"by more than {curve.threshold:.3g} standard deviations."
        ),
        "Time-outs are not predicted, nor causes of termination other than those above.",
    ]
    if config.tokenizer.time_stride > 1:
        frames = config.tokenizer.time_stride
        found.append(f"A latent holds {frames} frames: it compresses clips and cannot dream.")
    if config.kind == "transformer":
        sizes = config.transformer
        span = sizes.window * config.step_s
        memory = (
            f"an external memory of {sizes.memory.num_slots} slots holds what lies before"
            if sizes.memory.num_slots
            else "what was hidden for longer is made up anew"
        )
        lasting = f" ({span:g} s)" if config.interface is None else ""
        found.append(f"It sees the last {sizes.window} frames{lasting}; {memory}.")
        if sizes.has_step_size:
            counts = ", ".join(map(str, NUM_STEPS))
            found.append(
                f"It dreams in `num_steps` of {counts}, and in no other. How far one step draws "
                "instead of giving the mean depends on its training: see the scores."
            )
        else:
            found.append(
                "In one step it gives the mean of what may follow, in which whatever could go "
                "either way fades; `num_steps=4` draws one of the futures instead."
            )
    elif config.kind == "recurrent":
        found.append("It is deterministic: it gives the mean of what may follow.")
    else:
        found.append("With `num_steps=1` it gives the likeliest or the mean, with more it draws.")
    return found


def _step(config: "WorldModelConfig") -> str:
    """Returns how long a step is, which of another environment only itself knows."""
    if config.interface is None:
        return f"{config.step_s:g} s"
    times = config.interface.action_repeat
    return "one of the environment" if times == 1 else f"{times} of the environment"


def _known(facts: Mapping[str, Any], names: Mapping[str, str]) -> list[str]:
    lines = [
        f"* {title}: {_text(name, facts[name])}."
        for name, title in names.items()
        if facts.get(name) is not None
    ]
    return lines or ["Not recorded."]


def _text(name: str, value: Any) -> str:
    if name == "seconds":
        minutes = round(value / 60)
        return f"{value:.0f} s" if value < 120 else f"{minutes // 60} h {minutes % 60} min"
    if isinstance(value, list | tuple):
        return ", ".join(f"`{entry}`" for entry in value)
    return f"{value:,}" if isinstance(value, int) else f"`{value}`"


def _scores(facts: Mapping[str, Any]) -> list[str]:
    titles = {"scores": "", "diversity": "diversity, ", "loss": "last training loss, "}
    rows = [
        f"| {titles[kind]}{name} | {value:.4g} |"
        for kind in SCORED
        for name, value in sorted(facts.get(kind, {}).items())
    ]
    if not rows:
        return ["None are known. Measure some: `dreamdrive truth --model FOLDER --data FOLDER`."]
    return ["| what | value |", "|---|---|", *rows]
