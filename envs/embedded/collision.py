"""Oriented boxes that touch: which, how deep, and how they part.

Pairs are looked for in a grid whose cells are as wide as two of the largest boxes can reach, kept
in a hash table of about as many entries as there are boxes, so that the cost grows linearly with
their number. They come in the order in which a comparison of each with each would find them.

Reference:
    Gottschalk et al. 1996, "OBBTree" (separating axes of two boxes).
    Teschner et al. 2003, "Optimized Spatial Hashing for Collision Detection of Deformable Objects"
    (hash of a cell).
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import boolean, float64, int64, types, void
from numpy.typing import NDArray

from dreamdrive.envs.embedded.compiled import compiled

Array = NDArray[np.float64]
Indices = NDArray[np.int64]
RESTITUTION = 0.1
CELL_M = 1.0
REACH_M = 6.0
"""Clearances beyond this count as this, so larger bodies are always near."""
FAR_CELLS = 1e15
"""Boxes beyond so many cells from the origin touch nothing: a ghost's stands at infinity."""


class Contacts(NamedTuple):
    """Pairs of touching boxes.

    Attributes:
        first, second: Index of each box, shape (p,).
        normal: Unit vector from the second to the first, shape (p, 2).
        depth: Overlap along it, shape (p,).
    """

    first: Indices
    second: Indices
    normal: Array
    depth: Array


NONE = Contacts(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 2)), np.zeros(0))


class ClearanceMap:
    """How far any place is from the nearest of boxes that never move, by look-up.

    Args:
        boxes: x, y, half length, half width, yaw of each, shape (m, 5).

    Attributes:
        low: x and y of the first cell's corner.
        clear: Of each cell, how far any place in it is from the nearest box at least.
    """

    def __init__(self, boxes: Array) -> None:
        if not len(boxes):
            self.low, self.clear = np.zeros(2), np.full((1, 1), np.inf)
            return
        radius = np.hypot(boxes[:, 2], boxes[:, 3]) + REACH_M + 2.0 * CELL_M
        self.low = (boxes[:, :2] - radius[:, None]).min(0)
        high = (boxes[:, :2] + radius[:, None]).max(0)
        shape = np.ceil((high - self.low) / CELL_M).astype(int) + 1
        self.clear = np.full(shape, REACH_M)
        for box, reach in zip(boxes, radius, strict=True):
            first = np.maximum(((box[:2] - reach - self.low) / CELL_M).astype(int), 0)
            end = ((box[:2] + reach - self.low) / CELL_M).astype(int) + 1
            window = self.clear[first[0] : end[0], first[1] : end[1]]
            x, y = (
                self.low[k] + (first[k] + 0.5 + np.arange(window.shape[k])) * CELL_M - box[k]
                for k in (0, 1)
            )
            cos, sin = np.cos(box[4]), np.sin(box[4])
            along = np.abs(x[:, None] * cos + y[None] * sin) - box[2]
            across = np.abs(y[None] * cos - x[:, None] * sin) - box[3]
            gap = np.hypot(np.maximum(along, 0.0), np.maximum(across, 0.0))
            np.minimum(window, gap - 0.75 * CELL_M, out=window)

    def near(self, boxes: Array) -> Indices:
        """Returns which boxes, shape (n, 5), may touch one of the map's, shape (k,)."""
        found = np.empty(len(boxes), np.int64)
        return found[: _near(boxes, self.clear, self.low[0], self.low[1], found)]


def find_contacts(boxes: Array, others: Array | None = None) -> Contacts:
    """Returns the touching pairs among boxes, or between boxes and others.

    Args:
        boxes: x, y, half length, half width, yaw of each, shape (n, 5).
        others: Likewise, shape (m, 5); None looks for pairs within `boxes`, each once.
    """
    second = boxes if others is None else others
    if not len(boxes) or not len(second):
        return NONE
    return Contacts(*_search(boxes, second, others is None))


def at_one_height(
    contacts: Contacts, spans: Callable[[], Array], others: Callable[[], Array]
) -> Contacts:
    """Returns the contacts of boxes that share a height.

    Args:
        contacts: What touches, seen from above.
        spans: Returns between which heights each first box is, shape (n, 2).
        others: Likewise of the second boxes.
    """
    if not len(contacts.first):
        return contacts
    a, b = spans()[contacts.first], others()[contacts.second]
    is_shared = (a[:, 0] < b[:, 1]) & (b[:, 0] < a[:, 1])
    if is_shared.all():
        return contacts
    first, second, normal, depth = contacts
    return Contacts(first[is_shared], second[is_shared], normal[is_shared], depth[is_shared])


def resolve(
    contacts: Contacts, position: Array, velocity: Array, mass: Array,
    others: tuple[Array, Array, Array] | None = None,
) -> Array:  # fmt: skip
    """Parts touching bodies in place and returns the impulse on each first body, shape (p, 2).

    Args:
        contacts: What touches.
        position: x and y, shape (n, 2).
        velocity: Likewise.
        mass: In kilograms, shape (n,).
        others: Position, velocity and mass of the second bodies; None where they are the same
            bodies. An infinite mass does not move.
    """
    impulses = np.zeros((len(contacts.first), 2))
    bodies = (position, velocity, mass)
    _part(*contacts, *bodies, *(others or bodies), impulses)
    return impulses


_BOXES = float64[:, ::1]


@compiled(int64(_BOXES, float64[:, ::1], float64, float64, int64[::1]))
def _near(boxes: Array, clear: Array, low_x: float, low_y: float, found: Indices) -> int:
    """Writes which boxes are near enough to a solid to touch it, and returns how many they are."""
    count = 0
    for i in range(len(boxes)):
        radius = math.hypot(boxes[i, 2], boxes[i, 3])
        row, column = (boxes[i, 0] - low_x) / CELL_M, (boxes[i, 1] - low_y) / CELL_M
        clearance = math.inf
        if 0.0 <= row < clear.shape[0] and 0.0 <= column < clear.shape[1]:
            clearance = clear[int(row), int(column)]
        if clearance < radius or radius >= REACH_M:
            found[count] = i
            count += 1
    return count


@compiled()
def _entry(row: int, column: int, mask: int) -> int:
    """Returns where a cell stands in the hash table."""
    return ((row * 73856093) ^ (column * 19349663)) & mask


@compiled()
def _overlap(p: Array, q: Array) -> tuple[float, float, float]:
    """Returns the least overlap of two boxes along the axes of their sides, and that axis.

    The axis points from the second to the first; boxes whose overlap is not positive do not touch.
    """
    dx, dy = p[0] - q[0], p[1] - q[1]
    cos_p, sin_p, cos_q, sin_q = math.cos(p[4]), math.sin(p[4]), math.cos(q[4]), math.sin(q[4])
    least, normal_x, normal_y = math.inf, 0.0, 0.0
    for x, y in ((cos_p, sin_p), (-sin_p, cos_p), (cos_q, sin_q), (-sin_q, cos_q)):
        apart = dx * x + dy * y
        overlap = abs(x * cos_p + y * sin_p) * p[2] + abs(y * cos_p - x * sin_p) * p[3]
        overlap += abs(x * cos_q + y * sin_q) * q[2] + abs(y * cos_q - x * sin_q) * q[3]
        overlap -= abs(apart)
        if overlap < least:
            sign = 1.0 if apart >= 0.0 else -1.0
            least, normal_x, normal_y = overlap, x * sign, y * sign
    return least, normal_x, normal_y


@compiled()
def _radii(boxes: Array) -> tuple[Array, float]:
    """Returns the radius of the circle around each box, and the largest."""
    radius, largest = np.empty(len(boxes)), 0.0
    for i in range(len(boxes)):
        radius[i] = math.hypot(boxes[i, 2], boxes[i, 3])
        largest = max(largest, radius[i])
    return radius, largest


@compiled()
def _cells(boxes: Array, cell_m: float) -> tuple[Indices, Indices, NDArray[np.bool_]]:
    """Returns row and column of each box's cell, and whether it lies in any: ghosts do not."""
    count = len(boxes)
    row, column = np.zeros(count, np.int64), np.zeros(count, np.int64)
    is_placed = np.zeros(count, np.bool_)
    for i in range(count):
        x, y = boxes[i, 0] / cell_m, boxes[i, 1] / cell_m
        if abs(x) < FAR_CELLS and abs(y) < FAR_CELLS:
            row[i], column[i], is_placed[i] = math.floor(x), math.floor(y), True
    return row, column, is_placed


@compiled()
def _table(
    row: Indices, column: Indices, is_placed: NDArray[np.bool_], mask: int
) -> tuple[Indices, Indices]:
    """Returns the boxes by the entry of their cell, in their order, and where each entry starts."""
    start = np.zeros(mask + 2, np.int64)
    for j in range(len(row)):
        if is_placed[j]:
            start[_entry(row[j], column[j], mask) + 1] += 1
    for e in range(mask + 1):
        start[e + 1] += start[e]
    free, member = start[:-1].copy(), np.empty(start[-1], np.int64)
    for j in range(len(row)):
        if is_placed[j]:
            entry = _entry(row[j], column[j], mask)
            member[free[entry]] = j
            free[entry] += 1
    return member, start


@compiled()
def _grown(values: Any, size: int) -> Any:
    """Returns a longer copy of an array; what is new is not set."""
    longer = np.empty(size, values.dtype)
    longer[: len(values)] = values
    return longer


@compiled(
    types.Tuple((int64[::1], int64[::1], float64[:, ::1], float64[::1]))(_BOXES, _BOXES, boolean)
)
def _search(boxes: Array, others: Array, is_same: bool) -> tuple[Indices, Indices, Array, Array]:
    """Returns first, second, normal and depth of touching pairs, in the order of the indices."""
    radius, largest = _radii(boxes)
    radius_b, largest_b = _radii(others)
    cell_m = max(largest + largest_b, 0.1)
    row, column, is_placed = _cells(boxes, cell_m)
    row_b, column_b, is_placed_b = _cells(others, cell_m)
    mask = 1
    while mask < len(others):
        mask *= 2
    mask = 2 * mask - 1
    member, start = _table(row_b, column_b, is_placed_b, mask)
    close = np.empty(len(others), np.int64)
    size, count = 16, 0
    first, second = np.empty(size, np.int64), np.empty(size, np.int64)
    normal, depth = np.empty((size, 2)), np.empty(size)
    for i in range(len(boxes)):
        if not is_placed[i]:
            continue
        num_close = 0
        for r in range(row[i] - 1, row[i] + 2):
            for c in range(column[i] - 1, column[i] + 2):
                entry = _entry(r, c, mask)
                for k in range(start[entry], start[entry + 1]):
                    j = member[k]
                    if (is_same and j <= i) or row_b[j] != r or column_b[j] != c:
                        continue
                    dx, dy = boxes[i, 0] - others[j, 0], boxes[i, 1] - others[j, 1]
                    reach = radius[i] + radius_b[j]
                    if dx * dx + dy * dy < reach * reach:
                        at = num_close
                        while at > 0 and close[at - 1] > j:
                            close[at] = close[at - 1]
                            at -= 1
                        close[at] = j
                        num_close += 1
        for k in range(num_close):
            overlap, x, y = _overlap(boxes[i], others[close[k]])
            if overlap <= 0.0:
                continue
            if count == size:
                size *= 2
                first, second = _grown(first, size), _grown(second, size)
                depth = _grown(depth, size)
                wider = np.empty((size, 2))
                wider[:count] = normal
                normal = wider
            first[count], second[count], depth[count] = i, close[k], overlap
            normal[count, 0], normal[count, 1] = x, y
            count += 1
    return first[:count], second[:count], normal[:count], depth[:count]


_COLUMN, _ROWS = float64[:], float64[:, :]


@compiled(
    void(
        int64[::1], int64[::1], float64[:, ::1], float64[::1], _ROWS, _ROWS, _COLUMN, _ROWS, _ROWS,
        _COLUMN, float64[:, ::1],
    )
)  # fmt: skip
def _part(
    first: Indices, second: Indices, normal: Array, depth: Array, position_a: Array,
    velocity_a: Array, mass_a: Array, position_b: Array, velocity_b: Array, mass_b: Array,
    impulses: Array,
) -> None:  # fmt: skip
    """Parts the bodies of each contact in turn, in place."""
    for k in range(len(first)):
        i, j = first[k], second[k]
        inverse_a, inverse_b = 1.0 / mass_a[i], 1.0 / mass_b[j]
        total = inverse_a + inverse_b
        closing = 0.0
        for d in range(2):
            closing += (velocity_a[i, d] - velocity_b[j, d]) * normal[k, d]
        impulse = max(0.0, -(1.0 + RESTITUTION) * closing / total)
        for d in range(2):
            impulses[k, d] = impulse * normal[k, d]
            position_a[i, d] += normal[k, d] * depth[k] * inverse_a / total
            position_b[j, d] -= normal[k, d] * depth[k] * inverse_b / total
            velocity_a[i, d] += impulses[k, d] * inverse_a
            velocity_b[j, d] -= impulses[k, d] * inverse_b
