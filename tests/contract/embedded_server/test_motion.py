"""Cameras that see motion, and the lane detector, through CARLA's own client."""

import queue

import numpy as np
import pytest

from support.server import listen, seen, ticks

carla = pytest.importorskip("carla")
pytestmark = pytest.mark.usefixtures("compiled_sensors")

SIZE = {"image_size_x": "96", "image_size_y": "64"}
FRONT = carla.Transform(carla.Location(x=2.6, z=1.5))


def test_the_road_flows_down_and_the_client_colours_it(world, car):
    sensor, messages = listen(world, "sensor.camera.optical_flow", FRONT, car, **SIZE)
    still = seen(world, messages)
    assert (still.width, still.height) == (96, 64)
    assert np.abs(np.frombuffer(still.raw_data, np.float32)).max() < 1e-4
    heading = car.get_transform().get_forward_vector()
    car.set_target_velocity(10.0 * heading)
    ticks(world, 2)
    image = seen(world, messages)
    flow = np.frombuffer(image.raw_data, np.float32).reshape(64, 96, 2)
    ahead = 1.5 / ((60 + 0.5 - 32) / 48.0)
    step = car.get_velocity().length() * 0.05
    expected = (60.5 - 32 - 48.0 * 1.5 / (ahead + step)) / 64
    assert flow[60, 48, 1] == pytest.approx(expected, rel=0.05)
    coloured = image.get_color_coded_flow()
    assert (coloured.width, coloured.height) == (96, 64)
    sensor.stop()


def test_an_event_camera_is_silent_until_something_moves(world, car):
    sensor, messages = listen(world, "sensor.camera.dvs", FRONT, car, **SIZE)
    seen(world, messages)
    assert len(seen(world, messages)) == 0
    car.set_target_velocity(10.0 * car.get_transform().get_forward_vector())
    ticks(world, 2)
    events = seen(world, messages)
    assert len(events) > 20
    now = world.get_snapshot().timestamp.elapsed_seconds
    for event in events:
        assert event.x < 96
        assert event.y < 64
        assert now - 0.0501 <= event.t * 1e-9 <= now + 1e-4
    assert {event.pol for event in events} == {True, False}
    sensor.stop()


def test_the_lane_detector_tells_of_a_line_that_is_crossed(world, car):
    crossed = queue.Queue()
    blueprint = world.get_blueprint_library().find("sensor.other.lane_invasion")
    sensor = world.spawn_actor(blueprint, carla.Transform(), attach_to=car)
    sensor.listen(crossed.put)
    world.tick()
    right = car.get_transform().get_right_vector()
    car.set_target_velocity(-6.0 * right)
    for _ in range(20):
        place = car.get_transform()
        place.location -= 0.2 * right
        car.set_transform(place)
        world.tick()
    event = crossed.get(timeout=10.0)
    # The client gives the events that it makes by itself no world to look the actor up in.
    with pytest.raises(RuntimeError, match="already destroyed"):
        _ = event.actor
    assert {mark.type for mark in event.crossed_lane_markings} <= set(
        carla.LaneMarkingType.values.values()
    )
    assert event.crossed_lane_markings
    sensor.stop()
