"""Does the dynamics scale? Held-out loss against parameters and against compute, over sizes.

Every size is trained from nothing by flow matching for several numbers of steps, each with a
schedule of its own, and measured by the same loss with the same noise on episodes of other towns.
Power laws L = a N^-b are fitted to the longest runs by parameters, and to the runs that no other
beats at less compute; a floor that no size gets below would bend both.

Reference:
    Kaplan et al. 2020, arXiv:2001.08361, eq. 1; Peebles & Xie 2023, arXiv:2212.09748, §5 (DiT).
"""

import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.table import Table

from dreamdrive.checkpoint import git_commit
from dreamdrive.errors import ConfigError
from dreamdrive.experiments.latent_table import LatentTable, encoded_frames
from dreamdrive.experiments.run import begin_run, console
from dreamdrive.experiments.train_worldmodel import (
    TrainWorldModelConfig,
    train_worldmodel,
)
from dreamdrive.experiments.training_report import training_cost
from dreamdrive.files import write_atomically
from dreamdrive.worldmodel.dynamics import DynamicsConfig
from dreamdrive.worldmodel.losses import LossConfig, flow_loss
from dreamdrive.worldmodel.model import WorldModel

WINDOW = 16
BATCHES, BATCH = 16, 16
"""Held-out batches, and windows in each."""
RESAMPLES = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class ScaleConfig:
    """Which sizes, and how long each is trained."""

    data: tuple[Path, ...] = (Path("data/train"),)
    """Folders of episodes to train on."""
    test: tuple[Path, ...] = (Path("data/test"),)
    """Folders of episodes of other towns to measure on."""
    init: Path = Path("dreamdrive-cpu")
    """A world model whose tokenizer is used, frozen."""
    sizes: tuple[str, ...] = ("32x2", "48x3", "64x4", "96x6", "128x6")
    """Width of the transformer x its layers."""
    steps: tuple[int, ...] = (250, 500, 1000)
    """Lengths of the runs of each size."""
    seeds: tuple[int, ...] = (0,)
    batch_size: int = 16
    learning_rate: float = 2e-3
    transformer: DynamicsConfig = field(default_factory=DynamicsConfig)
    """All else of the transformer."""
    out: Path = Path("runs/scale")
    """A folder for each run, so that what is done is not done again."""

    def __post_init__(self) -> None:
        """Checks the sizes.

        Raises:
            ConfigError: If one cannot be read, or there are fewer than two.
        """
        if len(set(self.sizes)) < 2 or not self.steps or not self.seeds:
            raise ConfigError("A slope needs two sizes, a number of steps and a seed")
        for size in self.sizes:
            sized(self.transformer, size)


def sized(config: DynamicsConfig, size: str) -> DynamicsConfig:
    """Returns a transformer's configuration with a width and a number of layers, as "64x4".

    Raises:
        ConfigError: If it cannot be read, or is impossible.
    """
    width, _, layers = size.partition("x")
    try:
        fields = {name: getattr(config, name) for name in config.__dataclass_fields__}
        return DynamicsConfig(**fields | {"width": int(width), "num_layers": int(layers)})
    except ValueError as error:
        raise ConfigError(
            f"There is no size {size!r}: {error}", where="sizes", do="Give such as 64x4."
        ) from error


def scale(config: ScaleConfig) -> Path:
    """Trains and measures what is missing, prints tables, and returns the folder.

    The folder gets `scale.json`. Started again after a kill, it goes on where it was.

    Raises:
        ConfigError: If `out` holds a run of other settings.
        CheckpointError: If `init` is missing or damaged.
        EpisodeError: If there are no episodes, or one is damaged.
        DivergedError: If a loss is not finite.
        StorageError: If a result could not be written.
    """
    begin_run(config.out, config, may_change=("sizes", "steps", "seeds"))
    frames = encoded_frames(config.init, config.data)
    held_out = encoded_frames(config.init, config.test)
    runs = [
        _measured(config, size, steps, seed, frames, held_out)
        for seed in config.seeds for steps in config.steps for size in config.sizes
    ]  # fmt: skip
    longest = [run for run in runs if run["steps"] == max(config.steps)]
    fits = {
        "parameters": exponent(longest, "parameters"),
        "compute": exponent(front(runs, "flop"), "flop"),
    }
    content = {
        "runs": runs, "exponents": fits, "git": git_commit(), "date": time.strftime("%Y-%m-%d"),
    }  # fmt: skip
    write_atomically(config.out / "scale.json", (json.dumps(content, indent=1) + "\n").encode())
    table = Table(title="Held-out loss by size and length")
    for column in ("size", "parameters", "steps", "seed", "TFLOP", "loss"):
        table.add_column(column, justify="right")
    for run in runs:
        table.add_row(
            run["size"], f"{run['parameters']:,}", f"{run['steps']}", f"{run['seed']}",
            f"{run['flop'] / 1e12:.2f}", f"{np.mean(run['losses']):.4f}",
        )  # fmt: skip
    console.print(table)
    for name, (value, low, high) in fits.items():
        console.print(f"loss ~ {name}^{value:.3f}, 95 % of resamples [{low:.3f}, {high:.3f}]")
    return config.out


def _measured(
    config: ScaleConfig, size: str, steps: int, seed: int, frames: LatentTable,
    held_out: LatentTable,
) -> dict[str, Any]:  # fmt: skip
    folder = config.out / f"{size}-{steps}-{seed}"
    result = folder / "result.json"
    if result.exists():
        kept: dict[str, Any] = json.loads(result.read_text())
        return kept
    console.print(f"{size}, {steps} steps, seed {seed}", highlight=False)
    training = TrainWorldModelConfig(
        data=config.data, init=config.init, out=folder, steps=steps, seed=seed, window=WINDOW,
        batch_size=config.batch_size, learning_rate=config.learning_rate, rollout_share=0.0,
        save_every=250, transformer=sized(config.transformer, size),
    )  # fmt: skip
    begin = time.process_time()
    model = WorldModel.from_pretrained(train_worldmodel(training, frames), frames.table.device)
    seconds = time.process_time() - begin
    row = {
        "size": size, "steps": steps, "seed": seed, "cpu_seconds": seconds,
        "parameters": sum(p.numel() for p in model.dynamics.parameters()),
        "flop": _cost_of_a_frame(model, frames) * steps * config.batch_size * (WINDOW - 1),
        "losses": held_out_losses(model, held_out),
    }  # fmt: skip
    write_atomically(result, (json.dumps(row, indent=1) + "\n").encode())
    return row


@torch.no_grad()
def held_out_losses(model: WorldModel, data: LatentTable) -> list[float]:
    """Returns the flow loss of `BATCHES` batches, the same windows and noise for every model."""
    generator = torch.Generator(data.table.device).manual_seed(0)
    losses = []
    for _ in range(BATCHES):
        batch = data.batch(data.table.windows(BATCH, WINDOW, generator))
        _, parts = flow_loss(model, batch, LossConfig(), generator)
        losses.append(float(parts["flow"]))
    return losses


def _cost_of_a_frame(model: WorldModel, data: LatentTable) -> float:
    generator = torch.Generator(data.table.device).manual_seed(0)
    batch = data.batch(data.table.windows(2, WINDOW, generator))
    model.dynamics.requires_grad_(True)

    def loss() -> tuple[torch.Tensor, int]:
        return flow_loss(model, batch, LossConfig(), generator)[0], 2 * (WINDOW - 1)

    return training_cost(loss)


def front(runs: Sequence[dict[str, Any]], by: str) -> list[dict[str, Any]]:
    """Returns the runs that no other run beats at as little of what `by` names."""
    best, kept = math.inf, []
    for run in sorted(runs, key=lambda run: (run[by], np.mean(run["losses"]))):
        if np.mean(run["losses"]) < best:
            best = float(np.mean(run["losses"]))
            kept.append(run)
    return kept


def exponent(runs: Sequence[dict[str, Any]], by: str) -> tuple[float, float, float]:
    """Returns the exponent of L = a x^b in x, and its 95 % interval.

    The interval is over draws of the held-out batches and of the runs; it knows nothing of a law
    that is not one. NaN where there are not two different x.
    """
    x = np.log([run[by] for run in runs])
    losses = np.array([run["losses"] for run in runs])
    generator = np.random.default_rng(0)
    slopes = []
    for _ in range(RESAMPLES):
        batch = generator.integers(0, losses.shape[1], losses.shape[1])
        chosen = generator.integers(0, len(runs), len(runs))
        if np.ptp(x[chosen]) > 0.0:
            slopes.append(_slope(x[chosen], np.log(losses[chosen][:, batch].mean(1))))
    if not slopes:
        return math.nan, math.nan, math.nan
    low, high = np.quantile(slopes, (0.025, 0.975))
    return _slope(x, np.log(losses.mean(1))), float(low), float(high)


def _slope(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    return float(((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum())
