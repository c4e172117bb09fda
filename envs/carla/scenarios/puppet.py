"""Actors that play a part: vehicles along a given line, and walkers to a given place."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamdrive.envs.carla.client import carla, wrap_angle
from dreamdrive.envs.carla.scene import Scene

FULL_THROTTLE_MPS2 = 4.0
FULL_BRAKE_MPS2 = 8.0
SPEED_GAIN = 1.5
"""Acceleration asked for each m/s that is lacking."""

WINDOW_M = 12.0
LOOK_S = 0.5
FOLLOW_GAP_M = 4.0
FOLLOW_S = 1.0
STANDING_MPS = 1.0
END_M = 8.0


def where_is(scene: Scene, actor_id: int) -> tuple[NDArray[np.float64], float] | None:
    """Returns the box of an actor and its speed along its heading; None if it is gone."""
    found = np.flatnonzero(scene.ids == actor_id)
    if not len(found):
        return None
    box, velocity = scene.boxes[found[0]], scene.velocity[found[0]]
    return box, float(velocity[0] * math.cos(box[2]) + velocity[1] * math.sin(box[2]))


class Puppet:
    """A vehicle that is driven along a line by plain vehicle controls.

    It steers by pure pursuit and holds a speed; who plays with it says which.

    Args:
        actor: The vehicle.
        line: Where it drives, ISO world axes, shape (n, 2); None for one that only stands.
        steer_limit_rad: The angle of its front wheels at full steer.
    """

    def __init__(
        self, actor: Any, line: NDArray[np.float64] | None, steer_limit_rad: float
    ) -> None:
        self.actor, self.id = actor, int(actor.id)
        self._limit = steer_limit_rad
        self.line = np.zeros((0, 2))
        self._arc = np.zeros(0)
        self.arc_m = 0.0
        if line is not None:
            self.follow(line)

    def follow(self, line: NDArray[np.float64]) -> None:
        """Takes another line, from wherever on it the vehicle is nearest."""
        self.line = line
        self._arc = np.concatenate(
            [[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))]
        )
        self.arc_m = -1.0

    @property
    def length_m(self) -> float:
        """The length of its line."""
        return float(self._arc[-1]) if len(self._arc) else 0.0

    @property
    def is_through(self) -> bool:
        """Whether it has come to the end of its line."""
        return self.length_m > 0.0 and self.arc_m >= self.length_m - END_M

    def push(self, speed_mps: float, yaw_rad: float) -> None:
        """Gives it a speed at once, as it starts to play."""
        self.actor.set_target_velocity(
            carla.Vector3D(speed_mps * math.cos(yaw_rad), -speed_mps * math.sin(yaw_rad), 0.0)
        )

    def stand(self) -> Any:
        """Returns the command that holds it."""
        return carla.command.ApplyVehicleControl(
            self.id, carla.VehicleControl(brake=1.0, hand_brake=True)
        )

    def track(self, scene: Scene) -> float:
        """Finds where on its line it is, and returns that arc length."""
        found = where_is(scene, self.id)
        if found is not None and len(self.line):
            gap = np.hypot(*(self.line - found[0][:2]).T)
            if self.arc_m >= 0.0:
                gap[np.abs(self._arc - self.arc_m) > WINDOW_M] = np.inf
            self.arc_m = max(self.arc_m, float(self._arc[gap.argmin()]))
        return self.arc_m

    def drive(self, scene: Scene, speed_mps: float, *, hardest_mps2: float = 8.0) -> Any:
        """Returns the command that drives it on along its line; it stops at its end.

        Args:
            scene: The present scene.
            speed_mps: The wanted speed.
            hardest_mps2: Limit of its braking.
        """
        found = where_is(scene, self.id)
        if found is None:
            return self.stand()
        box, speed = found
        arc = self.track(scene)
        if arc >= self.length_m - 1.0:
            return self.stand()
        reach = float(np.clip(3.0 + LOOK_S * speed, 4.0, 12.0))
        x, y = (np.interp(arc + reach, self._arc, self.line[:, axis]) for axis in (0, 1))
        rear = box[:2] - 0.6 * box[3] * np.array([math.cos(box[2]), math.sin(box[2])])
        bearing = float(wrap_angle(math.atan2(y - rear[1], x - rear[0]) - box[2]))
        base = 1.2 * box[3]
        wheel = math.atan2(2.0 * base * math.sin(bearing), math.hypot(x - rear[0], y - rear[1]))
        steer = float(np.clip(wheel / self._limit, -1.0, 1.0))
        wanted = float(np.clip(SPEED_GAIN * (speed_mps - speed), -hardest_mps2, FULL_THROTTLE_MPS2))
        if speed_mps <= 0.0 and speed < 0.5:
            return self.stand()
        return carla.command.ApplyVehicleControl(
            self.id,
            carla.VehicleControl(
                throttle=max(0.0, wanted / FULL_THROTTLE_MPS2), steer=-steer,
                brake=max(0.0, -wanted / FULL_BRAKE_MPS2),
            ),
        )  # fmt: skip

    def room_m(self, scene: Scene, *, regards_ego: bool) -> float:
        """Returns the free way ahead on its line, up to 60 m; vehicles it has passed do not count.

        Args:
            scene: The present scene.
            regards_ego: Whether the ego counts even when it moves; a standing one always does.
        """
        found = where_is(scene, self.id)
        if found is None or not len(self.line):
            return 0.0
        own = found[0]
        others = scene.boxes[scene.ids != self.id]
        if regards_ego or abs(scene.ego.speed_mps) < STANDING_MPS:
            others = np.concatenate([others, scene.ego.box])
        ahead = (self._arc > self.arc_m) & (self._arc < self.arc_m + 60.0)
        line, arc = self.line[ahead], self._arc[ahead]
        room = 60.0
        for box in others:
            if not len(line) or np.hypot(*(box[:2] - own[:2])) > 70.0:
                continue
            gap = np.hypot(*(line - box[:2]).T)
            at = int(gap.argmin())
            if gap[at] < own[4] + box[4] + 0.4:
                room = min(room, float(arc[at]) - self.arc_m - own[3] - box[3])
        return room

    def careful_mps(self, scene: Scene, speed_mps: float, *, regards_ego: bool = False) -> float:
        """Returns the wanted speed, lowered so that it stops behind who stands in its way."""
        room = self.room_m(scene, regards_ego=regards_ego) - FOLLOW_GAP_M
        return max(0.0, min(speed_mps, room / FOLLOW_S if room < 15.0 else speed_mps))


class Pedestrian:
    """A walker that waits, then walks to a place and stays there.

    Args:
        actor: The walker.
        target: Where it goes, ISO world axes, shape (2,).
        speed_mps: How fast.
    """

    def __init__(self, actor: Any, target: NDArray[np.float64], speed_mps: float) -> None:
        self.id = int(actor.id)
        self.target, self.speed_mps = target, speed_mps
        self.is_walking = False

    def walk(self, scene: Scene) -> Any:
        """Returns the command for the next moment."""
        found = where_is(scene, self.id)
        gap = np.zeros(2) if found is None else self.target - found[0][:2]
        distance = float(np.hypot(*gap))
        speed = self.speed_mps if self.is_walking and distance > 0.3 else 0.0
        direction = gap / max(distance, 1e-6)
        return carla.command.ApplyWalkerControl(
            self.id,
            carla.WalkerControl(
                carla.Vector3D(float(direction[0]), -float(direction[1]), 0.0), speed, False
            ),
        )
