"""A kinematic bicycle: how an ego moves under a sequence of actions, and its six comfort signals.

Shapes: B batch, L steps, Q = 6 comfort signals. Angles anticlockwise, x forward, y left.

Reference:
    Rajamani 2012, "Vehicle Dynamics and Control", section 2.2, reference point at the rear axle.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from dreamdrive.driving.actions import ACCELERATION, DECISION_DT_S, STEER


@dataclass(frozen=True, kw_only=True, slots=True)
class BicycleConfig:
    """What an action means for the ego."""

    wheelbase_m: float = 2.9
    max_steer_rad: float = 1.1
    """Angle of the front wheels at steer 1 and town speeds: CARLA's 70° less its steering curve."""
    max_throttle_mps2: float = 4.5
    max_brake_mps2: float = 8.0
    grip_mps2: float = 7.8
    """Lateral acceleration beyond which the tyres slide instead of turning further."""
    response_s: float = 0.1
    """Time constant with which acceleration and wheel angle follow the action."""
    dt_s: float = DECISION_DT_S

    def __post_init__(self) -> None:
        """Checks the ranges.

        Raises:
            ValueError: If a value is not positive, or the response negative.
        """
        positive = (
            self.wheelbase_m,
            self.max_throttle_mps2,
            self.max_brake_mps2,
            self.grip_mps2,
            self.dt_s,
        )
        if min(positive) <= 0.0 or not 0.0 < self.max_steer_rad < 1.5 or self.response_s < 0.0:
            raise ValueError(f"a bicycle needs positive sizes and a steer below 1.5 rad: {self}")


class Motion(NamedTuple):
    """The ego after each of L steps, all of shape (B, L), in the frame in which it started.

    Attributes:
        x_m: Position ahead of the start.
        y_m: Position to its left.
        yaw_rad: Heading.
        speed_mps: Speed, never negative: the brake does not drive backwards.
        acceleration_mps2: Along the heading.
        yaw_rate_radps: Turn rate.
    """

    x_m: Tensor
    y_m: Tensor
    yaw_rad: Tensor
    speed_mps: Tensor
    acceleration_mps2: Tensor
    yaw_rate_radps: Tensor


def drive(
    action_BLA: Tensor,
    speed_B: Tensor,
    config: BicycleConfig,
    previous_BA: Tensor | None = None,
) -> Motion:
    """Returns the motion of a kinematic ego under a sequence of actions.

    Args:
        action_BLA: Actions (steer, acceleration) in [-1, 1].
        speed_B: Speed at the start in m/s.
        config: What an action means.
        previous_BA: The action before, to which wheels and pedals have settled; None for zero.
    """
    previous = torch.zeros_like(action_BLA[:, 0]) if previous_BA is None else previous_BA
    dt = config.dt_s
    follow = dt / (config.response_s + dt)
    pedal, wheel = previous[:, ACCELERATION], previous[:, STEER]
    speed = speed_B.clamp(min=0.0)
    x = y = yaw = torch.zeros_like(speed)
    rows = []
    for t in range(action_BLA.shape[1]):
        pedal = pedal + follow * (action_BLA[:, t, ACCELERATION] - pedal)
        wheel = wheel + follow * (action_BLA[:, t, STEER] - wheel)
        wanted = torch.where(
            pedal > 0.0, pedal * config.max_throttle_mps2, pedal * config.max_brake_mps2
        )
        after = (speed + dt * wanted).clamp(min=0.0)
        acceleration = (after - speed) / dt
        rate = after * torch.tan(wheel * config.max_steer_rad) / config.wheelbase_m
        limit = config.grip_mps2 / after.clamp(min=0.5)
        rate = torch.maximum(torch.minimum(rate, limit), -limit)
        middle = yaw + 0.5 * dt * rate
        travelled = 0.5 * dt * (speed + after)
        x, y = x + travelled * torch.cos(middle), y + travelled * torch.sin(middle)
        yaw, speed = yaw + dt * rate, after
        rows.append((x, y, yaw, speed, acceleration, rate))
    return Motion(*(torch.stack(column, 1) for column in zip(*rows, strict=True)))


def comfort_signals(motion: Motion, dt_s: float = DECISION_DT_S) -> Tensor:
    """Returns the six signals of `COMFORT_BOUNDS` of a motion, shape (B, L, Q).

    Derivatives are differences of neighbouring steps; those of the first step are taken as 0,
    since what came before it is not known.
    """
    ahead, rate = motion.acceleration_mps2, motion.yaw_rate_radps
    aside = motion.speed_mps * rate
    forward_jerk, side_jerk = _rate(ahead, dt_s), _rate(aside, dt_s)
    jerk = (forward_jerk.square() + side_jerk.square() + 1e-12).sqrt()
    return torch.stack([ahead, aside, rate, _rate(rate, dt_s), forward_jerk, jerk], -1)


def _rate(signal_BL: Tensor, dt_s: float) -> Tensor:
    change = signal_BL.diff(dim=1) / dt_s
    return torch.cat([torch.zeros_like(signal_BL[:, :1]), change], 1)
