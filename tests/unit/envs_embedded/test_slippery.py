"""Areas of another friction."""

import numpy as np
import pytest

from dreamdrive.envs.embedded import bodies, dynamics
from dreamdrive.envs.embedded.simulator import Simulator
from dreamdrive.envs.embedded.towns import load_town
from dreamdrive.envs.embedded.world import World

CAR, AREA, DT_S = "vehicle.lincoln.mkz_2020", "static.trigger.friction", 0.05
TOWN = load_town("Dream01")
LOSSES = dynamics.ROLLING_MPS2 + dynamics.ENGINE_BRAKE_MPS2


def attributes(friction, half_m=30.0):
    size = {f"extent_{axis}": str(100.0 * half_m) for axis in "xyz"}
    return size | {"friction": str(friction)}


def braking(world, speed=10.0):
    """Returns what a car far from everything loses of its speed in a tick with all brakes on."""
    cars = world.vehicles
    cars.velocity[0], cars.brake[0], cars.drag[0] = (speed, 0.0), 1.0, 0.0
    world.tick(DT_S)
    return (speed - float(cars.velocity[0, 0])) / DT_S


@pytest.mark.parametrize("friction", [0.0, 0.7, 1.75, 3.5])
def test_tyres_have_the_friction_of_the_area_over_that_of_their_own(friction):
    world = World(TOWN)
    car = world.spawn(CAR, {}, 3000.0, 3000.0, 0.3, 0.0).id
    area = world.spawn(AREA, attributes(friction), 3000.0, 3000.0, 0.0, 40.0).id
    slowed = bodies.MAX_BRAKE_MPS2 * friction / 3.5 + LOSSES
    assert braking(world) == pytest.approx(slowed, rel=1e-6)
    world.vehicles.constant[0] = 20.0, 0.0, 1.0
    world.vehicles.steer[0] = 0.6
    for _ in range(2):
        world.tick(DT_S)
    limit = bodies.GRIP_MPS2 * friction / 3.5
    assert 20.0 * world.vehicles.yaw_rate[0] == pytest.approx(limit, rel=1e-6, abs=1e-9)
    world.vehicles.constant[0] = 0.0
    assert world.destroy(area)
    world.vehicles.steer[0], world.vehicles.pose[0, 2] = 0.0, 0.0
    assert braking(world) == pytest.approx(bodies.MAX_BRAKE_MPS2 + LOSSES, rel=1e-6)
    assert car in world.actors


def test_who_has_left_it_has_their_own_tyres_again_and_the_lowest_of_two_counts():
    world = World(TOWN)
    car = world.spawn(CAR, {}, 3000.0, 3000.0, 0.3, 0.0).id
    for friction in (2.0, 1.0, 3.0):
        world.spawn(AREA, attributes(friction, 8.0), 3000.0, 3000.0, 0.0, 0.0)
    world.tick(DT_S)
    assert world.vehicles.slip[0] == pytest.approx(1.0 - 1.0 / 3.5)
    world.move(car, 3011.0, 3000.0, 0.0, 0.0)
    world.tick(DT_S)
    assert world.vehicles.slip[0] == 0.0
    world.move(car, 3009.0, 3000.0, 0.0, 0.0)
    world.tick(DT_S)
    assert world.vehicles.slip[0] > 0.0
    world.move(car, 3009.0, 3000.0, 40.0, 0.0)
    world.tick(DT_S)
    assert world.vehicles.slip[0] == 0.0


def test_an_area_is_no_body():
    sim = Simulator(TOWN, synchronous=True)
    world = sim.world
    x, y, z, yaw = TOWN.spawn_points[3]
    world.spawn(AREA, attributes(3.5), x, y, 0.0, 0.0)
    world.spawn(CAR, {}, x, y, z, yaw)
    world.vehicles.velocity[0] = 5.0 * np.cos(np.radians(yaw)), 5.0 * np.sin(np.radians(yaw))
    for _ in range(10):
        world.tick(DT_S)
        assert world.events == []
