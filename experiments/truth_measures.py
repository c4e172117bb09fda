"""Does the dream tell the truth? Open-loop measures on episodes that no model has trained on.

Every model sees the same context frames and is then given the true actions. Beside the trained
model stand a copy of the last frame and models whose dynamics are untrained.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dreamdrive.driving.actions import ACCELERATION, DECISION_DT_S
from dreamdrive.driving.causes import is_collision
from dreamdrive.driving.palette import CLASS_INDEX, classify
from dreamdrive.driving.state import STATE_INDEX
from dreamdrive.worldmodel.episodes import FrameTable
from dreamdrive.worldmodel.model import WorldModel
from dreamdrive.worldmodel.state import RolloutState

HORIZONS = (1, 5, 15, 30)
EVENT_LEADS = (2, 4, 7, 10)
"""Steps before an event from which it is to be foreseen."""
RISK_STEPS = 15
"""Steps over which foreseen terminations are counted beside real ones."""
SLOW_MPS = 1.0
"""Speed below which the ego stands or creeps."""
MOVING_MPS = 2.0
"""Speed from which on steering and pedals show."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MeasureConfig:
    """What is measured."""

    context: int = 8
    num_windows: int = 192
    num_event_windows: int = 2000
    num_steps: int = 1
    """Euler steps of the sampler."""
    seed: int = 0


@dataclass(frozen=True)
class Rollout:
    """A dream beside the truth, both over H steps after the context.

    Attributes:
        image: uint8, shape (B, H, H, W, 3).
        vector: Shape (B, H, K).
        reward: Shape (B, H).
        survival: Chance to be still driving after each step, shape (B, H).
    """

    image: NDArray[np.uint8]
    vector: Tensor
    reward: Tensor
    survival: Tensor


def psnr(error: NDArray[np.float64]) -> float:
    """Returns the peak signal-to-noise ratio in dB of squared errors of values in [0, 1]."""
    return float(-10.0 * np.log10(max(float(error.mean()), 1e-10)))


def auc(score: NDArray[Any], label: NDArray[np.bool_]) -> float:
    """Returns the area under the ROC curve; ties count half; NaN without both classes."""
    positive, negative = int(label.sum()), int((~label).sum())
    if not positive or not negative:
        return float("nan")
    rank = _ranks(np.asarray(score, np.float64))
    return float((rank[label].sum() - positive * (positive + 1) / 2) / (positive * negative))


def rank_correlation(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Returns Spearman's correlation; NaN where one side is constant."""
    return correlation(_ranks(np.asarray(a)), _ranks(np.asarray(b)))


def correlation(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Returns Pearson's correlation; NaN where one side is constant."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if len(a) < 2 or not a.std() or not b.std():
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def _ranks(x: NDArray[Any]) -> NDArray[np.float64]:
    _, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
    last = counts.cumsum()
    mean: NDArray[np.float64] = last - (counts - 1) / 2.0
    return mean[inverse]


def f1(predicted: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """Returns the F1 score of a class mask; NaN where neither has a pixel."""
    both = int((predicted & truth).sum())
    total = int(predicted.sum()) + int(truth.sum())
    return 2.0 * both / total if total else float("nan")


def warm_up(model: WorldModel, table: FrameTable, rows_BT: Tensor) -> RolloutState:
    """Returns the states after the real frames of each window."""
    return observed(
        model, table.image_NHWC[rows_BT], table.vector_NK[rows_BT], table.action_NA[rows_BT]
    )


@torch.no_grad()
def observed(
    model: WorldModel, image_BTHWC: Tensor, vector_BTK: Tensor, action_BTA: Tensor
) -> RolloutState:
    """Returns the states after real frames.

    Args:
        model: Whose states.
        image_BTHWC: uint8, shape (B, T, H, W, 3).
        vector_BTK: Shape (B, T, K).
        action_BTA: The action that led to each frame, shape (B, T, A); the first is not used.
    """
    state = model.init_state(len(image_BTHWC))
    for t in range(image_BTHWC.shape[1]):
        image = image_BTHWC[:, t].movedim(-1, 1).float() / 255.0
        state = model.observe(state, image, vector_BTK[:, t], action_BTA[:, t] if t else None)
    return state


@torch.no_grad()
def dream(
    model: WorldModel, table: FrameTable, rows_BT: Tensor, actions_BHA: Tensor,
    config: MeasureConfig, *, decode: bool = True,
) -> Rollout:  # fmt: skip
    """Returns the dream after the context frames `rows_BT` under the given actions."""
    state = warm_up(model, table, rows_BT)
    generator = torch.Generator().manual_seed(config.seed)
    shown, vectors, rewards, survivals = [], [], [], []
    survival = torch.ones(len(rows_BT))
    for t in range(actions_BHA.shape[1]):
        state, seen = model.imagine_step(
            state, actions_BHA[:, t], generator=generator, num_steps=config.num_steps
        )
        if decode:
            decoded, state = model.decode_step(state)
            shown.append((decoded * 255.0).round().byte().movedim(1, -1).numpy())
        survival = survival * (1.0 - seen.termination_BC.sum(1)).clamp(0.0, 1.0)
        vectors.append(seen.vector_BK)
        rewards.append(seen.reward_B)
        survivals.append(survival)
    size = model.config.image_size
    image = np.stack(shown, 1) if decode else np.zeros((len(rows_BT), 0, size, size, 3), np.uint8)
    return Rollout(
        image, torch.stack(vectors, 1), torch.stack(rewards, 1), torch.stack(survivals, 1)
    )


def picture_truth(model: WorldModel, table: FrameTable, config: MeasureConfig) -> dict[str, float]:
    """Returns what the dream's pictures are worth: PSNR gains over a copy, vehicles, actions."""
    H = max(HORIZONS)
    generator = torch.Generator().manual_seed(config.seed)
    rows = table.windows(config.num_windows, config.context + H, generator)
    past, future = rows[:, : config.context], rows[:, config.context :]
    actions = table.action_NA[future]
    result = dream(model, table, past, actions, config)
    shuffled = dream(
        model, table, past, actions[torch.randperm(len(actions), generator=generator)], config
    )
    truth = table.image_NHWC[future].numpy()
    copy = table.image_NHWC[past[:, -1]].numpy()
    vehicle = CLASS_INDEX["vehicle"]
    measures: dict[str, float] = {}
    for h in HORIZONS:
        real = truth[:, h - 1] / 255.0
        ours = (result.image[:, h - 1] / 255.0 - real) ** 2
        copied = (copy / 255.0 - real) ** 2
        measures[f"psnr_{h}"] = psnr(ours)
        measures[f"psnr_copy_{h}"] = psnr(copied)
        measures[f"psnr_gain_{h}"] = measures[f"psnr_{h}"] - measures[f"psnr_copy_{h}"]
        mask = classify(truth[:, h - 1]) == vehicle
        if mask.any():
            measures[f"vehicle_psnr_{h}"] = psnr(ours[mask])
            measures[f"vehicle_psnr_copy_{h}"] = psnr(copied[mask])
        wrong = (shuffled.image[:, h - 1] / 255.0 - real) ** 2
        measures[f"shuffled_ratio_{h}"] = float(wrong.mean() / ours.mean())
        gaps = [
            ((x.vector[:, h - 1] - table.vector_NK[future[:, h - 1]]) / model.vector_std).square()
            for x in (shuffled, result)
        ]
        measures[f"shuffled_vector_ratio_{h}"] = float(
            gaps[0].mean() / gaps[1].mean().clamp_min(1e-12)
        )
    at = 19
    predicted, real_class = classify(result.image[:, at]), classify(truth[:, at])
    measures["vehicle_f1_20"] = f1(predicted == vehicle, real_class == vehicle)
    measures["vehicle_f1_copy_20"] = f1(classify(copy) == vehicle, real_class == vehicle)
    measures["vehicle_pixels_ratio_20"] = float(
        (predicted == vehicle).sum() / max(1, (real_class == vehicle).sum())
    )
    return measures | _motion_truth(result, table, past, future, actions)


def _motion_truth(
    result: Rollout, table: FrameTable, past: Tensor, future: Tensor, actions: Tensor
) -> dict[str, float]:
    """Returns how steering, pedals and progress show in the dreamed vectors, and in the real."""
    speed, yaw = STATE_INDEX["speed"], STATE_INDEX["yaw_rate"]
    start, real = table.vector_NK[past[:, -1], speed], table.vector_NK[future]
    # A brake does nothing to a vehicle that stands, nor does its wheel.
    moving = start > MOVING_MPS
    steer, pedal = (actions[moving, :5, axis].mean(1).numpy() for axis in (0, 1))
    measures: dict[str, float] = {}
    for suffix, vector in (("", result.vector), ("_real", real)):
        turned = vector[moving, :5, yaw].mean(1).numpy()
        gained = (vector[:, 4, speed] - start)[moving].numpy()
        measures[f"steer_yaw_rank{suffix}"] = rank_correlation(steer, turned)
        measures[f"pedal_speed_rank{suffix}"] = rank_correlation(pedal, gained)
    true_progress = real[:, :15, speed].sum(1).numpy() * DECISION_DT_S
    dreamed = result.vector[:, :15, speed].sum(1).numpy() * DECISION_DT_S
    constant = start.numpy() * 15 * DECISION_DT_S
    error = np.abs(dreamed - true_progress).mean()
    return measures | {
        "progress_pearson": correlation(dreamed, true_progress),
        "progress_pearson_constant": correlation(constant, true_progress),
        "progress_skill": float(1.0 - error / np.abs(constant - true_progress).mean()),
    }


def event_truth(
    model: WorldModel, table: FrameTable, config: MeasureConfig, causes: Sequence[str], name: str
) -> dict[str, float]:
    """Returns how well a kind of termination is foreseen, with its controls.

    An event that lies L steps after the context is compared with quiet windows at the same L, for
    each L of `EVENT_LEADS`, so that a model of constant risk gets an AUC of 0.5; no action is made
    up. The chance of an event is 1 minus the dreamed survival over those L steps.

    Args:
        model: The model.
        table: Unseen episodes.
        config: What is measured.
        causes: Names of the causes that count.
        name: Prefix of the measures.
    """
    H, C = max(EVENT_LEADS), config.context
    wanted = torch.tensor([model.config.causes.index(c) + 1 for c in causes])
    last = table.start_E + table.length_E - 1
    fatal = torch.isin(table.cause_N[last], wanted)
    generator = torch.Generator().manual_seed(config.seed + 1)
    rows, leads = [], []
    for episode in torch.nonzero(fatal).squeeze(1).tolist():
        for lead in EVENT_LEADS:
            if lead + C <= int(table.length_E[episode]):
                rows.append(last[episode] - lead - C + 1 + torch.arange(C + H))
                leads.append(lead)
    quiet = table.windows(config.num_event_windows, C + H, generator)
    quiet = quiet[~(table.cause_N[quiet] > 0).any(1)]
    # Past an episode's end actions belong to the next; survival is read before that.
    window = torch.stack([*rows, *quiet]).clamp_max(len(table) - 1)
    result = dream(
        model, table, window[:, :C], table.action_NA[window[:, C:]], config, decode=False
    )
    chance = 1.0 - result.survival.numpy()
    start = table.vector_NK[window[:, C - 1]]
    speed = start[:, STATE_INDEX["speed"]].numpy()
    offset = start[:, STATE_INDEX["lateral_offset"]].abs().numpy()
    lead_of = np.array(leads + [0] * len(quiet))
    measures = {f"{name}_positives": float(len(leads)), f"{name}_events": float(fatal.sum())}
    sums = dict.fromkeys((f"{name}_auc", f"{name}_auc_speed", f"{name}_auc_offset"), 0.0)
    for lead in EVENT_LEADS:
        compared = (lead_of == lead) | (lead_of == 0)
        label = lead_of[compared] == lead
        if not label.any():
            continue
        scores = (chance[compared, lead - 1], speed[compared], offset[compared])
        for key, value in zip(sums, scores, strict=True):
            sums[key] += auc(value, label) * label.sum()
    none = float("nan")
    return {key: value / len(leads) if leads else none for key, value in sums.items()} | measures


def known_futures(
    table: FrameTable, config: MeasureConfig, steps: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Returns evenly drawn frames whose next steps are known, up to a termination if one comes.

    Args:
        table: The episodes.
        config: How many frames, at most; each has `config.context` frames behind it.
        steps: How far to look, S.

    Returns:
        The rows, shape (B,); those of the S frames after each, the last repeated after an end,
        shape (B, S); how many of them there are, (B,); whether a termination comes, (B,).
    """
    episode = torch.arange(len(table.start_E)).repeat_interleave(table.length_E)
    row = torch.arange(len(table))
    last = (table.start_E + table.length_E - 1)[episode]
    has_past = row - table.start_E[episode] >= config.context - 1
    is_known = (row + steps <= last) | ((row < last) & (table.cause_N[last] > 0))
    usable = row[has_past & is_known]
    generator = torch.Generator().manual_seed(config.seed + 2)
    now = usable[torch.randperm(len(usable), generator=generator)[: config.num_event_windows]]
    future = torch.minimum(now[:, None] + torch.arange(1, steps + 1), last[now][:, None])
    ended = (table.cause_N[last[now]] > 0) & (last[now] - now <= steps)
    return now, future, (last[now] - now).clamp_max(steps), ended


def risk_truth(model: WorldModel, table: FrameTable, config: MeasureConfig) -> dict[str, float]:
    """Returns how many terminations are foreseen within `RISK_STEPS`, and how many there were.

    Frames are drawn evenly, those shortly before an end as often as others; a window that meets a
    termination is followed up to it. Two errors that make an agent stand still are looked for: risk
    where the ego stands or creeps, and risk if it braked fully instead, which takes the brake for
    the cause of what drivers brake for.
    """
    now, future, steps, ended = known_futures(table, config, RISK_STEPS)
    past = now[:, None] + torch.arange(1 - config.context, 1)
    recorded = table.action_NA[future]
    braking = recorded.clone()
    braking[..., ACCELERATION] = -1.0
    risk, brake_risk = (
        1.0
        - dream(model, table, past, action, config, decode=False).survival.gather(
            1, steps[:, None] - 1
        )[:, 0]
        for action in (recorded, braking)
    )
    slow = table.vector_NK[now, STATE_INDEX["speed"]] < SLOW_MPS
    return {
        "terminations_foreseen": float(risk.sum()),
        "terminations_real": float(ended.sum()),
        "slow_terminations_foreseen": float(risk[slow].sum()),
        "slow_terminations_real": float(ended[slow].sum()),
        "brake_terminations_foreseen": float(brake_risk.sum()),
    }


def measure(model: WorldModel, table: FrameTable, config: MeasureConfig) -> dict[str, float]:
    """Returns all measures of one model on unseen episodes."""
    collisions = [c for c in model.config.causes if is_collision(c)]
    return {
        **picture_truth(model, table, config),
        **event_truth(model, table, config, collisions, "collision"),
        **event_truth(model, table, config, ["off_road"], "off_road"),
        **risk_truth(model, table, config),
    }
