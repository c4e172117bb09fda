"""Does the dream obey? What if, at the same frames, the driver had steered or braked otherwise.

Recorded actions follow from what is seen, so that a model may foresee them; these do not. Beside
the dreamed answers stand the slopes of the recorded drives, since the vehicle is the same.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from dreamdrive.driving.actions import ACCELERATION, DECISION_DT_S, STEER
from dreamdrive.driving.state import EGO_PIXEL, IMAGE_SIZE, METRES_PER_PIXEL, STATE_INDEX
from dreamdrive.experiments.train_tokenizer import images
from dreamdrive.experiments.truth_measures import MOVING_MPS, MeasureConfig, Rollout, dream
from dreamdrive.worldmodel.episodes import FrameTable
from dreamdrive.worldmodel.model import WorldModel

STEPS = 10
"""How long another action is held."""
STEERS = (-0.4, -0.2, 0.0, 0.2, 0.4)
PEDALS = (-0.6, -0.3, 0.0, 0.3, 0.6)
SETTLED = 4
"""Steps after which the wheel has turned."""


def slope(x: Tensor, y: Tensor) -> float:
    """Returns the slope of the least-squares line of y over x; NaN where x is constant."""
    x, y = x.double().flatten(), y.double().flatten()
    spread = (x - x.mean()).square().sum()
    return float(((x - x.mean()) * (y - y.mean())).sum() / spread) if spread > 0 else math.nan


def moved_picture(image_BCHW: Tensor, forward_B: Tensor, left_B: Tensor, turn_B: Tensor) -> Tensor:
    """Returns what stands still in pictures as it is seen from another pose; black from outside.

    Args:
        image_BCHW: Bird's-eye views.
        forward_B: Metres that the ego moved along its old heading.
        left_B: Metres to the left of it.
        turn_B: Radians that it turned to the left.
    """
    pixel = torch.arange(IMAGE_SIZE, dtype=torch.float32)
    ahead = (EGO_PIXEL[1] - pixel)[:, None].expand(IMAGE_SIZE, IMAGE_SIZE) * METRES_PER_PIXEL
    left = (EGO_PIXEL[0] - pixel)[None, :].expand(IMAGE_SIZE, IMAGE_SIZE) * METRES_PER_PIXEL
    cos, sin = turn_B.cos()[:, None, None], turn_B.sin()[:, None, None]
    old_ahead = forward_B[:, None, None] + cos * ahead - sin * left
    old_left = left_B[:, None, None] + sin * ahead + cos * left
    column = EGO_PIXEL[0] - old_left / METRES_PER_PIXEL
    row = EGO_PIXEL[1] - old_ahead / METRES_PER_PIXEL
    grid = torch.stack([column, row], -1) * 2.0 / (IMAGE_SIZE - 1) - 1.0
    return F.grid_sample(image_BCHW, grid, mode="bilinear", align_corners=True)


def driven(vector_BTK: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns metres forward, metres to the left and radians turned, after the given steps."""
    speed = vector_BTK[..., STATE_INDEX["speed"]]
    turn = (vector_BTK[..., STATE_INDEX["yaw_rate"]] * DECISION_DT_S).cumsum(1)
    forward = (speed * turn.cos()).sum(1) * DECISION_DT_S
    return forward, (speed * turn.sin()).sum(1) * DECISION_DT_S, turn[:, -1]


def steering_truth(model: WorldModel, table: FrameTable, config: MeasureConfig) -> dict[str, float]:
    """Returns how the dream answers to other actions than the recorded ones.

    `left_right_yaw`: share of windows in which steering left turns the ego more to the left than
    steering right does. `left_right_picture`: share of both in which the picture after `STEPS` is
    nearer to the last real one moved as the dream says the ego moved, than to that moved to the
    other side. `curvature_slope`: change of yaw rate over speed, 1/m, by steer of 1, and
    `…_recorded`, that of the recorded drives; `acceleration_slope`: change of speed, m/s², by pedal
    of 1, likewise. `brake_throttle_speed`: share of windows in which full throttle ends faster than
    full brake. Windows begin above `MOVING_MPS`.
    """
    generator = torch.Generator().manual_seed(config.seed + 3)
    rows = table.windows(config.num_windows, config.context + STEPS, generator)
    speed, yaw = STATE_INDEX["speed"], STATE_INDEX["yaw_rate"]
    rows = rows[table.vector_NK[rows[:, config.context - 1], speed] > MOVING_MPS]
    past, future = rows[:, : config.context], rows[:, config.context :]
    recorded = table.action_NA[future]

    def answer(axis: int, value: float, *, decode: bool = False) -> Rollout:
        actions = recorded.clone()
        actions[..., axis] = value
        return dream(model, table, past, actions, config, decode=decode)

    curvatures, ends = [], {}
    for steer in STEERS:
        ends[steer] = answer(STEER, steer, decode=steer in (STEERS[0], STEERS[-1]))
        late = ends[steer].vector[:, SETTLED:]
        curvatures.append((late[..., yaw] / late[..., speed].clamp_min(MOVING_MPS)).mean(1))
    right, left = ends[STEERS[0]], ends[STEERS[-1]]
    gains, fastest = [], {}
    for pedal in (*PEDALS, -1.0, 1.0):
        fastest[pedal] = answer(ACCELERATION, pedal).vector[:, -1, speed]
        gains.append(fastest[pedal] - table.vector_NK[past[:, -1], speed])
    duration_s = STEPS * DECISION_DT_S
    real = table.vector_NK[future]
    is_moving = real[..., speed].amin(1) > MOVING_MPS
    real_curvature = (real[..., yaw] / real[..., speed])[is_moving]
    real_gain = (real[:, -1, speed] - table.vector_NK[past[:, -1], speed])[is_moving]
    steers = torch.tensor(STEERS)[:, None].expand(-1, len(rows))
    pedals = torch.tensor(PEDALS)[:, None].expand(-1, len(rows))
    return {
        "left_right_yaw": float((curvatures[-1] > curvatures[0]).float().mean()),
        "left_right_picture": _pictures_agree(table, past, left, right),
        "curvature_slope": slope(steers, torch.stack(curvatures)),
        "curvature_slope_recorded": slope(recorded[is_moving][..., STEER], real_curvature),
        "acceleration_slope": slope(pedals, torch.stack(gains[: len(PEDALS)])) / duration_s,
        "acceleration_slope_recorded": slope(
            recorded[is_moving][..., ACCELERATION].mean(1), real_gain
        ) / duration_s,
        "brake_throttle_speed": float((fastest[1.0] > fastest[-1.0]).float().mean()),
    }  # fmt: skip


def _pictures_agree(table: FrameTable, past: Tensor, left: Rollout, right: Rollout) -> float:
    last = images(table, past[:, -1:])[:, 0]
    agreed = []
    for result in (left, right):
        forward, aside, turn = driven(result.vector)
        own = moved_picture(last, forward, aside, turn)
        other = moved_picture(last, forward, -aside, -turn)
        seen = torch.from_numpy(result.image[:, -1]).movedim(-1, 1).float() / 255.0
        own_error, other_error = ((seen - x).square().mean((1, 2, 3)) for x in (own, other))
        agreed.append((own_error < other_error).float())
    return float(torch.cat(agreed).mean())
