"""Towns of other styles than the jittered grid, each from a seed."""

import math
from collections.abc import Callable

import numpy as np

from dreamdrive.envs.embedded.generator import TownPlan, plan_network
from dreamdrive.envs.embedded.motorway import plan_motorway
from dreamdrive.envs.embedded.network import Network
from dreamdrive.envs.embedded.roundabouts import with_roundabouts
from dreamdrive.envs.embedded.scenery import Planting, add_crossings, plant
from dreamdrive.seeding import numpy_generator

STEEPEST = 0.08
"""Slope of the steepest street of a town with hills."""
WAVE_M = 260.0
"""Distance from hill to hill."""


def curved(seed: int) -> Network:
    """Returns a town of winding streets, with cars parked beside most of them."""
    rng = numpy_generator(seed, "curved")
    network = plan_network(
        seed, TownPlan(spacing_m=112.0, jitter_m=16.0, bend=0.6, missing=0.25, stops=1.0)
    )
    for street in network.streets:
        street.has_parking = street.lanes == 1 and bool(rng.random() < 0.7)
    return _furnished(network, rng, Planting())


def rural(seed: int) -> Network:
    """Returns a few long roads through the country: bends, trees, no sidewalks, hardly a light."""
    rng = numpy_generator(seed, "rural")
    plan = TownPlan(
        rows=3, columns=3, spacing_m=240.0, jitter_m=40.0, bend=0.55, missing=0.3, arterials=0,
        lights=0.15, stops=1.0,
    )  # fmt: skip
    network = plan_network(seed, plan)
    for street in network.streets:
        street.side = "shoulder"
        street.speed_kmh = int(rng.choice((60, 70, 80)))
    return _furnished(network, rng, Planting(houses=0.1, trees=0.8, lamp_every_m=0.0))


def hilly(seed: int) -> Network:
    """Returns a town on hills, its junctions level and its streets up to 8 % steep."""
    rng = numpy_generator(seed, "hilly")
    network = plan_network(seed, TownPlan(spacing_m=116.0, jitter_m=12.0, bend=0.35, lights=1.0))
    phase = rng.uniform(0.0, 2.0 * np.pi, 2)
    raw = {
        node.index: math.sin(2.0 * math.pi * node.x / WAVE_M + phase[0])
        + math.sin(2.0 * math.pi * node.y / WAVE_M + phase[1])
        for node in network.nodes
    }
    # A profile that is level at both ends is half as steep again in its middle.
    steepest = max(
        1.5 * abs(raw[street.b] - raw[street.a]) / street.length for street in network.streets
    )
    lowest = min(raw.values())
    for node in network.nodes:
        node.height = round((raw[node.index] - lowest) * STEEPEST / steepest, 3)
    height = {node.index: node.height for node in network.nodes}
    for street in network.streets:
        street.heights = height[street.a], height[street.b]
    return _furnished(network, rng, Planting())


def roundabouts(seed: int) -> Network:
    """Returns a town whose junctions are roundabouts, but for a few with lights."""
    rng = numpy_generator(seed, "roundabouts")
    plan = TownPlan(rows=3, columns=4, spacing_m=132.0, jitter_m=8.0, bend=0.2, arterials=0,
                    missing=0.15, lights=0.25, stops=0.0)  # fmt: skip
    network = with_roundabouts(plan_network(seed, plan))
    return _furnished(network, rng, Planting())


def motorway(seed: int) -> Network:
    """Returns a motorway with ramps, and a road round it with a village at each end."""
    rng = numpy_generator(seed, "motorway")
    return _furnished(plan_motorway(rng), rng, Planting(houses=0.5, trees=0.5))


def _furnished(network: Network, rng: np.random.Generator, planting: Planting) -> Network:
    network.has_slow_turns = network.has_turns_for_each = True
    add_crossings(network)
    plant(network, rng, planting)
    return network


STYLED: dict[str, tuple[Callable[[int], Network], int]] = {
    "DreamCurves": (curved, 9),
    "DreamCountry": (rural, 25),
    "DreamMotorway": (motorway, 11),
    "DreamRoundabouts": (roundabouts, 15),
    "DreamHills": (hilly, 13),
}
"""The named towns of these styles: how they are made, and from which seed."""
