"""The `state` vector of an observation: its fields, their units and bounds."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

IMAGE_SIZE = 64
METRES_PER_PIXEL = 0.75
EGO_PIXEL = (32, 48)
"""Column and row of the ego's centre in the bird's-eye view; the heading points up."""

TARGET_DISTANCES_M = (5.0, 12.0, 24.0)
"""Arc lengths ahead of the ego, along the route, at which target points are interpolated."""

Command = Literal["follow", "left", "straight", "right"]


class Field(NamedTuple):
    """One entry of the state vector."""

    name: str
    unit: str
    low: float
    high: float
    meaning: str


STATE_FIELDS: tuple[Field, ...] = (
    Field("speed", "m/s", -10.0, 50.0, "speed along the ego's heading"),
    Field("yaw_rate", "rad/s", -5.0, 5.0, "positive to the left"),
    Field("lateral_offset", "m", -50.0, 50.0, "of the ego from the route, positive to the left"),
    Field("heading_error", "rad", -np.pi, np.pi, "ego heading less route heading"),
    Field("speed_limit", "m/s", 0.0, 50.0, "in force at the ego"),
    *(
        Field(f"target_{i}_{axis}", "m", -100.0, 100.0, f"route point {d:g} m ahead, ego frame")
        for i, d in enumerate(TARGET_DISTANCES_M, start=1)
        for axis in "xy"
    ),
    Field("command_left", "-", 0.0, 1.0, "1 if the next junction within 30 m is turned left"),
    Field("command_straight", "-", 0.0, 1.0, "1 if it is crossed straight"),
    Field("command_right", "-", 0.0, 1.0, "1 if it is turned right"),
)

STATE_INDEX: dict[str, int] = {field.name: i for i, field in enumerate(STATE_FIELDS)}
STATE_SIZE = len(STATE_FIELDS)
STATE_LOW: NDArray[np.float32] = np.array([f.low for f in STATE_FIELDS], np.float32)
STATE_HIGH: NDArray[np.float32] = np.array([f.high for f in STATE_FIELDS], np.float32)


@dataclass(frozen=True, kw_only=True, slots=True)
class EgoState:
    """The ego and its route in ISO 8855 axes: x forward, y left, angles anticlockwise."""

    speed_mps: float
    yaw_rate_radps: float
    lateral_offset_m: float
    heading_error_rad: float
    speed_limit_mps: float
    targets_m: tuple[tuple[float, float], ...]
    command: Command = "follow"

    def vector(self) -> NDArray[np.float32]:
        """Returns the state vector, shape (STATE_SIZE,), clipped to its bounds."""
        values = [
            self.speed_mps,
            self.yaw_rate_radps,
            self.lateral_offset_m,
            self.heading_error_rad,
            self.speed_limit_mps,
            *(value for target in self.targets_m for value in target),
            *(float(self.command == name) for name in ("left", "straight", "right")),
        ]
        return np.clip(np.asarray(values, np.float32), STATE_LOW, STATE_HIGH)
