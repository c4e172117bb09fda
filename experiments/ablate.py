"""What is each part of the world model worth? The same small training without it, or with it.

Every variant is trained from nothing for the same number of steps with the same seeds, and measured
on the same unseen episodes. A difference counts where it has one sign in all seeds. A budget this
small says which parts help a model to learn soon, not how good one becomes.
"""

import dataclasses
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from rich.table import Table

from dreamdrive.checkpoint import git_commit
from dreamdrive.errors import ConfigError
from dreamdrive.experiments.latent_table import LatentTable, encoded_frames
from dreamdrive.experiments.run import begin_run, console
from dreamdrive.experiments.train_student import TrainStudentConfig, train_student
from dreamdrive.experiments.train_worldmodel import (
    TrainWorldModelConfig,
    train_worldmodel,
)
from dreamdrive.experiments.truth_measures import MeasureConfig, measure
from dreamdrive.files import write_atomically
from dreamdrive.worldmodel.dynamics import DynamicsConfig
from dreamdrive.worldmodel.episodes import EpisodeStore, FrameTable
from dreamdrive.worldmodel.memory import MemoryConfig
from dreamdrive.worldmodel.model import WorldModel

FULL = "full"
"""The model with its defaults, which all others are compared with."""
DISTILLED = "distilled from four steps to one"
"""The full model as teacher of itself, for as many steps again."""
SHOWN = (
    "psnr_gain_5", "psnr_gain_15", "psnr_gain_30", "vehicle_f1_20", "shuffled_ratio_5",
    "shuffled_vector_ratio_5", "progress_skill", "collision_auc",
)  # fmt: skip
"""Measures in the table; `truth.json` of each run has all."""

Change = Callable[[TrainWorldModelConfig], TrainWorldModelConfig]


def _network(**options: Any) -> Change:
    return lambda config: dataclasses.replace(
        config,
        transformer=dataclasses.replace(config.transformer, **options),
    )


def _loss(**options: Any) -> Change:
    return lambda config: dataclasses.replace(
        config,
        loss=dataclasses.replace(config.loss, **options),
    )


def _longer_in_segments(config: TrainWorldModelConfig) -> TrainWorldModelConfig:
    return dataclasses.replace(_loss(segments=2)(config), window=2 * config.window - 1)


VARIANTS: dict[str, Change] = {
    FULL: lambda config: config,
    "without AdaLN's zero": _network(gates="one"),
    "without rotary positions": _network(has_rope=False),
    "without QK-norm": _network(has_qk_norm=False),
    "without diffusion forcing": _loss(diffusion_forcing=False),
    "without self-forcing": lambda config: dataclasses.replace(config, rollout_share=0.0),
    "without pictures in the loss": _loss(reconstruction=0.0),
    "without class weights": _loss(class_weights=False),
    "without latent normalisation": lambda config: dataclasses.replace(
        config, normalise_latents=False
    ),
    "with a projection a block": _network(modulation="full"),
    "with a projection of low rank a block": _network(modulation="lora"),
    "with dense attention": _network(attention="dense"),
    "with four registers": _network(num_registers=4),
    "predicting velocities": _network(predicts="velocity"),
    "with the ramp weight": _loss(ramp=True),
    "with shortcuts": _network(has_step_size=True),
    "with JEPA": _loss(jepa=0.1),
    "with consistency": _loss(consistency=0.1),
    "with the NTM's memory": _network(memory=MemoryConfig(num_slots=16)),
    "with Transformer-XL's recurrence": _longer_in_segments,
}
"""What is changed in training, by the words of the table."""
NAMES = (*VARIANTS, DISTILLED)
"""All variants."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AblateConfig:
    """Which parts, and how much training each gets."""

    data: tuple[Path, ...] = (Path("data/train"),)
    """Folders of episodes to train on."""
    test: tuple[Path, ...] = (Path("data/test"),)
    """Folders of episodes of other towns to measure on."""
    init: Path = Path("dreamdrive-cpu")
    """A world model whose tokenizer is used, frozen."""
    variants: tuple[str, ...] = NAMES
    """Which; the full model is always among them."""
    seeds: tuple[int, ...] = (0, 1, 2)
    steps: int = 1000
    """Of each run. Pictures do not heed actions before ten times as many (shuffled ratio 1.02 after
    300 as after 1,000), but vectors do."""
    batch_size: int = 8
    learning_rate: float = 3e-3
    """A rate at which so few steps come to most."""
    horizon: int = 8
    """Most frames that a training rollout imagines."""
    transformer: DynamicsConfig = field(
        default_factory=lambda: DynamicsConfig(width=64, num_layers=4)
    )
    """Sizes that all variants begin with."""
    measure: MeasureConfig = field(
        default_factory=lambda: MeasureConfig(num_windows=96, num_event_windows=300)
    )
    out: Path = Path("runs/ablate")
    """A folder for each run, so that what is done is not done again."""

    def __post_init__(self) -> None:
        """Checks that there are such variants.

        Raises:
            ConfigError: If one is unknown or there is no seed.
        """
        check_choice(self.variants, NAMES, self.seeds)


def check_choice(variants: tuple[str, ...], known: tuple[str, ...], seeds: tuple[int, ...]) -> None:
    """Checks that there are such variants.

    Raises:
        ConfigError: If one is unknown or there is no seed.
    """
    if unknown := sorted(set(variants) - set(known)):
        raise ConfigError(
            f"There is no variant {unknown[0]!r}", where="variants",
            do=f"Known: {', '.join(known)}.",
        )  # fmt: skip
    if not seeds:
        raise ConfigError("At least one seed is needed", where="seeds")


def ablate(config: AblateConfig) -> Path:
    """Trains and measures what is missing, prints a table, and returns the folder.

    The folder gets `ablation.json` with every measure and `ablation.md` with the table. Started
    again after a kill, it goes on where it was.

    Raises:
        ConfigError: If `out` holds an ablation of other settings.
        CheckpointError: If `init` is missing or damaged.
        EpisodeError: If there are no episodes, or one is damaged.
        DivergedError: If a variant's loss is not finite.
        StorageError: If a result could not be written.
    """
    begin_run(config.out, config, may_change=("variants", "seeds"))
    encoded = cache(lambda: encoded_frames(config.init, config.data))
    found = measured_variants(
        config.out, config.variants, config.seeds,
        lambda name, seed, folder: _measured(config, name, seed, folder, encoded),
    )  # fmt: skip
    save_table(config.out, found, SHOWN, seeds=config.seeds, steps=config.steps)
    return config.out


def measured_variants(
    out: Path, variants: tuple[str, ...], seeds: tuple[int, ...],
    measured: Callable[[str, int, Path], dict[str, float]],
) -> dict[str, list[dict[str, float]]]:  # fmt: skip
    """Returns the measures of the full model and of each variant, one row a seed.

    What is measured is kept as `truth.json` in the folder of its run, and not measured again.

    Args:
        out: Where those folders are.
        variants: Names of the variants.
        seeds: Seeds of each.
        measured: Trains and measures one of a name and a seed in a folder.

    Raises:
        StorageError: If a result could not be written.
    """
    names = [FULL, *(name for name in variants if name != FULL)]
    found: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for seed in seeds:
        for name in names:
            folder = run_folder(out, name, seed)
            result = folder / "truth.json"
            if not result.exists():
                console.print(f"{name}, seed {seed}", highlight=False)
                row = measured(name, seed, folder)
                write_atomically(result, (json.dumps(row, indent=1) + "\n").encode())
            found[name].append(json.loads(result.read_text()))
    return found


def save_table(
    out: Path, found: dict[str, list[dict[str, float]]], shown: tuple[str, ...], *,
    seeds: tuple[int, ...], steps: int,
) -> None:  # fmt: skip
    """Writes `ablation.json` and `ablation.md`, and prints the table.

    Raises:
        StorageError: If one could not be written.
    """
    content = {
        "variants": found, "seeds": seeds, "steps": steps, "git": git_commit(),
        "date": time.strftime("%Y-%m-%d"),
    }  # fmt: skip
    write_atomically(out / "ablation.json", (json.dumps(content, indent=1) + "\n").encode())
    lines = rows_of(found, shown)
    page = ["| " + " | ".join(line) + " |\n" for line in lines]
    page.insert(1, "|" + "---|" * len(lines[0]) + "\n")
    write_atomically(out / "ablation.md", "".join(page).encode())
    table = Table(title=f"What each part is worth, after {steps} steps")
    for column in lines[0]:
        table.add_column(column)
    for line in lines[1:]:
        table.add_row(*line)
    console.print(table)


def run_folder(out: Path, name: str, seed: int) -> Path:
    """Returns the folder of one variant's run."""
    return out / name.replace(" ", "-").replace("'", "") / str(seed)


def _measured(
    config: AblateConfig, name: str, seed: int, folder: Path, encoded: Callable[[], LatentTable]
) -> dict[str, float]:
    begin = time.process_time()
    model_folder = _trained(config, name, seed, folder, encoded)
    seconds = time.process_time() - begin
    model = WorldModel.from_pretrained(model_folder)
    table = FrameTable.load(EpisodeStore(*config.test), model.config.causes)
    parameters = sum(p.numel() for p in model.dynamics.parameters())
    row = measure(model, table, config.measure)
    return row | {"cpu_seconds": seconds, "parameters": float(parameters)}


def _trained(
    config: AblateConfig, name: str, seed: int, folder: Path, encoded: Callable[[], LatentTable]
) -> Path:
    if name == DISTILLED:
        teacher = run_folder(config.out, FULL, seed) / "model"
        return train_student(
            TrainStudentConfig(
                teacher=str(teacher), data=config.data, out=folder, steps=config.steps, seed=seed,
                batch_size=config.batch_size, save_every=250,
            )
        )  # fmt: skip
    training = VARIANTS[name](
        TrainWorldModelConfig(
            data=config.data, init=config.init, out=folder, steps=config.steps,
            batch_size=config.batch_size, horizon=config.horizon, seed=seed, save_every=250,
            learning_rate=config.learning_rate, transformer=config.transformer,
        )
    )  # fmt: skip
    # Latents are in other units without normalisation, so that they are encoded anew.
    return train_worldmodel(training, encoded() if training.normalise_latents else None)


def rows_of(found: dict[str, list[dict[str, float]]], shown: tuple[str, ...]) -> list[list[str]]:
    """Returns the table: the full model's means, and the others' differences from it.

    A difference is marked with a star where it has one sign in all seeds, of which there must be
    three for that to say anything.

    Args:
        found: The measures of each variant, one row a seed, the seeds in one order.
        shown: Which of them become columns.
    """
    lines = [["", "parameters", *shown, "CPU seconds"]]
    full = found[FULL]
    for name, rows in found.items():
        line = [name, f"{rows[0]['parameters']:,.0f}"]
        for key in shown:
            if name == FULL:
                line.append(f"{statistics.mean(row[key] for row in rows):.3f}")
                continue
            gaps = [row[key] - base[key] for row, base in zip(rows, full, strict=True)]
            has_one_sign = len(gaps) >= 3 and (min(gaps) > 0.0 or max(gaps) < 0.0)
            line.append(f"{statistics.mean(gaps):+.3f}{'*' if has_one_sign else ''}")
        line.append(f"{statistics.mean(row['cpu_seconds'] for row in rows):.0f}")
        lines.append(line)
    return lines
