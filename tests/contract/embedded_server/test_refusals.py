"""What the embedded server refuses, and with which words."""

import pytest

from dreamdrive.envs.embedded.refused_calls import VALUED, VOID
from support.server import call, spawn

carla = pytest.importorskip("carla")


@pytest.fixture(scope="module")
def car(client):
    world = client.get_world()
    made = spawn(world, 40)
    world.tick()
    yield made
    made.destroy()


@pytest.mark.parametrize("method", VALUED)
def test_what_has_no_value_is_refused(server, method):
    assert call(server, method, 1)[3] == [[0, [VALUED[method]]]]


@pytest.mark.parametrize("method", VOID)
def test_what_cannot_be_done_is_refused(server, method):
    assert call(server, method, 1)[3] == [[True, [VOID[method]]]]


def test_nothing_has_a_texture(client):
    world = client.get_world()
    diffuse, size = carla.MaterialParameter.Diffuse, 2
    with pytest.raises(RuntimeError, match="no textures"):
        world.apply_color_texture_to_object("a", diffuse, carla.TextureColor(size, size))
    with pytest.raises(RuntimeError, match="no textures"):
        world.apply_color_texture_to_objects(["a"], diffuse, carla.TextureColor(size, size))
    texture = carla.TextureFloatColor(size, size)
    with pytest.raises(RuntimeError, match="no textures"):
        world.apply_float_color_texture_to_object("a", diffuse, texture)
    with pytest.raises(RuntimeError, match="no textures"):
        world.apply_float_color_texture_to_objects(["a"], diffuse, texture)


def test_sensors_ignore_nobody_and_have_no_buffers(client, car):
    world = client.get_world()
    blueprint = world.get_blueprint_library().find("sensor.other.imu")
    sensor = world.spawn_actor(blueprint, carla.Transform(), attach_to=car)
    with pytest.raises(RuntimeError, match="ignore no vehicles"):
        sensor.set_ignored_vehicles([car.id])
    with pytest.raises(RuntimeError, match="no G-buffers"):
        sensor.enable_gbuffers(True)
    assert sensor.is_enabled_for_ros() is False
    assert sensor.is_listening_gbuffer(0) is False
    sensor.destroy()


@pytest.mark.parametrize("kind", ["v2x", "v2x_custom"])
def test_there_are_no_radios(client, kind):
    library = client.get_world().get_blueprint_library()
    with pytest.raises(IndexError, match=f"sensor.other.{kind}"):
        library.find(f"sensor.other.{kind}")
    assert len(library.filter("sensor.other.v2x*")) == 0
    for event in (carla.CAMEvent, carla.CustomV2XEvent):
        with pytest.raises(RuntimeError, match="cannot be instantiated"):
            event()


def test_the_client_cannot_list_the_vehicles_that_a_sensor_ignores(client, car):
    world = client.get_world()
    blueprint = world.get_blueprint_library().find("sensor.other.imu")
    sensor = world.spawn_actor(blueprint, carla.Transform(), attach_to=car)
    with pytest.raises(TypeError, match="to_python"):
        sensor.get_ignored_vehicles()
    sensor.destroy()
