"""What a town's map says, read once: the ground from above, stop lines of lights and of signs."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamdrive.envs.carla.bev import STOP_LINE_THICKNESS_M, BirdsEyeView, Boxes, no_boxes
from dreamdrive.envs.carla.client import carla, iso_pose
from dreamdrive.envs.carla.raster import draw_town

STOP_SIGN_TYPE, LIGHT_TYPE = "206", "1000001"
RED, GREEN = 0, 1
SAME_LINE_M = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class StopLines:
    """Stop lines across lanes, in ISO world axes.

    Attributes:
        boxes: x, y, yaw of travel, half thickness, half width; shape (n, 5).
        light: Index into the town's lights of each line, shape (n,).
    """

    boxes: Boxes
    light: NDArray[np.intp]


class TownMap:
    """A town as the environment sees it.

    Args:
        world: The `carla.World`, for its traffic lights; None for an offline map.
        carla_map: Its map.
    """

    def __init__(self, world: Any, carla_map: Any) -> None:
        self.map = carla_map
        self.view = BirdsEyeView(draw_town(carla_map))
        actors = world.get_actors().filter("traffic.traffic_light*") if world is not None else []
        self.lights: list[Any] = sorted(actors, key=lambda light: light.id)
        self.light_lines = _light_lines(self.lights)
        self.sign_lines = _sign_lines(carla_map)

    def light_states(self) -> NDArray[np.int8]:
        """Returns RED (yellow too) or GREEN for each stop line of a light, shape (n,).

        A light that is off or unknown counts as green.
        """
        stops = (carla.TrafficLightState.Red, carla.TrafficLightState.Yellow)
        states = [RED if light.state in stops else GREEN for light in self.lights]
        return np.array(states, np.int8)[self.light_lines.light]

    def red_only(self) -> NDArray[np.bool_]:
        """Returns which stop lines must not be crossed: red, not yellow; shape (n,)."""
        states = [light.state == carla.TrafficLightState.Red for light in self.lights]
        return np.array(states, bool)[self.light_lines.light]

    def lane_departure_m(self, x: float, y: float) -> float:
        """Returns how far a point is beyond the edge of the nearest driving lane; 0 inside."""
        point = self.map.get_waypoint(carla.Location(x=x, y=-y))
        if point is None:
            return float("inf")
        here = point.transform.location
        return max(0.0, float(np.hypot(here.x - x, here.y + y)) - point.lane_width / 2)

    def lane_at(self, x: float, y: float) -> tuple[int, int, float] | None:
        """Returns the driving lane nearest to a point in ISO world axes; None where there is none.

        Its numbers of road and lane are OpenDRIVE's; the third is the direction of its traffic at
        the nearest point of its centre line, ISO radians.
        """
        point = self.map.get_waypoint(carla.Location(x=x, y=-y))
        if point is None:
            return None
        return point.road_id, point.lane_id, iso_pose(point.transform)[2]

    def is_against_traffic(self, x: float, y: float, yaw_rad: float) -> bool:
        """Returns whether the lane below runs against this direction, junctions aside."""
        point = self.map.get_waypoint(carla.Location(x=x, y=-y))
        if point is None or point.is_junction:
            return False
        return bool(np.cos(iso_pose(point.transform)[2] - yaw_rad) < -0.5)


def _line(waypoint: Any) -> list[float]:
    x, y, yaw = iso_pose(waypoint.transform)
    return [x, y, yaw, STOP_LINE_THICKNESS_M / 2, waypoint.lane_width / 2]


def _light_lines(lights: list[Any]) -> StopLines:
    boxes: list[list[float]] = []
    owner: list[int] = []
    for index, light in enumerate(lights):
        lanes: set[tuple[int, int, int]] = set()
        for waypoint in light.get_stop_waypoints():
            lane = (waypoint.road_id, waypoint.section_id, waypoint.lane_id)
            if lane not in lanes:
                lanes.add(lane)
                boxes.append(_line(waypoint))
                owner.append(index)
    return StopLines(boxes=np.array(boxes) if boxes else no_boxes(), light=np.array(owner, np.intp))


def _sign_lines(carla_map: Any) -> Boxes:
    """Returns a line across each lane that a stop sign of the map is valid for.

    Which lanes those are, the client says, whether the map does or not. A sign's orientation says
    nothing more: the maps of CARLA turn it against the traffic that a sign holds, other maps with
    it. Where several lanes of a junction begin at one place, each with a reference to the sign,
    there is one line.
    """
    boxes: list[list[float]] = []
    for mark in carla_map.get_all_landmarks_of_type(STOP_SIGN_TYPE):
        for first, last in mark.get_lane_validities():
            for lane in range(min(first, last), max(first, last) + 1):
                waypoint = carla_map.get_waypoint_xodr(mark.road_id, lane, mark.s)
                if waypoint is not None and waypoint.lane_type == carla.LaneType.Driving:
                    line = _line(waypoint)
                    if not any(_is_same(line, other) for other in boxes):
                        boxes.append(line)
    return np.array(boxes) if boxes else no_boxes()


def _is_same(line: list[float], other: list[float]) -> bool:
    """Returns whether two lines are at one place, across one direction."""
    apart = math.hypot(line[0] - other[0], line[1] - other[1])
    return apart < SAME_LINE_M and math.cos(line[2] - other[2]) > 0.9
