"""What the embedded server refuses, and with which words."""

import pytest

from dreamdrive.envs.embedded.refused_calls import (
    NO_CARSIM,
    NO_CHRONO,
    NO_ROS,
    VALUED,
    VOID,
)
from support.server import call, server_process, spawn

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


@pytest.mark.usefixtures("compiled_sensors")
def test_sensors_ignore_nobody_and_have_no_buffers(client, car):
    world = client.get_world()
    blueprint = world.get_blueprint_library().find("sensor.camera.rgb")
    sensor = world.spawn_actor(blueprint, carla.Transform(), attach_to=car)
    with pytest.raises(RuntimeError, match="ignore no vehicles"):
        sensor.set_ignored_vehicles([car.id])
    for ask in (
        lambda: sensor.enable_gbuffers(True),
        lambda: sensor.listen_to_gbuffer(0, print),
        lambda: sensor.stop_gbuffer(0),
    ):
        with pytest.raises(RuntimeError, match="no G-buffers"):
            ask()
    assert sensor.is_enabled_for_ros() is False
    assert sensor.is_listening_gbuffer(0) is False
    sensor.destroy()


def test_what_no_client_waits_for_is_refused_in_the_log():
    with server_process("--port", "0", "--sync") as process:
        port = int(process.stdout.readline().rsplit(":", 1)[1])
        client = carla.Client("127.0.0.1", port, 2)
        client.set_timeout(20.0)
        world = client.get_world()
        car = spawn(world, 40)
        place = carla.Transform()
        sensor = world.spawn_actor(
            world.get_blueprint_library().find("sensor.other.imu"), place, attach_to=car
        )
        car.enable_carsim("car.sim")
        car.use_carsim_road(True)
        car.enable_chrono_physics()
        sensor.enable_for_ros()
        sensor.disable_for_ros()
        world.tick()
        process.kill()
        log = process.stderr.read()
    for method, reason in (
        ("enable_carsim", NO_CARSIM), ("use_carsim_road", NO_CARSIM),
        ("enable_chrono_physics", NO_CHRONO), ("enable_sensor_for_ros", NO_ROS),
        ("disable_sensor_for_ros", NO_ROS),
    ):  # fmt: skip
        assert f"{method}, whose answer nobody reads: {reason}" in log


def test_the_client_sends_through_no_sensor_but_a_radio(client, car, capfd):
    world = client.get_world()
    blueprint = world.get_blueprint_library().find("sensor.other.imu")
    sensor = world.spawn_actor(blueprint, carla.Transform(), attach_to=car)
    sensor.send("hello")
    sensor.destroy()
    assert "not supported on non-V2x sensors" in "".join(capfd.readouterr())


@pytest.mark.parametrize("kind", ["v2x", "v2x_custom"])
def test_there_are_no_radios(client, kind):
    library = client.get_world().get_blueprint_library()
    with pytest.raises(IndexError, match=f"sensor.other.{kind}"):
        library.find(f"sensor.other.{kind}")
    assert len(library.filter("sensor.other.v2x*")) == 0
    for event in (carla.CAMEvent, carla.CustomV2XEvent):
        assert event.get_message_count
        with pytest.raises(RuntimeError, match="cannot be instantiated"):
            event()
    for message in (carla.CAMMessage(), carla.CustomV2XData()):  # Empty, where none comes.
        assert message.power == message.get()["Power"] == 0.0


def test_the_client_cannot_list_the_vehicles_that_a_sensor_ignores(client, car):
    world = client.get_world()
    blueprint = world.get_blueprint_library().find("sensor.other.imu")
    sensor = world.spawn_actor(blueprint, carla.Transform(), attach_to=car)
    with pytest.raises(TypeError, match="to_python"):
        sensor.get_ignored_vehicles()
    sensor.destroy()
