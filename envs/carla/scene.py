"""What moves around the ego at one instant, read from one world snapshot."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamdrive.envs.carla.bev import Boxes
from dreamdrive.envs.carla.client import iso_pose

VEHICLE, WALKER = 0, 1


@dataclass(frozen=True, kw_only=True, slots=True)
class EgoPose:
    """The ego in ISO world axes."""

    x: float
    y: float
    yaw_rad: float
    speed_mps: float
    """Along the heading; negative backwards."""
    yaw_rate_radps: float
    half_length_m: float
    half_width_m: float
    acceleration_mps2: tuple[float, float] | None = None
    """Ahead and to the left, as the server tells it; None where it was not asked for."""

    @property
    def box(self) -> Boxes:
        """The ego as one box, shape (1, 5)."""
        return np.array([[self.x, self.y, self.yaw_rad, self.half_length_m, self.half_width_m]])


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """The ego and the other actors, in ISO world axes.

    Attributes:
        frame: Number of the physics step.
        time_s: Simulation time.
        ego: The ego.
        ids: Actor ids of the others, shape (n,).
        kinds: VEHICLE or WALKER, shape (n,).
        boxes: x, y, yaw, half length, half width; shape (n, 5).
        velocity: Shape (n, 2), m/s.
        yaw_rate: Shape (n,), rad/s.
    """

    frame: int
    time_s: float
    ego: EgoPose
    ids: NDArray[np.int64]
    kinds: NDArray[np.int8]
    boxes: Boxes
    velocity: NDArray[np.float64]
    yaw_rate: NDArray[np.float64]

    def boxes_of(self, kind: int) -> Boxes:
        """Returns the boxes of all vehicles or of all walkers."""
        return self.boxes[self.kinds == kind]


class SceneReader:
    """Reads scenes; sizes are asked for once a type, since each question is a round trip.

    Args:
        sizes: Cache of (half length, half width) by blueprint id, kept across episodes.

    Attributes:
        things: Ids of the actors that are no vehicles and no walkers.
    """

    def __init__(self, sizes: dict[str, tuple[float, float]]) -> None:
        self._sizes = sizes
        self._ego_id = 0
        self._ego_size = (0.0, 0.0)
        self._others: list[tuple[int, int, float, float]] = []
        self.things: set[int] = set()

    def watch(self, ego: Any, others: list[Any]) -> None:
        """Sets whom to read: the ego, and the vehicles and walkers around it."""
        self._ego_id, self._ego_size = ego.id, self._size(ego)
        self._others, self.things = [], set()
        for actor in sorted(others, key=lambda a: a.id):
            kind = WALKER if actor.type_id.startswith("walker.") else VEHICLE
            self._others.append((actor.id, kind, *self._size(actor)))

    def add(self, actor: Any) -> None:
        """Reads another actor too, which may be a thing: it counts as a vehicle."""
        if not actor.type_id.startswith(("vehicle.", "walker.")):
            self.things.add(actor.id)
        kind = WALKER if actor.type_id.startswith("walker.") else VEHICLE
        self._others.append((actor.id, kind, *self._size(actor)))

    def _size(self, actor: Any) -> tuple[float, float]:
        if actor.type_id not in self._sizes:
            extent = actor.bounding_box.extent
            self._sizes[actor.type_id] = (extent.x, extent.y)
        return self._sizes[actor.type_id]

    def read(self, snapshot: Any) -> Scene:
        """Returns the scene of a snapshot; actors that no longer exist are left out."""
        rows = []
        for actor_id, kind, half_length, half_width in self._others:
            actor = snapshot.find(actor_id)
            if actor is None:
                continue
            x, y, yaw = iso_pose(actor.get_transform())
            velocity = actor.get_velocity()
            turn = -math.radians(actor.get_angular_velocity().z)
            rows.append(
                (actor_id, kind, x, y, yaw, half_length, half_width, velocity.x, -velocity.y, turn)
            )
        table = np.array(rows, np.float64).reshape(-1, 10)
        return Scene(
            frame=snapshot.frame,
            time_s=snapshot.timestamp.elapsed_seconds,
            ego=self._ego(snapshot.find(self._ego_id)),
            ids=table[:, 0].astype(np.int64),
            kinds=table[:, 1].astype(np.int8),
            boxes=table[:, 2:7],
            velocity=table[:, 7:9],
            yaw_rate=table[:, 9],
        )

    def _ego(self, actor: Any) -> EgoPose:
        x, y, yaw = iso_pose(actor.get_transform())
        velocity, acceleration = actor.get_velocity(), actor.get_acceleration()
        cos, sin = math.cos(yaw), math.sin(yaw)
        return EgoPose(
            x=x,
            y=y,
            yaw_rad=math.remainder(yaw, math.tau),
            speed_mps=velocity.x * cos - velocity.y * sin,
            yaw_rate_radps=-math.radians(actor.get_angular_velocity().z),
            half_length_m=self._ego_size[0],
            half_width_m=self._ego_size[1],
            acceleration_mps2=(
                acceleration.x * cos - acceleration.y * sin,
                -acceleration.x * sin - acceleration.y * cos,
            ),
        )
