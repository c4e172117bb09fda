"""Shapes that clients draw for debugging: kept for their life time, as lines that cameras draw."""

import math
from collections import deque
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dreamdrive.envs.embedded.arguments import FAR_M, MAX_ANGLE_DEG, items, number, numbers, text
from dreamdrive.envs.embedded.render.view import Pose


class ShapeKind(IntEnum):
    """Shapes of the world, by their numbers on the wire; those of a window come after them."""

    POINT = 0
    LINE = 1
    ARROW = 2
    BOX = 3
    STRING = 4


SHAPES, STRINGS = range(ShapeKind.STRING), range(ShapeKind.STRING, ShapeKind.STRING + 1)
CORNERS = np.array([[i, j, k] for i in (-1, 1) for j in (-1, 1) for k in (-1, 1)], np.float64)
EDGES = np.array([[a, a | bit] for bit in (1, 2, 4) for a in range(8) if not a & bit])
"""Corners of a box, and the two that each of its edges joins."""


class DebugShape(NamedTuple):
    """A shape.

    Attributes:
        kind: What it is.
        lines: Begin, end and thickness in metres of each of its lines, shape (n, 7); of a point
            its place, twice, and its width in hundreds of pixels.
        colour: Red, green, blue within [0, 255].
        drawn_s: When it was drawn.
        ends_s: When it goes.
    """

    kind: ShapeKind
    lines: NDArray[np.float64]
    colour: list[int]
    drawn_s: float
    ends_s: float


class DebugShapes:
    """The last shapes that were drawn.

    Args:
        capacity: How many are kept; the oldest go first.
    """

    def __init__(self, capacity: int) -> None:
        self._kept: deque[DebugShape] = deque(maxlen=capacity)
        self._passed_s = -math.inf

    def __len__(self) -> int:
        """Returns the number of shapes that are kept."""
        return len(self._kept)

    def add(
        self, kind: ShapeKind, primitive: list[Any], colour: list[int], life_s: float, now_s: float
    ) -> None:
        """Keeps a shape; one whose life time is negative stays until it is cleared.

        Raises:
            CallError: If it is none of its kind.
        """
        ends_s = math.inf if life_s < 0.0 else now_s + life_s
        lines = np.reshape(lines_of(kind, primitive), (-1, 7))
        self._kept.append(DebugShape(kind, lines, colour, now_s, ends_s))

    def pass_time(self, now_s: float) -> None:
        """Drops the shapes whose time is over, but those that no tick has shown yet."""
        if any(shape.ends_s < now_s for shape in self._kept):
            alive = [
                shape for shape in self._kept
                if shape.ends_s >= now_s or shape.drawn_s >= self._passed_s
            ]  # fmt: skip
            self._kept = deque(alive, maxlen=self._kept.maxlen)
        self._passed_s = now_s

    def clear(self, kinds: range | None = None) -> None:
        """Drops all shapes, as a new world does, or those of some kinds."""
        if kinds is None:
            self._passed_s = -math.inf
        alive = [] if kinds is None else [s for s in self._kept if s.kind not in kinds]
        self._kept = deque(alive, maxlen=self._kept.maxlen)

    def lines(
        self, *, are_points: bool
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:  # fmt: skip
        """Returns the lines of all points, or of all other shapes, (n, 7), and colours, (n, 3)."""
        found = [s for s in self._kept if (s.kind == ShapeKind.POINT) is are_points]
        counts = [len(shape.lines) for shape in found]
        colours = np.array([shape.colour for shape in found], np.float64).reshape(-1, 3)
        lines = [np.zeros((0, 7)), *(shape.lines for shape in found)]
        return np.concatenate(lines), np.repeat(colours, counts, axis=0)


def lines_of(kind: ShapeKind, primitive: list[Any]) -> list[list[float]] | NDArray[np.float64]:
    """Returns what a shape is made of, as `DebugShape` has it; nothing of a string.

    Raises:
        CallError: If the primitive is none of this kind.
    """
    if kind == ShapeKind.POINT:
        place, size = items(primitive, "point", 2)
        x, y, z = numbers(place, "location", 3, FAR_M)
        return [[x, y, z, x, y, z, number(size, "size")]]
    if kind == ShapeKind.LINE:
        begin, end, thickness = items(primitive, "line", 3)
        ends = [*numbers(begin, "begin", 3, FAR_M), *numbers(end, "end", 3, FAR_M)]
        return [[*ends, number(thickness, "thickness")]]
    if kind == ShapeKind.ARROW:
        line, size = items(primitive, "arrow", 2)
        (shaft,) = lines_of(ShapeKind.LINE, line)
        return _arrow(np.array(shaft), number(size, "arrow_size", -FAR_M, FAR_M))
    if kind == ShapeKind.BOX:
        box, rotation, thickness = items(primitive, "box", 3)
        place, half, _, _ = items(box, "bounding box", 4)
        middle = np.array(numbers(place, "location", 3, FAR_M))
        angles = numbers(rotation, "rotation", 3, MAX_ANGLE_DEG)
        corners = CORNERS * numbers(half, "extent", 3, FAR_M) @ Pose(0, 0, 0, *angles).axes()
        ends = (corners + middle)[EDGES].reshape(-1, 6)
        return np.column_stack([ends, np.full(len(ends), number(thickness, "thickness"))])
    place, said, _ = items(primitive, "string", 3)
    numbers(place, "location", 3, FAR_M)
    text(said, "text")
    return []


def _arrow(shaft: NDArray[np.float64], size: float) -> NDArray[np.float64]:
    """Returns the lines of an arrow: its shaft, and four that meet at its tip as CARLA's do."""
    begin, tip = shaft[:3], shaft[3:6]
    length = float(np.linalg.norm(tip - begin))
    if length == 0.0:
        return shaft[None]
    ahead = (tip - begin) / length
    aside = np.cross([0.0, 0.0, 1.0] if abs(ahead[2]) < 0.99 else [0.0, 1.0, 0.0], ahead)
    aside /= np.linalg.norm(aside)
    up = np.cross(ahead, aside)
    barbs = [
        [*(tip + size * (a * aside + b * up - ahead)), *tip, shaft[6]]
        for a in (1, -1) for b in (1, -1)
    ]  # fmt: skip
    return np.array([shaft, *barbs])
