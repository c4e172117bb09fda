"""Sensor suites and plans of leaderboard agents."""

import dataclasses

import numpy as np
import pytest

from dreamdrive.envs.carla.client import carla
from dreamdrive.envs.carla.doors.agent_base import AutonomousAgent
from dreamdrive.envs.carla.doors.foreign_agent import checked_control
from dreamdrive.envs.carla.doors.plan import (
    Globe,
    RoadOption,
    on_lanes,
    option_names,
    plans,
    sparse,
)
from dreamdrive.envs.carla.doors.sensor_suite import check_suite
from dreamdrive.envs.carla.routes import random_route, route_from_waypoints
from dreamdrive.envs.carla.start import nudged
from dreamdrive.envs.embedded.towns import load_town
from dreamdrive.errors import ActionError, ConfigError

PLACE = {"x": 0.0, "y": 0.0, "z": 1.0, "roll": 0.0, "pitch": 0.0, "yaw": 0.0}
CAMERA = {"type": "sensor.camera.rgb", "id": "c", **PLACE, "width": 8, "height": 8, "fov": 90}


@pytest.fixture(scope="module")
def town():
    found = load_town("Dream01")
    return carla.Map(found.name, found.xodr)


@pytest.mark.parametrize(
    ("specs", "told"),
    [
        ([{**CAMERA, "type": "sensor.camera.depth"}], "no 'sensor.camera.depth'"),
        ([CAMERA, CAMERA], "missing or taken"),
        ([{**CAMERA, "id": None}], "missing or taken"),
        ([{k: v for k, v in CAMERA.items() if k != "fov"}], "a number as 'fov', not None"),
        ([{**CAMERA, "yaw": "left"}], "a number as 'yaw', not 'left'"),
        ([{**CAMERA, "x": 3.1}], "3.26 m from the ego's origin"),
        ([{**CAMERA, "id": str(i)} for i in range(9)], "more than 8"),
        ([{"type": "sensor.opendrive_map", "id": "m"}], "track MAP alone"),
    ],
)
def test_suites_that_the_leaderboard_would_refuse_are_refused(specs, told):
    with pytest.raises(ConfigError, match=told) as caught:
        check_suite(specs, may_have_map=False)
    assert caught.value.do


def test_suites_that_the_leaderboard_takes_are_taken():
    gnss = {"type": "sensor.other.gnss", "id": "g", "x": 0.0, "y": 0.0, "z": 0.0}
    check_suite([CAMERA, gnss, {"type": "sensor.opendrive_map", "id": "m"}], may_have_map=True)


def test_turns_are_told_on_their_junction_alone(town):
    route = random_route(town, 3, length_m=(400.0, 500.0))
    names = np.array(option_names(route))
    assert set(names[~route.in_junction]) == {"LANEFOLLOW"}
    assert set(names[route.in_junction]) <= {"LEFT", "RIGHT", "STRAIGHT"}
    turns = {"LEFT": 1, "RIGHT": -1}
    edges = np.flatnonzero(np.diff(route.in_junction.astype(int)))
    for first, last in zip(edges[::2], edges[1::2], strict=False):
        turned = (route.yaw[last] - route.yaw[first] + np.pi) % (2 * np.pi) - np.pi
        if names[first + 1] in turns:
            assert np.sign(turned) == turns[names[first + 1]]


def test_a_change_of_lanes_is_told_where_it_begins(town):
    route = random_route(town, 3, length_m=(100.0, 120.0))
    road, section, _ = route.lanes[0]
    lanes = tuple((road, section, -2 if i < 40 else -1) for i in range(len(route.lanes)))
    flat = dataclasses.replace(
        route, lanes=lanes, in_junction=np.zeros(len(lanes), bool), arc=np.arange(len(lanes)) * 1.0
    )
    names = option_names(flat)
    assert [i for i, name in enumerate(names) if name == "CHANGELANELEFT"] == list(range(30, 40))
    assert set(names) == {"LANEFOLLOW", "CHANGELANELEFT"}


def test_agents_know_the_route_as_sparsely_as_the_leaderboard_tells_it():
    def place(i):
        return carla.Transform(carla.Location(x=float(i)))

    follow, left = RoadOption.LANEFOLLOW, RoadOption.LEFT
    line = [(place(i), follow) for i in range(500)]
    # More than 200 m must have gone by, and the point that is kept is not counted.
    assert sparse(line) == [0, 202, 404, 499]
    turn = [(place(i), left if 10 <= i < 20 else follow) for i in range(30)]
    assert sparse(turn) == [0, 10, 20, 29]
    change = RoadOption.CHANGELANERIGHT
    lanes = [(place(i), change if i in (5, 6) else follow) for i in range(10)]
    assert sparse(lanes) == [0, 5, 6, 9]
    agent = AutonomousAgent("here", 2000)
    agent.set_global_plan([({"lat": i}, option) for i, (_, option) in enumerate(turn)], turn)
    assert [fix["lat"] for fix, _ in agent._global_plan] == [0, 10, 20, 29]
    assert [at.location.x for at, _ in agent._global_plan_world_coord] == [0, 10, 20, 29]


def test_a_plan_is_the_route_and_leads_back_to_it(town):
    route = random_route(town, 5, length_m=(300.0, 400.0))
    gps, world = plans(route, town)
    assert len(gps) == len(world) == len(route.xy)
    assert world[0][0].location.y == pytest.approx(-route.xy[0, 1])
    assert (gps[7][0]["z"], gps[7][1]) == (world[7][0].location.z, world[7][1])
    points = [point for point, _ in on_lanes(town, world)]
    back = route_from_waypoints(points, name="back", town=route.town)
    away = np.hypot(*(back.xy[:, None] - route.xy[None]).transpose(2, 0, 1)).min(1)
    assert away.max() < 0.2
    assert back.length_m == pytest.approx(route.length_m, abs=2.0)
    assert back.in_junction.sum() == pytest.approx(route.in_junction.sum(), abs=2)
    assert set(back.command) == set(route.command)


def test_fixes_are_told_as_the_leaderboard_tells_its_plan(town):
    globe = Globe(town)
    origin = globe.fix(carla.Location())
    north, east = globe.fix(carla.Location(y=-1000.0)), globe.fix(carla.Location(x=1000.0))
    degree_m = 6_378_137.0 * np.pi / 180
    # Mercator of the sphere, true to scale at the origin: a kilometre is one to 2 parts in 10,000.
    assert (north[0] - origin[0]) * degree_m == pytest.approx(1000.0, rel=2e-4)
    assert (east[1] - origin[1]) * degree_m * np.cos(np.radians(49.0)) == pytest.approx(1000.0)
    assert (north[1], east[0]) == pytest.approx((origin[1], origin[0]))
    for place in (carla.Location(x=140.5, y=-175.3, z=2.0), carla.Location(x=-80.0, y=33.0)):
        told = globe.refixed(town.transform_to_geolocation(place))
        assert told[:2] == pytest.approx(globe.fix(place)[:2], abs=2e-8)
        assert told[2] == pytest.approx(place.z, abs=1e-4)


def test_controls_are_checked():
    assert checked_control(carla.VehicleControl(throttle=0.5)).throttle == 0.5
    with pytest.raises(ActionError, match="returned a tuple"):
        checked_control((0.0, 1.0))
    with pytest.raises(ActionError, match="not finite"):
        checked_control(carla.VehicleControl(steer=float("inf")))


def test_a_scenarios_error_is_added_to_what_the_wheel_says():
    control = carla.VehicleControl(throttle=0.5, steer=0.1, hand_brake=True)
    assert nudged(control, 0.0, 0.0) is control
    pushed = nudged(control, 0.3, -0.7)
    assert (pushed.throttle, pushed.hand_brake) == (0.0, True)
    assert (pushed.steer, pushed.brake) == pytest.approx((-0.2, 0.2))
