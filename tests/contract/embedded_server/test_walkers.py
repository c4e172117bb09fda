"""Walkers of the embedded server."""

import math

import pytest

from support.server import call, ticks

carla = pytest.importorskip("carla")


@pytest.fixture
def walker(world):
    blueprint = world.get_blueprint_library().filter("walker.pedestrian.*")[2]
    made = world.spawn_actor(blueprint, world.get_map().get_spawn_points()[3])
    world.tick()
    return made


def test_controls_come_back(world, walker):
    walker.apply_control(carla.WalkerControl(carla.Vector3D(1.0, 0.0, 0.0), 2.0, True))
    world.tick()
    told = walker.get_control()
    assert (told.direction.x, told.direction.y) == (1.0, 0.0)
    assert told.speed == 2.0
    assert told.jump is True


def test_a_walker_faces_where_it_goes(world, walker):
    walker.apply_control(carla.WalkerControl(carla.Vector3D(0.0, -1.0, 0.0), 1.0, False))
    ticks(world, 2)
    assert walker.get_transform().rotation.yaw == pytest.approx(-90.0)
    assert walker.get_velocity().y == pytest.approx(-1.0)


def test_speed_zero_stands(world, walker):
    walker.apply_control(carla.WalkerControl(carla.Vector3D(1.0, 0.0, 0.0), 0.0, False))
    before = walker.get_location()
    ticks(world, 5)
    assert walker.get_location().distance(before) == 0.0


def test_a_state_puts_it_down_and_sends_it_on(client, world, walker):
    place = walker.get_transform()
    place.location.x += 3.0
    place.rotation.yaw = 90.0
    answers = client.apply_batch_sync([carla.command.ApplyWalkerState(walker, place, 1.5)], True)
    assert not answers[0].has_error()
    ticks(world, 19)
    moved = walker.get_location() - place.location
    assert (moved.x, moved.y) == pytest.approx((0.0, 1.5), abs=0.05)


def test_a_dead_walker_lies(server, world, walker):
    walker.apply_control(carla.WalkerControl(carla.Vector3D(1.0, 0.0, 0.0), 2.0, False))
    world.tick()
    assert call(server, "set_actor_dead", walker.id)[3] == [[False]]
    before = walker.get_location()
    ticks(world, 3)
    assert walker.get_location().distance(before) == 0.0
    refused = call(server, "apply_control_to_walker", walker.id, [[1.0, 0.0, 0.0], 1.0, False])[3]
    assert "is dead" in refused[0][1][0]


@pytest.mark.parametrize(
    "control",
    [[[math.nan, 0.0, 0.0], 1.0, False], [[1.0, 0.0, 0.0], math.inf, False], [[1.0], 1.0, False],
     [[1.0, 0.0, 0.0], 1.0, 3], [], [[1.0, 0.0, 0.0], 1e9, False]],
)  # fmt: skip
def test_broken_controls_are_refused(server, world, walker, control):
    assert call(server, "apply_control_to_walker", walker.id, control)[3][0][0] is True


@pytest.mark.parametrize(
    "method", ["add_actor_impulse", "add_actor_force", "add_actor_torque",
               "set_actor_target_angular_velocity", "enable_actor_constant_velocity"],
)  # fmt: skip
def test_walkers_cannot_be_pushed(server, world, walker, method):
    refused = call(server, method, walker.id, [1.0, 0.0, 0.0])[3][0]
    assert refused[0] is True
    assert "only vehicles can" in refused[1][0]
