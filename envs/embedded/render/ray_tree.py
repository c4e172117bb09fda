"""A tree of boxes around triangles, and the nearest triangle along each of many rays.

Reference:
    Wald 2007, "On fast construction of SAH-based bounding volume hierarchies"; Möller & Trumbore
    1997, "Fast, minimum storage ray/triangle intersection".
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numba import float32, float64, int32, int64, types, void
from numpy.typing import NDArray

from dreamdrive.envs.embedded.compiled import compiled
from dreamdrive.envs.embedded.render.scene import Triangles

NUM_BINS, LEAF_SIZE, STACK_SIZE = 16, 4, 96
NO_TRIANGLE = -1
SLACK = 1e-6
"""How far outside of a triangle, in its own coordinates, a ray still meets it: none slips between
neighbours."""


class Hits(NamedTuple):
    """What rays meet first.

    Attributes:
        distance: In metres, infinite for nothing, shape (n,).
        triangle: Its index, `NO_TRIANGLE` for none, shape (n,).
    """

    distance: NDArray[np.float64]
    triangle: NDArray[np.int32]


class _Tree(NamedTuple):
    """Boxes (n, 6), links (n, 2), and corners with edges (t, 9) of triangles numbered (t,).

    A node's first child follows it, its second is the first link; a leaf's links are its first
    triangle and their number.
    """

    boxes: NDArray[np.float32]
    links: NDArray[np.int32]
    edges: NDArray[np.float32]
    number: NDArray[np.int32]


class RayTree:
    """Finds what rays meet; the part of what stands still is built once.

    Args:
        triangles: The scene's.
    """

    def __init__(self, triangles: Triangles) -> None:
        self._still = _Tree(*_build(triangles.points[: triangles.num_still]))
        self.update(triangles)

    def update(self, triangles: Triangles) -> None:
        """Takes over where moving triangles are now."""
        still = self._still
        moving = _Tree(*_build(triangles.points[triangles.num_still :]))
        links = moving.links.copy()
        is_leaf = links[:, 1] > 0
        links[:, 0] += np.where(is_leaf, len(still.number), len(still.boxes)).astype(np.int32)
        self._tree = _Tree(
            np.concatenate([still.boxes, moving.boxes]), np.concatenate([still.links, links]),
            np.concatenate([still.edges, moving.edges]),
            np.concatenate([still.number, moving.number + np.int32(triangles.num_still)]),
        )  # fmt: skip
        self._roots = np.array(
            [start for start, part in ((0, still), (len(still.boxes), moving)) if len(part.boxes)],
            np.int64,
        )

    def cast(
        self, origins: NDArray[np.float64], directions: NDArray[np.float64], far: float
    ) -> Hits:
        """Returns what rays meet within a distance, from the side that can be seen.

        Args:
            origins: Where they start, shape (n, 3) or (1, 3) for all.
            directions: Unit vectors, shape (n, 3).
            far: How far they reach, in metres.
        """
        hits = Hits(np.empty(len(directions)), np.empty(len(directions), np.int32))
        _cast(
            *self._tree, self._roots, np.ascontiguousarray(origins, np.float64),
            np.ascontiguousarray(directions, np.float64), far, *hits,
        )  # fmt: skip
        return hits


@compiled()
def _area(low: Any, high: Any) -> float:
    """Returns half the surface of a box."""
    x, y, z = high[0] - low[0], high[1] - low[1], high[2] - low[2]
    return x * y + y * z + z * x if x >= 0.0 else 0.0


@compiled()
def _split(middle: Any, low: Any, high: Any, order: Any, start: int, end: int) -> int:
    """Puts the triangles of a node in two parts with little surface; returns where the second is.

    The parts lie on both sides of a plane across the longest axis of the triangles' middles.
    """
    axis, least, most = 0, 0.0, -1.0
    for d in range(3):
        first, last = math.inf, -math.inf
        for k in range(start, end):
            value = middle[order[k], d]
            first, last = min(first, value), max(last, value)
        if last - first > most:
            axis, least, most = d, first, last - first
    if most <= 0.0:
        return (start + end) // 2
    counts = np.zeros(NUM_BINS, np.int64)
    bin_low, bin_high = np.full((NUM_BINS, 3), math.inf), np.full((NUM_BINS, 3), -math.inf)
    scale = NUM_BINS * (1.0 - 1e-6) / most
    for k in range(start, end):
        t = order[k]
        b = int((middle[t, axis] - least) * scale)
        counts[b] += 1
        for d in range(3):
            bin_low[b, d] = min(bin_low[b, d], low[t, d])
            bin_high[b, d] = max(bin_high[b, d], high[t, d])
    cost = np.zeros(NUM_BINS)
    for direction in range(2):
        grown_low, grown_high = np.full(3, math.inf), np.full(3, -math.inf)
        count = 0
        for step in range(NUM_BINS - 1):
            b = step if direction == 0 else NUM_BINS - 1 - step
            count += counts[b]
            for d in range(3):
                grown_low[d] = min(grown_low[d], bin_low[b, d])
                grown_high[d] = max(grown_high[d], bin_high[b, d])
            cost[b if direction == 0 else b - 1] += count * _area(grown_low, grown_high)
    best, cheapest = 0, math.inf
    for b in range(NUM_BINS - 1):
        if cost[b] < cheapest:
            best, cheapest = b, cost[b]
    middle_at, last_at = start, end - 1
    while middle_at <= last_at:
        if int((middle[order[middle_at], axis] - least) * scale) <= best:
            middle_at += 1
        else:
            order[middle_at], order[last_at] = order[last_at], order[middle_at]
            last_at -= 1
    return middle_at if start < middle_at < end else (start + end) // 2


@compiled(
    types.Tuple((float32[:, ::1], int32[:, ::1], float32[:, ::1], int32[::1]))(
        float32[:, :, ::1]
    )
)  # fmt: skip
def _build(points: Any) -> tuple[Any, Any, Any, Any]:
    """Returns the boxes, links, edges and numbers of a `_Tree` over triangles, shape (t, 3, 3)."""
    count = len(points)
    low, high, middle = np.empty((count, 3)), np.empty((count, 3)), np.empty((count, 3))
    for t in range(count):
        for d in range(3):
            a, b, c = points[t, 0, d], points[t, 1, d], points[t, 2, d]
            low[t, d], high[t, d] = min(a, b, c), max(a, b, c)
            middle[t, d] = (low[t, d] + high[t, d]) / 2.0
    order = np.arange(count)
    boxes = np.empty((max(2 * count, 1), 6), np.float32)
    links = np.zeros((max(2 * count, 1), 2), np.int32)
    waiting = np.empty((count + 2, 3), np.int64)  # Start, end, and whose second child it is.
    num_nodes, depth = 0, 0
    if count > 0:
        waiting[0, 0], waiting[0, 1], waiting[0, 2], depth = 0, count, -1, 1
    while depth > 0:
        depth -= 1
        start, end, parent = waiting[depth]
        node = num_nodes
        num_nodes += 1
        if parent >= 0:
            links[parent, 0] = node
        for d in range(3):
            boxes[node, d], boxes[node, 3 + d] = math.inf, -math.inf
            for k in range(start, end):
                boxes[node, d] = min(boxes[node, d], low[order[k], d])
                boxes[node, 3 + d] = max(boxes[node, 3 + d], high[order[k], d])
        if end - start <= LEAF_SIZE:
            links[node, 0], links[node, 1] = start, end - start
            continue
        split = _split(middle, low, high, order, start, end)
        waiting[depth, 0], waiting[depth, 1], waiting[depth, 2] = split, end, node
        waiting[depth + 1, 0], waiting[depth + 1, 1], waiting[depth + 1, 2] = start, split, -1
        depth += 2
    edges, number = np.empty((count, 9), np.float32), np.empty(count, np.int32)
    for k in range(count):
        t = order[k]
        number[k] = t
        for d in range(3):
            edges[k, d] = points[t, 0, d]
            edges[k, 3 + d] = points[t, 1, d] - points[t, 0, d]
            edges[k, 6 + d] = points[t, 2, d] - points[t, 0, d]
    return boxes[:num_nodes].copy(), links[:num_nodes].copy(), edges, number


@compiled()
def _enter(
    boxes: Any, node: int, ox: float, oy: float, oz: float, ix: float, iy: float, iz: float,
    far: float,
) -> float:  # fmt: skip
    """Returns how far along a ray a box begins, infinity if it misses it."""
    x0, x1 = (boxes[node, 0] - ox) * ix, (boxes[node, 3] - ox) * ix
    y0, y1 = (boxes[node, 1] - oy) * iy, (boxes[node, 4] - oy) * iy
    z0, z1 = (boxes[node, 2] - oz) * iz, (boxes[node, 5] - oz) * iz
    near = max(max(min(x0, x1), min(y0, y1)), max(min(z0, z1), 0.0))
    away = min(min(max(x0, x1), max(y0, y1)), min(max(z0, z1), far))
    return near if near <= away else math.inf


@compiled(
    void(
        float32[:, ::1], int32[:, ::1], float32[:, ::1], int32[::1], int64[::1], float64[:, ::1],
        float64[:, ::1], float64, float64[::1], int32[::1],
    )
)  # fmt: skip
def _cast(
    boxes: Any, links: Any, edges: Any, number: Any, roots: Any, origins: Any, directions: Any,
    far: float, distance: Any, triangle: Any,
) -> None:  # fmt: skip
    """Writes distance and number of the first triangle along each ray."""
    stack, begins = np.empty(STACK_SIZE, np.int64), np.empty(STACK_SIZE)
    for i in range(len(directions)):
        o = i if len(origins) > 1 else 0
        ox, oy, oz = origins[o, 0], origins[o, 1], origins[o, 2]
        dx, dy, dz = directions[i, 0], directions[i, 1], directions[i, 2]
        ix = 1.0 / dx if abs(dx) > 1e-12 else math.copysign(1e12, dx)
        iy = 1.0 / dy if abs(dy) > 1e-12 else math.copysign(1e12, dy)
        iz = 1.0 / dz if abs(dz) > 1e-12 else math.copysign(1e12, dz)
        best, found, depth = far, -1, 0
        for root in roots:
            begin = _enter(boxes, root, ox, oy, oz, ix, iy, iz, best)
            if begin < math.inf:
                stack[depth], begins[depth] = root, begin
                depth += 1
        while depth > 0:
            depth -= 1
            if begins[depth] > best:
                continue
            node = stack[depth]
            while links[node, 1] == 0:
                first, second = node + 1, links[node, 0]
                a = _enter(boxes, first, ox, oy, oz, ix, iy, iz, best)
                b = _enter(boxes, second, ox, oy, oz, ix, iy, iz, best)
                if b < a:
                    first, second, a, b = second, first, b, a
                if b < math.inf:
                    stack[depth], begins[depth] = second, b
                    depth += 1
                if a == math.inf:
                    break
                node = first
            if links[node, 1] == 0:
                continue
            for k in range(links[node, 0], links[node, 0] + links[node, 1]):
                ax, ay, az = edges[k, 3], edges[k, 4], edges[k, 5]
                bx, by, bz = edges[k, 6], edges[k, 7], edges[k, 8]
                px, py, pz = dy * bz - dz * by, dz * bx - dx * bz, dx * by - dy * bx
                scale = ax * px + ay * py + az * pz
                if scale <= 0.0:  # From behind or along its plane.
                    continue
                tx, ty, tz = ox - edges[k, 0], oy - edges[k, 1], oz - edges[k, 2]
                u = tx * px + ty * py + tz * pz
                if u < -SLACK * scale or u > (1.0 + SLACK) * scale:
                    continue
                qx, qy, qz = ty * az - tz * ay, tz * ax - tx * az, tx * ay - ty * ax
                v = dx * qx + dy * qy + dz * qz
                if v < -SLACK * scale or u + v > (1.0 + SLACK) * scale:
                    continue
                t = (bx * qx + by * qy + bz * qz) / scale
                if 0.0 <= t < best:
                    best, found = t, k
        distance[i] = best if found >= 0 else math.inf
        triangle[i] = number[found] if found >= 0 else NO_TRIANGLE
