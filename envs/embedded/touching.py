"""What touches what in a tick, and what comes of it: bodies part, slide, and somebody is told.

Most ticks see no contact at all, so a look at the circles around vehicles comes before any search.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numba import float64, from_dtype, int64
from numpy.typing import NDArray

from dreamdrive.envs.embedded.bodies import VEHICLE_STATE, Vehicles, Walkers
from dreamdrive.envs.embedded.collision import (
    CELL_M,
    REACH_M,
    ClearanceMap,
    Contacts,
    at_one_height,
    find_contacts,
    resolve,
)
from dreamdrive.envs.embedded.compiled import compiled
from dreamdrive.envs.embedded.walking import KNOCKED_OVER_MPS

Array = NDArray[np.float64]
MANY = 64
"""From so many vehicles on they are searched at once: a look at all pairs would take longer."""

ROUNDING_M = 1e-6
SIDEWALK, FIRST_SOLID = -1, -2
"""What bodies touch that are no actors; a town's solids are numbered as its triangles are."""
EACH_OTHER, SOLID = 1, 2
"""What vehicles may touch."""


class CollisionEvent(NamedTuple):
    """Two bodies touched; the impulse is in N s.

    `other` is `SIDEWALK` for a kerb, and `FIRST_SOLID` less its place for one of the town's solids.
    """

    actor: int
    other: int
    impulse: tuple[float, float]


class Solids(NamedTuple):
    """Boxes that do not move.

    Attributes:
        boxes: x, y, half length, half width and yaw in radians of each, shape (n, 5).
        spans: Between which heights each is, shape (n, 2).
        ids: What a `CollisionEvent` calls each, shape (n,).
    """

    boxes: Array
    spans: Array
    ids: NDArray[np.int64]


NO_SOLIDS = Solids(np.zeros((0, 5)), np.zeros((0, 2)), np.zeros(0, np.int64))


def solids_of(
    boxes: Sequence[Sequence[float]], spans: Sequence[Sequence[float]], ids: Sequence[int]
) -> Solids:
    """Returns boxes that may be none."""
    return Solids(
        np.array(boxes, np.float64).reshape(-1, 5), np.array(spans, np.float64).reshape(-1, 2),
        np.array(ids, np.int64),
    )  # fmt: skip


class Touching:
    """Parts bodies from each other and from what stands in their way.

    Args:
        still: What clients have not put there, such as buildings.

    Attributes:
        props: What clients have put there.
    """

    def __init__(self, still: Solids) -> None:
        self.props = NO_SOLIDS
        self._boxes = np.zeros((0, 5))
        self.stand(still)

    def stand(self, still: Solids) -> None:
        """Takes over what stands from now on."""
        self._still, self._clearance = still, ClearanceMap(still.boxes)

    def is_free(
        self, box: Array, span: tuple[float, float], cars: Vehicles, walkers: Walkers
    ) -> bool:
        """Returns whether nothing is in a box, shape (1, 5), between two heights."""
        for others, spans in (
            (cars.solid_boxes(), cars.spans()), (walkers.solid_boxes(), walkers.spans()),
            self._still[:2], self.props[:2],
        ):  # fmt: skip
            low, high = spans[find_contacts(box, others).second].T
            if np.any((low < span[1]) & (span[0] < high)):
                return False
        return True

    def part(self, cars: Vehicles, walkers: Walkers, events: list[CollisionEvent]) -> None:
        """Parts all bodies that touch, in place, and notes who touched whom."""
        if len(cars):
            self._part_vehicles(cars, walkers, events)
        if len(walkers):
            self._stop_walkers(walkers, events)

    def _part_vehicles(
        self, cars: Vehicles, walkers: Walkers, events: list[CollisionEvent]
    ) -> None:
        if len(self._boxes) != len(cars):
            self._boxes = np.zeros((len(cars), 5))
        boxes, clearance = self._boxes, self._clearance
        found = _look_around(cars.state, boxes, clearance.clear, *clearance.low, CELL_M, REACH_M)
        if found & EACH_OTHER:
            contacts = at_one_height(find_contacts(boxes), cars.spans, cars.spans)
            _push(contacts, cars, cars.id[contacts.second], None, events)
        if len(walkers):
            contacts = find_contacts(boxes, walkers.solid_boxes())
            contacts = at_one_height(contacts, cars.spans, walkers.spans)
            on_foot = (walkers.pose[:, :2], walkers.velocity, walkers.mass)
            ids = walkers.id[contacts.second]
            _knock_over(contacts, walkers, _push(contacts, cars, ids, on_foot, events))
        if not found & SOLID and not len(self.props.boxes):
            return
        for contacts, ids in self._contacts_with_solids(boxes, cars):
            count = int(contacts.second.max(initial=-1)) + 1
            wall = (np.zeros((count, 2)), np.zeros((count, 2)), np.full(count, np.inf))
            _push(contacts, cars, ids, wall, events)

    def _contacts_with_solids(
        self, boxes: Array, bodies: Vehicles | Walkers
    ) -> list[tuple[Contacts, NDArray[np.int64]]]:
        """Returns where bodies touch buildings, then where they touch props, and which."""
        found = []
        near = self._clearance.near(boxes)
        if len(near):
            near = near[: _keep_close(boxes, near, self._still.boxes)]
        if len(near):
            contacts = find_contacts(boxes[near], self._still.boxes)
            contacts = contacts._replace(first=near[contacts.first])
            contacts = at_one_height(contacts, bodies.spans, lambda: self._still.spans)
            found.append((contacts, self._still.ids[contacts.second]))
        if len(self.props.boxes):
            contacts = find_contacts(boxes, self.props.boxes)
            contacts = at_one_height(contacts, bodies.spans, lambda: self.props.spans)
            found.append((contacts, self.props.ids[contacts.second]))
        return found

    def _stop_walkers(self, walkers: Walkers, events: list[CollisionEvent]) -> None:
        """Parts walkers from buildings and props."""
        for contacts, ids in self._contacts_with_solids(walkers.solid_boxes(), walkers):
            for row, other, normal, depth in zip(
                contacts.first.tolist(), ids.tolist(), contacts.normal, contacts.depth.tolist(),
                strict=True,
            ):  # fmt: skip
                if walkers.physics[row]:
                    closing = min(float(walkers.velocity[row] @ normal), 0.0)
                    walkers.pose[row, :2] += normal * depth
                    walkers.velocity[row] -= closing * normal
                    x, y = (-closing * walkers.mass[row] * normal).tolist()
                    events.append(CollisionEvent(int(walkers.id[row]), other, (x, y)))


def _push(
    contacts: Contacts, cars: Vehicles, touched: NDArray[np.int64],
    others: tuple[Array, Array, Array] | None, events: list[CollisionEvent],
) -> Array:  # fmt: skip
    """Parts vehicles from what they touch, notes it and returns each vehicle's impulse, (p, 2).

    Args:
        contacts: What touches.
        cars: The first bodies.
        touched: What each contact is with.
        others: Position, velocity and mass of the second bodies; None where they are the vehicles.
            What has an infinite mass is told nothing.
        events: Where collisions are noted.
    """
    if not len(contacts.first):
        return np.zeros((0, 2))
    impulses = resolve(contacts, cars.pose[:, :2], cars.velocity, cars.mass, others)
    touching = cars.id[contacts.first].tolist()
    is_solid = others is not None and bool(np.isinf(others[2]).all())
    for first, other, (x, y) in zip(touching, touched.tolist(), impulses.tolist(), strict=True):
        events.append(CollisionEvent(first, other, (x, y)))
        if not is_solid:
            events.append(CollisionEvent(other, first, (-x, -y)))
    return impulses


def _knock_over(contacts: Contacts, walkers: Walkers, impulses: Array) -> None:
    """Lets walkers slide that vehicles have hit."""
    if len(impulses):
        hard = np.hypot(*impulses.T) > KNOCKED_OVER_MPS * walkers.mass[contacts.second]
        rows = contacts.second[hard]
        walkers.knocked[rows] = walkers.velocity[rows]


@compiled()
def _is_beside(box: Array, other: Array, dx: float, dy: float) -> bool:
    """Returns whether all of a box lies on one side of another, along an axis of the other."""
    cos, sin = math.cos(other[4]), math.sin(other[4])
    turned_cos, turned_sin = math.cos(box[4] - other[4]), math.sin(box[4] - other[4])
    along = abs(turned_cos) * box[2] + abs(turned_sin) * box[3] + other[2]
    across = abs(turned_sin) * box[2] + abs(turned_cos) * box[3] + other[3]
    return (
        abs(dx * cos + dy * sin) > along + ROUNDING_M
        or abs(dy * cos - dx * sin) > across + ROUNDING_M
    )


@compiled()
def _do_any_meet(boxes: Array, radius: Array) -> bool:
    """Returns whether any two boxes, in circles of a radius, may touch."""
    for i in range(len(boxes)):
        for j in range(i):
            dx, dy = boxes[i, 0] - boxes[j, 0], boxes[i, 1] - boxes[j, 1]
            reach = radius[i] + radius[j]
            if dx * dx + dy * dy < reach * reach and not (
                _is_beside(boxes[i], boxes[j], dx, dy) or _is_beside(boxes[j], boxes[i], dx, dy)
            ):
                return True
    return False


@compiled(
    int64(
        from_dtype(VEHICLE_STATE)[::1], float64[:, ::1], float64[:, ::1], float64, float64, float64,
        float64,
    )
)  # fmt: skip
def _look_around(
    cars: Any, boxes: Array, clear: Array, low_x: float, low_y: float, cell_m: float, reach_m: float
) -> int:
    """Writes the boxes of vehicles, ghosts infinitely far away; returns what they may touch.

    Args:
        cars: Rows of `VEHICLE_STATE`, shape (n,).
        boxes: Where the boxes are written to, shape (n, 5).
        clear, low_x, low_y, cell_m, reach_m: A `ClearanceMap`'s.
    """
    found, radius = 0, np.zeros(len(cars))
    for i in range(len(cars)):
        car, box = cars[i], boxes[i]
        box[0], box[1], box[4] = car.pose[0], car.pose[1], car.pose[2]
        box[2], box[3] = car.half[0], car.half[1]
        if car.ghost > 0.0:
            box[0] = box[1] = math.inf
            continue
        radius[i] = math.hypot(box[2], box[3])
        row, column = (box[0] - low_x) / cell_m, (box[1] - low_y) / cell_m
        clearance = math.inf
        if 0.0 <= row < clear.shape[0] and 0.0 <= column < clear.shape[1]:
            clearance = clear[int(row), int(column)]
        if clearance < radius[i] or radius[i] >= reach_m:
            found |= SOLID
    if len(cars) > MANY or _do_any_meet(boxes, radius):
        found |= EACH_OTHER
    return found


@compiled(int64(float64[:, ::1], int64[::1], float64[:, ::1]))
def _keep_close(boxes: Array, near: NDArray[np.int64], solids: Array) -> int:
    """Keeps of some boxes those whose circle meets a solid, in front, and returns their number."""
    kept = 0
    for k in range(len(near)):
        box = boxes[near[k]]
        radius = math.hypot(box[2], box[3])
        for j in range(len(solids)):
            solid = solids[j]
            dx, dy = box[0] - solid[0], box[1] - solid[1]
            reach = radius + solid[2] + solid[3]
            if not dx * dx + dy * dy < reach * reach:
                continue
            cos, sin = math.cos(solid[4]), math.sin(solid[4])
            along = max(abs(dx * cos + dy * sin) - solid[2], 0.0)
            across = max(abs(dy * cos - dx * sin) - solid[3], 0.0)
            if math.hypot(along, across) <= radius + ROUNDING_M:
                near[kept] = near[k]
                kept += 1
                break
    return kept
