"""Doors of vehicles open and close before rays and cameras."""

import numpy as np
import pytest

from support.server import CAR, call, listen, seen, server_process, spawn, ticks

carla = pytest.importorskip("carla")
pytestmark = pytest.mark.usefixtures("compiled_sensors")
DOORS = carla.VehicleDoor


def met(world, car, side, first=-2.0, last=3.0):
    """Returns how far ahead of a car's middle a ray along its side meets it, 1 being the right."""
    place, beside = car.get_transform(), side * (car.bounding_box.extent.y + 0.4)
    ends = (place.transform(carla.Location(x, beside, 0.6)) for x in (first, last))
    cars = [
        point.location for point in world.cast_ray(*ends)
        if point.label == carla.CityObjectLabel.Car
    ]  # fmt: skip
    return [round(place.inverse_transform(there).x, 2) for there in cars[:1]]


def test_a_door_stands_out_while_it_is_open(world, car):
    assert met(world, car, -1.0) == met(world, car, 1.0) == []
    car.open_door(DOORS.FL)
    world.tick()
    (front,) = met(world, car, -1.0)
    assert 0.0 < front < 1.5
    assert met(world, car, 1.0) == []
    car.open_door(DOORS.All)
    world.tick()
    (rear,) = met(world, car, -1.0)
    assert rear < front
    assert met(world, car, 1.0) == [rear]
    car.close_door(DOORS.RL)
    world.tick()
    assert met(world, car, -1.0) == [front]
    car.close_door(DOORS.All)
    world.tick()
    assert met(world, car, -1.0) == met(world, car, 1.0) == []


def test_cameras_see_an_open_door_as_part_of_its_car(world, car):
    place = carla.Transform(carla.Location(-4.0, -1.6, 1.0))
    size = {"image_size_x": "96", "image_size_y": "64"}
    sensor, pictures = listen(world, "sensor.camera.instance_segmentation", place, car, **size)

    def pixels():
        blue, green, *_ = np.frombuffer(seen(world, pictures).raw_data, np.uint8).reshape(-1, 4).T
        return int((green + blue * np.int64(256) == car.id).sum())

    shut = pixels()
    car.open_door(DOORS.RL)
    assert pixels() > shut + 100
    car.close_door(DOORS.RL)
    assert pixels() == shut > 0
    sensor.stop()


def test_blueprints_say_whose_doors_open(server, world, car):
    library = world.get_blueprint_library()
    assert library.find(CAR).get_attribute("has_dynamic_doors").as_bool()
    assert len(library.filter_by_attribute("has_dynamic_doors", "true")) == 10
    old = spawn(world, 40, "vehicle.audi.tt")
    assert old.attributes["has_dynamic_doors"] == "false"
    (refused, (words,)) = call(server, "open_vehicle_door", old.id, 0)[3][0]
    assert refused
    assert "do not open" in words
    for door, words in ((4, "neither bonnet nor boot"), (7, "door"), ("left", "door")):
        assert words in call(server, "open_vehicle_door", car.id, door)[3][0][1][0]
    assert call(server, "close_vehicle_door", car.id, 6)[3] == [[False]]


def test_a_replay_opens_the_doors_that_were_open(tmp_path):
    with server_process("--port", "0", "--sync", "--recordings", str(tmp_path)) as process:
        client = carla.Client("127.0.0.1", int(process.stdout.readline().rsplit(":", 1)[1]), 2)
        client.set_timeout(20.0)
        world = client.get_world()
        car = spawn(world, 2)
        client.start_recorder("doors.log", True)
        world.tick()
        car.open_door(DOORS.FR)
        ticks(world, 5)
        client.stop_recorder()
        car.close_door(DOORS.FR)
        world.tick()
        assert met(world, car, 1.0) == []
        client.replay_file("doors.log", 0.0, 0.0, 0, False)
        ticks(world, 4)
        (replayed,) = [actor for actor in world.get_actors() if actor.type_id == CAR]
        assert len(met(world, replayed, 1.0)) == 1
