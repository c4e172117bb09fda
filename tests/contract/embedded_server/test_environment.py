"""What stands beside roads is named, can be taken away and comes back, through CARLA's client."""

import numpy as np
import pytest

from dreamdrive.envs.embedded.towns import load_town
from support.server import DT_S, call, listen, seen, spawn, ticks

carla = pytest.importorskip("carla")

LABELS, LAYERS = carla.CityObjectLabel, carla.MapLayer
FIRST = 1 << 32
UP = carla.Location(z=0.5)


@pytest.fixture
def world(world):
    """A world to which everything that was taken away comes back."""
    yield world
    world.load_map_layer(LAYERS.All)


@pytest.fixture
def curves(client):
    """DreamCurves, beside whose streets many kinds of things stand."""
    world = client.load_world("DreamCurves", False)
    settings = world.get_settings()
    settings.synchronous_mode, settings.fixed_delta_seconds = True, DT_S
    world.apply_settings(settings)
    yield world
    client.load_world("Dream01", False)


def names(found):
    return {made.name.rsplit("_", 1)[0] for made in found}


def before(house, gap_m):
    """Returns a place before the side of a house that its x axis leaves through, facing it."""
    yaw = np.radians(house.transform.rotation.yaw)
    away = house.bounding_box.extent.x + gap_m
    at = house.transform.location + carla.Location(away * np.cos(yaw), away * np.sin(yaw))
    return carla.Transform(at + UP, carla.Rotation(yaw=house.transform.rotation.yaw + 180.0))


def free_house(world):
    """Returns a house with 12 m of free ground before it."""
    houses = world.get_environment_objects(LABELS.Buildings)
    for house in houses:
        at = before(house, 7.0).location
        if all(
            other.id == house.id
            or other.transform.location.distance_2d(at) > 9.0 + other.bounding_box.extent.length()
            for other in houses
        ):
            return house
    raise AssertionError("no free house")


def test_all_that_stands_beside_roads_is_an_environment_object(curves):
    found = curves.get_environment_objects()
    town = load_town("DreamCurves")
    assert len(found) == len(town.static_boxes)
    assert names(found) == {"Building", "Tree", "StreetLamp", "ParkedCar"}
    for label, kind in (
        (LABELS.Buildings, "Building"), (LABELS.Vegetation, "Tree"), (LABELS.Poles, "StreetLamp"),
        (LABELS.Car, "ParkedCar"),
    ):  # fmt: skip
        some = curves.get_environment_objects(label)
        assert names(some) == {kind}
        assert len(curves.get_level_bbs(label)) == len(some)
    assert sum(len(curves.get_environment_objects(label)) for label in LABELS.values.values()) == (
        2 * len(found)  # Any is a label too.
    )
    (lamp, *_) = curves.get_environment_objects(LABELS.Poles)
    assert lamp.bounding_box.location.z == pytest.approx(lamp.bounding_box.extent.z)
    assert lamp.bounding_box.extent.z == pytest.approx(3.0)


@pytest.mark.usefixtures("compiled_sensors")
def test_what_is_disabled_is_neither_seen_nor_met(world):
    house = free_house(world)
    place = before(house, 7.0)
    car = world.spawn_actor(world.get_blueprint_library().find("vehicle.mini.cooper_s"), place)
    above = carla.Transform(carla.Location(z=2.2))
    camera, images = listen(
        world, "sensor.camera.semantic_segmentation", above, car, image_size_x="32",
        image_size_y="24", fov="30",
    )  # fmt: skip
    lidar, scans = listen(
        world, "sensor.lidar.ray_cast", above, car, channels="4", points_per_second="4000",
        rotation_frequency="20", range="9", upper_fov="0", lower_fov="-5",
    )  # fmt: skip
    collision, hits = listen(world, "sensor.other.collision", carla.Transform(), car)

    def looks():
        tags = np.frombuffer(seen(world, images).raw_data, np.uint8)[2::4]
        points = np.frombuffer(seen(world, scans).raw_data, np.float32).reshape(-1, 4)
        ahead = points[(np.abs(points[:, 1]) < 1.0) & (points[:, 0] > 0.0) & (points[:, 2] > -1.5)]
        return np.mean(tags == int(LABELS.Buildings)), len(ahead)

    share, points = looks()
    assert share > 0.9
    assert points > 3
    world.enable_environment_objects({house.id}, False)
    ticks(world, 2)
    share, points = looks()
    assert share < 0.6
    assert points == 0
    ids = {made.id for made in world.get_environment_objects(LABELS.Buildings)}
    assert house.id in ids  # As in CARLA, what is disabled can be found, to be enabled again.

    def drive_on():
        car.set_transform(place)
        car.enable_constant_velocity(carla.Vector3D(10.0, 0.0, 0.0))
        ticks(world, 20)
        car.disable_constant_velocity()
        car.set_target_velocity(carla.Vector3D())
        return car.get_location().distance_2d(place.location)

    assert drive_on() > 9.0
    assert hits.empty()
    car.set_transform(place)
    world.enable_environment_objects({house.id}, True)
    ticks(world, 2)
    share, points = looks()
    assert share > 0.9
    assert points > 3
    assert drive_on() < 6.0
    assert hits.get(timeout=5.0).other_actor.type_id == "static.building"
    for sensor in (camera, lidar, collision):
        sensor.stop()


def test_where_a_house_was_one_can_be_spawned(world):
    house = world.get_environment_objects(LABELS.Buildings)[3]
    blueprint = world.get_blueprint_library().find("vehicle.mini.cooper_s")
    place = carla.Transform(house.transform.location + UP)
    assert world.try_spawn_actor(blueprint, place) is None
    world.enable_environment_objects({house.id}, False)
    world.tick()
    assert world.try_spawn_actor(blueprint, place) is not None


@pytest.mark.parametrize(
    "arguments",
    [([FIRST - 1], False), ([FIRST + 10**6], False), ([FIRST, -1], False), ([FIRST], 1),
     (["a"], False), (3, False), ([FIRST + 0.0], True)],
)  # fmt: skip
def test_what_is_no_object_is_refused(server, world, arguments):
    house = world.get_environment_objects()[0]
    blueprint = world.get_blueprint_library().find("vehicle.mini.cooper_s")
    answer = call(server, "enable_environment_objects", *arguments)[3]
    assert answer[0][0] is True
    place = carla.Transform(house.transform.location + UP)
    assert world.try_spawn_actor(blueprint, place) is None


def free_of(world, labels):
    """Returns those of some labels whose first object is not there, so that a car can be."""
    blueprint = world.get_blueprint_library().find("vehicle.mini.cooper_s")
    found = set()
    for label in labels:
        foot = world.get_environment_objects(label)[0].transform.location
        car = world.try_spawn_actor(blueprint, carla.Transform(foot + UP))
        if car is not None:
            world.tick()
            assert car.destroy()
            found.add(label)
    return found


def test_layers_come_and_go(server, curves):
    labels = house, tree, parked = LABELS.Buildings, LABELS.Vegetation, LABELS.Car
    assert free_of(curves, labels) == set()
    curves.unload_map_layer(LAYERS.Foliage)
    assert free_of(curves, labels) == {tree}
    curves.unload_map_layer(LAYERS.Buildings)
    assert free_of(curves, labels) == {house, tree}
    curves.load_map_layer(LAYERS.Foliage)
    assert free_of(curves, labels) == {house}
    curves.unload_map_layer(LAYERS.All)
    assert free_of(curves, labels) == {house, tree, parked}
    curves.load_map_layer(LAYERS.All)
    assert free_of(curves, labels) == set()
    for flags in (-1, 1 << 16, "all", 1.0):
        assert call(server, "unload_map_layer", flags)[3][0][0] is True
    assert free_of(curves, labels) == set()


def test_a_town_is_loaded_with_some_layers(client):
    world = client.load_world("DreamCurves", False, LAYERS.Buildings)
    labels = _, tree, parked = LABELS.Buildings, LABELS.Vegetation, LABELS.Car
    assert free_of(world, labels) == {tree, parked}
    assert free_of(client.reload_world(False), labels) == set()
    client.load_world("Dream01", False)


def test_a_car_beside_what_is_taken_away_goes_on_as_it_was(world):
    car = spawn(world, 2)
    car.apply_control(carla.VehicleControl(throttle=0.5))
    ticks(world, 5)
    speed = car.get_velocity().length()
    world.unload_map_layer(LAYERS.All)
    world.tick()
    assert car.get_velocity().length() > speed
    assert world.get_actor(car.id) is not None
