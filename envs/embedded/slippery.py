"""Areas in which tyres have another friction: CARLA's `static.trigger.friction`.

The wheels of a vehicle whose box touches an area have its friction instead of the 3.5 that vehicles
tell by themselves, until it has left it; where areas overlap, the lowest. As with CARLA, the
attributes `extent_x`, `extent_y` and `extent_z` are half sizes in centimetres.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dreamdrive.envs.embedded.blueprints import EXTENTS
from dreamdrive.envs.embedded.bodies import Vehicles
from dreamdrive.envs.embedded.collision import at_one_height, find_contacts

TIRE_FRICTION = 3.5
"""Friction of a wheel that was told none."""


class Slippery(NamedTuple):
    """Areas.

    Attributes:
        boxes: x, y, half length, half width and yaw of each, shape (n, 5).
        spans: Between which heights each is, shape (n, 2).
        share: What is left of a tyre's grip in each, shape (n,).
    """

    boxes: NDArray[np.float64]
    spans: NDArray[np.float64]
    share: NDArray[np.float64]

    def lie_under(self, cars: Vehicles) -> None:
        """Lets each vehicle have the grip of where it is."""
        cars.slip[:] = 0.0
        contacts = find_contacts(cars.boxes(), self.boxes)
        contacts = at_one_height(contacts, cars.spans, lambda: self.spans)
        lowest = np.full(len(cars), np.inf)
        np.minimum.at(lowest, contacts.first, self.share[contacts.second])
        is_in = np.isfinite(lowest)
        cars.slip[is_in] = 1.0 - lowest[is_in]


def extent_of(attributes: Mapping[str, str]) -> tuple[float, float, float]:
    """Returns the half sizes of an area in metres, by its attributes."""
    x, y, z = (abs(float(attributes.get(name, "1.0"))) / 100.0 for name in EXTENTS)
    return x, y, z


def slippery_of(
    areas: Sequence[tuple[float, float, float, float, tuple[float, float, float], float]],
) -> Slippery | None:
    """Returns areas by x, y, z, yaw in radians, half sizes and friction; None for none."""
    if not areas:
        return None
    return Slippery(
        np.array([(x, y, size[0], size[1], yaw) for x, y, _, yaw, size, _ in areas]),
        np.array([(z - size[2], z + size[2]) for _, _, z, _, size, _ in areas]),
        np.array([max(friction, 0.0) / TIRE_FRICTION for *_, friction in areas]),
    )
