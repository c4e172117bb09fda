import numpy as np
import pytest

from dreamdrive.envs.carla.client import carla, iso_pose
from dreamdrive.envs.carla.routes import (
    COMMANDS,
    connect,
    fixed_routes,
    random_route,
    route_from_waypoints,
)
from dreamdrive.errors import RouteError


def test_a_seed_gives_one_route(carla_map):
    first, again, other = (random_route(carla_map, seed) for seed in (7, 7, 8))
    np.testing.assert_array_equal(first.xy, again.xy)
    assert first.lanes == again.lanes
    assert first.lanes != other.lanes


def test_a_longer_list_of_routes_begins_with_a_shorter_one(carla_map):
    short, long = fixed_routes(carla_map, 3, 2), fixed_routes(carla_map, 3, 4)
    assert [r.name for r in short] == ["Dream01-3-000", "Dream01-3-001"]
    for a, b in zip(short, long[:2], strict=True):
        np.testing.assert_array_equal(a.xy, b.xy)


def test_routes_are_dense_lines_through_driving_lanes(carla_map):
    for route in fixed_routes(carla_map, 1, 8):
        steps = np.diff(route.arc)
        assert steps.min() > 0.05
        assert steps.max() < 1.5
        assert 150.0 <= route.length_m <= 480.0
        assert not route.in_junction[0]
        assert not route.in_junction[-1]
        for x, y in route.xy[::10]:
            place = carla.Location(x=x, y=-y)
            assert carla_map.get_waypoint(place).transform.location.distance_2d(place) < 0.6


def test_the_direction_of_travel_is_that_of_the_line(carla_map):
    route = random_route(carla_map, 5)
    chord = np.diff(route.xy, axis=0)
    error = np.angle(np.exp(1j * (np.arctan2(chord[:, 1], chord[:, 0]) - route.yaw[:-1])))
    assert np.abs(error).max() < 0.25


def test_a_left_turn_is_called_left(carla_map):
    seen = set()
    for route in fixed_routes(carla_map, 2, 12):
        edges = np.flatnonzero(np.diff(np.r_[0, route.in_junction.astype(int), 0])).reshape(-1, 2)
        for first, end in edges:
            turned = float(np.angle(np.exp(1j * (route.yaw[end] - route.yaw[first - 1]))))
            name = COMMANDS[route.command[end - 1]]
            seen.add(name)
            if name == "left":
                assert turned > 0.5
            elif name == "right":
                assert turned < -0.5
            else:
                assert name == "straight"
                assert abs(turned) < 0.7
    assert seen == {"left", "straight", "right"}


def test_the_command_begins_thirty_metres_before_the_junction(carla_map):
    route = next(r for r in fixed_routes(carla_map, 1, 20) if not r.command[0])
    first = int(np.flatnonzero(route.in_junction)[0])
    begin = int(np.flatnonzero(route.command)[0])
    assert route.arc[first] - route.arc[begin] == pytest.approx(30.0, abs=1.1)


def test_sparse_positions_become_the_same_lane(carla_map):
    route = random_route(carla_map, 11)
    sparse = [carla.Location(x=x, y=-y) for x, y in route.xy[::15]]
    dense = connect(carla_map, sparse, name="again")
    assert dense.length_m == pytest.approx(route.arc[::15][-1], abs=3.0)
    gap = np.linalg.norm(dense.xy[:, None] - route.xy[None], axis=2).min(1)
    assert gap.max() < 0.6


def test_a_position_off_the_road_is_refused(carla_map):
    far = [carla.Location(x=9000.0, y=9000.0), carla.Location(x=9010.0, y=9000.0)]
    with pytest.raises(RouteError, match="not on a driving lane"):
        connect(carla_map, far, name="nowhere")


def test_a_target_that_no_lane_leads_to_is_refused(carla_map):
    start = carla_map.generate_waypoints(20.0)[0].transform.location
    with pytest.raises(RouteError, match="Position 1 cannot be reached"):
        connect(carla_map, [start, carla.Location(x=9000.0, y=0.0)], name="lost")


def test_a_route_needs_two_points(carla_map):
    with pytest.raises(RouteError, match="at least 2"):
        route_from_waypoints(carla_map.generate_waypoints(50.0)[:1], name="short", town="Dream01")


def test_a_lane_change_is_filled_with_points(carla_map):
    for point in carla_map.generate_waypoints(5.0):
        side = point.get_left_lane()
        if side is None or side.lane_type != carla.LaneType.Driving:
            continue
        if side.lane_id * point.lane_id > 0 and side.next(12.0):
            break
    route = route_from_waypoints([point, side.next(12.0)[0]], name="change", town="Dream01")
    assert np.diff(route.arc).max() < 1.3
    assert iso_pose(point.transform)[0] == pytest.approx(route.xy[0, 0])
