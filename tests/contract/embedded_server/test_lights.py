"""Traffic lights of the embedded server: states, groups, stop lines, phases."""

import pytest

from dreamdrive.envs.embedded.towns import load_town
from support.server import DT_S, spawn, ticks

carla = pytest.importorskip("carla")


def test_lights_can_be_read_set_and_frozen(world):
    world.tick()
    light = world.get_actors().filter("traffic.traffic_light")[0]
    for state in (carla.TrafficLightState.Green, carla.TrafficLightState.Red):
        light.set_state(state)
        light.freeze(True)
        ticks(world, 30)
        assert light.get_state() == state
        assert light.is_frozen()
    light.freeze(False)
    world.tick()
    assert not light.is_frozen()


def test_lights_know_their_junction_and_their_lanes(world):
    world.tick()
    lights = world.get_actors().filter("traffic.traffic_light")
    assert len(lights) == len(load_town("Dream01").lights)
    for light in lights:
        group = {other.id for other in light.get_group_traffic_lights()}
        assert light.id in group
        assert len(group) >= 3
        assert light.get_stop_waypoints()


def test_lights_change_by_themselves(world):
    world.tick()
    light = world.get_actors().filter("traffic.traffic_light")[0]
    seen = set()
    for _ in range(round(45.0 / DT_S)):
        world.tick()
        seen.add(light.get_state())
    names = carla.TrafficLightState
    assert seen == {names.Red, names.Yellow, names.Green}


def test_a_vehicle_at_a_light_knows_it(world):
    world.tick()
    light = world.get_actors().filter("traffic.traffic_light")[0]
    car = spawn(world)
    place = light.get_stop_waypoints()[0].previous(4.0)[0].transform
    car.set_transform(place)
    light.set_state(carla.TrafficLightState.Red)
    world.tick()
    assert car.is_at_traffic_light()
    assert car.get_traffic_light().id == light.id
    assert car.get_traffic_light_state() == carla.TrafficLightState.Red
