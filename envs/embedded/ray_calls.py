"""Calls that ask what a line meets.

Each method is a remote procedure of its own name; arguments and answers are as the wire has them.
"""

from typing import TYPE_CHECKING, Any

from dreamdrive.envs.embedded import wire
from dreamdrive.envs.embedded.arguments import number, numbers
from dreamdrive.envs.embedded.simulator import Simulator

if TYPE_CHECKING:
    from dreamdrive.envs.embedded.render.probes import LabelledPoint

MAX_COORDINATE_M = 1e6
"""Lines begin and end at most so far from the origin along each axis."""


class RayCalls:
    """Procedures that look along lines."""

    def __init__(self, simulator: Simulator) -> None:
        self.sim = simulator

    def cast_ray(self, start: list[float], end: list[float]) -> Any:
        points = self._along(numbers(start, "start", 3), numbers(end, "end", 3))
        return wire.ok([[list(point.place), point.tag] for point in points])

    def project_point(self, location: list[float], direction: list[float], distance: float) -> Any:
        start, towards = numbers(location, "location", 3), numbers(direction, "direction", 3)
        length = number(distance, "distance")
        points = self._along(start, [a + length * b for a, b in zip(start, towards, strict=True)])
        found = [list(points[0].place), points[0].tag] if points else [[0.0, 0.0, 0.0], 0]
        return wire.ok([bool(points), found])

    def _along(self, start: list[float], end: list[float]) -> "list[LabelledPoint]":
        for value in (*start, *end):
            number(value, "a line's coordinate", -MAX_COORDINATE_M, MAX_COORDINATE_M)
        return self.sim.eyes().along(start, end, self.sim.weather)
