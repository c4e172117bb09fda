"""What stands beside the streets of styled towns: houses, trees, lamps, parked cars, crossings."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dreamdrive.envs.embedded.network import (
    LAMP,
    PARKED_CAR,
    PARKING_WIDTH_M,
    Network,
    Street,
    Thing,
)

STEP_M = 4.0
FROM_END_M = 2.0
"""How far the middle of a crossing is from the end of its street."""
CAR_M = ((4.2, 1.75, 1.5), (4.6, 1.85, 1.45), (3.8, 1.7, 1.5), (5.2, 1.95, 2.0))
"""Length, width and height of parked cars."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Planting:
    """How much stands beside the streets of a town.

    Attributes:
        houses: Share of the places along streets with a house.
        trees: Likewise with a tree.
        parked: Share of the places to park that are taken.
        lamp_every_m: Distance of lamps along streets with sidewalks; 0 for none.
    """

    houses: float = 0.7
    trees: float = 0.3
    parked: float = 0.5
    lamp_every_m: float = 28.0


class Plot:
    """The ground that is taken: by streets, and by what stands beside them already.

    Args:
        network: Streets with their lines, and the lanes through junctions.
    """

    def __init__(self, network: Network) -> None:
        rows = []
        for street in network.streets:
            right, left = street.paved
            count = max(2, math.ceil(street.length / STEP_M))
            middle = (left - right) / 2.0
            for k in range(count + 1):
                pose = street.at(street.length * k / count).left(middle)
                rows.append((pose.x, pose.y, (left + right) / 2.0 + street.side_width))
        for node in network.nodes:
            for connection in node.connections:
                for arc in connection.arcs:
                    for s in np.linspace(0.0, arc.length, max(2, math.ceil(arc.length / STEP_M))):
                        pose = arc.at(float(s))
                        rows.append((pose.x, pose.y, 6.0))
        self._roads = np.array(rows)
        self._taken: list[tuple[float, float, float]] = []

    def take(self, x: float, y: float, heading: float, length: float, width: float) -> bool:
        """Takes a rectangle with a metre around it; returns whether it was free."""
        along, across = self._in_axes(self._roads, x, y, heading)
        gap = np.hypot(
            np.maximum(np.abs(along) - length / 2.0, 0.0),
            np.maximum(np.abs(across) - width / 2.0, 0.0),
        )
        if (gap < self._roads[:, 2] + 0.3).any():
            return False
        radius = math.hypot(length, width) / 2.0
        others = np.array(self._taken).reshape(-1, 3)
        if (np.hypot(others[:, 0] - x, others[:, 1] - y) < others[:, 2] + radius + 0.5).any():
            return False
        self._taken.append((x, y, radius))
        return True

    @staticmethod
    def _in_axes(
        rows: NDArray[np.float64], x: float, y: float, heading: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        cos, sin = math.cos(heading), math.sin(heading)
        dx, dy = rows[:, 0] - x, rows[:, 1] - y
        return dx * cos + dy * sin, dy * cos - dx * sin


def add_crossings(network: Network) -> None:
    """Adds crossings where streets with sidewalks meet others at a junction of three or more."""
    for node in network.nodes:
        if len(node.streets) < 3:
            continue
        for street in node.streets:
            if street.side == "sidewalk" and not street.is_one_way and street.length > 30.0:
                s = street.length - FROM_END_M if street.b == node.index else FROM_END_M
                street.crossings = tuple(sorted((*street.crossings, s)))


def plant(network: Network, rng: np.random.Generator, planting: Planting) -> None:
    """Puts houses, trees, lamps and parked cars beside the streets, none of them on a road."""
    plot = Plot(network)
    network.houses = []
    for street in network.streets:
        for side in _sides(street):
            _build(network, plot, rng, street, side, planting.houses)
    for street in network.streets:
        for side in _sides(street):
            _park(network, rng, street, side, planting.parked)
            _light(network, street, side, planting.lamp_every_m)
            _grow(network, plot, rng, street, side, planting.trees)


def _sides(street: Street) -> tuple[float, ...]:
    return (-1.0,) if street.is_one_way else (-1.0, 1.0)


def _edge(street: Street, side: float) -> float:
    """Returns how far the outermost of a street is from its line."""
    return street.paved[0 if side < 0.0 else 1] + street.side_width


def _build(
    network: Network, plot: Plot, rng: np.random.Generator, street: Street, side: float,
    share: float,
) -> None:  # fmt: skip
    s = float(rng.uniform(6.0, 14.0))
    while s < street.length - 6.0:
        length, width, setback = (
            float(rng.uniform(*span)) for span in ((8.0, 16.0), (8.0, 14.0), (2.5, 5.0))
        )
        t = side * (_edge(street, side) + setback + width / 2.0)
        middle = s + length / 2.0
        if middle < street.length and rng.random() < share:
            pose = street.at(middle).left(t)
            if plot.take(pose.x, pose.y, pose.heading, length, width):
                network.houses.append((street, middle, t, length, width))
        s += length + float(rng.uniform(3.0, 10.0))


def _park(
    network: Network, rng: np.random.Generator, street: Street, side: float, share: float
) -> None:
    if not street.has_parking:
        return
    t = side * (street.paved[0] - PARKING_WIDTH_M / 2.0 + 0.1)
    for s in np.arange(14.0, street.length - 14.0, 6.5):
        length, width, height = CAR_M[int(rng.integers(len(CAR_M)))]
        if rng.random() < share:
            place = float(s + rng.uniform(-0.4, 0.4)), t
            network.things.append(
                Thing(street, *place, 0.0, length, width, height, "obstacle", PARKED_CAR)
            )


def _light(network: Network, street: Street, side: float, every_m: float) -> None:
    if street.side != "sidewalk" or every_m <= 0.0:
        return
    first = every_m / 2.0 if side < 0.0 else every_m
    t = side * (_edge(street, side) - 0.3)
    for s in np.arange(first, street.length - 6.0, every_m):
        network.things.append(Thing(street, float(s), t, 0.0, 0.2, 0.2, 6.0, "pole", LAMP))


def _grow(
    network: Network, plot: Plot, rng: np.random.Generator, street: Street, side: float,
    share: float,
) -> None:  # fmt: skip
    for s in np.arange(5.0, street.length - 5.0, 9.0):
        width, height, away = (
            float(rng.uniform(*span)) for span in ((1.2, 2.2), (4.0, 8.0), (1.2, 6.0))
        )
        t = side * (_edge(street, side) + away + width / 2.0)
        pose = street.at(float(s)).left(t)
        if rng.random() < share and plot.take(pose.x, pose.y, pose.heading, width, width):
            network.things.append(
                Thing(street, float(s), t, 0.0, width, width, height, "tree", "tree")
            )
