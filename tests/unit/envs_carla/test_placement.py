import numpy as np
import pytest

from dreamdrive.envs.carla.client import carla, iso_pose
from dreamdrive.envs.carla.placement import (
    CLEAR_AHEAD_M,
    CLEAR_AROUND_M,
    NEAR_ROUTE_M,
    SLOWER_PERCENT,
    Placement,
)
from dreamdrive.envs.carla.routes import random_route
from dreamdrive.envs.embedded.towns import load_town


class OfflineMap:
    """A `carla.Map` that also knows its spawn points, as one of a server does."""

    def __init__(self, name):
        town = load_town(name)
        self._map = carla.Map(name, town.xodr)
        self._spawns = [
            carla.Transform(carla.Location(x, y, z), carla.Rotation(0.0, yaw, 0.0))
            for x, y, z, yaw in town.spawn_points
        ]

    def get_spawn_points(self):
        return self._spawns

    def __getattr__(self, name):
        return getattr(self._map, name)


@pytest.fixture(scope="module")
def chart():
    return OfflineMap("Dream01")


def places(chart, seed, count=10):
    route = random_route(chart, seed)
    return route, Placement(chart, route, np.random.default_rng(seed)).places(count)


@pytest.mark.parametrize("seed", range(4))
def test_vehicles_stand_apart_and_clear_of_the_start(chart, seed):
    route, found = places(chart, seed)
    assert len(found) == 10
    xy = np.array([iso_pose(place.transform)[:2] for place in found])
    gaps = np.linalg.norm(xy[:, None] - xy[None], axis=2) + 1e9 * np.eye(len(xy))
    assert gaps.min() >= CLEAR_AROUND_M
    offset = xy - route.xy[0]
    assert np.linalg.norm(offset, axis=1).min() >= CLEAR_AROUND_M
    heading = np.array([np.cos(route.yaw[0]), np.sin(route.yaw[0])])
    ahead = offset @ heading
    side = np.abs(offset @ np.array([-heading[1], heading[0]]))
    assert not ((side < 3.0) & (ahead > 0.0) & (ahead < CLEAR_AHEAD_M)).any()
    nearest = np.linalg.norm(xy[:, None] - route.xy[None], axis=2).min(1)
    assert nearest.max() < NEAR_ROUTE_M + 10.0


def test_each_role_is_where_it_should_be(chart):
    roles = {}
    for seed in range(6):
        route, found = places(chart, seed)
        for place in found:
            x, y, yaw = iso_pose(place.transform)
            gap = np.hypot(route.xy[:, 0] - x, route.xy[:, 1] - y)
            along = float(np.cos(route.yaw[gap.argmin()] - yaw))
            roles.setdefault(place.role, []).append((gap.min(), along))
            low, high = SLOWER_PERCENT[place.role]
            assert low <= place.slower_percent <= high
            assert not place.path or place.role == "leader"
    assert set(roles) >= {"leader", "crossing", "oncoming"}
    assert all(gap < 1.0 and along > 0.9 for gap, along in roles["leader"])
    assert all(1.5 < gap < 8.0 and along < -0.8 for gap, along in roles["oncoming"])
    assert len(roles["leader"]) >= 15


def test_some_leaders_keep_to_the_route_and_some_do_not(chart):
    leaders = [p for seed in range(6) for p in places(chart, seed)[1] if p.role == "leader"]
    assert 0.2 < np.mean([bool(p.path) for p in leaders]) < 0.8


def test_a_seed_fixes_the_places(chart):
    def described(found):
        return [(*iso_pose(p.transform), p.role, p.slower_percent, len(p.path)) for p in found]

    first, again, other = (described(places(chart, seed)[1]) for seed in (5, 5, 6))
    assert first == again
    assert first != other


def test_a_small_count_is_the_start_of_a_larger(chart):
    few, many = places(chart, 3, 4)[1], places(chart, 3, 9)[1]
    assert [iso_pose(p.transform) for p in few] == [iso_pose(p.transform) for p in many[:4]]


def test_a_full_town_gives_what_it_has(chart):
    assert 30 < len(places(chart, 1, 400)[1]) < 400
