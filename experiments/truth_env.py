"""Open-loop measures of a dream of any environment: pictures, vectors, rewards and ends.

They ask nothing of the environment but what every one has. `dreamdrive.experiments.truth_measures`
asks more of a dream of driving.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dreamdrive.errors import EpisodeError
from dreamdrive.experiments.truth_measures import (
    HORIZONS,
    MeasureConfig,
    Rollout,
    auc,
    correlation,
    dream,
    known_futures,
    psnr,
)
from dreamdrive.worldmodel.episodes import FrameTable
from dreamdrive.worldmodel.interface import BLANK
from dreamdrive.worldmodel.model import WorldModel

RISK_STEPS = 10
"""Steps within which an end is to be foreseen."""


def measure_env(model: WorldModel, table: FrameTable, config: MeasureConfig) -> dict[str, float]:
    """Returns all measures of a world model on unseen episodes of its environment.

    `psnr_gain_h`: of pictures over a copy of the last frame, h steps ahead, in dB.
    `vector_skill_h`: 1 less the squared error of the normalised vector over that of a copy.
    `shuffled_ratio_h`: error under the actions of other windows over error.
    `reward_skill`, `reward_correlation`: of the rewards up to the horizon; skill beside their mean.
    `ends_auc`, `ends_foreseen`, `ends_real`: terminations within `RISK_STEPS`, of evenly drawn
    frames. What an environment does not have is left out.

    Raises:
        EpisodeError: If no episode is long enough for the context and one more frame.
    """
    longest = int(table.length_E.max()) - config.context
    horizons = [h for h in HORIZONS if h <= longest]
    if not horizons:
        raise EpisodeError(
            f"No episode has {config.context + 1} frames",
            do="Collect longer ones, or give a smaller --measure.context.",
        )
    generator = torch.Generator().manual_seed(config.seed)
    rows = table.windows(config.num_windows, config.context + horizons[-1], generator)
    past, future = rows[:, : config.context], rows[:, config.context :]
    actions = table.action_NA[future]
    result = dream(model, table, past, actions, config)
    order = torch.randperm(len(actions), generator=generator)
    shuffled = dream(model, table, past, actions[order], config)
    measures = _pictures(model, table, past, future, result, horizons)
    measures |= _vectors(model, table, past, future, result, shuffled, horizons)
    real = table.reward_N[future].numpy()
    dreamed = result.reward.numpy() * model.config.reward_scale
    if real.std() > 0.0:
        measures["reward_skill"] = 1.0 - float(((dreamed - real) ** 2).mean() / real.var())
        measures["reward_correlation"] = correlation(dreamed.ravel(), real.ravel())
    return measures | _ends(model, table, config)


def _pictures(
    model: WorldModel, table: FrameTable, past: Tensor, future: Tensor, result: Rollout,
    horizons: list[int],
) -> dict[str, float]:  # fmt: skip
    interface = model.config.interface
    if interface is not None and interface.pictures == "none":
        return {}
    copy = table.image_NHWC[past[:, -1]].numpy() / 255.0
    gains = {}
    for h in horizons:
        real = table.image_NHWC[future[:, h - 1]].numpy() / 255.0
        ours = psnr((result.image[:, h - 1] / 255.0 - real) ** 2)
        gains[f"psnr_gain_{h}"] = ours - psnr((copy - real) ** 2)
    return gains


def _vectors(
    model: WorldModel, table: FrameTable, past: Tensor, future: Tensor, result: Rollout,
    shuffled: Rollout, horizons: list[int],
) -> dict[str, float]:  # fmt: skip
    if model.config.vector_names == (BLANK,):
        return {}
    copy = table.vector_NK[past[:, -1]]
    measures = {}
    for h in horizons:
        real = table.vector_NK[future[:, h - 1]]

        def error(vector: Tensor, real: Tensor = real) -> float:
            normalised = model.normalise_vector(vector) - model.normalise_vector(real)
            return float(normalised.square().mean())

        ours = error(result.vector[:, h - 1])
        measures[f"vector_skill_{h}"] = 1.0 - ours / max(error(copy), 1e-12)
        measures[f"shuffled_ratio_{h}"] = error(shuffled.vector[:, h - 1]) / max(ours, 1e-12)
    return measures


def _ends(model: WorldModel, table: FrameTable, config: MeasureConfig) -> dict[str, float]:
    """Returns how well terminations are foreseen; nothing where there are none."""
    if not bool((table.cause_N > 0).any()):
        return {}
    now, future, steps, ended = known_futures(table, config, RISK_STEPS)
    past = now[:, None] + torch.arange(1 - config.context, 1)
    result = dream(model, table, past, table.action_NA[future], config, decode=False)
    survival = result.survival.gather(1, steps[:, None] - 1)[:, 0]
    risk: NDArray[np.float32] = (1.0 - survival).numpy()
    return {
        "ends_auc": auc(risk, ended.numpy()), "ends_foreseen": float(risk.sum()),
        "ends_real": float(ended.sum()),
    }  # fmt: skip
