"""Where one can walk in a town: a chart of squares, each with its kind of ground and its height.

The squares are cut from the triangles that cameras see, so that walkers keep to what is drawn.
Of two roads above each other the chart knows the one that comes last in the map.
"""

import math
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numba import float32, float64, int64, uint8, void
from numpy.typing import NDArray

from dreamdrive.envs.embedded.compiled import compiled
from dreamdrive.envs.embedded.opendrive import parse_opendrive
from dreamdrive.envs.embedded.render import streets
from dreamdrive.envs.embedded.render.appearance import read_appearance
from dreamdrive.envs.embedded.render.mesh import MeshBuilder, Tag
from dreamdrive.envs.embedded.towns import Town

CELL_M = 0.25
MAX_CELLS = 24_000_000
"""Larger maps get larger squares."""
MARGIN_M = 2.0
KEEP_OFF_M = 0.3
"""How far walkers keep from what is solid, the radius of the client's agents."""
REACH_M = 2.0
"""How far crossings may be from the sidewalks that they join."""


class Area(IntEnum):
    """Kinds of ground, numbered as CARLA's client has them."""

    NONE = 0
    SIDEWALK = 1
    CROSSWALK = 2
    ROAD = 3


@dataclass(frozen=True)
class Chart:
    """A town in squares.

    Attributes:
        low: x and y of the first square's corner.
        cell_m: Side of the squares.
        kind: `Area` of each square, shape (X, Y).
        height: In metres, shape (X, Y).
    """

    low: tuple[float, float]
    cell_m: float
    kind: NDArray[np.uint8]
    height: NDArray[np.float32]


def chart_of(town: Town) -> Chart:
    """Returns the chart of a town.

    Raises:
        MapError: If a mark or an object of its map has a word where a number belongs.
    """
    drive, looks = parse_opendrive(town.xodr), read_appearance(town.xodr)
    builder = MeshBuilder()
    streets.add_streets(builder, drive, looks)
    mesh = builder.mesh()
    is_flat = mesh.normals()[:, 2] > 0.5
    ground = {
        area: mesh.points[is_flat & (mesh.tag == tag)].astype(np.float64)
        for area, tag in ((Area.ROAD, Tag.ROAD), (Area.SIDEWALK, Tag.SIDEWALK))
    }
    corners = np.concatenate(list(ground.values())).reshape(-1, 3)
    low, high = corners[:, :2].min(0) - MARGIN_M, corners[:, :2].max(0) + MARGIN_M
    cell_m = max(CELL_M, math.sqrt(float(np.prod(high - low)) / MAX_CELLS))
    shape = np.ceil((high - low) / cell_m).astype(int)
    chart = Chart(
        (float(low[0]), float(low[1])), cell_m, np.zeros(shape, np.uint8),
        np.zeros(shape, np.float32),
    )  # fmt: skip
    for area, triangles in ground.items():
        _fill(triangles, *chart.low, cell_m, int(area), chart.kind, chart.height)
    _close_cracks(chart)
    for crossing in streets.crossings_of(drive, looks, town.lights):
        _add_crossing(chart, crossing)
    _smooth(chart)
    for x, y, half_length, half_width, yaw in town.static_boxes:
        _clear(chart, x, y, half_length + KEEP_OFF_M, half_width + KEEP_OFF_M, yaw)
    return chart


def _window(
    chart: Chart, corners: NDArray[np.float64]
) -> tuple[tuple[slice, slice], NDArray[np.float64], NDArray[np.float64]]:
    """Returns the squares around some corners, shape (k, 2): slices, and x and y of the centres."""
    low = np.array(chart.low)
    first = np.maximum(np.floor((corners.min(0) - low) / chart.cell_m).astype(int), 0)
    end = np.minimum(
        np.floor((corners.max(0) - low) / chart.cell_m).astype(int) + 1, chart.kind.shape
    )
    at = tuple(slice(a, max(a, b)) for a, b in zip(first, end, strict=True))
    x, y = (low[k] + (np.arange(at[k].start, at[k].stop) + 0.5) * chart.cell_m for k in (0, 1))
    return (at[0], at[1]), x[:, None], y[None]


def _inside(
    corners: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Returns which places lie within a convex outline, shape (k, 2), whichever way it runs."""
    following = np.roll(corners, -1, 0)
    sides = [
        (b[0] - a[0]) * (y - a[1]) - (b[1] - a[1]) * (x - a[0])
        for a, b in zip(corners, following, strict=True)
    ]
    least, most = np.minimum.reduce(sides), np.maximum.reduce(sides)
    found: NDArray[np.bool_] = (least >= -1e-7) | (most <= 1e-7)
    return found


@compiled(
    void(float64[:, :, ::1], float64, float64, float64, int64, uint8[:, ::1], float32[:, ::1])
)  # fmt: skip
def _fill(
    triangles: Any, low_x: float, low_y: float, cell_m: float, area: int, kind: Any, height: Any
) -> None:
    """Gives the squares whose centres lie in triangles, shape (n, 3, 3), their kind and height."""
    rows, columns = kind.shape
    for k in range(len(triangles)):
        a, b, c = triangles[k]
        ahead, aside = b - a, c - a
        slope_x = ahead[1] * aside[2] - ahead[2] * aside[1]
        slope_y = ahead[2] * aside[0] - ahead[0] * aside[2]
        up = ahead[0] * aside[1] - ahead[1] * aside[0]
        if abs(up) < 1e-9:
            continue
        first = max(math.floor((min(a[0], b[0], c[0]) - low_x) / cell_m), 0)
        last = min(math.floor((max(a[0], b[0], c[0]) - low_x) / cell_m) + 1, rows)
        left = max(math.floor((min(a[1], b[1], c[1]) - low_y) / cell_m), 0)
        right = min(math.floor((max(a[1], b[1], c[1]) - low_y) / cell_m) + 1, columns)
        for i in range(first, last):
            x = low_x + (i + 0.5) * cell_m
            for j in range(left, right):
                y = low_y + (j + 0.5) * cell_m
                p = (b[0] - a[0]) * (y - a[1]) - (b[1] - a[1]) * (x - a[0])
                q = (c[0] - b[0]) * (y - b[1]) - (c[1] - b[1]) * (x - b[0])
                r = (a[0] - c[0]) * (y - c[1]) - (a[1] - c[1]) * (x - c[0])
                if min(p, q, r) >= -1e-7 or max(p, q, r) <= 1e-7:
                    kind[i, j] = area
                    height[i, j] = a[2] - (slope_x * (x - a[0]) + slope_y * (y - a[1])) / up


def _close_cracks(chart: Chart) -> None:
    """Fills squares that lie between two walkable ones, as where two strips nearly meet."""
    for axis in (0, 1):
        kind, height = (np.moveaxis(values, axis, 0) for values in (chart.kind, chart.height))
        crack = (kind[1:-1] == 0) & (kind[:-2] > 0) & (kind[2:] > 0)
        kind[1:-1][crack] = np.minimum(kind[:-2], kind[2:])[crack]
        height[1:-1][crack] = ((height[:-2] + height[2:]) / 2.0)[crack]


def _add_crossing(chart: Chart, corners: NDArray[np.float64]) -> None:
    """Makes a crossing, shape (4, 3), and the road between its ends and the sidewalks, its own.

    Its first and second corner lie at one end of it.
    """
    a, b, c, d = corners[:, :2]
    along = ((d - a) + (c - b)) / 2.0
    reach = along / max(float(np.hypot(*along)), 1e-9) * REACH_M
    longer = np.array([a - reach, b - reach, c + reach, d + reach])
    at, x, y = _window(chart, longer)
    crossing = _inside(longer, x, y) & (chart.kind[at] == Area.ROAD)
    chart.kind[at][crossing] = Area.CROSSWALK


def _smooth(chart: Chart) -> None:
    """Gives each square the kind that most of its neighbours have, so that no specks are left."""
    padded = np.pad(chart.kind, 1)
    rows, columns = chart.kind.shape
    most = np.zeros(chart.kind.shape, np.uint8)
    chosen = chart.kind.copy()
    for area in Area:
        is_area = (padded == area).astype(np.uint8)
        count = 2 * (chart.kind == area).astype(np.uint8)
        for i in range(3):
            for j in range(3):
                count += is_area[i : i + rows, j : j + columns]
        chosen[count > most] = area
        np.maximum(most, count, out=most)
    chart.kind[:] = chosen


def _clear(
    chart: Chart, x: float, y: float, half_length: float, half_width: float, yaw: float
) -> None:
    """Bars the squares under a box."""
    cos, sin = math.cos(yaw), math.sin(yaw)
    corners = np.array([
        (x + u * cos - v * sin, y + u * sin + v * cos)
        for u, v in ((half_length, half_width), (half_length, -half_width),
                     (-half_length, -half_width), (-half_length, half_width))
    ])  # fmt: skip
    at, across, down = _window(chart, corners)
    chart.kind[at][_inside(corners, across, down)] = Area.NONE
