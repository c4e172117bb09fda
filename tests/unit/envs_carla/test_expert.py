"""The expert on a plain kinematic car, with no server: steering, speed, lights and stops."""

import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest

from dreamdrive.envs.carla.drivers import make_driver
from dreamdrive.envs.carla.expert import Expert, ExpertConfig
from dreamdrive.envs.carla.routes import fixed_routes
from dreamdrive.envs.carla.scene import VEHICLE, EgoPose, Scene
from dreamdrive.envs.carla.town_map import GREEN, RED
from dreamdrive.envs.carla.tracker import RouteTracker

STEER_LIMIT = math.radians(70.0)
LIMIT_MPS = 8.3


class PlainWorld:
    """One kinematic car on a route, with what the expert needs to see."""

    def __init__(self, route, lights=(), signs=(), others=()):
        self.route = route
        self.tracker = RouteTracker(route)
        self.state = [*route.xy[0], float(route.yaw[0]), 0.0]
        self.others = np.array(others, np.float64).reshape(-1, 5)
        self.light_state = RED
        lines = np.array(lights, np.float64).reshape(-1, 5)
        self.town_map = SimpleNamespace(
            light_lines=SimpleNamespace(boxes=lines),
            sign_lines=np.array(signs, np.float64).reshape(-1, 5),
            lane_departure_m=lambda x, y: 0.0,
            light_states=lambda: np.full(len(lines), self.light_state, np.int8),
        )
        self.speed_limit_mps = LIMIT_MPS
        self.steer_limit_rad = STEER_LIMIT
        self.detours = ()
        self.priorities = ()
        self.look()

    def look(self, yaw_rate=0.0):
        x, y, yaw, speed = self.state
        ego = EgoPose(
            x=x, y=y, yaw_rad=yaw, speed_mps=speed, yaw_rate_radps=yaw_rate,
            half_length_m=2.45, half_width_m=0.92,
        )  # fmt: skip
        n = len(self.others)
        self.scene = Scene(
            frame=0, time_s=0.0, ego=ego, ids=np.arange(n),
            kinds=np.full(n, VEHICLE, np.int8), boxes=self.others, velocity=np.zeros((n, 2)),
            yaw_rate=np.zeros(n),
        )  # fmt: skip
        self.drive = SimpleNamespace(position=self.tracker.update(ego))

    def step(self, action, dt=0.1):
        x, y, yaw, speed = self.state
        steer, pedal = (float(v) for v in action)
        wheel = steer * STEER_LIMIT
        slip = math.atan(0.5 * math.tan(wheel))
        rate = speed * math.cos(slip) * math.tan(wheel) / 2.85
        x += speed * math.cos(yaw + slip) * dt
        y += speed * math.sin(yaw + slip) * dt
        pull = 4.5 * pedal if pedal > 0 else 8.0 * pedal - 0.6
        speed = max(0.0, speed + (pull - 0.15) * dt)
        self.state = [x, y, yaw + rate * dt, speed]
        self.look(rate)


def drive(world, decisions, expert=None):
    """Returns speed, lateral offset and progress of each decision."""
    expert = expert or Expert()
    rows = []
    for _ in range(decisions):
        action = expert.act(world)
        assert np.abs(action).max() <= 1.0
        world.step(action)
        position = world.drive.position
        rows.append((world.state[3], position.lateral_m, position.arc_m))
        if position.arc_m >= world.route.length_m - 2.0:
            break
    return np.array(rows).T


@pytest.fixture(scope="module")
def route(carla_map):
    routes = fixed_routes(carla_map, 4, 20)
    return next(r for r in routes if np.abs(r.curvature[:70]).max() < 0.03)


def line_at(route, arc):
    i = int(np.searchsorted(route.arc, arc)) - 1
    return [[*route.xy[i], route.yaw[i], 0.75, 1.75]]


@pytest.mark.parametrize("seed", range(6))
def test_it_finishes_empty_routes_in_its_lane(carla_map, seed):
    route = fixed_routes(carla_map, 100 + seed, 1)[0]
    speed, lateral, arc = drive(PlainWorld(route), 1500)
    assert arc[-1] >= route.length_m - 2.0
    assert np.abs(lateral).max() < 0.9
    assert speed.max() <= LIMIT_MPS
    assert speed.mean() > 4.0


def test_it_waits_at_a_red_light_and_goes_at_green(route):
    world = PlainWorld(route, lights=line_at(route, 50.0))
    speed, _, arc = drive(world, 250)
    assert speed[-1] == pytest.approx(0.0, abs=0.1)
    assert 46.0 < arc[-1] + 2.45 < 50.0
    world.light_state = GREEN
    _, _, arc = drive(world, 100)
    assert arc[-1] > 60.0


def test_it_stops_once_at_a_stop_sign(route):
    world = PlainWorld(route, signs=line_at(route, 50.0))
    speed, _, arc = drive(world, 350)
    near = (arc + 2.45 > 44.0) & (arc + 2.45 < 50.0)
    assert speed[near].min() < 0.1
    assert arc[-1] > 70.0


def test_it_ignores_a_red_light_if_told_so(route):
    world = PlainWorld(route, lights=line_at(route, 50.0))
    _, _, arc = drive(world, 150, Expert(ExpertConfig(obeys_lights=False)))
    assert arc[-1] > 60.0


def test_it_stops_behind_a_standing_vehicle(route):
    i = int(np.searchsorted(route.arc, 50.0))
    box = [*route.xy[i], route.yaw[i], 2.4, 1.0]
    speed, _, arc = drive(PlainWorld(route, others=box), 250)
    assert speed[-1] == pytest.approx(0.0, abs=0.1)
    assert 1.5 < 50.0 - 2.4 - (arc[-1] + 2.45) < 4.5
    world = PlainWorld(route, others=box)
    _, _, arc = drive(world, 150, Expert(ExpertConfig(sees_others=False)))
    assert arc[-1] > 55.0


def test_its_desired_speed_falls_before_a_red_light(route):
    world = PlainWorld(route, lights=line_at(route, 12.0))
    expert = Expert()
    assert expert.desired_speed_mps(world) < 7.0
    world.light_state = GREEN
    assert expert.desired_speed_mps(world) == pytest.approx(0.9 * LIMIT_MPS)


def test_it_drives_beside_the_middle_if_told_so(route):
    expert = Expert(ExpertConfig(lateral_offset_m=0.6))
    _, lateral, _ = drive(PlainWorld(route), 120, expert)
    assert lateral[-1] == pytest.approx(0.6, abs=0.2)


def test_the_heedless_driver_does_as_if_nobody_was_there(route):
    def drive_by(name, others):
        driver, world = make_driver(name), PlainWorld(route, others=others)
        driver.reset(np.random.default_rng(3))
        actions = []
        for _ in range(80):
            actions.append(driver.act(world))
            world.step(actions[-1])
        return np.array(actions)

    i = int(np.searchsorted(route.arc, 40.0))
    car = [*route.xy[i], route.yaw[i], 2.4, 1.0]
    assert np.array_equal(drive_by("heedless", car), drive_by("heedless", ()))
    assert not np.array_equal(drive_by("stop_and_go", car), drive_by("stop_and_go", ()))


def test_the_straying_driver_holds_its_controls_for_whiles(route):
    driver, world, expert = make_driver("straying"), PlainWorld(route), Expert()
    driver.reset(np.random.default_rng(1))
    held = []
    for _ in range(400):
        action = driver.act(world)
        assert action.dtype == np.float32
        wanted = expert.act(world)
        held.append(tuple(action) if not np.array_equal(action, wanted) else None)
        # It never gets anywhere, so that the expert always has a way on.
        world.step(wanted)
        if world.drive.position.arc_m > world.route.length_m - 20.0:
            world.state[:2] = route.xy[0]
    whiles = [len(list(same)) for value, same in itertools.groupby(held) if value is not None]
    assert len(whiles) >= 4
    assert min(whiles[:-1]) >= 5
    assert max(whiles) < 35
    assert 0.2 < sum(whiles) / 400 < 0.6
    assert {value[0] for value in held if value} != {0.0}
