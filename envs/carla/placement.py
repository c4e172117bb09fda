"""Where traffic starts: in front of the ego, towards it, and into the junctions that it crosses."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamdrive.envs.carla.client import carla, iso_pose
from dreamdrive.envs.carla.routes import SPACING_M, Route

NEAR_ROUTE_M = 80.0
CLEAR_AHEAD_M = 14.0
CLEAR_AROUND_M = 8.0
LEADER_ARC_M = (CLEAR_AHEAD_M + 4.0, 140.0)
ONCOMING_ARC_M = (30.0, 250.0)
CROSSING_BACK_M = (6.0, 70.0)
EGO_PACE_MPS = 7.0
"""Mean speed that the ego is reckoned with when vehicles are sent to meet it at a junction."""

ROLES = ("leader", "crossing", "leader", "oncoming", "near")
"""Roles in turn; one whose place is taken becomes `near`."""

SLOWER_PERCENT = {
    "leader": (10.0, 35.0),
    "crossing": (0.0, 30.0),
    "oncoming": (0.0, 40.0),
    "near": (0.0, 40.0),
}
"""By how much each role drives below the speed limit."""

STAYS_SHARE = 0.5
"""Share of leaders that keep to the ego's route for a while; the others turn off it anywhere."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a vehicle starts and how it drives.

    Attributes:
        transform: In CARLA's axes.
        role: One of `ROLES`.
        slower_percent: How far below the speed limit it drives.
        path: Places that it drives through, empty for chance at every junction.
    """

    transform: Any
    role: str
    slower_percent: float
    path: tuple[Any, ...] = ()


class Placement:
    """Chooses places for traffic around a route, none of them upon another.

    Args:
        carla_map: The map that the route is on.
        route: The route.
        rng: All chance comes from here.
    """

    def __init__(self, carla_map: Any, route: Route, rng: np.random.Generator) -> None:
        self._map, self._route, self._rng = carla_map, route, rng
        self._taken = [route.xy[0]]
        self._mouths = list(self._junction_mouths())
        self._near = self._near_candidates()

    def places(self, count: int) -> list[Place]:
        """Returns up to `count` places, fewer where there is no room."""
        found = []
        for i in range(count):
            role = ROLES[i % len(ROLES)]
            place = self._find(role) or self._find("near")
            if place is None:
                break
            found.append(place)
        return found

    def _find(self, role: str) -> Place | None:
        finders = {
            "leader": self._leader, "crossing": self._crossing, "oncoming": self._oncoming,
            "near": self._anywhere,
        }  # fmt: skip
        slower = float(self._rng.uniform(*SLOWER_PERCENT[role]))
        for _ in range(12):
            proposal = finders[role]()
            if proposal is None:
                continue
            transform, path = proposal
            x, y, _ = iso_pose(transform)
            if self._is_free(np.array([x, y])):
                self._taken.append(np.array([x, y]))
                return Place(transform=transform, role=role, slower_percent=slower, path=path)
        return None

    def _is_free(self, here: NDArray[np.float64]) -> bool:
        route = self._route
        dx, dy = here - route.xy[0]
        cos, sin = np.cos(route.yaw[0]), np.sin(route.yaw[0])
        is_ahead = -CLEAR_AROUND_M < dx * cos + dy * sin < CLEAR_AHEAD_M
        if is_ahead and abs(dy * cos - dx * sin) < 3.0:
            return False
        return min(float(np.hypot(*(here - other))) for other in self._taken) >= CLEAR_AROUND_M

    def _waypoint(self, arc_m: float) -> Any:
        """Returns the waypoint on the route at an arc length."""
        x, y = self._route.at(arc_m)
        return self._map.get_waypoint(carla.Location(x, -y, 0.0))

    def _leader(self) -> tuple[Any, tuple[Any, ...]] | None:
        route = self._route
        furthest = min(LEADER_ARC_M[1], 0.7 * route.length_m)
        arc = float(self._rng.uniform(LEADER_ARC_M[0], max(furthest, LEADER_ARC_M[0] + 1.0)))
        stays = self._rng.random() < STAYS_SHARE
        index = int(np.searchsorted(route.arc, arc))
        if index >= len(route.arc) or route.in_junction[index]:
            return None
        path: tuple[Any, ...] = ()
        if stays:
            end = index + round(float(self._rng.uniform(0.3, 1.0)) * (len(route.arc) - index))
            ahead = range(index + round(10.0 / SPACING_M), end, round(6.0 / SPACING_M))
            path = tuple(carla.Location(*_flipped(route, i)) for i in ahead)
        return self._waypoint(arc).transform, path

    def _oncoming(self) -> tuple[Any, tuple[Any, ...]] | None:
        route = self._route
        arc = float(self._rng.uniform(*ONCOMING_ARC_M))
        if arc > route.length_m:
            return None
        point = self._waypoint(arc)
        if point.is_junction:
            return None
        side: Any = point
        for _ in range(4):
            side = side.get_left_lane()
            if side is None or side.lane_type != carla.LaneType.Driving:
                return None
            if side.lane_id * point.lane_id < 0:
                return side.transform, ()
        return None

    def _junction_mouths(self) -> Iterator[tuple[float, Any]]:
        """Yields (arc of the junction, last waypoint of another lane into it) along the route."""
        route = self._route
        edges = np.diff(np.concatenate([[0], route.in_junction.astype(np.int8)]))
        roads = {lane[0] for lane in route.lanes}
        for first in np.flatnonzero(edges == 1):
            point = self._waypoint(float(route.arc[first]) + 1.0)
            if not point.is_junction:
                continue
            pairs = point.get_junction().get_waypoints(carla.LaneType.Driving)
            seen = set()
            for begin, _ in sorted(pairs, key=lambda pair: (pair[0].road_id, pair[0].lane_id)):
                for before in begin.previous(2.0):
                    key = (before.road_id, before.lane_id)
                    if before.is_junction or before.road_id in roads or key in seen:
                        continue
                    seen.add(key)
                    yield float(route.arc[first]), before

    def _crossing(self) -> tuple[Any, tuple[Any, ...]] | None:
        if not self._mouths:
            return None
        # Early junctions more often: whoever is sent to a late one has left before the ego comes.
        rank = int(len(self._mouths) * self._rng.random() ** 1.5)
        arc, mouth = self._mouths[rank]
        reach = arc * float(self._rng.uniform(0.6, 1.3))
        back = mouth.previous(float(np.clip(reach, *CROSSING_BACK_M)))
        if not back or back[0].is_junction:
            back = mouth.previous(float(self._rng.uniform(CROSSING_BACK_M[0], 30.0)))
        if not back or back[0].is_junction:
            return None
        return back[0].transform, ()

    def _near_candidates(self) -> list[Any]:
        """Returns spawn points near the route in random order, and lanes near it after them."""
        spawns = list(self._map.get_spawn_points())
        spawns = [spawns[i] for i in self._rng.permutation(len(spawns))]
        lanes = [p for p in self._map.generate_waypoints(15.0) if not p.is_junction]
        lanes.sort(key=lambda p: (p.road_id, p.section_id, p.lane_id, p.s))
        lanes = [lanes[i] for i in self._rng.permutation(len(lanes))]
        candidates = [*spawns, *(p.transform for p in lanes)]
        poses = np.array([iso_pose(t) for t in candidates]).reshape(-1, 3)
        gap = np.linalg.norm(poses[:, None, :2] - self._route.xy[None, ::8], axis=2).min(1)
        return [candidates[i] for i in np.flatnonzero(gap < NEAR_ROUTE_M)][::-1]

    def _anywhere(self) -> tuple[Any, tuple[Any, ...]] | None:
        while self._near:
            transform = self._near.pop()
            x, y, _ = iso_pose(transform)
            if self._is_free(np.array([x, y])):
                return transform, ()
        return None


def _flipped(route: Route, index: int) -> tuple[float, float, float]:
    """Returns a point of a route in CARLA's axes."""
    return float(route.xy[index, 0]), -float(route.xy[index, 1]), float(route.z[index])
