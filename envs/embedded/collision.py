"""Oriented boxes that touch: which, how deep, and how they part.

Reference:
    Gottschalk et al. 1996, "OBBTree" (separating axes of two boxes).
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
RESTITUTION = 0.1


class Contacts(NamedTuple):
    """Pairs of touching boxes.

    Attributes:
        first, second: Index of each box, shape (p,).
        normal: Unit vector from the second to the first, shape (p, 2).
        depth: Overlap along it, shape (p,).
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    normal: Array
    depth: Array


NONE = Contacts(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 2)), np.zeros(0))


class ClearanceMap:
    """How far any place is from the nearest of boxes that never move, by look-up.

    Args:
        boxes: x, y, half length, half width, yaw of each, shape (m, 5).
    """

    REACH_M = 6.0
    """Clearances beyond this count as this, so larger bodies are always near."""

    CELL_M = 1.0

    def __init__(self, boxes: Array) -> None:
        self._is_empty = not len(boxes)
        if self._is_empty:
            return
        radius = np.hypot(boxes[:, 2], boxes[:, 3]) + self.REACH_M + 2.0 * self.CELL_M
        self._low = (boxes[:, :2] - radius[:, None]).min(0)
        high = (boxes[:, :2] + radius[:, None]).max(0)
        self._shape = np.ceil((high - self._low) / self.CELL_M).astype(int) + 1
        self._clear = np.full(self._shape, self.REACH_M)
        for box, reach in zip(boxes, radius, strict=True):
            first = np.maximum(((box[:2] - reach - self._low) / self.CELL_M).astype(int), 0)
            end = ((box[:2] + reach - self._low) / self.CELL_M).astype(int) + 1
            window = self._clear[first[0] : end[0], first[1] : end[1]]
            x, y = (
                self._low[k] + (first[k] + 0.5 + np.arange(window.shape[k])) * self.CELL_M - box[k]
                for k in (0, 1)
            )
            cos, sin = np.cos(box[4]), np.sin(box[4])
            along = np.abs(x[:, None] * cos + y[None] * sin) - box[2]
            across = np.abs(y[None] * cos - x[:, None] * sin) - box[3]
            gap = np.hypot(np.maximum(along, 0.0), np.maximum(across, 0.0))
            np.minimum(window, gap - 0.75 * self.CELL_M, out=window)

    def near(self, boxes: Array, radius: Array) -> NDArray[np.int64]:
        """Returns which boxes of a circumscribed radius may touch one of the map's, shape (k,)."""
        if self._is_empty:
            return np.zeros(0, np.int64)
        cell = ((boxes[:, :2] - self._low) / self.CELL_M).astype(np.int64)
        cell = np.minimum(np.maximum(cell, 0), self._shape - 1)
        clear = self._clear[cell[:, 0], cell[:, 1]]
        return np.nonzero((clear < radius) | (radius >= self.REACH_M))[0]


def find_contacts(boxes: Array, others: Array | None = None) -> Contacts:
    """Returns the touching pairs among boxes, or between boxes and others.

    Args:
        boxes: x, y, half length, half width, yaw of each, shape (n, 5).
        others: Likewise, shape (m, 5); None looks for pairs within `boxes`, each once.
    """
    second = boxes if others is None else others
    if not len(boxes) or not len(second):
        return NONE
    radius_a = np.hypot(boxes[:, 2], boxes[:, 3])
    radius_b = radius_a if others is None else np.hypot(second[:, 2], second[:, 3])
    dx = boxes[:, None, 0] - second[None, :, 0]
    dy = boxes[:, None, 1] - second[None, :, 1]
    reach = radius_a[:, None] + radius_b[None]
    near = dx * dx + dy * dy < reach * reach
    if others is None:
        near &= _upper(len(boxes))
    a, b = np.nonzero(near)
    if not len(a):
        return NONE
    return _separate(a, b, boxes[a], second[b])


@lru_cache(maxsize=64)
def _upper(size: int) -> NDArray[np.bool_]:
    """Returns a mask of the pairs whose second index is larger, shape (size, size)."""
    return np.tri(size, k=-1, dtype=bool).T


def _separate(a: NDArray[np.int64], b: NDArray[np.int64], p: Array, q: Array) -> Contacts:
    """Returns which candidate pairs touch, by the four axes of their sides."""
    delta = p[:, :2] - q[:, :2]
    axes_p = np.stack([np.cos(p[:, 4]), np.sin(p[:, 4])], 1)
    axes_q = np.stack([np.cos(q[:, 4]), np.sin(q[:, 4])], 1)
    side_p = np.stack([-axes_p[:, 1], axes_p[:, 0]], 1)
    side_q = np.stack([-axes_q[:, 1], axes_q[:, 0]], 1)
    axes = np.stack([axes_p, side_p, axes_q, side_q], 1)

    def reach(axis: Array, side: Array, half: Array) -> Array:
        along = np.abs(np.einsum("nkd,nd->nk", axes, axis)) * half[:, :1]
        across = np.abs(np.einsum("nkd,nd->nk", axes, side)) * half[:, 1:]
        result: Array = along + across
        return result

    apart = np.einsum("nkd,nd->nk", axes, delta)
    depth = reach(axes_p, side_p, p[:, 2:4]) + reach(axes_q, side_q, q[:, 2:4]) - np.abs(apart)
    least = depth.argmin(1)
    rows = np.arange(len(a))
    touching = depth[rows, least] > 0.0
    sign = np.where(apart[rows, least] >= 0.0, 1.0, -1.0)
    normal = axes[rows, least] * sign[:, None]
    return Contacts(
        a[touching], b[touching], normal[touching], depth[rows, least][touching]
    )  # fmt: skip


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
    position_b, velocity_b, mass_b = others or (position, velocity, mass)
    impulses = np.zeros((len(contacts.first), 2))
    for k, (i, j) in enumerate(zip(contacts.first, contacts.second, strict=True)):
        normal = contacts.normal[k]
        inverse_a, inverse_b = 1.0 / mass[i], 1.0 / mass_b[j]
        total = inverse_a + inverse_b
        position[i] += normal * contacts.depth[k] * inverse_a / total
        closing = float((velocity[i] - velocity_b[j]) @ normal)
        if inverse_b > 0.0:
            position_b[j] -= normal * contacts.depth[k] * inverse_b / total
        if closing < 0.0:
            impulse = -(1.0 + RESTITUTION) * closing / total * normal
            velocity[i] += impulse * inverse_a
            if inverse_b > 0.0:
                velocity_b[j] -= impulse * inverse_b
            impulses[k] = impulse
    return impulses
