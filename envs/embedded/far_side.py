"""Where a traffic light is repeated, beyond the junction that it guards."""

import math

from dreamdrive.envs.embedded.curves import wrap
from dreamdrive.envs.embedded.opendrive import OpenDrive, Road
from dreamdrive.envs.embedded.town_signals import StopLine, TownSignal
from dreamdrive.envs.embedded.towns import CELL_M, LaneGrid, Town

STRAIGHT_RAD = 0.6
"""Ways out of a junction that turn by less go straight on."""
BESIDE_M, BEYOND_M = 1.0, 1.0
"""Distance of a post from the lanes, and from the end of the street that it stands in."""
SEARCH_M = (8.0, 60.0)
"""Between these distances from a stop line, land is looked for where no street goes straight on."""
NEAR_SIDE_M = 6.0
"""A light that stands less than this beyond its stop line cannot be seen from there."""
LAND_M = 8.0
"""Land without lanes is at least this wide; gaps between the lanes of a junction are not."""


def far_side(drive: OpenDrive, town: Town, signal: TownSignal) -> tuple[float, float] | None:
    """Returns a place for a second post, x and y, on the right of who goes straight on.

    Where nobody can, it is straight ahead on the land beyond; None where there is no such place.
    """
    for line in reversed(signal.lines):
        place = _beside_exit(drive, line)
        if place is not None:
            return place
    return _land_ahead(town, signal.lines[-1])


def second_post(drive: OpenDrive, town: Town, signal: TownSignal) -> tuple[float, float] | None:
    """Returns the place of a light's second post; None where its first is enough.

    Who waits does not see a light that stands beside their stop line.
    """
    yaw = math.radians(signal.yaw_deg)
    x, y = middle_of_lines(signal)
    if (signal.x - x) * math.cos(yaw) + (signal.y - y) * math.sin(yaw) >= NEAR_SIDE_M:
        return None
    return far_side(drive, town, signal)


def middle_of_lines(signal: TownSignal) -> tuple[float, float]:
    """Returns the middle of a light's stop lines, x and y."""
    x, y = (
        sum(values) / len(signal.lines)
        for values in zip(*((line.x, line.y) for line in signal.lines), strict=True)
    )
    return x, y


def _beside_exit(drive: OpenDrive, line: StopLine) -> tuple[float, float] | None:
    heading = -math.radians(line.yaw_deg)
    for road in drive.roads.values():
        if road.junction == -1 or road.predecessor is None or road.successor is None:
            continue
        before, after = road.predecessor, road.successor
        lanes = road.sections[0].lanes
        comes_from = {lane.predecessor for lane in lanes.values() if lane.id < 0}
        if before[:2] != ("road", line.road_id) or line.lane_id not in comes_from:
            continue
        turn = wrap(road.at(road.length).heading - heading)
        if abs(turn) < STRAIGHT_RAD and after[0] == "road" and after[1] in drive.roads:
            return _right_of(drive.roads[after[1]], after[2] == "end")
    return None


def _right_of(road: Road, is_reversed: bool) -> tuple[float, float]:
    """Returns the place on the right of a road that is entered at its start or its end."""
    s = road.length - BEYOND_M if is_reversed else BEYOND_M
    sign = 1 if is_reversed else -1
    lanes = [i for i, lane in road.section(s).lanes.items() if lane.kind == "driving"]
    outer = max((lane for lane in lanes if lane * sign > 0), key=abs, default=None)
    if outer is None:
        pose = road.at(s, sign * BESIDE_M)
    else:
        aside = road.lane_width(outer, s) / 2.0 + BESIDE_M
        pose = road.lane_pose(outer, s).left(-aside)
    return pose.x, -pose.y


def _land_ahead(town: Town, line: StopLine) -> tuple[float, float] | None:
    """Returns the first place ahead behind which there is no lane for a while."""
    yaw, off_road_m = math.radians(line.yaw_deg), 0.0
    for step in range(int((SEARCH_M[1] - SEARCH_M[0]) / CELL_M)):
        distance = SEARCH_M[0] + step * CELL_M
        x, y = line.x + distance * math.cos(yaw), line.y + distance * math.sin(yaw)
        off_road_m = off_road_m + CELL_M if _is_off_road(town.grid, x, y) else 0.0
        if off_road_m >= LAND_M:
            back = LAND_M - CELL_M - BESIDE_M
            return x - back * math.cos(yaw), y - back * math.sin(yaw)
    return None


def _is_off_road(grid: LaneGrid, x: float, y: float) -> bool:
    i, j = int((x - grid.origin[0]) // CELL_M), int((y - grid.origin[1]) // CELL_M)
    is_inside = 0 <= i < grid.nearest.shape[0] and 0 <= j < grid.nearest.shape[1]
    return not is_inside or bool(grid.nearest[i, j] < 0)
