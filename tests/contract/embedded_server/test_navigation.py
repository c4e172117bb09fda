"""Walkers that CARLA's client leads over the embedded server's navigation mesh.

The client lets them wait at a kerb while the town's nearest light is green, be it near or far, and
remembers the lights of the first world of its process: no other module may lead walkers.
"""

import itertools
from collections import Counter

import numpy as np
import pytest

from dreamdrive.envs.embedded.navigation.areas import Area, chart_of
from dreamdrive.envs.embedded.opendrive import parse_opendrive
from dreamdrive.envs.embedded.render.appearance import read_appearance
from dreamdrive.envs.embedded.render.streets import crossings_of
from dreamdrive.envs.embedded.towns import load_town
from support.server import DT_S

carla = pytest.importorskip("carla")
FEET_M = 0.93


@pytest.fixture(scope="module")
def chart():
    return chart_of(load_town("Dream01").xodr)


@pytest.fixture(scope="module")
def crossings():
    """Both ends of each crossing, two metres onto the sidewalks."""
    town = load_town("Dream01")
    found = []
    for corners in crossings_of(
        parse_opendrive(town.xodr), read_appearance(town.xodr), town.lights
    ):
        near, far = corners[:2, :2].mean(0), corners[2:, :2].mean(0)
        out = (far - near) / np.linalg.norm(far - near) * 1.5
        found.append((near - out, far + out))
    return found


@pytest.fixture
def lights(world):
    """All lights of the town, which stay red."""
    found = list(world.get_actors().filter("traffic.traffic_light"))
    show(world, found, carla.TrafficLightState.Red)
    world.freeze_all_traffic_lights(True)
    world.tick()
    yield found
    world.freeze_all_traffic_lights(False)


def show(world, lights, state):
    for light in lights:
        light.set_state(state)
    world.tick()


@pytest.fixture
def led(world, lights):
    """Makes walkers that are led from places to targets, at most 1.4 m/s fast."""
    made = []

    def lead(pairs, speed_mps=1.4):
        library = world.get_blueprint_library()
        kinds = library.filter("walker.pedestrian.*")
        controller = library.find("controller.ai.walker")
        walkers = []
        for kind, (start, _) in zip(kinds, pairs, strict=False):
            blueprint = world.get_blueprint_library().find(kind.id)
            place = carla.Location(float(start[0]), float(start[1]), 1.05)
            walkers.append(world.spawn_actor(blueprint, carla.Transform(place)))
        world.tick()
        leaders = [world.spawn_actor(controller, carla.Transform(), walker) for walker in walkers]
        made.extend(leaders)
        world.tick()
        for leader, (_, target) in zip(leaders, pairs, strict=True):
            leader.start()
            leader.go_to_location(carla.Location(float(target[0]), float(target[1]), 0.12))
            leader.set_max_speed(speed_mps)
        return walkers, leaders

    yield lead
    for leader in made:
        leader.stop()
        leader.destroy()


def kind_at(chart, place):
    """Returns the kinds of ground within half a metre of a place."""
    i, j = ((np.array([place.x, place.y]) - chart.low) / chart.cell_m).astype(int)
    return set(chart.kind[i - 2 : i + 3, j - 2 : j + 3].ravel().tolist())


def test_random_places_lie_on_sidewalks_all_over_the_town(world, chart):
    places = [world.get_random_location_from_navigation() for _ in range(100)]
    assert all(Area.SIDEWALK in kind_at(chart, place) for place in places)
    assert all(place.z == pytest.approx(0.12, abs=1e-3) for place in places)
    spread = np.ptp([(place.x, place.y) for place in places], 0)
    assert (spread > 0.7 * np.array(chart.kind.shape) * chart.cell_m).all()


def test_a_seed_gives_the_same_places_again(world):
    drawn = []
    for seed in (5, 5, 6):
        world.set_pedestrians_seed(seed)
        place = world.get_random_location_from_navigation()
        drawn.append((place.x, place.y))
    assert drawn[0] == drawn[1] != drawn[2]


def test_led_walkers_cross_at_the_crossing_and_keep_apart(world, led, chart, crossings):
    a, b = crossings[0]
    world.set_pedestrians_cross_factor(0.0)
    side = np.array([a[1] - b[1], b[0] - a[0]]) / np.linalg.norm(b - a)
    walkers, _ = led([(a, b), (b, a), (a + side, b), (b - side, a)])
    targets = [b, a, b, a]
    arrived, ground, nearest = {}, Counter(), np.inf
    for frame in range(500):
        world.tick()
        places = [walker.get_location() for walker in walkers]
        for index, (place, target) in enumerate(zip(places, targets, strict=True)):
            if np.hypot(place.x - target[0], place.y - target[1]) < 2.1:
                arrived.setdefault(index, frame * DT_S)
            if index not in arrived:
                kinds = kind_at(chart, place)
                ground[Area.CROSSWALK in kinds, Area.SIDEWALK in kinds] += 1
        for one, other in itertools.combinations(places, 2):
            nearest = min(nearest, one.distance(other))
        if len(arrived) == len(walkers):
            break
    assert set(arrived) == {0, 1, 2, 3}
    # No vehicle is near, and the lights hold those that would come: nobody waits at the kerb.
    assert max(arrived.values()) < np.linalg.norm(b - a) / 1.4 + 4.0
    assert ground[True, False] > 50
    assert ground[False, False] == 0
    assert nearest > 0.4


def test_a_led_walker_waits_while_vehicles_have_green(world, led, lights, chart, crossings):
    show(world, lights, carla.TrafficLightState.Green)
    (walker,), _ = led([crossings[0]])
    for _ in range(90):
        world.tick()
        assert Area.SIDEWALK in kind_at(chart, walker.get_location())
    assert walker.get_velocity().length() == 0.0
    show(world, lights, carla.TrafficLightState.Red)
    for _ in range(60):
        world.tick()
    assert kind_at(chart, walker.get_location()) == {Area.CROSSWALK}


def test_a_led_walker_moves_as_it_is_told(world, led, crossings):
    (walker,), _ = led([crossings[0]], speed_mps=1.0)
    for _ in range(60):
        world.tick()
    before = walker.get_location()
    for _ in range(20):
        world.tick()
    after, velocity = walker.get_location(), walker.get_velocity()
    assert after.distance(before) == pytest.approx(1.0, abs=0.15)
    assert velocity.length() == pytest.approx(1.0, abs=0.1)
    assert after.z in (pytest.approx(FEET_M), pytest.approx(FEET_M + 0.12))


def opposite_sides(chart):
    """Returns two places on both sides of a street, no crossing within forty metres."""
    street = load_town("Dream01")
    for x, y, _, yaw_deg in street.spawn_points:
        right = np.array([-np.sin(np.radians(yaw_deg)), np.cos(np.radians(yaw_deg))])
        around = ((np.array([x, y]) - chart.low) / chart.cell_m).astype(int)
        window = chart.kind[tuple(slice(max(c - 160, 0), c + 160) for c in around)]
        if Area.CROSSWALK in window:
            continue
        ends = []
        for side in (1.0, -1.0):
            for away in np.arange(1.0, 14.0, 0.25):
                place = np.array([x, y]) + side * away * right
                if chart.kind[tuple(((place - chart.low) / chart.cell_m).astype(int))] == 1:
                    ends.append(place + side * 0.9 * right)
                    break
        if len(ends) == 2:
            return ends
    raise AssertionError("there is no such street")


@pytest.mark.parametrize("factor", [0.0, 1.0])
def test_the_cross_factor_says_who_walks_over_roads(world, led, chart, factor):
    world.set_pedestrians_cross_factor(factor)
    a, b = opposite_sides(chart)
    walkers, _ = led([(a, b), (b, a)])
    kinds = Counter()
    for _ in range(200):
        world.tick()
        for walker in walkers:
            kinds[Area.SIDEWALK in kind_at(chart, walker.get_location())] += 1
    world.set_pedestrians_cross_factor(0.0)
    assert kinds[True] > 0
    assert (kinds[False] > 40) == (factor == 1.0)


def test_a_stopped_leader_lets_go(world, led, crossings):
    (walker,), (leader,) = led([crossings[0]])
    for _ in range(20):
        world.tick()
    leader.stop()
    world.tick()
    before = walker.get_location()
    for _ in range(5):
        world.tick()
    assert walker.get_location().distance(before) < 0.3
    walker.apply_control(carla.WalkerControl(carla.Vector3D(1.0, 0.0, 0.0), 1.0, False))
