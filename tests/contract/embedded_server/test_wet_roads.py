"""Weather and grip through CARLA's own client."""

import pytest

from dreamdrive.envs.carla.env import CarlaDriveEnv
from dreamdrive.envs.carla.server_kinds import server_of
from dreamdrive.errors import ConfigError
from support.server import DT_S, server_process, spawn, ticks

carla = pytest.importorskip("carla")


def stopping_distance_m(world, weather):
    world.set_weather(weather)
    car = spawn(world, 2)
    world.tick()
    car.set_target_velocity(13.0 * car.get_transform().get_forward_vector())
    car.apply_control(carla.VehicleControl(brake=1.0))
    start = car.get_location()
    ticks(world, 120)
    assert car.get_velocity().length() < 1e-3
    distance = car.get_location().distance(start)
    car.destroy()
    world.set_weather(carla.WeatherParameters.ClearNoon)
    return distance


@pytest.fixture(scope="module")
def wet_world():
    """The world of a server whose wet roads are slippery."""
    with server_process("--port", "0", "--sync", "--wet-grip") as process:
        port = int(process.stdout.readline().rsplit(":", 1)[1])
        client = carla.Client("127.0.0.1", port, 2)
        client.set_timeout(20.0)
        world = client.get_world()
        settings = world.get_settings()
        settings.synchronous_mode, settings.fixed_delta_seconds = True, DT_S
        world.apply_settings(settings)
        yield world


def test_a_car_stops_later_in_heavy_rain_by_the_published_ratio(wet_world):
    dry = stopping_distance_m(wet_world, carla.WeatherParameters.ClearNoon)
    wet = stopping_distance_m(wet_world, carla.WeatherParameters.HardRainNoon)
    # A film of 1 mm on a tenth of the road and puddles on the rest, at most at 50 km/h.
    share = (0.1 * 0.55 + 0.9 * 0.5) / 0.85
    assert wet / dry == pytest.approx((8.0 + 0.75) / (8.0 * share + 0.75), rel=0.03)


def test_without_the_option_rain_changes_nothing(world):
    dry = stopping_distance_m(world, carla.WeatherParameters.ClearNoon)
    assert stopping_distance_m(world, carla.WeatherParameters.HardRainNoon) == dry


def test_servers_that_are_started_for_drives_have_no_hazards_unless_asked():
    hazards = {"--road-hazards", "--wet-grip"}
    assert not hazards & {*server_of("embedded").command}
    assert not hazards & {*server_of("embedded", draws=True).command}
    wet = server_of("embedded", draws=True, road_hazards=True).command
    assert {"--sensors", *hazards} < {*wet}
    with pytest.raises(ConfigError, match="CARLA's own"):
        server_of("unreal", road_hazards=True)


def test_a_friction_trigger_of_a_client_is_slippery(world):
    """As CARLA's page on it spawns one: half sizes in centimetres."""
    dry = stopping_distance_m(world, carla.WeatherParameters.ClearNoon)
    blueprint = world.get_blueprint_library().find("static.trigger.friction")
    for name, value in (("friction", 1.4), *((f"extent_{axis}", 20_000.0) for axis in "xyz")):
        blueprint.set_attribute(name, str(value))
    area = world.spawn_actor(blueprint, world.get_map().get_spawn_points()[2])
    wet = stopping_distance_m(world, carla.WeatherParameters.ClearNoon)
    assert wet / dry == pytest.approx((8.0 + 0.75) / (8.0 * 0.4 + 0.75), rel=0.03)
    area.destroy()


def test_an_environment_that_asks_for_hazards_has_a_server_with_them():
    with CarlaDriveEnv(num_vehicles=0, road_hazards=True) as env:
        env.reset(seed=0)
        assert env.supervisor is not None
        assert "--road-hazards" in env.supervisor.config.command
        assert "--wet-grip" in env.supervisor.config.command
        rain = carla.WeatherParameters.HardRainNoon
        assert stopping_distance_m(env.session.world, rain) > 13.0
    with CarlaDriveEnv(num_vehicles=0) as env:
        env.reset(seed=0)
        assert stopping_distance_m(env.session.world, carla.WeatherParameters.HardRainNoon) < 11.0
