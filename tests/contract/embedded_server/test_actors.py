"""Actors of the embedded server: blueprints, spawning, transforms, controls, batches."""

import math

import numpy as np
import pytest

from dreamdrive.envs.embedded.simulator import Simulator
from dreamdrive.envs.embedded.towns import load_town
from dreamdrive.envs.embedded.world_calls import WorldCalls
from support.server import CAR, spawn, ticks

carla = pytest.importorskip("carla")


def test_blueprints_have_their_attributes(world):
    library = world.get_blueprint_library()
    assert len(library.filter("vehicle.*")) == 41
    assert len(library.filter("walker.pedestrian.*")) >= 10
    car = library.find(CAR)
    assert car.get_attribute("number_of_wheels").as_int() == 4
    car.set_attribute("color", "1,2,3")
    actor = world.spawn_actor(car, world.get_map().get_spawn_points()[0])
    assert actor.attributes["color"] == "1,2,3"
    assert actor.type_id == CAR


def test_an_actor_appears_and_disappears(world):
    car = spawn(world)
    world.tick()
    assert car.id in [a.id for a in world.get_actors()]
    assert car.bounding_box.extent.x == pytest.approx(2.45)
    assert car.destroy()
    world.tick()
    assert car.id not in [a.id for a in world.get_actors()]


def test_a_taken_place_is_refused(world):
    spawn(world)
    with pytest.raises(RuntimeError, match="collision at spawn position"):
        spawn(world)
    blueprint = world.get_blueprint_library().find(CAR)
    place = world.get_map().get_spawn_points()[0]
    assert world.try_spawn_actor(blueprint, place) is None


def test_transforms_go_both_ways(world):
    car = spawn(world)
    spot = world.get_map().get_spawn_points()[20]
    car.set_transform(spot)
    world.tick()
    got = car.get_transform()
    assert got.location.distance_2d(spot.location) < 0.01
    assert math.cos(math.radians(got.rotation.yaw - spot.rotation.yaw)) == pytest.approx(1.0)


def test_what_has_no_physics_keeps_the_tilt_that_it_is_told(world):
    car, place = spawn(world), world.get_map().get_spawn_points()[20]
    place.rotation.pitch, place.rotation.roll = 12.0, -7.0
    for has_physics, pitch, roll in ((True, 0.0, 0.0), (False, 12.0, -7.0)):
        car.set_simulate_physics(has_physics)
        car.set_transform(place)
        world.tick()
        told = car.get_transform().rotation
        assert (told.pitch, told.roll) == (pytest.approx(pitch), pytest.approx(roll))


def test_throttle_moves_and_the_brake_stops(world):
    car = spawn(world)
    world.tick()
    start = car.get_transform()
    car.apply_control(carla.VehicleControl(throttle=1.0))
    ticks(world, 20)
    assert car.get_control().throttle == 1.0
    velocity, heading = car.get_velocity(), start.get_forward_vector()
    speed = velocity.x * heading.x + velocity.y * heading.y
    assert 3.5 < speed < 4.5
    car.apply_control(carla.VehicleControl(brake=1.0))
    ticks(world, 20)
    assert car.get_velocity().length() == pytest.approx(0.0, abs=1e-6)
    assert 2.0 < car.get_location().distance(start.location) < 5.0


def test_reverse_drives_backwards(world):
    car = spawn(world)
    car.apply_control(carla.VehicleControl(throttle=1.0, reverse=True))
    ticks(world, 10)
    heading, velocity = car.get_transform().get_forward_vector(), car.get_velocity()
    assert velocity.x * heading.x + velocity.y * heading.y < -1.0


def test_walkers_walk(world):
    blueprint = world.get_blueprint_library().filter("walker.pedestrian.*")[0]
    walker = world.spawn_actor(blueprint, world.get_map().get_spawn_points()[3])
    world.tick()
    before = walker.get_location()
    walker.apply_control(carla.WalkerControl(carla.Vector3D(0.0, 1.0, 0.0), 1.5, False))
    ticks(world, 20)
    moved = walker.get_location() - before
    assert (moved.x, moved.y) == pytest.approx((0.0, 1.5), abs=0.1)


def test_a_batch_reports_each_error_beside_its_command(client, world):
    blueprint = world.get_blueprint_library().find(CAR)
    places = world.get_map().get_spawn_points()
    answers = client.apply_batch_sync(
        [
            carla.command.SpawnActor(blueprint, places[0]),
            carla.command.SpawnActor(blueprint, places[0]),
            carla.command.SpawnActor(blueprint, places[8]).then(
                carla.command.ApplyVehicleControl(
                    carla.command.FutureActor, carla.VehicleControl(throttle=0.5)
                )
            ),
            carla.command.ApplyVehicleControl(999_999, carla.VehicleControl()),
        ],
        True,
    )
    assert [a.has_error() for a in answers] == [False, True, False, True]
    assert "collision" in answers[1].error
    assert "999999" in answers[3].error
    assert world.get_actor(answers[2].actor_id).get_control().throttle == pytest.approx(0.5)


def test_the_wire_changes_nothing_about_a_trajectory(world):
    controls = [(0.8, 0.0, 0.0), (0.5, 0.15, 0.0), (0.0, -0.3, 0.4), (1.0, 0.05, 0.0)]
    simulator = Simulator(load_town("Dream01"), synchronous=True)
    inside = simulator.world
    # The wire carries places and controls in single precision.
    place = [float(np.float32(value)) for value in inside.town.spawn_points[5]]
    own = inside.spawn(CAR, {}, *place).id
    car = spawn(world, 5)
    world.tick()
    simulator.tick()
    for step in range(120):
        throttle, steer, brake = controls[step // 30]
        car.apply_control(carla.VehicleControl(throttle=throttle, steer=steer, brake=brake))
        row = inside.vehicles.row[own]
        inside.vehicles.throttle[row] = np.float32(throttle)
        inside.vehicles.steer[row] = np.float32(steer)
        inside.vehicles.brake[row] = np.float32(brake)
        world.tick()
        simulator.tick()
        got, record = car.get_transform(), inside.vehicles.record[row]
        assert got.location.x == record["location"][0]
        assert got.location.y == record["location"][1]
        assert got.rotation.yaw == pytest.approx(float(record["rotation"][1]), abs=1e-4)
    assert WorldCalls(simulator).version() == [[1, "0.9.16"]]
