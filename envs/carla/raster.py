"""A town of CARLA drawn once from above: road surface and lane marks."""

from typing import Any

import numpy as np

from dreamdrive.envs.carla.client import carla, iso_pose
from dreamdrive.envs.ground import Grid, TownRaster
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
    grid = Grid(low=low, cell_m=cell_m)

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

    return grid.coloured(surface, marks)
