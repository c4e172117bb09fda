"""Walkers of the embedded server."""

import math

import pytest

from dreamdrive.envs.embedded.towns import load_town
from support.server import CAR, DT_S, call, drained, listen, ticks

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


def test_a_walker_jumps_once_and_lands_where_it_left(world, walker):
    ticks(world, 2)
    floor = walker.get_location().z
    assert floor == pytest.approx(0.93)
    walker.apply_control(carla.WalkerControl(carla.Vector3D(1.0, 0.0, 0.0), 0.0, True))
    heights, speeds = [], []
    for _ in range(40):
        world.tick()
        heights.append(walker.get_location().z - floor)
        speeds.append(walker.get_velocity().z)
    # With 4.2 m/s up: 0.9 m high, 0.86 s long.
    assert max(heights) == pytest.approx(4.2**2 / (2.0 * 9.81), abs=0.02)
    in_air = sum(height > 0.0 for height in heights) * DT_S
    assert in_air == pytest.approx(2.0 * 4.2 / 9.81, abs=2.0 * DT_S)
    assert max(speeds) == pytest.approx(4.2, abs=0.5)
    assert heights[-1] == speeds[-1] == 0.0


def test_a_walker_spawned_on_the_ground_stands_on_it(world):
    place = world.get_map().get_spawn_points()[3]
    place.location.z = 0.0
    blueprint = world.get_blueprint_library().filter("walker.pedestrian.*")[0]
    walker = world.spawn_actor(blueprint, place)
    world.tick()
    assert walker.get_location().z == pytest.approx(walker.bounding_box.extent.z)


def hit(world, prepare):
    """Puts a walker before a car with a collision sensor; returns all, and where and which way."""
    library = world.get_blueprint_library()
    place = world.get_map().get_spawn_points()[2]
    ahead = place.get_forward_vector()
    car = world.spawn_actor(library.find(CAR), place)
    blueprint = library.filter("walker.pedestrian.*")[4]
    place.location += ahead * 6.0
    prepare(blueprint)
    walker = world.spawn_actor(blueprint, place)
    world.tick()
    sensor, messages = listen(world, "sensor.other.collision", carla.Transform(), car)
    ticks(world, 10)
    return car, walker, sensor, messages, place, ahead


def test_a_hit_walker_is_thrown_ahead_and_the_car_told(world):
    car, walker, _sensor, messages, place, ahead = hit(world, lambda _: None)
    car.set_target_velocity(ahead * 10.0)
    car.apply_control(carla.VehicleControl(brake=1.0))
    ticks(world, 60)
    events = drained(messages)
    assert {event.other_actor.id for event in events} == {walker.id}
    impulse = events[0].normal_impulse.length()
    assert 300.0 < impulse < 75.0 * 10.0 * 1.2
    thrown = walker.get_location() - place.location
    assert thrown.x * ahead.x + thrown.y * ahead.y > 1.0
    gap = walker.get_location() - car.get_location()
    reach = car.bounding_box.extent.x + walker.bounding_box.extent.x
    assert gap.x * ahead.x + gap.y * ahead.y - reach > 0.5
    assert car.get_velocity().length() == pytest.approx(0.0, abs=1e-3)
    assert walker.get_velocity().length() == 0.0


@pytest.mark.parametrize(("is_invincible", "is_hit"), [("false", True), ("true", False)])
def test_walkers_without_collisions_are_hit_unless_invincible(world, is_invincible, is_hit):
    car, walker, _sensor, messages, _, ahead = hit(
        world, lambda blueprint: blueprint.set_attribute("is_invincible", is_invincible)
    )
    walker.set_collisions(False)
    car.set_target_velocity(ahead * 8.0)
    ticks(world, 60)
    assert bool(drained(messages, 10.0 if is_hit else 0.5)) == is_hit


def test_walls_stop_walkers_and_tell_them(world, walker):
    x, y, half_length, _, yaw = load_town("Dream01").static_boxes[0]
    out = carla.Vector3D(math.cos(yaw), math.sin(yaw), 0.0)
    walker.set_location(carla.Location(x, y, 0.93) + out * (half_length + 2.0))
    world.tick()
    _sensor, messages = listen(world, "sensor.other.collision", carla.Transform(), walker)
    ticks(world, 10)
    walker.apply_control(carla.WalkerControl(carla.Vector3D(-out.x, -out.y, 0.0), 2.0, False))
    ticks(world, 60)
    gone = walker.get_location() - carla.Location(x, y, 0.93)
    assert gone.x * out.x + gone.y * out.y == pytest.approx(half_length + 0.19, abs=0.12)
    event = drained(messages)[0]
    assert event.other_actor.type_id == "static.building"
    assert event.normal_impulse.length() == pytest.approx(75.0 * 2.0, rel=0.05)
