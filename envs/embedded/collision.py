"""Oriented boxes that touch: which, how deep, and how they part.

Reference:
    Gottschalk et al. 1996, "OBBTree" (separating axes of two boxes).
"""

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
        near &= np.tri(len(boxes), k=-1, dtype=bool).T
    a, b = np.nonzero(near)
    if not len(a):
        return NONE
    return _separate(a, b, boxes[a], second[b])


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
