import msgpack
import numpy as np
import pytest

from dreamdrive.envs.embedded.debug_shapes import DebugShapes
from dreamdrive.envs.embedded.render.look import Look
from dreamdrive.envs.embedded.render.probes import ObstacleDetector, Radar
from dreamdrive.envs.embedded.render.settings import settings_of
from dreamdrive.envs.embedded.render.view import Pose
from dreamdrive.envs.embedded.simulator import CLEAR_NOON
from dreamdrive.envs.embedded.towns import load_town
from dreamdrive.envs.embedded.world import World

TOWN = load_town("Dream01")
BUS, CAR = "vehicle.mitsubishi.fusorosa", "vehicle.lincoln.mkz_2020"
RADAR, OBSTACLE = "sensor.other.radar", "sensor.other.obstacle"


@pytest.fixture
def street():
    """A car, a bus 30 m ahead of it, and the car's heading."""
    world = World(TOWN)
    x, y, z, yaw = TOWN.spawn_points[2]
    heading = np.array([np.cos(np.radians(yaw)), np.sin(np.radians(yaw))])
    car = world.spawn(CAR, {}, x, y, z, yaw).id
    bus = world.spawn(BUS, {}, x + 30 * heading[0], y + 30 * heading[1], z, yaw).id
    return world, car, bus, heading


def sense(kind, world, parent, *, x=2.6, interval_s=0.05, **attributes):
    sensor = world.spawn(kind, attributes, x, 0.0, 1.0, 0.0, parent).id
    pose = world.place(sensor)
    look = Look(world, lambda actor: actor, CLEAR_NOON, DebugShapes(1))
    made = {RADAR: Radar, OBSTACLE: ObstacleDetector}[kind](kind, settings_of(kind, attributes))
    return made.sense(look, sensor, Pose(*pose[:3], 0.0, pose[3], 0.0), interval_s)


def detections(payloads):
    ((name, data),) = payloads
    assert name == "radar"
    return np.frombuffer(data, "<f4").reshape(-1, 4)


def test_a_radar_measures_distance_and_the_speed_at_which_it_grows(street):
    world, car, bus, heading = street
    world.vehicles.velocity[world.vehicles.row[car]] = 10.0 * heading
    world.vehicles.velocity[world.vehicles.row[bus]] = 4.0 * heading
    found = detections(
        sense(RADAR, world, car, horizontal_fov="6", vertical_fov="3", points_per_second="20000")
    )
    assert 900 < len(found) <= 1000
    gap = 30.0 - 2.6 - world.actors[bus].extent[0]
    is_bus = np.abs(found[:, 3] * np.cos(found[:, 1]) - gap) < 0.1
    assert is_bus.mean() > 0.6
    cosine = np.cos(found[is_bus, 1]) * np.cos(found[is_bus, 2])
    np.testing.assert_allclose(found[is_bus, 0], -6.0 * cosine, atol=1e-4)
    assert np.degrees(np.abs(found[:, 1])).max() <= 3.001
    assert np.degrees(np.abs(found[:, 2])).max() <= 1.501
    still = found[np.abs(found[:, 0] + 10.0 * np.cos(found[:, 1]) * np.cos(found[:, 2])) < 1e-3]
    assert len(still) == np.count_nonzero(~is_bus)


def test_a_radars_azimuth_grows_to_the_right():
    world = World(TOWN)
    x, y, z, yaw = TOWN.spawn_points[2]
    radians = np.radians(yaw)
    ahead = np.array([np.cos(radians), np.sin(radians)])
    right = np.array([-np.sin(radians), np.cos(radians)])
    car = world.spawn(CAR, {}, x, y, z, yaw).id
    side = np.array([x, y]) + 8.0 * ahead + 2.0 * right
    walker = world.spawn("walker.pedestrian.0001", {}, *side, 0.93, yaw).id
    world.walkers.velocity[world.walkers.row[walker]] = -3.0 * ahead
    found = detections(
        sense(RADAR, world, car, x=3.0, horizontal_fov="60", vertical_fov="10",
              points_per_second="200000")
    )  # fmt: skip
    moving = found[np.abs(found[:, 0]) > 1.0]
    assert len(moving) > 20
    assert np.degrees(moving[:, 1].mean()) == pytest.approx(np.degrees(np.arctan2(2, 5)), abs=1.0)
    assert (moving[:, 0] < 0.0).all()


def test_an_obstacle_detector_names_what_is_ahead_but_not_ground_or_parent(street):
    world, car, bus, _ = street
    gap = 30.0 - world.actors[bus].extent[0]
    found = [
        (name, *msgpack.unpackb(data))
        for name, data in sense(OBSTACLE, world, car, x=0.0, distance="26", hit_radius="1.2")
    ]
    assert [row[:3] for row in found] == [("obstacle", car, bus)]
    assert found[0][3] == pytest.approx(gap, abs=0.05)
    assert sense(OBSTACLE, world, car, x=0.0, distance="24") == []


def test_an_obstacle_detector_may_look_for_what_moves_alone():
    world = World(TOWN)
    x, y, half, _, yaw = TOWN.static_boxes[0]
    at = np.array([x, y]) - (half + 4.0) * np.array([np.cos(yaw), np.sin(yaw)])
    car = world.spawn(CAR, {}, *TOWN.spawn_points[0]).id
    world.move(car, *at, 0.0, float(np.degrees(yaw)))
    found = sense(OBSTACLE, world, car, x=0.0, distance="10")
    assert [msgpack.unpackb(data)[1] for _, data in found] == [-2]
    assert msgpack.unpackb(found[0][1])[2] == pytest.approx(4.0, abs=0.03)
    assert sense(OBSTACLE, world, car, x=0.0, distance="10", only_dynamics="true") == []
