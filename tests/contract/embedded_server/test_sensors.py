"""Sensors of the embedded server: IMU, GNSS and collisions, a message for each tick or event."""

import contextlib
import queue

import pytest

from support.server import spawn, ticks

carla = pytest.importorskip("carla")


def listen(world, kind, parent, **attributes):
    blueprint = world.get_blueprint_library().find(kind)
    for name, value in attributes.items():
        blueprint.set_attribute(name, value)
    sensor = world.spawn_actor(blueprint, carla.Transform(), attach_to=parent)
    messages = queue.Queue()
    sensor.listen(messages.put)
    return sensor, messages


def test_imu_and_gnss_send_once_a_tick_with_its_frame(world):
    car = spawn(world)
    world.tick()
    imu, imu_messages = listen(world, "sensor.other.imu", car)
    gnss, gnss_messages = listen(world, "sensor.other.gnss", car)
    car.apply_control(carla.VehicleControl(throttle=1.0))
    # The subscription travels on a socket of its own: tick until both have come through.
    for messages in (imu_messages, gnss_messages):
        for _ in range(200):
            world.tick()
            with contextlib.suppress(queue.Empty):
                messages.get(timeout=0.02)
                break
        else:
            pytest.fail("no sensor data")
    frame = world.tick()
    for messages in (imu_messages, gnss_messages):
        got = messages.get(timeout=10.0)
        while got.frame < frame:
            got = messages.get(timeout=10.0)
        assert got.frame == frame
        if messages is imu_messages:
            assert got.accelerometer.z == pytest.approx(9.81, abs=0.01)
            assert got.accelerometer.x > 0.5
        else:
            where = world.get_map().transform_to_geolocation(car.get_location())
            assert got.latitude == pytest.approx(where.latitude, abs=1e-7)
            assert got.longitude == pytest.approx(where.longitude, abs=1e-7)
    imu.stop()
    gnss.stop()


def test_a_collision_names_the_other_and_its_frame(world):
    car = spawn(world)
    world.tick()
    sensor, messages = listen(world, "sensor.other.collision", car)
    ahead = car.get_transform()
    ahead.location += 8.0 * ahead.get_forward_vector()
    ahead.location.z += 0.3
    other = world.spawn_actor(world.get_blueprint_library().find("vehicle.audi.tt"), ahead)
    ticks(world, 5)
    heading = ahead.get_forward_vector()
    car.set_target_velocity(carla.Vector3D(10.0 * heading.x, 10.0 * heading.y, 0.0))
    first = world.get_snapshot().frame
    ticks(world, 20)
    event = messages.get(timeout=10.0)
    assert event.actor.id == car.id
    assert event.other_actor.id == other.id
    assert event.other_actor.type_id == "vehicle.audi.tt"
    assert first < event.frame <= first + 20
    assert event.normal_impulse.length() > 1000.0
    sensor.stop()
