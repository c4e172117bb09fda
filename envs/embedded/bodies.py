"""Moving bodies as rows of numbers, so that a tick is a few loops over arrays."""

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from dreamdrive.envs.embedded.blueprints import WALKER_EXTENT, WALKER_MASS_KG, VehicleModel
from dreamdrive.envs.embedded.wire import VEHICLE_RECORD, WALKER_RECORD

ACTIVE = 1
GRIP_MPS2, MAX_DRIVE_MPS2, MAX_BRAKE_MPS2 = 7.8, 4.5, 8.0
DRAG_PER_M = 0.0004
"""Air drag per speed squared, half of air density times C_d A over m, of a car of 1,700 kg."""

_COMMON: list[tuple[Any, ...]] = [
    ("pose", "f8", 3), ("velocity", "f8", 2), ("acceleration", "f8", 2), ("yaw_rate", "f8"),
    ("z", "f8"), ("half", "f8", 2), ("mass", "f8"), ("physics", "f8"), ("constant", "f8", 3),
    ("ghost", "f8"), ("pitch", "f8"), ("roll", "f8"), ("fall", "f8"), ("weightless", "f8"),
    ("foot", "f8"), ("top", "f8"),
]  # fmt: skip
VEHICLE_STATE = np.dtype(
    [
        *_COMMON, ("throttle", "f8"), ("steer", "f8"), ("brake", "f8"), ("hand_brake", "f8"),
        ("reverse", "f8"), ("manual", "f8"), ("gear", "f8"), ("wheelbase", "f8"),
        ("max_steer", "f8"), ("power", "f8"), ("speed_limit", "f8"), ("spin", "f8"), ("slip", "f8"),
        ("grip", "f8"), ("traction", "f8"), ("pull", "f8"), ("brakes", "f8"), ("drag", "f8"),
    ],
    align=True,
)  # fmt: skip
STEER_POINTS, TORQUE_POINTS, GEARS = 16, 32, 16
"""How many points and gears a physics control has at most."""
TUNING = np.dtype(
    [
        ("on", "f8"), ("steer_mps", "f8", STEER_POINTS), ("steer_share", "f8", STEER_POINTS),
        ("has_engine", "f8"), ("torque_rpm", "f8", TORQUE_POINTS), ("torque", "f8", TORQUE_POINTS),
        ("num_gears", "f8"), ("ratio", "f8", GEARS), ("up", "f8", GEARS), ("down", "f8", GEARS),
        ("is_automatic", "f8"), ("switch_s", "f8"), ("max_rpm", "f8"), ("inertia", "f8"),
        ("damping", "f8"), ("engine_brake", "f8"), ("hand_brake", "f8"), ("wheel_drag", "f8"),
        ("understeer", "f8"), ("grip_right", "f8"), ("grip_left", "f8"), ("tip_pull", "f8"),
        ("tip_stop", "f8"), ("gear", "f8"), ("switching_s", "f8"),
    ],
    align=True,
)  # fmt: skip
"""What `tuning.py` makes of a physics control: what of it no vehicle has that was told none."""
WALKER_STATE = np.dtype(
    [
        *_COMMON, ("direction", "f8", 3), ("speed", "f8"), ("jump", "f8"), ("rise", "f8"),
        ("floor", "f8"), ("airborne", "f8"), ("knocked", "f8", 2), ("walked", "f8"),
    ],
    align=True,
)  # fmt: skip


class Bodies:
    """Rows of bodies; each number that a body has is an attribute, a view into the rows.

    Attributes:
        id: Actor ids, shape (n,).
        row: Index of each actor's row.
        state: The rows, shape (n,).
        record: What a snapshot says of them, shape (n,).
        pose: x, y, yaw in radians (left-handed), shape (n, 3).
        velocity: Along x and y, shape (n, 2).
        acceleration: Likewise.
        yaw_rate: In radians a second.
        z: Height of the origin.
        half: Half length and half width, shape (n, 2).
        mass: In kilograms.
        physics: Whether the body moves by itself.
        constant: Constant velocity in the body's axes, and whether it is on, shape (n, 3).
        ghost: Whether the body passes through others.
        pitch, roll: In radians; positive angles raise the nose and lower the right side.
        fall: Speed downwards of a body in the air, in m/s.
        weightless: Whether gravity leaves the body alone.
        foot, top: How far its lowest point is below its origin, and its highest above.
    """

    STATE: ClassVar[np.dtype[Any]]
    RECORD: ClassVar[np.dtype[Any]]

    def __init__(self) -> None:
        self.id = np.zeros(0, np.int64)
        self._keep(np.zeros(0, self.STATE))

    pose: NDArray[np.float64]
    velocity: NDArray[np.float64]
    acceleration: NDArray[np.float64]
    yaw_rate: NDArray[np.float64]
    z: NDArray[np.float64]
    half: NDArray[np.float64]
    mass: NDArray[np.float64]
    physics: NDArray[np.float64]
    constant: NDArray[np.float64]
    ghost: NDArray[np.float64]
    pitch: NDArray[np.float64]
    roll: NDArray[np.float64]
    fall: NDArray[np.float64]
    weightless: NDArray[np.float64]
    foot: NDArray[np.float64]
    top: NDArray[np.float64]

    def __len__(self) -> int:
        """Returns the number of bodies."""
        return len(self.id)

    def add(self, actor: int, **values: Any) -> int:
        """Adds a row and returns its index; numbers not given are 0."""
        added = np.zeros(1, self.STATE)
        for name, value in values.items():
            added[name] = value
        self.id = np.append(self.id, actor)
        self._keep(np.concatenate([self.state, added]))
        return self.row[actor]

    def remove(self, actor: int) -> None:
        """Removes a row; rows behind it move up."""
        index = self.row[actor]
        self.id = np.delete(self.id, index)
        self._keep(np.delete(self.state, index))

    def _keep(self, state: NDArray[Any]) -> None:
        self.state = state
        for name in self.STATE.names or ():
            setattr(self, name, state[name])
        self.row = {int(actor): row for row, actor in enumerate(self.id)}
        self.record = np.zeros(len(self.id), self.RECORD)
        self.record["id"] = self.id
        self.record["state"] = ACTIVE

    def boxes(self) -> NDArray[np.float64]:
        """Returns x, y, half length, half width and yaw of each body, shape (n, 5)."""
        return np.concatenate([self.pose[:, :2], self.half, self.pose[:, 2:]], 1)

    def spans(self) -> NDArray[np.float64]:
        """Returns the heights between which each body is, shape (n, 2)."""
        return np.stack([self.z - self.foot, self.z + self.top], 1)

    def solid_boxes(self) -> NDArray[np.float64]:
        """Returns the same, with ghosts infinitely far away."""
        found = self.boxes()
        if np.count_nonzero(self.ghost):
            found[self.ghost > 0.0, :2] = np.inf
        return found


class Vehicles(Bodies):
    """Vehicles: controls, the speed limit where they are, `spin` for a turn beside the steering.

    `slip` is the share of its tyres' grip that a vehicle has lost where it is.
    `grip` and `traction` are the largest accelerations sideways and along that tyres hold, `pull`
    and `brakes` those by the engine and by the brakes, in m/s²; `drag` is that by the air over
    speed squared, in 1/m. `tuning` has a row of `TUNING` for each, which is `on` for those that
    were told their physics.
    """

    STATE: ClassVar = VEHICLE_STATE
    RECORD: ClassVar = VEHICLE_RECORD

    def __init__(self) -> None:
        self.tuning = np.zeros(0, TUNING)
        super().__init__()

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
    spin: NDArray[np.float64]
    slip: NDArray[np.float64]
    grip: NDArray[np.float64]
    traction: NDArray[np.float64]
    pull: NDArray[np.float64]
    brakes: NDArray[np.float64]
    drag: NDArray[np.float64]

    def spawn(self, actor: int, model: VehicleModel, pose: list[float], z: float) -> None:
        """Adds a vehicle that stands still."""
        self.add(
            actor, pose=pose, z=z, half=(model.half_length, model.half_width), mass=model.mass_kg,
            physics=1.0, wheelbase=model.wheelbase, max_steer=np.radians(model.max_steer_deg),
            power=model.power_w, speed_limit=30.0 / 3.6, top=2.0 * model.half_height,
            grip=GRIP_MPS2, traction=MAX_BRAKE_MPS2, pull=MAX_DRIVE_MPS2, brakes=MAX_BRAKE_MPS2,
            drag=DRAG_PER_M,
        )  # fmt: skip

    def add(self, actor: int, **values: Any) -> int:
        """Adds a row that was told no physics."""
        self.tuning = np.append(self.tuning, np.zeros(1, TUNING))
        return super().add(actor, **values)

    def remove(self, actor: int) -> None:
        """Removes a row with its tuning."""
        self.tuning = np.delete(self.tuning, self.row[actor])
        super().remove(actor)


class Walkers(Bodies):
    """Walkers, with the direction, speed and jump that they are told.

    `rise` is the upward speed of those that are `airborne` since they left the `floor`, `knocked`
    the velocity with which those that were hit slide, `walked` the way that they have gone.
    """

    STATE: ClassVar = WALKER_STATE
    RECORD: ClassVar = WALKER_RECORD

    direction: NDArray[np.float64]
    speed: NDArray[np.float64]
    jump: NDArray[np.float64]
    rise: NDArray[np.float64]
    floor: NDArray[np.float64]
    airborne: NDArray[np.float64]
    knocked: NDArray[np.float64]
    walked: NDArray[np.float64]

    def spawn(self, actor: int, pose: list[float], z: float) -> None:
        """Adds a walker that stands still."""
        half = (WALKER_EXTENT[0], WALKER_EXTENT[1])
        self.add(
            actor, pose=pose, z=z, half=half, mass=WALKER_MASS_KG, physics=1.0,
            foot=WALKER_EXTENT[2], top=WALKER_EXTENT[2],
        )  # fmt: skip
