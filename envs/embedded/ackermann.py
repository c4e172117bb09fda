"""Vehicles that are told a speed and a steering angle and work their pedals by themselves."""

import math
from dataclasses import dataclass, field

from dreamdrive.envs.embedded.bodies import Vehicles

DEFAULT_SETTINGS = (0.15, 0.0, 0.25, 0.01, 0.0, 0.01)
"""CARLA's gains: proportional, integral, derivative of speed, then of acceleration."""
PULL_PER_GAIN = 40.0 / 3.0
"""m/s² for each m/s of error and unit of `speed_kp`: 2 with CARLA's default."""
FREE_MPS2 = 3.0
"""Acceleration where none is given; brakes take twice as much."""


@dataclass
class Target:
    """What a vehicle was told, in radians, metres and seconds; rates of 0 set no limit.

    Attributes:
        pull_mps2: The acceleration that it was last given.
        error_m: The integral of the error of its speed.
    """

    steer_rad: float
    steer_speed: float
    speed_mps: float
    acceleration_mps2: float
    jerk_mps3: float
    pull_mps2: float = 0.0
    error_m: float = 0.0


@dataclass
class Ackermann:
    """The targets and settings of all vehicles that have some, by actor.

    Of the settings, the proportional and integral gain of speed act; the others are kept.
    """

    targets: dict[int, Target] = field(default_factory=dict)
    settings: dict[int, list[float]] = field(default_factory=dict)

    def release(self, actor: int) -> None:
        """Lets an actor's pedals go and forgets its settings."""
        self.targets.pop(actor, None)
        self.settings.pop(actor, None)

    def steer(self, cars: Vehicles, dt_s: float) -> None:
        """Sets throttle, brake, gear and steering of all vehicles with a target, for one tick."""
        for actor, target in self.targets.items():
            row = cars.row[actor]
            self._pedals(cars, row, target, self.settings.get(actor, DEFAULT_SETTINGS), dt_s)
            wanted = min(max(target.steer_rad / cars.max_steer[row], -1.0), 1.0)
            turn = wanted - cars.steer[row]
            if target.steer_speed > 0.0:
                most = target.steer_speed * dt_s / cars.max_steer[row]
                turn = min(max(turn, -most), most)
            cars.steer[row] += turn

    def _pedals(
        self, cars: Vehicles, row: int, target: Target,
        gains: list[float] | tuple[float, ...], dt_s: float,
    ) -> None:  # fmt: skip
        yaw = cars.pose[row, 2]
        speed = cars.velocity[row, 0] * math.cos(yaw) + cars.velocity[row, 1] * math.sin(yaw)
        sign = -1.0 if target.speed_mps < 0.0 else 1.0
        error = sign * (target.speed_mps - speed)
        limit = target.acceleration_mps2 if target.acceleration_mps2 > 0.0 else FREE_MPS2
        target.error_m = min(max(target.error_m + error * dt_s, -limit), limit)
        pull = PULL_PER_GAIN * (gains[0] * error + gains[1] * target.error_m)
        pull = min(max(pull, -2.0 * limit), limit)
        if target.jerk_mps3 > 0.0:
            most = target.jerk_mps3 * dt_s
            pull = min(max(pull, target.pull_mps2 - most), target.pull_mps2 + most)
        target.pull_mps2 = pull
        cars.reverse[row] = float(sign < 0.0)
        cars.throttle[row] = min(max(pull / max(cars.pull[row], 1e-6), 0.0), 1.0)
        cars.brake[row] = min(max(-pull / max(cars.brakes[row], 1e-6), 0.0), 1.0)
