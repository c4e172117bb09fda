"""Where one can walk in a town: a chart of squares, each with its kind of ground and its height.

The squares are cut from the triangles that cameras see, so that walkers keep to what is drawn.
Of two roads above each other the chart knows the one that comes last in the map.
"""

import math
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from dreamdrive.envs.embedded.opendrive import boxes_of, parse_opendrive
from dreamdrive.envs.embedded.render import streets
from dreamdrive.envs.embedded.render.appearance import read_appearance
from dreamdrive.envs.embedded.render.mesh import MeshBuilder, Tag
from dreamdrive.envs.embedded.town_signals import LIGHT_KIND, signals_of

CELL_M = 0.25
MAX_CELLS = 24_000_000
"""Larger maps get larger squares."""
MARGIN_M = 2.0
KEEP_OFF_M = 0.3
"""How far walkers keep from what is solid, the radius of the client's agents."""
REACH_M = 2.0
"""How far crossings may be from the sidewalks that they join."""
EDGE = 1e-7
"""How far beyond its sides a triangle still holds squares, times the length of the side, in m²."""
TRIANGLES = 2048
"""How many triangles are cut into squares together."""


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


def chart_of(xodr: str) -> Chart:
    """Returns the chart of the town that an OpenDRIVE text describes.

    Raises:
        MapError: If the text is broken.
    """
    drive, looks = parse_opendrive(xodr), read_appearance(xodr)
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
        for first in range(0, len(triangles), TRIANGLES):
            _fill(chart, area, triangles[first : first + TRIANGLES])
    _close_cracks(chart)
    for crossing in streets.crossings_of(drive, looks, signals_of(drive, LIGHT_KIND)):
        _add_crossing(chart, crossing)
    _smooth(chart)
    for box in (box for road in drive.roads.values() for box in boxes_of(road)):
        half_length, half_width = box.half_length + KEEP_OFF_M, box.half_width + KEEP_OFF_M
        _clear(chart, box.x, -box.y, half_length, half_width, -box.heading)
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


def _fill(chart: Chart, area: Area, triangles: NDArray[np.float64]) -> None:
    """Gives the squares whose centres lie in triangles, shape (n, 3, 3), their kind and height.

    Where triangles overlap the last holds.
    """
    starts, sides = triangles, np.roll(triangles, -1, 1) - triangles
    ahead, aside = sides[:, 0], -sides[:, 2]
    slope_x = ahead[:, 1] * aside[:, 2] - ahead[:, 2] * aside[:, 1]
    slope_y = ahead[:, 2] * aside[:, 0] - ahead[:, 0] * aside[:, 2]
    up = ahead[:, 0] * aside[:, 1] - ahead[:, 1] * aside[:, 0]
    first = np.ceil((triangles[..., 0].min(1) - chart.low[0]) / chart.cell_m - 0.5).astype(int)
    last = np.floor((triangles[..., 0].max(1) - chart.low[0]) / chart.cell_m - 0.5).astype(int)
    k, row = _spread(first, np.where(np.abs(up) < 1e-9, first, last + 1))
    x = chart.low[0] + (row + 0.5) * chart.cell_m
    # A side lets those y pass that are on its inner side: those above or those below a bound.
    rise = sides[k, :, 1] * (x[:, None] - starts[k, :, 0])
    run = sides[k, :, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        bound = starts[k, :, 1] + (rise - np.sign(up[k])[:, None] * EDGE) / run
    is_lower, is_upper = (run * sign * up[k][:, None] > 0.0 for sign in (1, -1))
    least = np.where(is_lower, bound, -np.inf).max(1)
    most = np.where(is_upper, bound, np.inf).min(1)
    low, high = (
        np.clip((y - chart.low[1]) / chart.cell_m - 0.5, 0.0, chart.kind.shape[1] - 1.0)
        for y in (least, most)
    )
    pair, j = _spread(np.ceil(low).astype(int), np.floor(high).astype(int) + 1)
    k, i, x, y = k[pair], row[pair], x[pair], chart.low[1] + (j + 0.5) * chart.cell_m
    chart.kind[i, j] = area
    fall = slope_x[k] * (x - starts[k, 0, 0]) + slope_y[k] * (y - starts[k, 0, 1])
    chart.height[i, j] = starts[k, 0, 2] - fall / up[k]


def _spread(
    first: NDArray[np.int64], end: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns the numbers from each first to before its end, and beside them whose they are."""
    count = np.maximum(end - first, 0)
    owner = np.repeat(np.arange(len(count)), count)
    return owner, np.arange(len(owner)) + (first - np.cumsum(count) + count)[owner]


def _close_cracks(chart: Chart) -> None:
    """Fills squares that lie between two walkable ones, as where two strips nearly meet."""
    for axis in (0, 1):
        kind, height = (np.moveaxis(values, axis, 0) for values in (chart.kind, chart.height))
        i, j = np.nonzero((kind[1:-1] == 0) & (kind[:-2] > 0) & (kind[2:] > 0))
        kind[i + 1, j] = np.minimum(kind[i, j], kind[i + 2, j])
        height[i + 1, j] = (height[i, j] + height[i + 2, j]) / 2.0


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
