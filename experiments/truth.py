"""Measures several world models on the same unseen episodes, controls beside them."""

import dataclasses
import json
import platform
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.table import Table

from dreamdrive.agents.artefact import DEFAULT as SHIPPED_POLICY
from dreamdrive.agents.artefact import DreamPolicy, load_policy
from dreamdrive.agents.networks import Actor
from dreamdrive.checkpoint import git_commit
from dreamdrive.errors import ConfigError
from dreamdrive.experiments.run import begin_run, console
from dreamdrive.experiments.truth_averting import simulated_perils
from dreamdrive.experiments.truth_env import measure_env
from dreamdrive.experiments.truth_futures import simulated
from dreamdrive.experiments.truth_measures import MeasureConfig, measure
from dreamdrive.experiments.truth_parts import Part, Restarts, measure_part
from dreamdrive.experiments.truth_policy import policy_truth
from dreamdrive.experiments.truth_whatif import simulated_ways
from dreamdrive.experiments.untrained import randomised_dynamics, untrained_dynamics
from dreamdrive.files import write_atomically
from dreamdrive.worldmodel.engine import computed_by
from dreamdrive.worldmodel.episodes import EpisodeStore, FrameTable
from dreamdrive.worldmodel.model import DEFAULT, WorldModel
from dreamdrive.worldmodel.packed import Precision, packed


@dataclass(frozen=True, kw_only=True, slots=True)
class TruthConfig:
    """What to measure, and on which episodes."""

    model: tuple[str, ...] = (f"dream={DEFAULT}",)
    """World models as NAME=CHECKPOINT; the first is the one that the controls are made of."""
    precisions: tuple[Precision, ...] = ()
    """Also measure the first with its products packed in these precisions, as on a processor."""
    engines: tuple[str, ...] = ()
    """Also measure the first with its dreams and pictures computed by these, ENGINE or
    ENGINE/PRECISION: `fused/bfloat16`, `openvino`."""
    data: tuple[Path, ...] = (Path("data/test"),)
    """Folders of episodes that no model was trained on."""
    policy: str | None = None
    """A trained policy whose own drives `data` holds: what its dreams promise is compared with them
    (`dreamdrive collect --policy POLICY --policy-share 1 --no-policy-explores`)."""
    controls: bool = True
    """Measure untrained and randomised dynamics beside them, and four steps beside one."""
    sampling_steps: tuple[int, ...] = (4,)
    """Steps of the sampler, beside those of `measure`, that the first model is measured with."""
    also: tuple[Part, ...] = ()
    """What is measured besides, which takes longer: pictures to 100 steps class by class, answers
    to other actions, what is left of a place after a circle (`loop`), events and sums by horizon,
    doubt beside error, dreams of 1,000 frames beside real drives (best of `driver`, with
    `--max-steps 1000`), futures of one moment beside those of a server, and beside what comes of
    it there what a brake averts before collisions and what else one might do (`whatif`)."""
    driver: str = SHIPPED_POLICY
    """A policy that drives the long dreams, of a model with the same tokenizer."""
    restart_town: str = "Dream07"
    """Town of an embedded server whose episodes are begun again, for the last three of those."""
    moments: int = 24
    """Episodes for `futures` and `whatif`."""
    perils: int = 100
    """Episodes for `averting`, of a driver that sees nobody; a part of them ends in collisions."""
    usual: bool = True
    """Measure what is measured without `also`."""
    out: Path = Path("runs/truth")
    measure: MeasureConfig = field(default_factory=MeasureConfig)


def truth(config: TruthConfig) -> Path:
    """Measures, prints a table, and returns the folder that holds `truth.json`.

    Raises:
        ConfigError: If two models have one name, the drives are not the policy's, the driver
            does not see what a model shows, or there is no such engine or precision.
        CheckpointError: If a model or the policy is missing or broken.
        EpisodeError: If there are no episodes, or one is damaged.
        KernelError: If a precision is asked for and this PyTorch cannot pack weights, or an engine
            cannot run here.
        ServerError: If no server could be started where episodes are begun again.
        StorageError: If the result could not be written.
    """
    begin_run(config.out, config)
    store = EpisodeStore(*config.data)
    actor = None if config.policy is None else load_policy(config.policy)[0]
    driver = load_policy(config.driver)
    town = config.restart_town
    restarts = Restarts([], [], [])
    if "futures" in config.also:
        moments = simulated(town, DreamPolicy(*driver), config.moments, config.measure)
        restarts = restarts._replace(moments=moments)
    if "averting" in config.also:
        perils = simulated_perils(town, config.perils, config.measure)
        restarts = restarts._replace(perils=perils)
    if "whatif" in config.also:
        restarts = restarts._replace(ways=simulated_ways(town, config.moments, config.measure))
    rows: dict[str, dict[str, float]] = {}
    first = None
    engines: dict[str, WorldModel] = {}

    def timed(name: str, model: WorldModel, measure_config: MeasureConfig) -> dict[str, float]:
        return _timed(name, model, store, config, measure_config, actor, driver[0], restarts)

    for number, text in enumerate(config.model):
        name, _, path = text.rpartition("=")
        name = name or (f"model {number}" if number else "dream")
        if name in rows:
            raise ConfigError(f"Two models are called {name!r}", where="model")
        model = WorldModel.from_pretrained(path)
        if (config.policy or config.also) and model.config.interface is not None:
            raise ConfigError(
                "What `policy` and `also` measure is measured for driving alone", where=path,
                do="Compare the returns of `dreamdrive evaluate --env` instead.",
            )  # fmt: skip
        if first is None:
            first = model
            for way in config.engines:
                engine, _, precision = way.partition("/")
                how: Any = engine, precision or "float32"
                engines[f"{name}, {way}"] = computed_by(model, *how)
        rows[name] = timed(name, model, config.measure)
        if number == 0 and config.controls and model.config.kind == "transformer":
            for steps in config.sampling_steps:
                other = dataclasses.replace(config.measure, num_steps=steps)
                rows[f"{name}, {steps} steps"] = timed(f"{name}, {steps} steps", model, other)
    for precision in config.precisions:
        if first is None:
            break
        name = f"{next(iter(rows))}, {precision}"
        rows[name] = timed(name, packed(first, precision), config.measure)
    for name, computed in engines.items():
        rows[name] = timed(name, computed, config.measure)
    if config.controls and first is not None:
        for name, control in (
            ("untrained", untrained_dynamics(first)), ("randomised", randomised_dynamics(first)),
        ):  # fmt: skip
            rows[name] = timed(name, control, config.measure)
    content = {
        "models": rows, "episodes": len(store), "git": git_commit(),
        "date": time.strftime("%Y-%m-%d"), "machine": platform.processor() or platform.machine(),
    }  # fmt: skip
    write_atomically(config.out / "truth.json", (json.dumps(content, indent=1) + "\n").encode())
    console.print(table_of(rows))
    return config.out


def _timed(
    name: str, model: WorldModel, store: EpisodeStore, config: TruthConfig,
    measure_config: MeasureConfig, actor: Actor | None, driver: Actor, restarts: Restarts,
) -> dict[str, float]:  # fmt: skip
    begin = time.monotonic()
    table = FrameTable.load(store, model.config.causes)
    is_driving = model.config.interface is None
    row: dict[str, float] = {}
    if config.usual:
        row |= (measure if is_driving else measure_env)(model, table, measure_config)
    for part in config.also:
        row |= measure_part(part, model, table, measure_config, driver, restarts)
    if actor is not None:
        row |= policy_truth(model, actor, table, measure_config)
    console.print(f"measured {name} in {time.monotonic() - begin:.0f} s")
    return row


def table_of(rows: dict[str, dict[str, float]]) -> Table:
    """Returns the measures as a table, a column for each model."""
    table = Table(title="Is the dream true? Episodes that no model has seen")
    table.add_column("measure")
    for name in rows:
        table.add_column(name, justify="right")
    for key in next(iter(rows.values())):
        table.add_row(key, *(f"{row.get(key, float('nan')):.3f}" for row in rows.values()))
    return table
