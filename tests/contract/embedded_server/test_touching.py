"""What a collision sensor names, through CARLA's own client."""

import pytest

from support.server import drained, listen, server_process, ticks

carla = pytest.importorskip("carla")


@pytest.fixture(scope="module")
def server():
    """One with kerbs and posts, which are asked for."""
    with server_process("--port", "0", "--sync", "--road-hazards") as process:
        yield int(process.stdout.readline().rsplit(":", 1)[1])


def kinds_hit(world, car, count=20):
    """Ticks and returns type and number of what a car touched, and the largest impulse."""
    sensor, messages = listen(world, "sensor.other.collision", carla.Transform(), car)
    ticks(world, count)
    found, largest = set(), 0.0
    for event in drained(messages):
        assert event.actor.id == car.id
        found.add((event.other_actor.type_id, event.other_actor.id))
        largest = max(largest, event.normal_impulse.length())
    sensor.stop()
    sensor.destroy()
    return found, largest


def test_a_kerb_is_a_sidewalk_and_jolts(world, car):
    place = car.get_transform()
    place.rotation.yaw += 90.0
    car.set_transform(place)
    world.tick()
    car.set_target_velocity(6.0 * place.get_forward_vector())
    found, impulse = kinds_hit(world, car, 12)
    assert ("static.sidewalk", 0) in found
    assert 50.0 < impulse < 1000.0


def test_a_light_that_was_hit_is_the_light(world, car):
    light = world.get_actors().filter("traffic.traffic_light")[0]
    at = light.get_transform()
    ahead = at.get_right_vector()
    car.set_transform(carla.Transform(at.location - 3.2 * ahead, carla.Rotation(
        yaw=at.rotation.yaw + 90.0)))  # fmt: skip
    world.tick()
    car.set_target_velocity(8.0 * ahead)
    found, impulse = kinds_hit(world, car, 12)
    assert ("traffic.traffic_light", light.id) in found
    assert impulse > 5000.0


def test_a_prop_that_was_hit_is_the_prop(world, car):
    blueprint = world.get_blueprint_library().find("static.prop.streetbarrier")
    place = car.get_transform()
    place.location += 4.0 * place.get_forward_vector()
    prop = world.spawn_actor(blueprint, place)
    car.set_target_velocity(8.0 * place.get_forward_vector())
    found, _ = kinds_hit(world, car)
    assert found == {("static.prop.streetbarrier", prop.id)}


def test_a_house_that_was_hit_is_a_building(world, car):
    house = world.get_environment_objects(carla.CityObjectLabel.Buildings)[0]
    box = house.bounding_box
    ahead = house.transform.get_forward_vector()
    start = box.location - (box.extent.x + 2.2) * ahead
    start.z = 0.0
    car.set_transform(carla.Transform(start, house.transform.rotation))
    car.set_target_velocity(8.0 * ahead)
    sensor, messages = listen(world, "sensor.other.collision", carla.Transform(), car)
    ticks(world, 8)
    event = messages.get(timeout=10.0)
    other = event.other_actor
    assert (other.type_id, other.id, list(other.semantic_tags)) == ("static.building", 0, [3])
    sensor.stop()
    sensor.destroy()
