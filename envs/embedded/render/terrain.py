"""The land around streets: level where they are, else as high as they, with banks beside them."""

import itertools

import numpy as np
from numpy.typing import NDArray

from dreamdrive.envs.embedded.opendrive import OpenDrive, Road
from dreamdrive.envs.embedded.render.mesh import Colour, Finish, MeshBuilder, Tag

LAND_M = -0.03
"""Height of the land under the lowest road nearby."""
MARGIN_M, TILE_M = 400.0, 50.0
CELL_M, REACH_CELLS, FADE_CELLS = 5.0, 2, 12
"""Squares of land beside roads that rise, how many around a road lie under it, and how many more
lead down to level land."""
FADE = 0.85
BANK_M = 1.2
"""Height of the banks under the edges of roads that rise."""
STEP_M = 3.0
GRASS: Colour = (0.30, 0.41, 0.20)
Points = NDArray[np.float64]


def add_land(builder: MeshBuilder, drive: OpenDrive) -> None:
    """Adds land under all roads and far around them."""
    edges = [edge for road in drive.roads.values() for edge in _edges(road)]
    points = np.concatenate(edges)
    if np.ptp(points[:, 2]) < 1e-6:
        ends = [road.at(s) for road in drive.roads.values() for s in (0.0, road.length / 2.0)]
        places = np.array([(pose.x, -pose.y) for pose in ends])
        low, high = places.min(0) - MARGIN_M, places.max(0) + MARGIN_M
        _add_level(builder, low, high, float(points[0, 2]) + LAND_M)
        return
    _add_hills(builder, points)
    down = np.array([0.0, 0.0, BANK_M])
    for edge in edges:
        builder.strip(edge, edge - down, Tag.GROUND, GRASS)
        builder.strip(edge - down, edge, Tag.GROUND, GRASS)


def _edges(road: Road) -> list[Points]:
    """Returns the outer edges of a road's lanes, each shape (k, 3)."""
    sides: dict[int, list[tuple[float, float, float]]] = {-1: [], 1: []}
    for s in np.linspace(0.0, road.length, max(2, int(road.length / STEP_M) + 1)):
        at = min(float(s), road.length - 1e-6)
        lanes = road.section(at).lanes
        for sign, found in sides.items():
            outer = max((abs(lane) for lane in lanes if lane * sign > 0), default=0)
            pose = road.at(at)
            if outer:
                pose = road.lane_pose(sign * outer, at)
                half = road.lane_width(sign * outer, at) / 2.0
                pose = pose.left(-half)  # To the right of its traffic, whichever way it runs.
            found.append((pose.x, -pose.y, road.height(at)))
    return [np.array(found) for found in sides.values()]


def _add_level(builder: MeshBuilder, low: Points, high: Points, z: float) -> None:
    counts = np.ceil((high - low) / TILE_M).astype(int)
    x, y = (low[k] + TILE_M * np.arange(counts[k] + 1) for k in (0, 1))
    for near, far in itertools.pairwise(x):
        left, right = (
            np.stack([np.full(len(y), at), y, np.full(len(y), z)], 1) for at in (far, near)
        )
        builder.strip(left, right, Tag.TERRAIN, GRASS, finish=Finish.GRAINY)


def _add_hills(builder: MeshBuilder, roads: Points) -> None:
    """Adds land under roads, given by points of their edges, and level land beyond it."""
    level = float(roads[:, 2].min()) + LAND_M
    margin = (REACH_CELLS + FADE_CELLS + 2) * CELL_M
    low = roads[:, :2].min(0) - margin
    shape = np.ceil((roads[:, :2].max(0) + margin - low) / CELL_M).astype(int) + 1
    height = np.full(shape, np.inf)
    at = ((roads[:, :2] - low) / CELL_M).round().astype(int)
    around = range(-REACH_CELLS, REACH_CELLS + 1)
    for i, j in itertools.product(around, around):
        np.minimum.at(height, (at[:, 0] + i, at[:, 1] + j), roads[:, 2] + LAND_M)
    for _ in range(FADE_CELLS):
        known = np.isfinite(height)
        padded = np.pad(np.where(known, height, 0.0), 1)
        count = np.pad(known.astype(float), 1)
        total, near = np.zeros(shape), np.zeros(shape)
        for i, j in itertools.product(range(3), range(3)):
            total += padded[i : i + shape[0], j : j + shape[1]]
            near += count[i : i + shape[0], j : j + shape[1]]
        grown = ~known & (near > 0.0)
        height[grown] = level + FADE * (total[grown] / near[grown] - level)
    height[~np.isfinite(height)] = level
    height[[0, -1]] = height[:, [0, -1]] = level
    x, y = (low[k] + CELL_M * np.arange(shape[k]) for k in (0, 1))
    for k in range(len(x) - 1):
        left, right = (np.stack([np.full(len(y), x[i]), y, height[i]], 1) for i in (k + 1, k))
        builder.strip(left, right, Tag.TERRAIN, GRASS, finish=Finish.GRAINY)
    # Tiles of level land may reach under the hills, never above them.
    far_low, far_high = low - MARGIN_M, np.array([x[-1], y[-1]]) + MARGIN_M
    for a, b in (
        (far_low, np.array([x[0], far_high[1]])), (np.array([x[-1], far_low[1]]), far_high),
        (np.array([x[0], far_low[1]]), np.array([x[-1], y[0]])),
        (np.array([x[0], y[-1]]), np.array([x[-1], far_high[1]])),
    ):  # fmt: skip
        _add_level(builder, a, b, level)
