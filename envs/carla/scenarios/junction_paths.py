"""Ways through a junction that cross the ego's."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamdrive.envs.carla.client import carla, iso_pose, wrap_angle
from dreamdrive.envs.carla.scenarios.layout import Layout, Passage, path_of

TOUCH_M = 1.5
BEHIND_M = 5.0
BEYOND_M = 30.0


@dataclass(frozen=True, kw_only=True)
class CrossingPath:
    """A way of another vehicle through a junction of the route.

    Attributes:
        line: From its start on, ISO world axes, shape (n, 2).
        start: Pose (x, y, yaw) where it starts.
        conflict_m: Arc length on the line where it meets the route.
        ego_m: Arc length on the route where that is.
        turned_rad: Its heading there less the route's.
        comes_from: `left`, `right` or `opposite`, as the ego sees it.
    """

    line: NDArray[np.float64]
    start: tuple[float, float, float]
    conflict_m: float
    ego_m: float
    turned_rad: float
    comes_from: str


def crossing_paths(layout: Layout, passage: Passage, back_m: float) -> list[CrossingPath]:
    """Returns the ways through a junction that meet the route in it, or just behind it.

    Those from the opposite side are the straight ones alone.


    Args:
        layout: The route.
        passage: Its junction.
        back_m: How far before the junction they start, where the lane is long enough.
    """
    entry = layout.waypoint(max(0.0, passage.first_m - 2.0))
    inside = layout.waypoint((passage.first_m + passage.last_m) / 2)
    if not inside.is_junction:
        return []
    heading = iso_pose(entry.transform)[2]
    pairs = inside.get_junction().get_waypoints(carla.LaneType.Driving)
    found = []
    for begin, end in sorted(pairs, key=lambda p: (p[0].road_id, p[0].lane_id)):
        came = float(wrap_angle(iso_pose(begin.transform)[2] - heading))
        goes = float(wrap_angle(iso_pose(end.transform)[2] - iso_pose(begin.transform)[2]))
        is_straight = abs(goes) < 0.6
        if abs(came) < 0.6 or (abs(came) > 2.4 and not is_straight):
            continue
        path = _path(layout, passage, begin, end, back_m)
        if path is not None:
            side = "opposite" if abs(came) > 2.4 else "left" if came < 0.0 else "right"
            found.append(_met(layout, passage, path, side))
    return [path for path in found if path is not None]


def _path(
    layout: Layout, passage: Passage, begin: Any, end: Any, back_m: float
) -> list[Any] | None:
    """Returns waypoints 1 m apart on a lane to the junction, through it and on."""
    before: list[Any] = []
    point = begin
    while len(before) < back_m:
        earlier = point.previous(1.0)
        if not earlier or (earlier[0].is_junction and before):
            break
        point = earlier[0]
        before.insert(0, point)
    if len(before) < 8:
        return None
    through = [begin, *begin.next_until_lane_end(1.0)]
    after = [end]
    while len(after) < BEYOND_M:
        following = after[-1].next(1.0)
        if not following:
            break
        after.append(following[0])
    return [*before, *through, *after]


def _met(layout: Layout, passage: Passage, path: list[Any], side: str) -> CrossingPath | None:
    line = path_of(path)
    arcs = np.arange(passage.first_m - 1.0, passage.last_m + BEHIND_M, 0.5)
    route = np.array([layout.route.at(float(a)) for a in arcs])
    gap = np.linalg.norm(line[:, None] - route[None], axis=2)
    touching = np.flatnonzero(gap.min(1) < TOUCH_M)
    if not len(touching):
        return None
    own = int(touching[0])
    ego = int(gap[own].argmin())
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    step = line[min(own + 1, len(line) - 1)] - line[max(own - 1, 0)]
    turned = float(wrap_angle(np.arctan2(step[1], step[0]) - layout.pose(float(arcs[ego]))[2]))
    first = line[1] - line[0]
    return CrossingPath(
        line=line, start=(float(line[0, 0]), float(line[0, 1]), float(np.arctan2(*first[::-1]))),
        conflict_m=float(along[own]), ego_m=float(arcs[ego]), turned_rad=turned, comes_from=side,
    )  # fmt: skip
