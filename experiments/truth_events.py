"""Does the dream know what matters? Progress, reward and ends by horizon, and how sure it may be.

Beside the dream stand a constant, the last frame going on, and a line fitted to the state and the
actions of the other half of the episodes, which sees no picture.

Shapes: B windows, L steps ahead, J causes.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dreamdrive.driving.actions import DECISION_DT_S
from dreamdrive.driving.causes import is_collision
from dreamdrive.driving.state import STATE_INDEX
from dreamdrive.experiments.truth_measures import (
    MeasureConfig,
    auc,
    correlation,
    known_futures,
    warm_up,
)
from dreamdrive.worldmodel.episodes import FrameTable
from dreamdrive.worldmodel.model import WorldModel

AHEAD = (5, 10, 15, 20, 30)
"""Steps from which events are to be foreseen, and over which progress and reward are summed."""
BINS = 10
"""Of predicted chances, when they are compared with what came."""
RESAMPLES = 400
"""Bootstrap draws of a 95 % interval."""
STIFFNESS = 1e-2
"""Of the fitted line, relative to the number of windows: keeps its slopes small."""


def calibration_error(chance: NDArray[np.float64], came: NDArray[np.bool_]) -> float:
    """Returns the expected calibration error over `BINS` equal ranges of the chance.

    Reference:
        Naeini et al. 2015, "Obtaining Well Calibrated Probabilities Using Bayesian Binning".
    """
    number = (chance * BINS).astype(int).clip(0, BINS - 1)
    gap = 0.0
    for index in np.unique(number):
        chosen = number == index
        gap += abs(chance[chosen].mean() - came[chosen].mean()) * chosen.mean()
    return float(gap)


def fitted(
    x_BE: NDArray[np.float64], y_B: NDArray[np.float64], fold_B: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Returns what a line says of each window that was fitted to the windows of other folds.

    Args:
        x_BE: What it sees.
        y_B: What it is to say.
        fold_B: Number of each window's fold; there are at least two.
    """
    said = np.zeros(len(y_B))
    for fold in np.unique(fold_B):
        others = fold_B != fold
        mean, spread = x_BE[others].mean(0), x_BE[others].std(0) + 1e-6
        x = np.column_stack([(x_BE - mean) / spread, np.ones(len(x_BE))])
        stiff = STIFFNESS * others.sum() * np.eye(x.shape[1])
        stiff[-1, -1] = 0.0
        weight = np.linalg.solve(x[others].T @ x[others] + stiff, x[others].T @ y_B[others])
        said[~others] = x[~others] @ weight
    return said


@torch.no_grad()
def _chances(
    model: WorldModel, table: FrameTable, past_BT: Tensor, action_BLA: Tensor,
    config: MeasureConfig,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Returns chances by cause up to each step (B, L, J), rewards and speeds (B, L).

    A reward counts as much as the episode is likely to go on to it.
    """
    state = warm_up(model, table, past_BT)
    generator = torch.Generator().manual_seed(config.seed)
    alive = torch.ones(len(past_BT))
    chance = torch.zeros(len(past_BT), len(model.config.causes))
    chances, rewards, speeds = [], [], []
    for t in range(action_BLA.shape[1]):
        state, seen = model.imagine_step(
            state, action_BLA[:, t], generator=generator, num_steps=config.num_steps
        )
        chance = chance + alive[:, None] * seen.termination_BC
        rewards.append(alive * model.config.reward_scale * seen.reward_B)
        alive = alive * (1.0 - seen.termination_BC.sum(1)).clamp(0.0, 1.0)
        chances.append(chance)
        speeds.append(seen.vector_BK[:, STATE_INDEX["speed"]])
    return torch.stack(chances, 1), torch.stack(rewards, 1), torch.stack(speeds, 1)


def _without_picture(
    table: FrameTable, now_B: Tensor, action_BLA: Tensor, steps: int
) -> NDArray[np.float64]:
    """Returns what the fitted line sees: the vector, and means of actions early and in all."""
    acted = action_BLA[:, :steps]
    early = acted[:, : max(1, steps // 2)].mean(1)
    parts = [table.vector_NK[now_B], acted.mean(1), acted.abs().mean(1), early]
    seen: NDArray[np.float64] = torch.cat(parts, 1).double().numpy()
    return seen


def _fold(table: FrameTable, rows_B: Tensor) -> NDArray[np.int64]:
    episode = torch.searchsorted(table.start_E, rows_B.contiguous(), right=True) - 1
    fold: NDArray[np.int64] = (episode % 2).numpy()
    return fold


def outcome_truth(model: WorldModel, table: FrameTable, config: MeasureConfig) -> dict[str, float]:
    """Returns what is foreseen from evenly drawn frames, per horizon h of `AHEAD`.

    `progress_skill_h` and `reward_skill_h` are 1 less the mean absolute error over that of a
    constant, `…_correlation_h` Pearson's; both again with `_copy` where the last frame's speed or
    reward goes on up to the end, and with `_fitted` for the line, which is told no end.
    `end_ece_h` and `collision_ece_h` are calibration errors of the chance of an end within h steps,
    `end_brier_h` its mean squared error, `end_brier_constant_h` that of the rate itself,
    `end_rate_h`; `end_foreseen_h` is the mean chance.
    """
    H = max(AHEAD)
    now, future, steps, ended = known_futures(table, config, H)
    past = now[:, None] + torch.arange(1 - config.context, 1)
    action = table.action_NA[future]
    chance, reward, speed = _chances(model, table, past, action, config)
    going = torch.arange(H) < steps[:, None]
    cause = torch.where(ended, table.cause_N[future[:, -1]], 0)
    is_collision_cause = [is_collision(name) for name in model.config.causes]
    groups = {"end": [True] * len(is_collision_cause), "collision": is_collision_cause}
    measures: dict[str, float] = {}
    for h in AHEAD:
        summed = {
            "progress": (DECISION_DT_S * speed, DECISION_DT_S * _speeds(table, future)),
            "reward": (reward, table.reward_N[future]),
        }
        going_on = steps.clamp_max(h)
        last = {
            "progress": going_on * DECISION_DT_S * _speeds(table, now),
            "reward": going_on * table.reward_N[now],
        }
        for name, (dreamed, real) in summed.items():
            truth = (going * real)[:, :h].sum(1).double().numpy()
            blind = fitted(_without_picture(table, now, action, h), truth, _fold(table, now))
            said = (going * dreamed)[:, :h].sum(1).double().numpy()
            constant = np.abs(truth - np.median(truth)).mean()
            for suffix, value in (
                ("", said), ("_copy", last[name].double().numpy()), ("_fitted", blind),
            ):  # fmt: skip
                error = np.abs(value - truth).mean()
                skill = 1.0 - error / constant if constant else float("nan")
                measures[f"{name}_skill{suffix}_{h}"] = float(skill)
                measures[f"{name}_correlation{suffix}_{h}"] = correlation(value, truth)
        at = torch.minimum(steps, torch.tensor(h)) - 1
        so_far = chance[torch.arange(len(now)), at].double()
        for name, counted in groups.items():
            mask = torch.tensor(counted)
            foreseen = so_far[:, mask].sum(1).clamp(0.0, 1.0).numpy()
            numbers = torch.nonzero(mask).squeeze(1) + 1
            came = (ended & (steps <= h) & torch.isin(cause, numbers)).numpy()
            rate = came.mean()
            measures[f"{name}_ece_{h}"] = calibration_error(foreseen, came)
            measures[f"{name}_brier_{h}"] = float(((foreseen - came) ** 2).mean())
            measures[f"{name}_brier_constant_{h}"] = float(((rate - came) ** 2).mean())
            measures[f"{name}_rate_{h}"] = float(rate)
            measures[f"{name}_foreseen_{h}"] = float(foreseen.mean())
    return measures


def _speeds(table: FrameTable, rows: Tensor) -> Tensor:
    return table.vector_NK[rows, STATE_INDEX["speed"]]


def event_horizons(model: WorldModel, table: FrameTable, config: MeasureConfig) -> dict[str, float]:
    """Returns how well each kind of end is foreseen from each of `AHEAD` steps before it.

    Windows of an event are compared with quiet ones at the same step, by the chance of that kind of
    end up to then, so that no action after an end is made up: `KIND_auc_h`, with a bootstrap
    interval over events and quiet windows, `KIND_auc_fitted_h` of the line, `KIND_events_h`.
    """
    C, H = config.context, max(AHEAD)
    causes = model.config.causes
    kinds: dict[str, Sequence[str]] = {
        "collision": [name for name in causes if is_collision(name)],
        **{name: [name] for name in causes if not is_collision(name)},
    }
    last = table.start_E + table.length_E - 1
    generator = torch.Generator().manual_seed(config.seed + 1)
    quiet = table.windows(config.num_event_windows, C + H, generator)
    quiet = quiet[~(table.cause_N[quiet] > 0).any(1)]
    fatal = torch.nonzero(table.cause_N[last] > 0).squeeze(1)
    rows, leads, numbers = [quiet], [torch.zeros(len(quiet))], [torch.zeros(len(quiet))]
    for lead in AHEAD:
        known = fatal[table.length_E[fatal] >= lead + C]
        first = last[known] - lead - C + 1
        # Past an episode's end actions belong to the next; chances are read before that.
        rows.append((first[:, None] + torch.arange(C + H)).clamp_max(len(table) - 1))
        leads.append(torch.full((len(known),), float(lead)))
        numbers.append(table.cause_N[last[known]].float())
    window, lead_B, number_B = torch.cat(rows), torch.cat(leads), torch.cat(numbers).long()
    now, action = window[:, C - 1], table.action_NA[window[:, C:]]
    chance, _, _ = _chances(model, table, window[:, :C], action, config)
    measures: dict[str, float] = {}
    for name, members in kinds.items():
        wanted = torch.tensor([causes.index(member) for member in members])
        for h in AHEAD:
            is_event = (lead_B == h) & torch.isin(number_B, wanted + 1)
            compared = is_event | (lead_B == 0)
            label = is_event[compared].numpy()
            measures[f"{name}_events_{h}"] = float(label.sum())
            if not label.any():
                continue
            score = chance[compared, h - 1][:, wanted].sum(1).double().numpy()
            blind = fitted(
                _without_picture(table, now[compared], action[compared], h),
                label.astype(np.float64), _fold(table, now[compared]),
            )  # fmt: skip
            measures[f"{name}_auc_{h}"] = auc(score, label)
            measures[f"{name}_auc_fitted_{h}"] = auc(blind, label)
            low, high = _interval(score, label, config.seed)
            measures[f"{name}_auc_low_{h}"], measures[f"{name}_auc_high_{h}"] = low, high
    return measures


def _interval(
    score: NDArray[np.float64], label: NDArray[np.bool_], seed: int
) -> tuple[float, float]:
    """Returns the 95 % bootstrap interval of the AUC, events and quiet windows drawn apart."""
    generator = np.random.default_rng(seed)
    event, quiet = score[label], score[~label]
    found = []
    for _ in range(RESAMPLES):
        drawn = generator.choice(event, len(event)), generator.choice(quiet, len(quiet))
        truth = np.arange(len(event) + len(quiet)) < len(event)
        found.append(auc(np.concatenate(drawn), truth))
    low, high = np.quantile(found, (0.025, 0.975))
    return float(low), float(high)


def events_truth(model: WorldModel, table: FrameTable, config: MeasureConfig) -> dict[str, float]:
    """Returns `outcome_truth` and `event_horizons` of a model."""
    return outcome_truth(model, table, config) | event_horizons(model, table, config)
