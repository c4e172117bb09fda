"""Does the dream know when it does not know? Its uncertainty beside the errors that it makes.

Measured on episodes of one kind at a time: those of the training towns, and those of others.
"""

import numpy as np
import torch

from dreamdrive.experiments.train_tokenizer import images
from dreamdrive.experiments.truth_measures import (
    MeasureConfig,
    auc,
    known_futures,
    rank_correlation,
    warm_up,
)
from dreamdrive.worldmodel.episodes import FrameTable
from dreamdrive.worldmodel.model import WorldModel

DOUBT_STEPS = 15
WORST = 0.9
"""Quantile of an error above which it is to be noticed."""


@torch.no_grad()
def doubt_truth(model: WorldModel, table: FrameTable, config: MeasureConfig) -> dict[str, float]:
    """Returns how the uncertainty of `DOUBT_STEPS` steps goes with their errors.

    For each error of picture (squared), vector (absolute, in spreads) and reward (absolute, of the
    sum): `doubt_rank_NAME`, rank correlation with the mean uncertainty, and `doubt_auc_NAME`, how
    well that tells the worst tenth; `error_NAME` is the mean. `uncertainty` is the mean of the
    uncertainty, `uncertainty_high` its 0.99 quantile; `doubt` is the mean doubt of a calibrated
    model.
    """
    now, future, steps, _ = known_futures(table, config, DOUBT_STEPS)
    whole = steps == DOUBT_STEPS
    now, future = now[whole][: config.num_windows], future[whole][: config.num_windows]
    state = warm_up(model, table, now[:, None] + torch.arange(1 - config.context, 1))
    generator = torch.Generator().manual_seed(config.seed)
    uncertainty, doubt, picture, vector, reward = [], [], [], [], []
    for t in range(DOUBT_STEPS):
        state, seen = model.imagine_step(
            state, table.action_NA[future[:, t]], generator=generator, num_steps=config.num_steps
        )
        shown, state = model.decode_step(state)
        real = images(table, future[:, t : t + 1])[:, 0]
        picture.append((shown - real).square().mean((1, 2, 3)))
        gap = (seen.vector_BK - table.vector_NK[future[:, t]]) / model.vector_std
        vector.append(gap.abs().mean(1))
        reward.append(model.config.reward_scale * seen.reward_B - table.reward_N[future[:, t]])
        uncertainty.append(seen.uncertainty_B)
        if seen.doubt_B is not None:
            doubt.append(seen.doubt_B)
    told = torch.stack(uncertainty, 1).mean(1).double().numpy()
    measures = {
        "uncertainty": float(told.mean()), "uncertainty_high": float(np.quantile(told, 0.99)),
    }  # fmt: skip
    if doubt:
        measures["doubt"] = float(torch.stack(doubt, 1).mean())
    errors = {
        "picture": torch.stack(picture, 1).mean(1), "vector": torch.stack(vector, 1).mean(1),
        "reward": torch.stack(reward, 1).sum(1).abs(),
    }  # fmt: skip
    for name, value in errors.items():
        error = value.double().numpy()
        measures[f"error_{name}"] = float(error.mean())
        measures[f"doubt_rank_{name}"] = rank_correlation(told, error)
        measures[f"doubt_auc_{name}"] = auc(told, error > np.quantile(error, WORST))
    return measures
