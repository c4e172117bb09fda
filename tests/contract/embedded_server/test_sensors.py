"""Sensors of the embedded server: IMU, GNSS and collisions, a message for each tick or event."""

import contextlib
import math
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
        assert got.frame == got.frame_number == frame
        if messages is imu_messages:
            assert got.accelerometer.z == pytest.approx(9.81, abs=0.01)
            assert got.accelerometer.x > 0.5
            north = math.radians((car.get_transform().rotation.yaw + 90.0) % 360.0)
            assert got.compass == pytest.approx(north, abs=1e-3)
        else:
            where = world.get_map().transform_to_geolocation(car.get_location())
            assert got.latitude == pytest.approx(where.latitude, abs=1e-7)
            assert got.longitude == pytest.approx(where.longitude, abs=1e-7)
    for sensor in (imu, gnss):
        assert sensor.is_listening()
        sensor.stop()
        assert not sensor.is_listening()


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


@pytest.mark.parametrize(
    "kind", ["sensor.other.imu", "sensor.other.gnss", "sensor.other.collision"]
)
@pytest.mark.parametrize("attachment", ["Rigid", "SpringArm"])
def test_sensors_are_seen_to_move_with_their_vehicle(world, kind, attachment):
    car = spawn(world, 2)
    place = carla.Transform(carla.Location(-2.0, 0.5, 1.5), carla.Rotation(yaw=20.0))
    how = getattr(carla.AttachmentType, attachment)
    blueprint = world.get_blueprint_library().find(kind)
    sensor = world.spawn_actor(blueprint, place, attach_to=car, attachment_type=how)
    car.apply_control(carla.VehicleControl(throttle=1.0, steer=0.2))
    ticks(world, 40)
    seen, expected = sensor.get_transform(), car.get_transform()
    at = expected.transform(place.location)
    assert seen.location.distance(at) < 0.01
    assert car.get_velocity().length() > 3.0
    ahead, back = seen.get_forward_vector(), expected.transform(carla.Location(z=0.0)) - at
    if attachment == "Rigid":
        turned = (seen.rotation.yaw - expected.rotation.yaw) % 360.0
        assert turned == pytest.approx(20.0, abs=0.01)
    else:
        assert abs(ahead.dot(back)) / back.length() > 0.9


def test_noise_is_what_the_attributes_ask_for_and_gravity_what_a_client_sets(world):
    car = spawn(world)
    noise = {"noise_accel_stddev_x": "0.7", "noise_gyro_bias_z": "0.25", "noise_seed": "3"}
    sensor, messages = listen(world, "sensor.other.imu", car, **noise)
    gnss, places = listen(world, "sensor.other.gnss", car, noise_alt_bias="12.5")
    before = world.get_imui_sensor_gravity()
    world.set_imui_sensor_gravity(5.0)
    ticks(world, 120)
    world.set_imui_sensor_gravity(before)
    found = [messages.get(timeout=10.0) for _ in range(60)][20:]
    forces = [message.accelerometer.x for message in found]
    mean = sum(forces) / len(forces)
    spread = (sum((force - mean) ** 2 for force in forces) / len(forces)) ** 0.5
    assert 0.4 < spread < 1.1
    assert all(message.gyroscope.z == pytest.approx(0.25, abs=1e-3) for message in found)
    assert found[-1].accelerometer.z == pytest.approx(5.0, abs=1e-3)
    assert places.get(timeout=10.0).altitude == pytest.approx(12.5, abs=0.5)
    sensor.stop()
    gnss.stop()
