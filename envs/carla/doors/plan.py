"""A route as the leaderboard tells it to agents: dense, in the world and as GPS fixes."""

import enum
import importlib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from dreamdrive.envs.carla.client import carla, to_carla_transform
from dreamdrive.envs.carla.routes import COMMANDS, LANE_CHANGE_AHEAD_M, Route

EARTH_RADIUS_M = 6_378_137.0
SAME_M, JOIN_M = 0.05, 0.5
SPARSE_M = 200.0
"""Distance after which the leaderboard 2.x tells an agent of another point."""


class RoadOption(enum.IntEnum):
    """What to do along a route; CARLA's names and numbers, for where its own are not installed."""

    VOID = -1
    LEFT = 1
    RIGHT = 2
    STRAIGHT = 3
    LANEFOLLOW = 4
    CHANGELANELEFT = 5
    CHANGELANERIGHT = 6


def road_options() -> Any:
    """Returns CARLA's enumeration where its `agents` can be imported, else the one above.

    Agents compare what they are told with the members that they import themselves.
    """
    try:
        return importlib.import_module("agents.navigation.local_planner").RoadOption
    except (ImportError, AttributeError):
        return RoadOption


def option_names(route: Route) -> list[str]:
    """Returns the name of the option at each point of a route.

    As CARLA's planner has it: a turn is told on its junction alone, and a change of lanes from
    where it begins.
    """
    turns = {"left": "LEFT", "right": "RIGHT", "straight": "STRAIGHT", "follow": "LANEFOLLOW"}
    names = [
        turns[COMMANDS[command]] if inside else "LANEFOLLOW"
        for command, inside in zip(route.command, route.in_junction, strict=True)
    ]
    for i in range(1, len(route.lanes)):
        before, after = route.lanes[i - 1], route.lanes[i]
        if before[:2] != after[:2] or before[2] == after[2] or route.in_junction[i]:
            continue
        name = "CHANGELANELEFT" if abs(after[2]) < abs(before[2]) else "CHANGELANERIGHT"
        begun = int(np.searchsorted(route.arc, route.arc[i] - LANE_CHANGE_AHEAD_M))
        names[begun:i] = [name] * (i - begun)
    return names


class Globe:
    """Where on Earth a town's places lie, as the leaderboard tells its agents.

    The leaderboard's plan, and CARLA until 0.9.15, project by Mercator with latitude to the north.
    CARLA 0.9.16 mirrors its fixes and scales them (carla-simulator/carla#9389), so that agents no
    longer find themselves on their plan. Here both are told as the plan is.

    Args:
        carla_map: The client's map.
    """

    def __init__(self, carla_map: Any) -> None:
        self._map = carla_map
        origin = carla_map.transform_to_geolocation(carla.Location())
        self._lat, self._lon = origin.latitude, origin.longitude

    def fix(self, place: Any) -> tuple[float, float, float]:
        """Returns latitude and longitude in degrees, and height, of a `carla.Location`."""
        scale = EARTH_RADIUS_M * math.cos(math.radians(self._lat))
        north = math.asinh(math.tan(math.radians(self._lat))) - place.y / scale
        lat = math.degrees(math.atan(math.sinh(north)))
        return lat, self._lon + math.degrees(place.x / scale), place.z

    def refixed(self, gnss: Any) -> tuple[float, float, float]:
        """Returns what a fix of CARLA 0.9.16 is told as, its noise included."""
        told = carla.GeoLocation(gnss.latitude, gnss.longitude, gnss.altitude)
        return self.fix(self._map.geolocation_to_transform(told))


def plans(route: Route, carla_map: Any) -> tuple[list[Any], list[Any]]:
    """Returns what `set_global_plan` takes: GPS fixes and poses, each with its option.

    Args:
        route: The route.
        carla_map: The client's map, which knows where on Earth the town lies.
    """
    options = road_options()
    world = [
        (to_carla_transform(x, y, yaw, z), options[name])
        for (x, y), yaw, z, name in zip(
            route.xy, route.yaw, route.z, option_names(route), strict=True
        )
    ]
    globe = Globe(carla_map)
    gps = [
        (dict(zip(("lat", "lon", "z"), globe.fix(place.location), strict=True)), option)
        for place, option in world
    ]
    return gps, world


def sparse(plan: Sequence[tuple[Any, Any]], spacing_m: float = SPARSE_M) -> list[int]:
    """Returns which points of a world plan the leaderboard keeps for its agents.

    The first and the last, every point of a change of lanes, where the option changes, and one
    whenever more than `spacing_m` have gone by.
    """
    kept: list[int] = []
    gone_m = 0.0
    for i, (place, option) in enumerate(plan):
        before = plan[i - 1][1] if i else None
        changes = option.name.startswith("CHANGELANE")
        turns = before is not None and before != option and not before.name.startswith("CHANGELANE")
        if i in (0, len(plan) - 1) or changes or turns or gone_m > spacing_m:
            kept.append(i)
            gone_m = 0.0
        else:
            gone_m += place.location.distance(plan[i - 1][0].location)
    return kept


def on_lanes(carla_map: Any, plan: Sequence[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """Returns the waypoint of each pose of a dense world plan, with what came with the pose.

    Lanes overlap inside junctions, where the nearest one may be another: there the one is taken
    that goes on from the point before. Poses that repeat the one before are left out.
    """
    found: list[tuple[Any, Any]] = []
    for place, option in plan:
        here = place.location

        def away(point: Any, here: Any = here) -> float:
            return float(point.transform.location.distance(here))

        point = None
        if found:
            step_m = away(found[-1][0])
            if step_m < SAME_M:
                continue
            ahead = found[-1][0].next(step_m) if step_m < LANE_CHANGE_AHEAD_M else []
            point = min((p for p in ahead if away(p) < JOIN_M), key=away, default=None)
        if point is None:
            point = carla_map.get_waypoint(here, lane_type=carla.LaneType.Driving)
        if point is not None:
            found.append((point, option))
    return found
