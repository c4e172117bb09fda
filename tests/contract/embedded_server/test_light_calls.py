"""Every call about traffic lights."""

import math

import pytest

from support.server import DT_S, call, ticks

carla = pytest.importorskip("carla")
STATES = carla.TrafficLightState


@pytest.fixture
def lights(world):
    world.tick()
    found = list(world.get_actors().filter("traffic.traffic_light"))
    yield found
    world.freeze_all_traffic_lights(False)
    world.reset_all_traffic_lights()
    world.tick()


def other_group(lights):
    group = {light.id for light in lights[0].get_group_traffic_lights()}
    return group, next(light for light in lights if light.id not in group)


@pytest.mark.parametrize("state", [STATES.Red, STATES.Yellow, STATES.Green, STATES.Off])
def test_a_light_shows_what_it_is_told(world, lights, state):
    lights[0].freeze(True)
    lights[0].set_state(state)
    ticks(world, 5)
    assert lights[0].get_state() == lights[0].state == state


def test_times_are_kept_and_hold(world, lights):
    light = lights[0]
    light.set_green_time(4.0)
    light.set_yellow_time(2.5)
    light.set_red_time(3.0)
    world.tick()
    times = light.get_green_time(), light.get_yellow_time(), light.get_red_time()
    light.set_green_time(9.0)
    light.set_yellow_time(3.0)
    light.set_red_time(2.0)
    assert times == (4.0, 2.5, 3.0)


def test_elapsed_time_counts_up(world, lights):
    before = lights[0].get_elapsed_time()
    ticks(world, 4)
    assert lights[0].get_elapsed_time() - before == pytest.approx(4 * DT_S, abs=1e-4)


def test_freezing_a_light_freezes_all_since_the_client_asks_for_that(world, lights):
    lights[0].freeze(True)
    world.tick()
    assert all(light.is_frozen() for light in lights)


def test_a_frozen_light_halts_its_junction_and_no_other(server, world, lights):
    group, other = other_group(lights)
    assert call(server, "freeze_traffic_light", lights[0].id, True)[3] == [[False]]
    world.tick()
    assert {light.id for light in lights if light.is_frozen()} == group
    before = lights[0].get_elapsed_time(), other.get_elapsed_time()
    ticks(world, 4)
    assert lights[0].get_elapsed_time() == before[0]
    assert other.get_elapsed_time() > before[1]


@pytest.mark.parametrize("frozen", [True, False])
def test_all_lights_freeze_together(server, world, lights, frozen):
    call(server, "freeze_traffic_light", lights[0].id, not frozen)
    world.freeze_all_traffic_lights(frozen)
    world.tick()
    assert {light.is_frozen() for light in lights} == {frozen}


def test_a_group_starts_again(world, lights):
    world.reset_all_traffic_lights()
    world.tick()
    first = {light.id: light.get_state() for light in lights[0].get_group_traffic_lights()}
    assert STATES.Green in first.values()
    for light in lights[0].get_group_traffic_lights():
        light.set_state(STATES.Red)
    world.tick()
    lights[0].reset_group()
    world.tick()
    again = {light.id: light.get_state() for light in lights[0].get_group_traffic_lights()}
    assert again == first


def test_poles_are_numbered_within_their_group(world, lights):
    group = lights[0].get_group_traffic_lights()
    assert sorted(light.get_pole_index() for light in group) == list(range(len(group)))


def test_boxes_are_at_the_light(world, lights):
    for light in lights[:4]:
        (box,) = light.get_light_boxes()
        place = light.get_location()
        assert math.hypot(box.location.x - place.x, box.location.y - place.y) < 0.01
        assert box.location.z == pytest.approx(5.0)


def test_lights_are_found_from_the_map(world, lights):
    for light in lights[:4]:
        name = light.get_opendrive_id()
        assert world.get_traffic_light_from_opendrive_id(name).id == light.id
        assert light.trigger_volume.extent.x > 0.0
        waypoint = light.get_affected_lane_waypoints()[0]
        assert waypoint.lane_type == carla.LaneType.Driving
        stop = light.get_stop_waypoints()[0].previous(6.0)[0]
        assert light.id in {
            found.id for found in world.get_traffic_lights_from_waypoint(stop, 20.0)
        }
    for landmark in world.get_map().get_all_landmarks_of_type("206")[:2]:
        assert world.get_traffic_sign(landmark).type_id == "traffic.stop"
    landmarks = world.get_map().get_all_landmarks_of_type("1000001")
    assert world.get_traffic_light(landmarks[0]).type_id == "traffic.traffic_light"


@pytest.mark.parametrize(
    ("method", "value"),
    [
        ("set_traffic_light_state", 7), ("set_traffic_light_state", -1),
        ("set_traffic_light_state", "Red"), ("set_traffic_light_green_time", math.nan),
        ("set_traffic_light_yellow_time", -1.0), ("set_traffic_light_red_time", "long"),
        ("freeze_traffic_light", 1),
    ],
)  # fmt: skip
def test_nonsense_is_refused(server, lights, method, value):
    assert call(server, method, lights[0].id, value)[3][0][0] is True


def test_only_lights_are_lights(server, world):
    refused = call(server, "set_traffic_light_state", world.get_spectator().id, 0)[3]
    assert "no traffic light" in refused[0][1][0]
