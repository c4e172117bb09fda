"""Weather, buildings, boxes, lamps and what else stands around on the embedded server."""

import pytest

from dreamdrive.envs.embedded.towns import load_town
from support.marked_road import ROAD
from support.server import call, spawn, ticks

carla = pytest.importorskip("carla")
WEATHER = (
    "cloudiness", "precipitation", "precipitation_deposits", "wind_intensity", "sun_azimuth_angle",
    "sun_altitude_angle", "fog_density", "fog_distance", "fog_falloff", "wetness",
    "scattering_intensity", "mie_scattering_scale", "rayleigh_scattering_scale", "dust_storm",
)  # fmt: skip
PRESETS = (
    "Default", "ClearNoon", "CloudyNoon", "WetNoon", "WetCloudyNoon", "SoftRainNoon",
    "MidRainyNoon", "HardRainNoon", "ClearSunset", "CloudySunset", "WetSunset", "WetCloudySunset",
    "SoftRainSunset", "MidRainSunset", "HardRainSunset", "ClearNight", "CloudyNight", "WetNight",
    "WetCloudyNight", "SoftRainNight", "MidRainyNight", "HardRainNight", "DustStorm",
)  # fmt: skip
LABELS = carla.CityObjectLabel


@pytest.mark.parametrize("name", WEATHER)
def test_each_parameter_of_the_weather_is_kept(world, name):
    weather = world.get_weather()
    setattr(weather, name, 3.25)
    world.set_weather(weather)
    assert getattr(world.get_weather(), name) == pytest.approx(3.25)
    assert world.get_weather() == weather


@pytest.mark.parametrize("name", PRESETS)
def test_presets_of_the_weather_are_kept(world, name):
    world.set_weather(getattr(carla.WeatherParameters, name))
    assert world.get_weather() == getattr(carla.WeatherParameters, name)


@pytest.mark.parametrize("weather", [[], [1.0] * 13, [float("nan")] * 14, ["wet"] * 14, 3])
def test_broken_weather_is_refused_and_the_old_stays(server, world, weather):
    before = world.get_weather()
    assert call(server, "set_weather_parameters", weather)[3][0][0] is True
    assert world.get_weather() == before


def test_buildings_are_environment_objects(world):
    boxes = load_town("Dream01").static_boxes
    found = world.get_environment_objects()
    assert len(found) == len(boxes)
    assert len({made.id for made in found}) == len(found)
    first = found[0]
    assert first.name == "Building_0"
    assert first.type == LABELS.Buildings
    assert first.transform.location.x == pytest.approx(boxes[0, 0], abs=1e-3)
    assert first.bounding_box.extent.y == pytest.approx(boxes[0, 3], abs=1e-3)
    assert len(world.get_environment_objects(LABELS.Buildings)) == len(found)
    assert world.get_environment_objects(LABELS.Fences) == []


def test_boxes_are_found_by_their_label(world):
    town = load_town("Dream01")
    car = spawn(world)
    world.tick()
    assert len(world.get_level_bbs(LABELS.Buildings)) == len(town.static_boxes)
    assert len(world.get_level_bbs(LABELS.TrafficLight)) == len(town.lights)
    assert len(world.get_level_bbs(LABELS.TrafficSigns)) == len(town.stop_signs)
    (box,) = world.get_level_bbs(LABELS.Car)
    assert box.location.distance_2d(car.get_location()) < 0.01
    assert box.extent.x == pytest.approx(car.bounding_box.extent.x)
    assert box.actor_id == car.id
    everything = len(town.static_boxes) + len(town.lights) + len(town.stop_signs) + 1
    assert len(world.get_level_bbs()) == everything


def test_speed_limits_of_a_map_stand_as_signs(client, world):
    signs = world.get_actors().filter("traffic.speed_limit.*")
    assert len(signs) == 0
    road = client.generate_opendrive_world(ROAD, carla.OpendriveGenerationParameters(), False)
    road.tick()
    found = {sign.type_id: sign for sign in road.get_actors().filter("traffic.speed_limit.*")}
    assert set(found) == {"traffic.speed_limit.50", "traffic.speed_limit.30"}
    fifty, thirty = found["traffic.speed_limit.50"], found["traffic.speed_limit.30"]
    for sign, number, x, y, yaw in (
        (fifty, "9", 30.0, 5.0, 0.0),
        (thirty, "11", 60.0, -5.0, 180.0),
    ):
        (landmark,) = road.get_map().get_all_landmarks_from_id(number)
        assert road.get_traffic_sign(landmark).id == sign.id
        place = sign.get_transform()
        assert place.location.distance_2d(carla.Location(x, y)) < 1e-3
        assert abs(place.rotation.yaw) == pytest.approx(yaw, abs=1e-3)
        lane = place.inverse_transform(carla.Location(x, 0.35 * y))
        trigger = sign.trigger_volume
        assert abs(lane.y - trigger.location.y) < trigger.extent.y
    assert len(road.get_level_bbs(LABELS.TrafficSigns)) == 2
    client.load_world("Dream01", False)


def test_all_objects_have_names(world):
    names = world.get_names_of_all_objects()
    assert "Building_0" in names
    assert len(names) == len(set(names))
    assert sum(name.startswith("traffic.traffic_light_") for name in names) == len(
        load_town("Dream01").lights
    )


def test_annotations_of_what_is_translucent_may_be_asked_for(world):
    world.set_annotations_traverse_translucency(False)
    world.set_annotations_traverse_translucency(True)
    world.tick()


def test_gravity_of_inertial_units_is_told(world):
    before = world.get_imui_sensor_gravity()
    world.set_imui_sensor_gravity(3.5)
    told = world.get_imui_sensor_gravity()
    world.set_imui_sensor_gravity(before)
    assert (before, told) == (pytest.approx(9.81), 3.5)


def test_debug_shapes_are_accepted(world):
    at, to = carla.Location(1.0, 2.0, 3.0), carla.Location(4.0, 5.0, 6.0)
    world.debug.draw_point(at)
    world.debug.draw_line(at, to)
    world.debug.draw_arrow(at, to)
    world.debug.draw_box(carla.BoundingBox(at, carla.Vector3D(1, 1, 1)), carla.Rotation())
    world.debug.draw_string(at, "here")
    world.debug.draw_hud_point(at)
    world.debug.draw_hud_line(at, to)
    world.debug.draw_hud_arrow(at, to)
    world.debug.draw_hud_box(carla.BoundingBox(at, carla.Vector3D(1, 1, 1)), carla.Rotation())
    world.debug.clear_debug_shape()
    world.debug.clear_debug_string()
    world.tick()


@pytest.mark.parametrize(
    "shape",
    [[], [[1, [[0.0] * 3, [0.0, 0.0], 0.1]], [1, 2, 3], 1.0, True],
     [[2, [[0.0] * 3, [0.0] * 3, 0.1]], [1, 2, 3], 1.0, True],
     [[3, [[[0.0] * 3], [0.0] * 3, 0.1]], [1, 2, 3], 1.0, True],
     [[4, [[0.0] * 3, 5, False]], [1, 2, 3], 1.0, True],
     [[0, [["x"] * 3, 1.0]], [1, 2, 3], 1.0, True],
     [[0, [[0.0] * 3]], [1, 2, 3], 1.0, True], [[9, []], [1, 2, 3], 1.0, True],
     [[0, [[0.0] * 3, 1.0]], [1, 2, 300], 1.0, True],
     [[0, [[0.0] * 3, 1.0]], [1, 2, 3], "x", True]],
)  # fmt: skip
def test_broken_debug_shapes_are_refused(server, client, shape):
    assert call(server, "draw_debug_shape", shape)[3][0][0] is True


def test_lamps_are_switched_for_all_clients(server, world):
    lamps = world.get_lightmanager()
    lights = lamps.get_all_lights(carla.LightGroup.Street)
    assert len(lights) == len(lamps.get_all_lights())
    assert not any(lamps.is_active(lights))
    lamps.turn_on(lights[:3])
    lamps.set_intensity(lights[:1], 500.0)
    lamps.set_color(lights[:1], carla.Color(10, 20, 30))
    lamps.set_light_group(lights[1:2], carla.LightGroup.Other)
    world.tick()
    assert len(lamps.get_turned_on_lights()) == 3
    told = {state[0]: state for state in call(server, "query_lights_state", "x:1")[3][0][1]}
    assert [told[light.id][5] for light in lights[:4]] == [True, True, True, False]
    assert told[lights[0].id][2] == 500.0
    assert told[lights[0].id][4] == [10, 20, 30]
    assert told[lights[1].id][3] == 4
    assert told[lights[0].id][1] == pytest.approx(
        [lights[0].location.x, lights[0].location.y, lights[0].location.z], abs=1e-3
    )
    lamps.turn_off(lights[:3])
    world.tick()
    assert len(lamps.get_turned_off_lights()) == len(lights)


def test_each_lamp_keeps_what_it_is_told(server, world):
    lamps = world.get_lightmanager()
    first, second, third = chosen = lamps.get_all_lights()[:3]
    groups, red = carla.LightGroup, carla.Color(200, 10, 10)

    def told(light):
        """Returns intensity, group, colour and whether it shines, as another client is told."""
        world.tick()
        states = call(server, "query_lights_state", "x:1")[3][0][1]
        return next(state[2:] for state in states if state[0] == light.id)

    lamps.set_active(chosen, [True, False, True])
    assert lamps.is_active(chosen) == [True, False, True]
    lamps.set_colors(chosen, [red, carla.Color(1, 2, 3), red])
    assert [colour.b for colour in lamps.get_color(chosen)] == [10, 3, 10]
    lamps.set_intensities(chosen, [10.0, 20.0, 30.0])
    assert lamps.get_intensity(chosen) == [10.0, 20.0, 30.0]
    lamps.set_light_groups(chosen, [groups.Building, groups.Street, groups.Other])
    assert lamps.get_light_group(chosen) == [groups.Building, groups.Street, groups.Other]
    assert told(second) == [20.0, 2, [1, 2, 3], False]
    shines = carla.LightState(40.0, red, groups.Vehicle, True)
    lamps.set_light_state([second], shines)
    assert lamps.get_light_state([second])[0].intensity == 40.0
    assert told(second) == [40.0, 1, [200, 10, 10], True]
    lamps.set_light_states([first, second], [shines, carla.LightState(5.0, red, groups.Other)])
    assert told(first)[:2] == [40.0, 1]
    assert told(second) == [5.0, 4, [200, 10, 10], False]
    third.set_color(carla.Color(4, 5, 6))
    third.set_intensity(7.0)
    third.set_light_group(groups.Street)
    assert (third.color.g, third.intensity, third.light_group) == (5, 7.0, groups.Street)
    third.turn_off()
    assert told(third) == [7.0, 2, [4, 5, 6], False]
    third.turn_on()
    assert third.is_on
    third.set_light_state(shines)
    assert third.light_state.intensity == 40.0
    assert told(third)[0] == 40.0
    lamps.turn_off(chosen)
    lamps.set_light_group(chosen, groups.Street)
    world.tick()


def test_the_sun_switches_the_lamps_unless_it_is_told_not_to(world):
    lamps = world.get_lightmanager()
    lights = lamps.get_all_lights()

    def sun(altitude_deg):
        weather = world.get_weather()
        weather.sun_altitude_angle = altitude_deg
        world.set_weather(weather)
        ticks(world, 2)
        return len(lamps.get_turned_on_lights())

    assert sun(-20.0) == len(lights)
    lamps.turn_off(lights[:2])
    assert sun(-30.0) == len(lights) - 2  # It is night still.
    assert sun(20.0) == 0
    lamps.set_day_night_cycle(False)
    assert sun(-20.0) == 0
    lamps.set_day_night_cycle(True)
    ticks(world, 2)
    assert len(lamps.get_turned_on_lights()) == len(lights)
    assert sun(45.0) == 0


@pytest.mark.parametrize(
    "state",
    [[1, [0.0] * 3, -1.0, 2, [1, 2, 3], True], [10**6, [0.0] * 3, 1.0, 2, [1, 2, 3], True],
     [1, [0.0] * 3, 1.0, 2, [1, 2], True], [1, [0.0] * 3, 1.0, 9, [1, 2, 3], True], []],
)  # fmt: skip
def test_broken_lamps_are_refused(server, client, state):
    assert call(server, "update_lights_state", "x:1", [state], False)[3][0][0] is True
