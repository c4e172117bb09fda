"""Velocities, pushes and switches of the embedded server's vehicles."""

import math

import pytest

from support.server import DT_S, call, ticks

carla = pytest.importorskip("carla")
V = carla.Vector3D


def heading(car):
    return car.get_transform().get_forward_vector()


def speed_along(car, direction):
    velocity = car.get_velocity()
    return velocity.x * direction.x + velocity.y * direction.y


def test_a_target_velocity_is_taken_at_once(world, car):
    ahead = heading(car)
    car.set_target_velocity(V(8.0 * ahead.x, 8.0 * ahead.y, 0.0))
    world.tick()
    assert speed_along(car, ahead) == pytest.approx(8.0, abs=0.1)
    assert abs(car.get_velocity().z) == 0.0


def test_a_target_turn_is_taken_and_dies_away(world, car):
    yaw = car.get_transform().rotation.yaw
    car.set_target_angular_velocity(V(0.0, 0.0, 40.0))
    world.tick()
    assert car.get_angular_velocity().z == pytest.approx(40.0, abs=0.1)
    assert (car.get_transform().rotation.yaw - yaw) % 360.0 == pytest.approx(40.0 * DT_S, abs=0.05)
    ticks(world, 10)
    assert car.get_angular_velocity().z == pytest.approx(0.0, abs=1e-3)


def test_a_constant_velocity_is_kept_until_it_is_let_go(world, car):
    ahead = heading(car)
    car.enable_constant_velocity(V(6.0, 0.0, 0.0))
    ticks(world, 10)
    assert speed_along(car, ahead) == pytest.approx(6.0, abs=1e-3)
    car.disable_constant_velocity()
    ticks(world, 20)
    assert 4.0 < speed_along(car, ahead) < 5.9


def test_an_impulse_changes_speed_by_its_share_of_mass(world, car):
    ahead, mass = heading(car), car.get_physics_control().mass
    car.add_impulse(V(5.0 * mass * ahead.x, 5.0 * mass * ahead.y, 0.0))
    world.tick()
    assert speed_along(car, ahead) == pytest.approx(5.0, abs=0.1)


def test_a_force_lasts_for_one_tick(world, car):
    ahead, mass = heading(car), car.get_physics_control().mass
    car.add_force(V(40.0 * mass * ahead.x, 40.0 * mass * ahead.y, 0.0))
    world.tick()
    assert speed_along(car, ahead) == pytest.approx(40.0 * DT_S, abs=0.1)


@pytest.mark.parametrize("is_torque", [False, True])
def test_an_angular_push_turns_by_the_moment_of_inertia_of_the_box(client, world, car, is_torque):
    extent, mass = car.bounding_box.extent, car.get_physics_control().mass
    inertia = mass * (extent.x**2 + extent.y**2) / 3.0
    command = carla.command.ApplyTorque if is_torque else carla.command.ApplyAngularImpulse
    push = V(0.0, 0.0, 30.0 * inertia / (DT_S if is_torque else 1.0))
    answers = client.apply_batch_sync([command(car, push)], True)
    assert not answers[0].has_error()
    assert car.get_angular_velocity().z == pytest.approx(30.0, rel=1e-3)


@pytest.mark.parametrize("method", ["add_angular_impulse", "add_torque"])
def test_both_angular_pushes_of_an_actor_are_impulses_since_the_client_sends_one(
    world, car, method
):
    extent, mass = car.bounding_box.extent, car.get_physics_control().mass
    getattr(car, method)(V(0.0, 0.0, 10.0 * mass * (extent.x**2 + extent.y**2) / 3.0))
    world.tick()
    assert car.get_angular_velocity().z == pytest.approx(10.0, rel=1e-3)


@pytest.mark.parametrize("method", ["add_actor_impulse_at_location", "add_actor_force_at_location"])
def test_a_push_beside_the_centre_turns(server, world, car, method):
    at, ahead, right = car.get_location(), heading(car), car.get_transform().get_right_vector()
    mass = car.get_physics_control().mass / (DT_S if "force" in method else 1.0)
    push = [mass * ahead.x, mass * ahead.y, 0.0]
    assert call(server, method, car.id, push, [at.x + right.x, at.y + right.y, 0.0])[3] == [[False]]
    world.tick()
    assert speed_along(car, ahead) == pytest.approx(1.0, abs=0.1)
    assert car.get_angular_velocity().z < -5.0


def test_ghosts_pass_through_and_others_do_not(world, car):
    ahead = heading(car)
    place = car.get_transform()
    place.location += 12.0 * ahead
    place.location.z += 0.3
    other = world.spawn_actor(world.get_blueprint_library().find("vehicle.audi.tt"), place)
    world.tick()
    car.set_collisions(False)
    car.set_target_velocity(V(20.0 * ahead.x, 20.0 * ahead.y, 0.0))
    ticks(world, 30)
    assert other.get_velocity().length() == pytest.approx(0.0, abs=1e-6)
    assert car.get_location().distance(place.location) > 8.0
    car.set_collisions(True)
    place.location -= 7.0 * ahead
    car.set_transform(place)
    car.set_target_velocity(V(20.0 * ahead.x, 20.0 * ahead.y, 0.0))
    ticks(world, 10)
    assert other.get_velocity().length() > 2.0


def test_without_physics_a_vehicle_stays(world, car):
    before = car.get_location()
    car.set_simulate_physics(False)
    car.apply_control(carla.VehicleControl(throttle=1.0))
    ticks(world, 10)
    assert car.get_location().distance(before) == pytest.approx(0.0, abs=1e-4)
    car.set_simulate_physics(True)
    ticks(world, 10)
    assert car.get_location().distance(before) > 0.1


def test_the_physics_of_a_prop_may_be_switched_and_it_stays(world, car):
    library, place = world.get_blueprint_library(), car.get_transform()
    place.location += 8.0 * place.get_forward_vector()
    cone = world.spawn_actor(library.find("static.prop.constructioncone"), place)
    world.tick()
    for enabled in (True, False):
        cone.set_simulate_physics(enabled)
        ticks(world, 5)
        assert cone.get_location().distance(place.location) < 1e-3


@pytest.mark.parametrize("enabled", [True, False])
def test_gravity_may_be_switched_and_nothing_falls_or_flies(world, car, enabled):
    before = car.get_location().z
    car.set_enable_gravity(enabled)
    ticks(world, 5)
    assert car.get_location().z == pytest.approx(before)


def test_locations_keep_the_heading(world, car):
    before = car.get_transform()
    car.set_location(before.location + carla.Location(2.0, -1.0, 0.0))
    world.tick()
    after = car.get_transform()
    assert after.location.x - before.location.x == pytest.approx(2.0, abs=1e-3)
    assert after.location.y - before.location.y == pytest.approx(-1.0, abs=1e-3)
    assert after.rotation.yaw == pytest.approx(before.rotation.yaw, abs=1e-3)


def test_a_dead_vehicle_takes_no_control(server, world, car):
    assert call(server, "set_actor_dead", car.id)[3] == [[False]]
    control = [1.0, 0.0, 0.0, False, False, False, 0]
    refused = call(server, "apply_control_to_vehicle", car.id, control)[3]
    assert "is dead" in refused[0][1][0]
    call(server, "set_actor_simulate_physics", car.id, True)
    ticks(world, 5)
    assert car.get_velocity().length() == 0.0


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e9])
def test_velocities_beyond_reason_are_refused(server, world, car, bad):
    for method in ("set_actor_target_velocity", "add_actor_impulse", "add_actor_torque"):
        scale = 1.0 if method == "set_actor_target_velocity" else 1e9
        refused = call(server, method, car.id, [bad * scale, 0.0, bad * scale])[3]
        assert refused[0][0] is True
    world.tick()
    assert car.get_velocity().length() == 0.0
