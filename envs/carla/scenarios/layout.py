"""Where along a route something can happen: its stretches, junctions, and the lanes beside it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamdrive.driving.state import Command
from dreamdrive.envs.carla.client import carla, iso_pose, wrap_angle
from dreamdrive.envs.carla.routes import SPACING_M, TURN_RAD, Route
from dreamdrive.envs.carla.town_map import LIGHT_TYPE, STOP_SIGN_TYPE

LINE_BEFORE_M = 18.0
"""A signal of the lane this far before a junction belongs to it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Passage:
    """One junction on the route.

    Attributes:
        first_m: Arc length where the route enters it.
        last_m: Where the route leaves it.
        turn: What the route does there: `left`, `straight` or `right`.
        has_light: Whether a traffic light holds the route there.
        has_sign: Whether a stop sign does.
    """

    first_m: float
    last_m: float
    turn: Command
    has_light: bool
    has_sign: bool


class Layout:
    """A route as scenarios look at it.

    Args:
        carla_map: The map that the route lies on; of a server or offline.
        route: The route.
    """

    def __init__(self, carla_map: Any, route: Route) -> None:
        self.map, self.route = carla_map, route
        lights, signs = _held(carla_map, LIGHT_TYPE), _held(carla_map, STOP_SIGN_TYPE)
        self.passages = tuple(
            self._passage(int(first), int(end), lights, signs)
            for first, end in _runs(route.in_junction)
        )
        self.stretches = tuple(
            (float(route.arc[first]), float(route.arc[end - 1]))
            for first, end in _runs(~route.in_junction)
        )

    def _passage(
        self, first: int, end: int, lights: set[tuple[int, int]], signs: set[tuple[int, int]]
    ) -> Passage:
        route = self.route
        turned = float(np.sum(wrap_angle(np.diff(route.yaw[max(first - 1, 0) : end + 1]))))
        turn: Command = "straight"
        if abs(turned) > TURN_RAD:
            turn = "left" if turned > 0.0 else "right"
        begin, last = float(route.arc[first]), float(route.arc[end - 1])
        near = max(0, first - round(LINE_BEFORE_M / SPACING_M))
        lanes = {(road, lane) for road, _, lane in route.lanes[near:end]}
        return Passage(
            first_m=begin, last_m=last, turn=turn,
            has_light=bool(lanes & lights), has_sign=bool(lanes & signs),
        )  # fmt: skip

    def waypoint(self, arc_m: float) -> Any:
        """Returns the waypoint of the route at an arc length."""
        x, y = self.route.at(arc_m)
        z = float(np.interp(arc_m, self.route.arc, self.route.z))
        return self.map.get_waypoint(carla.Location(x, -y, z))

    def pose(self, arc_m: float) -> tuple[float, float, float]:
        """Returns the point of the route at an arc length and the direction of travel there."""
        x, y = self.route.at(arc_m)
        index = min(int(np.searchsorted(self.route.arc, arc_m)), len(self.route.arc) - 1)
        return x, y, float(self.route.yaw[index])

    def beside(self, arc_m: float, side: str) -> Any | None:
        """Returns the waypoint in the driving lane beside the route's, of the same direction.

        Args:
            arc_m: Where.
            side: `left` or `right`.
        """
        point = self.waypoint(arc_m)
        lane = point.get_left_lane() if side == "left" else point.get_right_lane()
        is_lane = lane is not None and lane.lane_type == carla.LaneType.Driving
        return lane if is_lane and lane.lane_id * point.lane_id > 0 else None

    def oncoming(self, arc_m: float) -> Any | None:
        """Returns the waypoint in the oncoming lane, where that is the next one to the left."""
        point = self.waypoint(arc_m)
        lane = point.get_left_lane()
        is_lane = lane is not None and lane.lane_type == carla.LaneType.Driving
        return lane if is_lane and lane.lane_id * point.lane_id < 0 else None

    def bend_rad(self, begin_m: float, end_m: float) -> float:
        """Returns how much the route turns between two places, all turns added up."""
        inside = (self.route.arc >= begin_m) & (self.route.arc <= end_m)
        yaw = self.route.yaw[inside]
        return float(np.abs(np.asarray(wrap_angle(np.diff(yaw)))).sum()) if len(yaw) > 1 else 0.0

    def along(self, length_m: float, *, step_m: float = 4.0) -> list[float]:
        """Returns where a stretch without a junction begins that is at least this long."""
        found = []
        for begin, end in self.stretches:
            found += list(np.arange(begin + 1.0, end - length_m, step_m))
        return [float(arc) for arc in found]


def _held(carla_map: Any, kind: str) -> set[tuple[int, int]]:
    """Returns road and lane of each lane that a signal of this type holds.

    Lanes that a signal names on one side of the road count whatever its orientation.
    """
    sides = {carla.LandmarkOrientation.Positive: -1, carla.LandmarkOrientation.Negative: 1}
    found = set()
    for mark in carla_map.get_all_landmarks_of_type(kind):
        for first, last in mark.get_lane_validities() or [(-50, 50)]:
            side = 0 if first * last > 0 else sides.get(mark.orientation, 0)
            lanes = range(min(first, last), max(first, last) + 1)
            found |= {(mark.road_id, lane) for lane in lanes if lane * side >= 0}
    return found


def _runs(mask: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Returns (first, end) of each run of true values, shape (n, 2)."""
    edges = np.diff(np.concatenate([[0], mask.astype(np.int8), [0]]))
    return np.flatnonzero(edges).reshape(-1, 2)


def path_of(waypoints: list[Any]) -> NDArray[np.float64]:
    """Returns waypoints as points in ISO world axes, shape (n, 2), without repetitions."""
    points = np.array([iso_pose(point.transform)[:2] for point in waypoints]).reshape(-1, 2)
    keep = np.concatenate([[True], np.linalg.norm(np.diff(points, axis=0), axis=1) > 0.1])
    return points[keep]
