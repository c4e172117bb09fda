"""Oriented boxes that touch: which, how deep, and how they part.

Reference:
    Gottschalk et al. 1996, "OBBTree" (separating axes of two boxes).
"""

import math
from typing import NamedTuple

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
    """

    def __init__(self, boxes: Array) -> None:
        if not len(boxes):
            self._low, self._clear = np.zeros(2), np.full((1, 1), np.inf)
            return
        radius = np.hypot(boxes[:, 2], boxes[:, 3]) + REACH_M + 2.0 * CELL_M
        self._low = (boxes[:, :2] - radius[:, None]).min(0)
        high = (boxes[:, :2] + radius[:, None]).max(0)
        shape = np.ceil((high - self._low) / CELL_M).astype(int) + 1
        self._clear = np.full(shape, REACH_M)
        for box, reach in zip(boxes, radius, strict=True):
            first = np.maximum(((box[:2] - reach - self._low) / CELL_M).astype(int), 0)
            end = ((box[:2] + reach - self._low) / CELL_M).astype(int) + 1
            window = self._clear[first[0] : end[0], first[1] : end[1]]
            x, y = (
                self._low[k] + (first[k] + 0.5 + np.arange(window.shape[k])) * CELL_M - box[k]
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
        return found[: _near(boxes, self._clear, self._low[0], self._low[1], found)]


def find_contacts(boxes: Array, others: Array | None = None) -> Contacts:
    """Returns the touching pairs among boxes, or between boxes and others.

    Args:
        boxes: x, y, half length, half width, yaw of each, shape (n, 5).
        others: Likewise, shape (m, 5); None looks for pairs within `boxes`, each once.
    """
    second = boxes if others is None else others
    num_close = _count_close(boxes, second, others is None)
    return Contacts(*_search(boxes, second, others is None, num_close)) if num_close else NONE


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
def _is_close(p: Array, q: Array) -> bool:
    """Returns whether the circumscribed circles of two boxes overlap."""
    dx, dy = p[0] - q[0], p[1] - q[1]
    reach = math.hypot(p[2], p[3]) + math.hypot(q[2], q[3])
    return dx * dx + dy * dy < reach * reach


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


@compiled(int64(_BOXES, _BOXES, boolean))
def _count_close(boxes: Array, others: Array, is_same: bool) -> int:
    """Returns how many pairs of boxes have circumscribed circles that overlap."""
    count = 0
    for i in range(len(boxes)):
        for j in range(i + 1 if is_same else 0, len(others)):
            count += _is_close(boxes[i], others[j])
    return count


@compiled(
    types.Tuple((int64[::1], int64[::1], float64[:, ::1], float64[::1]))(
        _BOXES, _BOXES, boolean, int64
    )
)
def _search(
    boxes: Array, others: Array, is_same: bool, num_close: int
) -> tuple[Indices, Indices, Array, Array]:
    """Returns first, second, normal and depth of touching pairs, in the order of the indices."""
    first, second = np.empty(num_close, np.int64), np.empty(num_close, np.int64)
    normal, depth = np.empty((num_close, 2)), np.empty(num_close)
    count = 0
    for i in range(len(boxes)):
        for j in range(i + 1 if is_same else 0, len(others)):
            if _is_close(boxes[i], others[j]):
                overlap, x, y = _overlap(boxes[i], others[j])
                if overlap > 0.0:
                    first[count], second[count], depth[count] = i, j, overlap
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
