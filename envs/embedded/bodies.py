"""Moving bodies as arrays, a row each, so that a tick is a few array operations."""

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from dreamdrive.envs.embedded.blueprints import WALKER_EXTENT, WALKER_MASS_KG, VehicleModel
from dreamdrive.envs.embedded.wire import VEHICLE_RECORD, WALKER_RECORD

ACTIVE = 1


class Bodies:
    """Rows of bodies, with the numbers that every body has.

    Attributes:
        id: Actor ids, shape (n,).
        pose: x, y, yaw in radians (left-handed), shape (n, 3).
        velocity: Along x and y, shape (n, 2).
        acceleration: Likewise.
        yaw_rate: In radians a second.
        z: Height of the origin.
        half: Half length and half width, shape (n, 2).
        mass: In kilograms.
        physics: Whether the body moves by itself.
    """

    FIELDS: ClassVar[dict[str, tuple[int, ...]]] = {
        "pose": (3,), "velocity": (2,), "acceleration": (2,), "yaw_rate": (), "z": (),
        "half": (2,), "mass": (), "physics": (), "constant": (3,),
    }  # fmt: skip
    RECORD: ClassVar[np.dtype[Any]]

    def __init__(self) -> None:
        self.id = np.zeros(0, np.int64)
        self.row: dict[int, int] = {}
        for name, shape in self.FIELDS.items():
            setattr(self, name, np.zeros((0, *shape)))
        self.record = np.zeros(0, self.RECORD)

    pose: NDArray[np.float64]
    velocity: NDArray[np.float64]
    acceleration: NDArray[np.float64]
    yaw_rate: NDArray[np.float64]
    z: NDArray[np.float64]
    half: NDArray[np.float64]
    mass: NDArray[np.float64]
    physics: NDArray[np.float64]
    constant: NDArray[np.float64]
    """Constant velocity in the body's axes, and whether it is on."""

    def __len__(self) -> int:
        """Returns the number of bodies."""
        return len(self.id)

    def add(self, actor: int, **values: Any) -> int:
        """Adds a row and returns its index; fields not given are 0."""
        self.row[actor] = len(self.id)
        self.id = np.append(self.id, actor)
        for name, shape in self.FIELDS.items():
            value = np.broadcast_to(np.asarray(values.get(name, 0.0), np.float64), shape)
            setattr(self, name, np.concatenate([getattr(self, name), value[None]]))
        self._rebuild()
        return self.row[actor]

    def remove(self, actor: int) -> None:
        """Removes a row; rows behind it move up."""
        index = self.row[actor]
        self.id = np.delete(self.id, index)
        for name in self.FIELDS:
            setattr(self, name, np.delete(getattr(self, name), index, axis=0))
        self.row = {int(actor): row for row, actor in enumerate(self.id)}
        self._rebuild()

    def _rebuild(self) -> None:
        self.record = np.zeros(len(self.id), self.RECORD)
        self.record["id"] = self.id
        self.record["state"] = ACTIVE

    def boxes(self) -> NDArray[np.float64]:
        """Returns x, y, half length, half width and yaw of each body, shape (n, 5)."""
        return np.concatenate([self.pose[:, :2], self.half, self.pose[:, 2:]], 1)

    def fill_common(self) -> None:
        """Writes what all records share."""
        record = self.record
        record["location"][:, :2] = self.pose[:, :2]
        record["location"][:, 2] = self.z
        record["rotation"][:, 1] = np.degrees(self.pose[:, 2])
        record["velocity"][:, :2] = self.velocity
        record["angular"][:, 2] = np.degrees(self.yaw_rate)
        record["acceleration"][:, :2] = self.acceleration


class Vehicles(Bodies):
    """Vehicles, with their controls and what they are told of lights and limits."""

    FIELDS: ClassVar = Bodies.FIELDS | {
        "throttle": (), "steer": (), "brake": (), "hand_brake": (), "reverse": (), "manual": (),
        "gear": (), "wheelbase": (), "max_steer": (), "power": (), "speed_limit": (),
    }  # fmt: skip
    RECORD: ClassVar = VEHICLE_RECORD

    throttle: NDArray[np.float64]
    steer: NDArray[np.float64]
    brake: NDArray[np.float64]
    hand_brake: NDArray[np.float64]
    reverse: NDArray[np.float64]
    manual: NDArray[np.float64]
    gear: NDArray[np.float64]
    wheelbase: NDArray[np.float64]
    max_steer: NDArray[np.float64]
    power: NDArray[np.float64]
    speed_limit: NDArray[np.float64]

    def spawn(self, actor: int, model: VehicleModel, pose: list[float], z: float) -> None:
        """Adds a vehicle that stands still."""
        self.add(
            actor, pose=pose, z=z, half=(model.half_length, model.half_width), mass=model.mass_kg,
            physics=1.0, wheelbase=model.wheelbase, max_steer=np.radians(model.max_steer_deg),
            power=model.power_w, speed_limit=30.0 / 3.6,
        )  # fmt: skip

    def fill(self) -> None:
        """Writes the records of a snapshot, but for the lights."""
        self.fill_common()
        for name in ("throttle", "steer", "brake", "hand_brake", "reverse", "manual", "gear"):
            self.record[name] = getattr(self, name)
        self.record["speed_limit"] = self.speed_limit * 3.6


class Walkers(Bodies):
    """Walkers, with the direction and speed that they are told."""

    FIELDS: ClassVar = Bodies.FIELDS | {"direction": (3,), "speed": ()}
    RECORD: ClassVar = WALKER_RECORD

    direction: NDArray[np.float64]
    speed: NDArray[np.float64]

    def spawn(self, actor: int, pose: list[float], z: float) -> None:
        """Adds a walker that stands still."""
        half = (WALKER_EXTENT[0], WALKER_EXTENT[1])
        self.add(actor, pose=pose, z=z, half=half, mass=WALKER_MASS_KG, physics=1.0)

    def step(self, dt_s: float) -> None:
        """Moves every walker along its direction."""
        length = np.maximum(np.hypot(self.direction[:, 0], self.direction[:, 1]), 1e-6)
        heading = self.direction[:, :2] / length[:, None]
        self.velocity[:] = heading * self.speed[:, None] * self.physics[:, None]
        self.pose[:, :2] += self.velocity * dt_s
        turned = self.speed > 0.0
        yaw = np.arctan2(heading[:, 1], heading[:, 0])
        self.pose[:, 2] = np.where(turned, yaw, self.pose[:, 2])

    def fill(self) -> None:
        """Writes the records of a snapshot."""
        self.fill_common()
        self.record["direction"] = self.direction
        self.record["speed"] = self.speed
