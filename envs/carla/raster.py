"""A town drawn once from above: road surface and lane marks in colour, smoothed for sampling."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamdrive.driving.palette import PALETTE
from dreamdrive.driving.state import METRES_PER_PIXEL
from dreamdrive.envs.carla.client import carla, iso_pose
from dreamdrive.errors import MapError

STEP_M = 0.5
STAMP_M = 0.2
MARGIN_M = 60.0
FINEST_M = 0.25
LARGEST_CELLS = 64_000_000
MARK_WIDTH_M = 0.5
DASH_M = 3.0

_MARK = carla.LaneMarkingType
_BROKEN = {_MARK.Broken, _MARK.BrokenBroken}
_NO_MARK = {getattr(_MARK, "NONE"), _MARK.Other, _MARK.Grass, _MARK.Curb}  # noqa: B009


@dataclass(frozen=True, kw_only=True, slots=True)
class TownRaster:
    """Colours of the ground of a town, in ISO world axes.

    Attributes:
        colour: RGB, shape (rows, columns, 3) uint8; rows go with y, columns with x.
        origin: World x and y of the centre of cell (0, 0), metres.
        cell_m: Size of a cell, metres.
    """

    colour: NDArray[np.uint8]
    origin: tuple[float, float]
    cell_m: float


def draw_town(carla_map: Any) -> TownRaster:
    """Returns the raster of a map, smoothed over one pixel of the bird's-eye view.

    Cells are 0.25 m, or coarser where a town is so large that they would not fit in memory.

    Raises:
        MapError: If the map has no driving lanes.
    """
    waypoints = carla_map.generate_waypoints(STEP_M)
    if not waypoints:
        raise MapError("The map has no driving lanes", where=carla_map.name)
    pose = np.array([iso_pose(point.transform) for point in waypoints])
    width = np.array([point.lane_width for point in waypoints])
    low = pose[:, :2].min(0) - MARGIN_M
    size = pose[:, :2].max(0) + MARGIN_M - low
    cell_m = max(FINEST_M, float(np.sqrt(size.prod() / LARGEST_CELLS)))
    columns, rows = (int(n) for n in np.ceil(size / cell_m))
    surface = np.zeros((rows, columns), bool)
    marks = np.zeros((rows, columns), bool)
    grid = _Grid(low=low, cell_m=cell_m)

    along = np.arange(-STEP_M / 2, STEP_M / 2 + STAMP_M, STAMP_M)
    across = np.linspace(-0.5, 0.5, int(np.ceil(width.max() / STAMP_M)) + 1)
    for forward in along:
        for part in across:
            grid.stamp(surface, pose, np.full(len(pose), forward), part * width)

    s = np.array([point.s for point in waypoints])
    is_junction = np.array([point.is_junction for point in waypoints])
    for side, name in ((0.5, "left_lane_marking"), (-0.5, "right_lane_marking")):
        kind = [getattr(point, name).type for point in waypoints]
        is_drawn = np.array([k not in _NO_MARK for k in kind]) & ~is_junction
        is_broken = np.array([k in _BROKEN for k in kind])
        chosen = is_drawn & (~is_broken | (s % (2 * DASH_M) < DASH_M))
        for forward in along:
            for edge in np.arange(-MARK_WIDTH_M / 2, MARK_WIDTH_M / 2 + 1e-9, STAMP_M):
                offset = side * width[chosen] + edge
                grid.stamp(marks, pose[chosen], np.full(chosen.sum(), forward), offset)

    colour = np.empty((rows, columns, 3), np.uint8)
    colour[:] = PALETTE["outside"]
    colour[surface] = PALETTE["road"]
    colour[marks & surface] = PALETTE["lane_mark"]
    return TownRaster(
        colour=_smoothed(colour, round(METRES_PER_PIXEL / cell_m)),
        origin=(float(low[0] + cell_m / 2), float(low[1] + cell_m / 2)),
        cell_m=cell_m,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Grid:
    low: NDArray[np.float64]
    cell_m: float

    def stamp(
        self,
        mask: NDArray[np.bool_],
        pose: NDArray[np.float64],
        forward: NDArray[np.float64],
        left: NDArray[np.float64],
    ) -> None:
        """Sets the cells at offsets (forward, left) metres from poses (N, 3)."""
        cos, sin = np.cos(pose[:, 2]), np.sin(pose[:, 2])
        x = pose[:, 0] + forward * cos - left * sin
        y = pose[:, 1] + forward * sin + left * cos
        columns = ((x - self.low[0]) / self.cell_m).astype(np.intp)
        rows = ((y - self.low[1]) / self.cell_m).astype(np.intp)
        mask[rows.clip(0, mask.shape[0] - 1), columns.clip(0, mask.shape[1] - 1)] = True


def _smoothed(colour: NDArray[np.uint8], cells: int) -> NDArray[np.uint8]:
    """Returns the moving average over `cells` cells in both directions."""
    if cells < 2:
        return colour
    before, after = cells // 2, cells - 1 - cells // 2
    out = np.empty_like(colour)
    for channel in range(3):
        layer = colour[..., channel].astype(np.uint16)
        for axis in (0, 1):
            pad = [(0, 0), (0, 0)]
            pad[axis] = (before, after)
            padded = np.pad(layer, pad, mode="edge")
            length = layer.shape[axis]
            parts = [np.take(padded, range(k, k + length), axis=axis) for k in range(cells)]
            layer = (np.stack(parts).sum(0, dtype=np.uint16) + cells // 2) // cells
        out[..., channel] = layer
    return out
