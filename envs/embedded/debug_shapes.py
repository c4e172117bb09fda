"""Shapes that clients draw for debugging: kept for their life time, never drawn."""

import math
from collections import deque
from typing import Any, NamedTuple


class DebugShape(NamedTuple):
    """A shape: `[kind, primitive]` as on the wire, its colour, and when it goes in seconds."""

    primitive: list[Any]
    colour: list[int]
    ends_s: float


class DebugShapes:
    """The last shapes that were drawn.

    Args:
        capacity: How many are kept; the oldest go first.
    """

    def __init__(self, capacity: int) -> None:
        self._kept: deque[DebugShape] = deque(maxlen=capacity)

    def __len__(self) -> int:
        """Returns the number of shapes that are kept."""
        return len(self._kept)

    def add(self, primitive: list[Any], colour: list[int], life_s: float, now_s: float) -> None:
        """Keeps a shape; one whose life time is negative stays until it is cleared.

        As in CARLA, a life time of 0 lasts for one tick.
        """
        ends_s = math.inf if life_s < 0.0 else now_s + life_s
        self._kept.append(DebugShape(primitive, colour, ends_s))

    def pass_time(self, now_s: float) -> None:
        """Drops the shapes whose time is over."""
        if self._kept and any(shape.ends_s < now_s for shape in self._kept):
            alive = [shape for shape in self._kept if shape.ends_s >= now_s]
            self._kept = deque(alive, maxlen=self._kept.maxlen)

    def clear(self, kinds: range | None = None) -> None:
        """Drops all shapes, or those of some kinds."""
        alive = [] if kinds is None else [s for s in self._kept if s.primitive[0] not in kinds]
        self._kept = deque(alive, maxlen=self._kept.maxlen)
