"""Routes: a dense line through the lanes of a map, with what to do at each junction."""

import heapq
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamdrive.driving.state import Command
from dreamdrive.envs.carla.client import carla, iso_pose, wrap_angle
from dreamdrive.envs.carla.scenarios.specification import ScenarioSpec, WeatherPoint
from dreamdrive.errors import RouteError
from dreamdrive.seeding import numpy_generator

SPACING_M = 1.0
COMMAND_AHEAD_M = 30.0
TURN_RAD = math.radians(35.0)
JOIN_M = 1.6
LINE_MATCH_M = 1.5
DETOUR_M = 60.0
LANE_CHANGE_AHEAD_M = 10.0
LANE_CHANGE_COST_M = 15.0
FIXED_ROUTES_STRIDE = 100_003
"""Between the seeds of two lists of fixed routes."""

COMMANDS: tuple[Command, ...] = ("follow", "left", "straight", "right")

LaneId = tuple[int, int, int]
"""Road, section and lane numbers of OpenDRIVE."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """A dense polyline through lane centres, in ISO world axes (x, y left, radians).

    Attributes:
        name: What the route is called in logs and route files.
        town: The map it lies on, without its folder.
        xy: Points about 1 m apart, shape (N, 2), metres.
        z: Height of each point, shape (N,), metres.
        yaw: Direction of travel, shape (N,), radians.
        arc: Length from the start, shape (N,), metres.
        lane_width: Shape (N,), metres.
        in_junction: Shape (N,), bool.
        command: Index into `COMMANDS` of the next junction within 30 m, shape (N,).
        lanes: The lane of each point.
        curvature: Change of yaw per metre, shape (N,), 1/m, positive to the left.
        scenarios: What happens on the way, by where it is triggered.
        weather: The weather along the way; empty for that of the episode's seed.
    """

    name: str
    town: str
    xy: NDArray[np.float64]
    z: NDArray[np.float64]
    yaw: NDArray[np.float64]
    arc: NDArray[np.float64]
    lane_width: NDArray[np.float64]
    in_junction: NDArray[np.bool_]
    command: NDArray[np.int8]
    lanes: tuple[LaneId, ...]
    curvature: NDArray[np.float64]
    scenarios: tuple[ScenarioSpec, ...] = ()
    weather: tuple[WeatherPoint, ...] = ()

    @property
    def length_m(self) -> float:
        """The length of the whole route."""
        return float(self.arc[-1])

    def at(self, arc_m: float) -> tuple[float, float]:
        """Returns the point at an arc length, interpolated; clamped to the ends."""
        return (
            float(np.interp(arc_m, self.arc, self.xy[:, 0])),
            float(np.interp(arc_m, self.arc, self.xy[:, 1])),
        )


def route_from_waypoints(waypoints: Sequence[Any], *, name: str, town: str) -> Route:
    """Returns a route through `carla.Waypoint`s that are about 1 m apart.

    Raises:
        RouteError: If there are fewer than two points.
    """
    if len(waypoints) < 2:
        raise RouteError(
            f"The route has {len(waypoints)} points on its lanes, and needs at least 2", where=name
        )
    poses = np.array([iso_pose(point.transform) for point in waypoints])
    steps = np.linalg.norm(np.diff(poses[:, :2], axis=0), axis=1)
    keep = np.concatenate([[True], steps > 0.05])
    kept = [point for point, is_kept in zip(waypoints, keep, strict=True) if is_kept]
    source, fraction = _densified(poses[keep, :2])
    following = np.minimum(source + 1, len(kept) - 1)

    def between(values: Any) -> NDArray[np.float64]:
        array = np.asarray(values, np.float64)
        return np.asarray(array[source] + fraction * (array[following] - array[source]))

    x, y = between(poses[keep, 0]), between(poses[keep, 1])
    yaw_steps = np.unwrap(poses[keep, 2])
    chord = np.unwrap(np.arctan2(np.gradient(y), np.gradient(x)))
    is_jump = np.linalg.norm(np.diff(poses[keep, :2], axis=0), axis=1) > 1.5 * SPACING_M
    yaw = np.where(np.append(is_jump, False)[source], chord, between(yaw_steps))
    yaw = np.asarray(wrap_angle(yaw))
    xy = np.stack([x, y], axis=1)
    steps = np.linalg.norm(np.diff(xy, axis=0), axis=1)
    arc = np.concatenate([[0.0], np.cumsum(steps)])
    in_junction = np.array([point.is_junction for point in kept])[source]
    turn = np.asarray(wrap_angle(np.diff(yaw)))
    curvature = np.concatenate([turn / np.maximum(steps, 0.1), [0.0]])
    return Route(
        name=name,
        town=town,
        xy=xy,
        z=between([point.transform.location.z for point in kept]),
        yaw=yaw,
        arc=arc,
        lane_width=between([point.lane_width for point in kept]),
        in_junction=in_junction,
        command=_commands(arc, yaw, in_junction),
        lanes=tuple((kept[i].road_id, kept[i].section_id, kept[i].lane_id) for i in source),
        curvature=curvature,
    )


def _densified(xy: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Returns, for a line without gaps, the index of the point before each and the fraction on."""
    steps = np.linalg.norm(np.diff(xy, axis=0), axis=1)
    parts = np.maximum(np.round(steps / SPACING_M).astype(np.intp), 1)
    source = np.repeat(np.arange(len(parts)), parts)
    first = np.repeat(np.cumsum(parts) - parts, parts)
    fraction = (np.arange(len(source)) - first) / parts[source]
    return np.append(source, len(xy) - 1), np.append(fraction, 0.0)


def _commands(
    arc: NDArray[np.float64], yaw: NDArray[np.float64], in_junction: NDArray[np.bool_]
) -> NDArray[np.int8]:
    command = np.zeros(len(arc), np.int8)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], in_junction.astype(np.int8), [0]])))
    for first, end in edges.reshape(-1, 2)[::-1]:
        turned = float(np.sum(wrap_angle(np.diff(yaw[max(first - 1, 0) : end + 1]))))
        kind: Command = "straight"
        if abs(turned) > TURN_RAD:
            kind = "left" if turned > 0.0 else "right"
        ahead = (arc >= arc[first] - COMMAND_AHEAD_M) & (arc <= arc[end - 1])
        command[ahead] = COMMANDS.index(kind)
    return command


def arcs_of_lines(route: Route, lines: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns where on the route each stop line is, NaN for lines of other lanes; shape (n,)."""
    arcs = np.full(len(lines), np.nan)
    for i, (x, y, yaw) in enumerate(lines[:, :3]):
        gap = np.hypot(route.xy[:, 0] - x, route.xy[:, 1] - y)
        gap[np.cos(route.yaw - yaw) < 0.7] = np.inf
        nearest = int(gap.argmin())
        if gap[nearest] < LINE_MATCH_M:
            along = (x - route.xy[nearest, 0]) * np.cos(yaw) + (y - route.xy[nearest, 1]) * np.sin(
                yaw
            )
            arcs[i] = route.arc[nearest] + along
    return arcs


def random_route(
    carla_map: Any, seed: int, *, length_m: tuple[float, float] = (150.0, 400.0), name: str = ""
) -> Route:
    """Returns a route from a random spawn point with random choices at junctions.

    Args:
        carla_map: A `carla.Map`, of a server or offline.
        seed: The same seed gives the same route on the same map.
        length_m: Bounds from which the wanted length is drawn.
        name: Name of the route; the town and seed by default.

    Raises:
        RouteError: If no lane of the map is long enough.
    """
    town = town_name(carla_map)
    rng = numpy_generator(seed, "route", town)
    starts = start_waypoints(carla_map)
    if not starts:
        raise RouteError("The map has no driving lane to start a route on", where=town)
    best: list[Any] = []
    for _ in range(50):
        wanted = rng.uniform(*length_m)
        points = _wander(starts[rng.integers(len(starts))], wanted, rng)
        if len(points) > len(best):
            best = points
        if (len(points) - 1) * SPACING_M >= wanted:
            break
    if (len(best) - 1) * SPACING_M < length_m[0]:
        raise RouteError(
            f"No route of at least {length_m[0]:g} m was found", where=town,
            do="Ask for a shorter route.",
        )  # fmt: skip
    return route_from_waypoints(best, name=name or f"{town}-{seed}", town=town)


def fixed_routes(
    carla_map: Any, seed: int, count: int, *, length_m: tuple[float, float] = (150.0, 400.0)
) -> list[Route]:
    """Returns the routes number 0 to `count` - 1 of a seed; a longer list begins with a shorter."""
    town = town_name(carla_map)
    return [
        random_route(
            carla_map,
            seed * FIXED_ROUTES_STRIDE + i,
            length_m=length_m,
            name=f"{town}-{seed}-{i:03d}",
        )
        for i in range(count)
    ]


def town_name(carla_map: Any) -> str:
    """Returns the map's name without its folder."""
    return str(carla_map.name).rsplit("/", 1)[-1]


def start_waypoints(carla_map: Any) -> list[Any]:
    """Returns where a vehicle can start: on the lane at each spawn point, outside junctions.

    An offline map has no spawn points: then every lane gives one each 20 m.
    """
    spawns = carla_map.get_spawn_points()
    if spawns:
        points = [carla_map.get_waypoint(spawn.location) for spawn in spawns]
    else:
        points = carla_map.generate_waypoints(20.0)
    return [p for p in points if not p.is_junction and p.lane_type == carla.LaneType.Driving]


def _wander(start: Any, wanted_m: float, rng: np.random.Generator) -> list[Any]:
    """Returns waypoints 1 m apart until the length is reached and the last junction is left."""
    points, seen = [start], set()
    beyond = 0
    while len(points) - 1 < wanted_m or beyond < 8:
        choices = points[-1].next(SPACING_M)
        if not choices:
            break
        choices.sort(key=lambda p: (p.road_id, p.section_id, p.lane_id, p.s))
        point = choices[rng.integers(len(choices))] if len(choices) > 1 else choices[0]
        lane = (point.road_id, point.lane_id)
        last = (points[-1].road_id, points[-1].lane_id)
        if lane != last and lane in seen:
            break
        seen.add(lane)
        beyond = 0 if point.is_junction else beyond + 1
        points.append(point)
    while points and points[-1].is_junction:
        points.pop()
    return points


def connect(carla_map: Any, positions: Sequence[Any], *, name: str) -> Route:
    """Returns the route along lanes through sparse positions, as a route file holds them.

    Args:
        carla_map: The map that the positions lie on.
        positions: `carla.Location`s in order of travel.
        name: Name of the route.

    Raises:
        RouteError: If a position is off the road, or cannot be reached from the one before it.
    """
    if len(positions) < 2:
        raise RouteError(f"The route has {len(positions)} positions, and needs 2", where=name)
    start = _start_of(carla_map, positions[0], name)
    points, reached = _search(start, positions)
    if points is None:
        target = positions[reached]
        raise RouteError(
            f"Position {reached} cannot be reached along lanes from the one before it",
            where=f"{name}, {target.x:.1f}, {target.y:.1f}",
            do="Check that the route was made for this town.",
        )
    return route_from_waypoints(points, name=name, town=town_name(carla_map))


def _start_of(carla_map: Any, first: Any, name: str) -> Any:
    point = carla_map.get_waypoint(first, project_to_road=True)
    if point is None or point.transform.location.distance(first) > 5.0:
        raise RouteError(
            "The first position is not on a driving lane",
            where=f"{name}, {first.x:.1f}, {first.y:.1f}",
        )
    return point


def _search(start: Any, positions: Sequence[Any]) -> tuple[list[Any] | None, int]:
    """Returns waypoints through all positions, or None, and the last position looked for.

    One A* search over (waypoint, next position), so that a position where lanes overlap, as at the
    mouth of a junction, does not decide on a lane too early.
    """
    gaps = [a.distance_2d(b) for a, b in itertools.pairwise(positions)]
    rest_m = [sum(gaps[k:]) for k in range(len(gaps) + 1)]
    tie = itertools.count()
    heap: list[tuple[float, int, float, int, Any, Any]] = [(0.0, next(tie), 0.0, 1, start, None)]
    seen: set[tuple[int, int, int, int, int]] = set()
    furthest = 1
    best_cost = {1: 0.0}
    while heap:
        _, _, cost, target, point, chain = heapq.heappop(heap)
        key = (point.road_id, point.section_id, point.lane_id, round(point.s), target)
        if key in seen or cost > best_cost[target] + 4.0 * gaps[target - 1] + DETOUR_M:
            continue
        seen.add(key)
        here = point.transform.location
        if here.distance_2d(positions[target]) <= JOIN_M:
            if target == len(positions) - 1:
                return _unchained((point, chain)), target
            best_cost.setdefault(target + 1, cost)
            furthest = max(furthest, target + 1)
            estimate = cost + here.distance_2d(positions[target + 1]) + rest_m[target + 1]
            heapq.heappush(heap, (estimate, next(tie), cost, target + 1, point, chain))
        steps = [(SPACING_M, after) for after in point.next(SPACING_M)]
        steps += [(LANE_CHANGE_COST_M, after) for after in _lane_changes(point)]
        for step_m, after in steps:
            away_m = after.transform.location.distance_2d(positions[target])
            estimate = cost + step_m + away_m + rest_m[target]
            heapq.heappush(
                heap, (estimate, next(tie), cost + step_m, target, after, (point, chain))
            )
    return None, furthest


def _lane_changes(point: Any) -> list[Any]:
    """Returns points further on, in the neighbouring lanes of the same direction."""
    after = []
    for side in (point.get_left_lane(), point.get_right_lane()):
        is_lane = side is not None and side.lane_type == carla.LaneType.Driving
        if is_lane and side.lane_id * point.lane_id > 0 and not point.is_junction:
            after += side.next(LANE_CHANGE_AHEAD_M)[:1]
    return after


def _unchained(link: Any) -> list[Any]:
    points: list[Any] = []
    while link is not None:
        points.append(link[0])
        link = link[1]
    return points[::-1]
