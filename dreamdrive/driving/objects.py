"""Object and route tokens: what a privileged planner reads, after PlanT.

All poses are in the ego's frame, ISO 8855: x ahead of its middle, y to the left, yaw anticlockwise
from its heading; metres, radians, metres a second.

Reference:
    Renz et al. 2022, "PlanT: Explainable Planning Transformers via Object-Level Representations",
    arXiv:2210.14222; range and classes after PlanT 2.0, arXiv:2511.07292.
"""

import math

import numpy as np
from numpy.typing import NDArray

from dreamdrive.driving.state import Field

OBJECT_CLASSES = ("none", "vehicle", "walker", "traffic_light", "stop_sign", "obstacle")
"""By number. `none` fills up; an `obstacle` is a thing that a scenario puts on the road."""

CLASS_NUMBER: dict[str, int] = {name: number for number, name in enumerate(OBJECT_CLASSES)}

GO, YELLOW, STOP = 0, 1, 2
"""What a light or a stop sign says; a sign says go once the ego has stood before its line."""

AHEAD_M, ASIDE_M = 100.0, 50.0
"""Half axes of what is seen: an ellipse, longer ahead than to the sides and behind."""

MAX_OBJECTS = 32

OBJECT_FIELDS: tuple[Field, ...] = (
    Field("class", "-", 0.0, len(OBJECT_CLASSES) - 1.0, "number in OBJECT_CLASSES"),
    Field("x", "m", -ASIDE_M, AHEAD_M, "of its middle, ahead of the ego's"),
    Field("y", "m", -ASIDE_M, ASIDE_M, "to the left"),
    Field("yaw", "rad", -math.pi, math.pi, "its heading less the ego's; of a line, that of travel"),
    Field("velocity_x", "m/s", -60.0, 60.0, "over ground, along the ego's heading"),
    Field("velocity_y", "m/s", -60.0, 60.0, "over ground, to the ego's left"),
    Field("half_length", "m", 0.0, 20.0, "along its yaw"),
    Field("half_width", "m", 0.0, 20.0, "across its yaw"),
    Field("signal", "-", 0.0, 2.0, "of a light or stop sign: 0 go, 1 yellow, 2 stop; else 0"),
)

ROUTE_POINTS, ROUTE_STEP_M = 20, 2.0

ROUTE_FIELDS: tuple[Field, ...] = (
    Field("x", "m", -200.0, 200.0, "of a point of the route, ahead of the ego"),
    Field("y", "m", -200.0, 200.0, "to the left"),
    Field("yaw", "rad", -math.pi, math.pi, "heading of the route there less the ego's"),
)
"""Of each of `ROUTE_POINTS` points, from `ROUTE_STEP_M` ahead on along the route."""

OBJECT_INDEX: dict[str, int] = {field.name: i for i, field in enumerate(OBJECT_FIELDS)}


def bounds(fields: tuple[Field, ...], rows: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Returns the lowest and the highest values of tokens, float32 (rows, fields)."""
    low = np.array([field.low for field in fields], np.float32)
    high = np.array([field.high for field in fields], np.float32)
    return np.tile(low, (rows, 1)), np.tile(high, (rows, 1))
