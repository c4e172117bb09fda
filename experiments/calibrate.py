"""Counts what a world model's uncertainty is worth, and keeps it with the model as a probability.

The model dreams on held-out episodes under the actions that were taken there. Half of the episodes
fit the curve from the disagreement of its heads to the chance of an error above a threshold, the
other half say how well that holds.
"""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import torch
from rich.table import Table
from torch import Tensor

from dreamdrive import checkpoint
from dreamdrive.envs.dream.contexts import FILE as CONTEXTS
from dreamdrive.errors import EpisodeError
from dreamdrive.experiments.run import begin_run, console
from dreamdrive.experiments.train_tokenizer import images
from dreamdrive.experiments.truth_measures import auc
from dreamdrive.worldmodel.calibration import Doubt, calibration_error, fit_calibration
from dreamdrive.worldmodel.episodes import EpisodeStore, FrameTable
from dreamdrive.worldmodel.fitting import check_episodes
from dreamdrive.worldmodel.model import DEFAULT, WorldModel, find_checkpoint

CHUNK = 32
"""Windows that are dreamed at a time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CalibrateConfig:
    """Which model, on which episodes."""

    model: str = DEFAULT
    """A folder, or the name of a shipped world model."""
    data: tuple[Path, ...] = (Path("data/development"),)
    """Folders of episodes that the model has not learned from, and that nothing is tested on."""
    out: Path = Path("runs/calibrate")
    """Run folder; the calibrated model goes to `out/model`."""
    threshold: float | None = None
    """Root mean square error of a dreamed latent, in its standard deviations, above which the model
    did not know; by default that which `beyond` of the errors exceed."""
    beyond: float = 0.1
    """Share of the errors above the threshold, where none is given."""
    num_windows: int = 512
    context: int = 8
    """Frames that the model sees."""
    horizon: int = 15
    """Frames that it dreams; each counts."""
    num_steps: int = 1
    """Euler steps of the sampler."""
    seed: int = 0

    def __post_init__(self) -> None:
        """Checks the ranges.

        Raises:
            ValueError: If a value is outside its range.
        """
        if not 0.0 < self.beyond < 1.0:
            raise ValueError(f"beyond must lie in (0, 1), got {self.beyond}")
        if min(self.num_windows, self.context, self.horizon, self.num_steps) < 1:
            raise ValueError("num_windows, context, horizon and num_steps must be at least 1")


class Errors(NamedTuple):
    """Disagreement of the heads and error of the frame, each of shape (windows, horizon)."""

    disagreement: Tensor
    error: Tensor


def calibrate(config: CalibrateConfig) -> Path:
    """Calibrates and returns the folder of the model, whose dreams then have `info["doubt"]`.

    Raises:
        CheckpointError: If the model is missing or damaged.
        EpisodeError: If there are fewer than two episodes, or none is long enough.
        StorageError: If the model could not be written.
    """
    folder = find_checkpoint(config.model)
    model = WorldModel.from_pretrained(folder)
    store = EpisodeStore(*config.data)
    check_episodes(store, model.config)
    table = FrameTable.load(store, model.config.causes)
    begin_run(config.out, config)
    if len(table.start_E) < 2:
        raise EpisodeError("One half of the episodes fits and one half tests: give two at least")
    fitted, tested = (errors_of(model, table, config, half) for half in (0, 1))
    threshold = config.threshold
    if threshold is None:
        threshold = float(fitted.error.flatten().quantile(1.0 - config.beyond))
    curve = fit_calibration(fitted.disagreement.flatten(), fitted.error.flatten(), threshold)
    scores = scores_of(Doubt(curve), tested, threshold)
    calibrated = WorldModel(replace(model.config, calibration=curve))
    calibrated.load_state_dict(model.state_dict())
    facts = checkpoint.load_facts(folder, "WorldModel")
    facts["scores"] = facts.get("scores", {}) | scores
    is_half = _is_half(folder)
    calibrated.save_pretrained(config.out / "model", half=is_half, **facts)
    if (folder / f"{CONTEXTS}.safetensors").is_file():
        shutil.copy(folder / f"{CONTEXTS}.safetensors", config.out / "model")
    shown = Table(title="What the model's doubt is worth, on episodes that it was not fitted on")
    shown.add_column("measure")
    shown.add_column("value", justify="right")
    for name, value in scores.items():
        shown.add_row(name, f"{value:.3f}")
    console.print(shown)
    return config.out / "model"


def _is_half(folder: Path) -> bool:
    tensors = checkpoint.load_tensors(folder, "model")
    return all(x.dtype == torch.float16 for x in tensors.values() if x.is_floating_point())


@torch.no_grad()
def errors_of(
    model: WorldModel, table: FrameTable, config: CalibrateConfig, half: int
) -> Errors:  # fmt: skip
    """Returns disagreement and error of dreams that begin in every second episode.

    Raises:
        EpisodeError: If none of those is long enough.
    """
    generator = torch.Generator().manual_seed(config.seed + half)
    mine = table.only(torch.arange(half, len(table.start_E), 2))
    rows = mine.windows(config.num_windows, config.context + config.horizon, generator)
    disagreement, error = [], []
    for part in rows.split(CHUNK):
        latent = model.encode(images(table, part))
        state = model.init_state(len(part))
        for t in range(config.context):
            action = table.action_NA[part[:, t]] if t else None
            state = model.observe_latent(state, latent[:, t], table.vector_NK[part[:, t]], action)
        said, off = [], []
        for t in range(config.context, part.shape[1]):
            state, seen = model.imagine_step(
                state, table.action_NA[part[:, t]], generator=generator, num_steps=config.num_steps
            )
            said.append(seen.uncertainty_B)
            gap = seen.latent_BCHW - latent[:, t]
            off.append(gap.square().mean((1, 2, 3)).sqrt())
        disagreement.append(torch.stack(said, 1))
        error.append(torch.stack(off, 1))
    return Errors(torch.cat(disagreement), torch.cat(error))


def scores_of(doubt: Doubt, found: Errors, threshold: float) -> dict[str, float]:
    """Returns how well a doubt foretells errors above a threshold, on other episodes.

    `doubt_ece` is the expected calibration error; `doubt_brier_skill` is 1 minus the Brier score
    over that of the constant share of errors, 0 where the doubt knows nothing; `doubt_auc` is the
    chance that an error gets more doubt than none.
    """
    said, is_off = doubt(found.disagreement).flatten(), (found.error > threshold).flatten()
    share = is_off.double().mean()
    brier = (said.double() - is_off.double()).square().mean()
    constant = float(share * (1.0 - share))
    return {
        "doubt_threshold": threshold,
        "doubt_mean": float(said.mean()),
        "doubt_share_of_errors": float(share),
        "doubt_ece": calibration_error(said, is_off),
        "doubt_brier_skill": 1.0 - float(brier) / constant if constant else float("nan"),
        "doubt_auc": auc(said.numpy(), is_off.numpy()),
    }
