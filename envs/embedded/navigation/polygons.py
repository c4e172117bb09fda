"""Convex polygons that cover the ground between lines, each of one kind.

The lines become edges of a Delaunay triangulation: those that are not are halved until they are.
Triangles between the same lines are one kind of ground, and are joined while they stay convex.

Reference:
    Edelsbrunner and Tan 1993, "An upper bound for conforming Delaunay triangulations".
    Hertel and Mehlhorn 1983, "Fast triangulation of simple polygons" (joining to convex pieces).
"""

import heapq
from dataclasses import dataclass

import numpy as np
from matplotlib.tri import Triangulation
from numpy.typing import NDArray

from dreamdrive.envs.embedded.navigation.areas import Area, Chart

MAX_CORNERS = 6
"""Corners that a polygon of Detour can have."""
ROUNDS = 12
SHORTEST_M = 0.1
"""Lines are not halved below this."""
Edge = tuple[int, int]


@dataclass(frozen=True)
class Polygons:
    """Convex pieces of ground.

    Attributes:
        points: Corners, shape (n, 2), in CARLA's x and y.
        corners: Those of each piece, clockwise in a drawing with x to the right and y upwards.
        area: Kind of each piece, none of them `Area.NONE`.
        beside: For each side of each piece, from its corner to the next, the piece on the other
            side, -1 for none.
    """

    points: NDArray[np.float64]
    corners: list[list[int]]
    area: list[int]
    beside: list[list[int]]


def polygons_of(chart: Chart, points: NDArray[np.float64], segments: NDArray[np.int64]) -> Polygons:
    """Returns the pieces of ground between the lines of a chart."""
    points, triangles, near = _triangulated(points, segments)
    area = _areas(chart, points, triangles, near)
    corners, kinds = _joined(points, triangles[area > 0], area[area > 0])
    owner = {
        (piece[k], piece[(k + 1) % len(piece)]): index
        for index, piece in enumerate(corners)
        for k in range(len(piece))
    }
    beside = [
        [owner.get((piece[(k + 1) % len(piece)], piece[k]), -1) for k in range(len(piece))]
        for piece in corners
    ]
    return Polygons(points, corners, kinds, beside)


def _triangulated(
    points: NDArray[np.float64], segments: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Returns points, clockwise triangles, and which of them lie beside each, shape (n, 3).

    Those beyond a line do not lie beside it; -1 is none.
    """
    for _ in range(ROUNDS):
        triangulation = Triangulation(points[:, 0], points[:, 1])
        missing = ~np.isin(_keys(segments), _keys(triangulation.edges))
        ends = points[segments]
        missing &= np.hypot(*(ends[:, 1] - ends[:, 0]).T) > SHORTEST_M
        if not missing.any():
            break
        halved = segments[missing]
        middles = len(points) + np.arange(len(halved))
        points = np.concatenate([points, ends[missing].mean(1)])
        segments = np.concatenate([
            segments[~missing], np.stack([halved[:, 0], middles], 1),
            np.stack([middles, halved[:, 1]], 1),
        ])  # fmt: skip
    corners = triangulation.triangles.astype(np.int64)
    sides = np.stack([corners, np.roll(corners, -1, 1)], -1)
    is_line = np.isin(_keys(sides.reshape(-1, 2)), _keys(segments)).reshape(-1, 3)
    near = np.where(is_line, -1, triangulation.neighbors)
    return points, corners[:, ::-1], near  # matplotlib's triangles run the other way.


def _keys(edges: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns a number for each edge, shape (n, 2), the same for both directions."""
    low, high = edges.min(1).astype(np.int64), edges.max(1)
    return low << 32 | high


def _areas(
    chart: Chart, points: NDArray[np.float64], triangles: NDArray[np.int64],
    near: NDArray[np.int64],
) -> NDArray[np.int64]:  # fmt: skip
    """Returns the kind of each triangle, that of most of the ground between the same lines."""
    group = [-1] * len(triangles)
    beside: list[list[int]] = near.tolist()
    count = 0
    for start in range(len(triangles)):
        if group[start] >= 0:
            continue
        waiting, group[start] = [start], count
        while waiting:
            for other in beside[waiting.pop()]:
                if other >= 0 and group[other] < 0:
                    group[other] = count
                    waiting.append(other)
        count += 1
    corners = points[triangles]
    sides = corners[:, 1:] - corners[:, :1]
    size = np.abs(sides[:, 0, 0] * sides[:, 1, 1] - sides[:, 0, 1] * sides[:, 1, 0])
    cell = ((corners.mean(1) - chart.low) / chart.cell_m).astype(int)
    seen = chart.kind[tuple(np.clip(cell, 0, np.array(chart.kind.shape) - 1).T)]
    votes = np.zeros((count, len(Area)))
    np.add.at(votes, (np.array(group), seen), size)
    found: NDArray[np.int64] = votes.argmax(1)[group]
    return found


def _joined(
    points: NDArray[np.float64], triangles: NDArray[np.int64], area: NDArray[np.int64]
) -> tuple[list[list[int]], list[int]]:
    """Returns convex pieces that triangles of one kind make up, longest sides first, and kinds."""
    pieces: list[list[int]] = triangles.tolist()
    kinds = area.tolist()
    owner = {
        (piece[k], piece[(k + 1) % 3]): index for index, piece in enumerate(pieces)
        for k in range(3)
    }  # fmt: skip
    place: list[list[float]] = points.tolist()
    waiting = [(-float(np.hypot(*(points[a] - points[b]))), a, b) for a, b in owner if a < b]
    heapq.heapify(waiting)
    while waiting:
        _, a, b = heapq.heappop(waiting)
        first, second = owner.get((a, b), -1), owner.get((b, a), -1)
        if first < 0 or second < 0 or first == second or kinds[first] != kinds[second]:
            continue
        whole = _union(pieces[first], pieces[second], a, b)
        if len(whole) > MAX_CORNERS or not _is_convex(whole, place):
            continue
        del owner[a, b], owner[b, a]
        pieces[first], pieces[second] = whole, []
        for k in range(len(whole)):
            owner[whole[k], whole[(k + 1) % len(whole)]] = first
    kept = [index for index, piece in enumerate(pieces) if piece]
    return [pieces[index] for index in kept], [kinds[index] for index in kept]


def _union(first: list[int], second: list[int], a: int, b: int) -> list[int]:
    """Returns the corners of two pieces without the side a-b of the first that they share."""
    i, j = first.index(b), second.index(a)
    return [*first[i:], *first[:i]][:-1] + [*second[j:], *second[:j]][:-1]


def _is_convex(corners: list[int], place: list[list[float]]) -> bool:
    """Returns whether a clockwise outline never turns left and visits no corner twice."""
    if len(set(corners)) < len(corners):
        return False
    for k in range(len(corners)):
        (ax, ay), (bx, by), (cx, cy) = (place[corners[k - n]] for n in (2, 1, 0))
        if (bx - ax) * (cy - ay) - (by - ay) * (cx - ax) > 1e-9:
            return False
    return True
