"""Arcs in the plane: the pieces that roads are made of, and biarcs between two poses.

OpenDRIVE axes: x east, y north, angles in radians, anticlockwise.

Reference:
    Bolton 1975, "Biarc curves", Computer-Aided Design 7(2).
"""

import math
from typing import NamedTuple


class Pose(NamedTuple):
    """A point and a heading."""

    x: float
    y: float
    heading: float

    def left(self, distance: float) -> "Pose":
        """Returns the pose beside this one, `distance` metres to the left."""
        x = self.x - distance * math.sin(self.heading)
        return Pose(x, self.y + distance * math.cos(self.heading), self.heading)

    def ahead(self, distance: float) -> "Pose":
        """Returns the pose `distance` metres ahead."""
        x = self.x + distance * math.cos(self.heading)
        return Pose(x, self.y + distance * math.sin(self.heading), self.heading)

    def reversed(self) -> "Pose":
        """Returns the same point, facing back."""
        return Pose(self.x, self.y, wrap(self.heading + math.pi))


class Arc(NamedTuple):
    """A piece of constant curvature (1/m, positive to the left); a line where it is 0."""

    start: Pose
    length: float
    curvature: float

    def at(self, s: float) -> Pose:
        """Returns the pose at arc length `s` from the start."""
        x, y, heading = self.start
        turn = self.curvature * s
        if abs(turn) < 1e-9:
            return Pose(x + s * math.cos(heading), y + s * math.sin(heading), heading)
        chord = 2.0 * math.sin(turn / 2.0) / self.curvature
        middle = heading + turn / 2.0
        return Pose(x + chord * math.cos(middle), y + chord * math.sin(middle), heading + turn)


def wrap(angle: float) -> float:
    """Returns the angle within [-π, π)."""
    return (angle + math.pi) % (2.0 * math.pi) - math.pi


def arc_to(start: Pose, x: float, y: float) -> Arc:
    """Returns the arc that leaves `start` along its heading and ends in a point."""
    dx, dy = x - start.x, y - start.y
    chord = math.hypot(dx, dy)
    half = wrap(math.atan2(dy, dx) - start.heading)
    if abs(half) < 1e-7:
        return Arc(start, chord, 0.0)
    length = chord * half / math.sin(half)
    return Arc(start, length, 2.0 * half / length)


def biarc(start: Pose, end: Pose) -> tuple[Arc, ...]:
    """Returns one or two arcs that join two poses without a kink."""
    vx, vy = end.x - start.x, end.y - start.y
    t1 = (math.cos(start.heading), math.sin(start.heading))
    t2 = (math.cos(end.heading), math.sin(end.heading))
    tx, ty = t1[0] + t2[0], t1[1] + t2[1]
    v_t, v_v = vx * tx + vy * ty, vx * vx + vy * vy
    bend = 2.0 * (1.0 - (t1[0] * t2[0] + t1[1] * t2[1]))
    if bend > 1e-9:
        d = (-v_t + math.sqrt(v_t * v_t + bend * v_v)) / bend
    else:
        d = v_v / (4.0 * (vx * t2[0] + vy * t2[1]))
    middle_x = (start.x + end.x + d * (t1[0] - t2[0])) / 2.0
    middle_y = (start.y + end.y + d * (t1[1] - t2[1])) / 2.0
    first = arc_to(start, middle_x, middle_y)
    joint = first.at(first.length)
    second = arc_to(joint, end.x, end.y)
    if abs(first.curvature) < 1e-7 and abs(second.curvature) < 1e-7:
        return (Arc(start, first.length + second.length, 0.0),)
    return (first, second)
