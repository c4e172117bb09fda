"""Triangles with what sensors read from them: tag, instance, colour.

A triangle is seen from the side to which (p1 - p0) x (p2 - p0) points. Axes are CARLA's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Colour = tuple[float, float, float]


class Tag(IntEnum):
    """CARLA 0.9.16's semantic tags, those that the embedded towns use."""

    ROAD = 1
    SIDEWALK = 2
    BUILDING = 3
    WALL = 4
    POLE = 6
    TRAFFIC_LIGHT = 7
    TRAFFIC_SIGN = 8
    VEGETATION = 9
    TERRAIN = 10
    SKY = 11
    PEDESTRIAN = 12
    RIDER = 13
    CAR = 14
    TRUCK = 15
    BUS = 16
    MOTORCYCLE = 18
    BICYCLE = 19
    STATIC = 20
    DYNAMIC = 21
    ROAD_LINE = 24
    GROUND = 25


class Finish(IntEnum):
    """How a triangle takes light."""

    MATT = 0
    GRAINY = 1
    """With a fine pattern that is fixed to the ground, so that motion over it shows."""
    GLOWING = 2
    """Shown in its own colour, whatever the light."""


@dataclass(frozen=True)
class Mesh:
    """Triangles.

    Attributes:
        points: Corners in metres, shape (n, 3, 3): triangle, corner, axis.
        colour: Red, green and blue within [0, 1], shape (n, 3).
        tag: Semantic tag of each, shape (n,).
        instance: Number of the object that it belongs to, shape (n,); actors have theirs, scenery
            has negative ones.
        finish: How it takes light, shape (n,).
        part: What the object's owner calls this part, 0 where it has no name, shape (n,).
    """

    points: NDArray[np.float32]
    colour: NDArray[np.float32]
    tag: NDArray[np.uint8]
    instance: NDArray[np.int32]
    finish: NDArray[np.uint8]
    part: NDArray[np.int32]

    def __len__(self) -> int:
        """Returns the number of triangles."""
        return len(self.points)

    def taken(self, order: NDArray[np.int64]) -> "Mesh":
        """Returns the triangles at some indices."""
        return Mesh(*(getattr(self, name)[order] for name in self.__dataclass_fields__))

    def normals(self) -> NDArray[np.float32]:
        """Returns the unit normals, shape (n, 3)."""
        edges = self.points[:, 1:] - self.points[:, :1]
        normal = np.cross(edges[:, 0].astype(np.float64), edges[:, 1].astype(np.float64))
        length = np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
        return (normal / length).astype(np.float32)


def joined(meshes: Sequence[Mesh]) -> Mesh:
    """Returns the triangles of several meshes, in their order."""
    names = Mesh.__dataclass_fields__
    return Mesh(*(np.concatenate([getattr(mesh, name) for mesh in meshes]) for name in names))


class MeshBuilder:
    """Collects shapes; each takes the tag, colour, instance, finish and part that it is given."""

    def __init__(self) -> None:
        self._rows: list[tuple[NDArray[np.float64], int, Colour, int, int, int]] = []

    def triangles(
        self, points: ArrayLike, tag: int, colour: Colour, instance: int = -1,
        finish: int = Finish.MATT, part: int = 0,
    ) -> None:  # fmt: skip
        """Adds triangles, shape (k, 3, 3)."""
        shaped = np.asarray(points, np.float64).reshape(-1, 3, 3)
        self._rows.append((shaped, int(tag), colour, instance, int(finish), part))

    def polygon(self, corners: ArrayLike, tag: int, colour: Colour, **look: int) -> None:
        """Adds a convex polygon, shape (k, 3), seen from where its corners run anticlockwise.

        Anticlockwise as in a right-handed drawing of the axes, which is what the cross product of
        its sides says.
        """
        p = np.asarray(corners, np.float64)
        fan = [np.stack([p[0], p[i], p[i + 1]]) for i in range(1, len(p) - 1)]
        self.triangles(np.stack(fan), tag, colour, **look)

    def strip(
        self, left: ArrayLike, right: ArrayLike, tag: int, colour: Colour, **look: int
    ) -> None:
        """Adds the band between two lines of points, each (k, 3), seen from their left-hand side.

        With CARLA's y to the right, a band whose `left` line is to the left of the way it runs is
        seen from above.
        """
        a, b = np.asarray(left, np.float64), np.asarray(right, np.float64)
        first = np.stack([a[:-1], a[1:], b[1:]], 1)
        second = np.stack([a[:-1], b[1:], b[:-1]], 1)
        self.triangles(np.concatenate([first, second]), tag, colour, **look)

    def box(
        self, centre: ArrayLike, half: ArrayLike, yaw: float, tag: int, colour: Colour,
        *, taper: float = 1.0, is_open_below: bool = True, **look: int,
    ) -> None:  # fmt: skip
        """Adds a box seen from outside; `taper` is the share of its sides that its top has.

        Args:
            centre: x, y, z.
            half: Half sizes along its own axes.
            yaw: In radians.
            tag, colour, look: As for `triangles`.
            taper: Size of the top over that of the bottom.
            is_open_below: Whether the bottom is left out.
        """
        x, y, z = np.asarray(half, np.float64)
        rim = np.array([[x, y], [-x, y], [-x, -y], [x, -y]])
        low = np.concatenate([rim, np.full((4, 1), -z)], 1)
        high = np.concatenate([rim * taper, np.full((4, 1), z)], 1)
        turn = np.array([[np.cos(yaw), np.sin(yaw), 0.0], [-np.sin(yaw), np.cos(yaw), 0.0],
                         [0.0, 0.0, 1.0]])  # fmt: skip
        low, high = (rows @ turn + np.asarray(centre, np.float64) for rows in (low, high))
        self.polygon(high, tag, colour, **look)
        if not is_open_below:
            self.polygon(low[::-1], tag, colour, **look)
        for i in range(4):
            j = (i + 1) % 4
            self.polygon([low[i], low[j], high[j], high[i]], tag, colour, **look)

    def mesh(self) -> Mesh:
        """Returns everything that was added."""
        counts = [len(row[0]) for row in self._rows]
        points = [row[0] for row in self._rows] or [np.zeros((0, 3, 3))]

        def spread(column: int, shape: tuple[int, ...], kind: type) -> NDArray[Any]:
            values: NDArray[Any] = np.array([row[column] for row in self._rows], kind).reshape(
                shape
            )
            return np.repeat(values, counts, 0)

        return Mesh(
            np.concatenate(points).astype(np.float32), spread(2, (-1, 3), np.float32),
            spread(1, (-1,), np.uint8), spread(3, (-1,), np.int32), spread(4, (-1,), np.uint8),
            spread(5, (-1,), np.int32),
        )  # fmt: skip
