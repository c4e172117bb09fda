"""LiDARs, radars, obstacle detectors and single rays, through CARLA's own client."""

import numpy as np
import pytest

from support.server import listen, seen, server_process, spawn, ticks

carla = pytest.importorskip("carla")
pytestmark = pytest.mark.usefixtures("compiled_sensors")

ROOF = carla.Transform(carla.Location(z=2.4))
BUS = "vehicle.mitsubishi.fusorosa"
TURN = {
    "channels": "16", "points_per_second": "64000", "rotation_frequency": "20", "range": "60",
}  # fmt: skip


@pytest.fixture
def pair(world):
    """A car, and a bus 20 m ahead of it."""
    car = spawn(world, 2)
    world.tick()
    ahead = car.get_transform()
    ahead.location += 20.0 * ahead.get_forward_vector() + carla.Location(z=0.3)
    bus = world.try_spawn_actor(world.get_blueprint_library().find(BUS), ahead)
    assert bus is not None
    world.tick()
    return car, bus


def gap(bus):
    return 20.0 - bus.bounding_box.extent.x


def test_a_lidar_sends_a_turn_a_tick(world, pair):
    car, bus = pair
    sensor, messages = listen(world, "sensor.lidar.ray_cast", ROOF, car, **TURN)
    scan = seen(world, messages)
    assert scan.channels == 16
    assert scan.horizontal_angle == pytest.approx(0.0, abs=1e-5)
    points = np.frombuffer(scan.raw_data, np.float32).reshape(-1, 4)
    assert len(points) == len(scan) == sum(scan.get_point_count(c) for c in range(16))
    assert 500 < len(points) < 3200
    assert np.linalg.norm(points[:, :3], axis=1).max() <= 60.0
    assert ((points[:, 3] > 0.75) & (points[:, 3] <= 1.0)).all()
    ground = points[(np.abs(points[:, 1]) < 1.5) & (points[:, 0] > 4.0) & (points[:, 0] < 12.0)]
    np.testing.assert_allclose(ground[:, 2], -2.4, atol=0.02)
    assert [(p.point.z, p.intensity) for p in scan] == [(z, i) for _, _, z, i in points.tolist()]
    back = points[(np.abs(points[:, 1]) < 1.0) & (points[:, 0] > 14.0) & (points[:, 2] > -1.2)]
    assert back[:, 0].min() == pytest.approx(gap(bus), abs=0.1)
    sensor.stop()


def test_a_semantic_lidar_names_the_bus(world, pair):
    car, bus = pair
    sensor, messages = listen(world, "sensor.lidar.ray_cast_semantic", ROOF, car, **TURN)
    scan = seen(world, messages)
    there = [point for point in scan if point.object_idx == bus.id]
    assert len(there) > 20
    assert {int(point.object_tag) for point in there} == {16}
    assert len(bytes(scan.raw_data)) == 24 * len(scan)
    assert len(scan) == sum(scan.get_point_count(channel) for channel in range(scan.channels))
    assert scan.horizontal_angle == pytest.approx(0.0, abs=1e-5)
    ground = [point for point in scan if int(point.object_tag) == 1]
    assert {point.object_idx for point in ground} == {0}
    for point in ground[::50]:
        distance = np.linalg.norm([point.point.x, point.point.y, point.point.z])
        assert point.cos_inc_angle == pytest.approx(-point.point.z / distance, abs=1e-4)
    sensor.stop()


def test_a_radar_measures_the_bus_that_comes_nearer(world, pair):
    car, bus = pair
    place = carla.Transform(carla.Location(x=3.0, z=1.0))
    sensor, messages = listen(
        world, "sensor.other.radar", place, car, horizontal_fov="5", vertical_fov="3",
        points_per_second="4000",
    )  # fmt: skip
    heading = car.get_transform().get_forward_vector()
    for _ in range(40):
        bus.set_target_velocity(-3.0 * heading)
        measured = seen(world, messages)
        near = [d for d in measured if d.velocity < -2.0]
        if near:
            break
    distance = car.get_location().distance(bus.get_location()) - bus.bounding_box.extent.x - 3.0
    assert len(near) > 50
    for detection in near:
        assert detection.depth * np.cos(detection.azimuth) == pytest.approx(distance, abs=0.2)
        assert abs(detection.altitude) <= np.radians(1.6)
    assert len(bytes(measured.raw_data)) == 16 * measured.get_detection_count()
    sensor.stop()


def test_an_obstacle_detector_tells_of_the_bus(world, pair):
    car, bus = pair
    sensor, messages = listen(
        world, "sensor.other.obstacle", carla.Transform(carla.Location(z=1.0)), car, distance="18"
    )
    event = seen(world, messages)
    assert (event.actor.id, event.other_actor.id) == (car.id, bus.id)
    assert event.distance == pytest.approx(gap(bus), abs=0.05)
    sensor.stop()


def test_rays_that_the_client_asks_for_agree_with_the_lidar(world, pair):
    car, _ = pair
    sensor, messages = listen(
        world, "sensor.lidar.ray_cast", ROOF, car, **TURN, dropoff_general_rate="0"
    )
    scan = seen(world, messages)
    origin, compared = scan.transform.location, 0
    for detection in list(scan)[::37]:
        point = detection.point
        length = np.linalg.norm([point.x, point.y, point.z])
        there = scan.transform.transform(
            carla.Location(*(value * (1.0 + 1.0 / length) for value in (point.x, point.y, point.z)))
        )
        met = world.cast_ray(origin, there)
        assert met
        assert met[0].location.distance(origin) == pytest.approx(length, abs=0.02)
        compared += 1
    assert compared > 30
    sensor.stop()


def test_points_projected_by_the_clients_matrices_fall_on_what_the_cameras_see(world, pair):
    car, _ = pair
    place = carla.Transform(carla.Location(x=2.7, z=1.6), carla.Rotation(pitch=-4.0, yaw=5.0))
    size = {"image_size_x": "256", "image_size_y": "192"}
    turn = {**TURN, "channels": "64", "points_per_second": "640000", "lower_fov": "-25"}
    made = {
        kind: listen(world, f"sensor.{kind}", place, car, **attributes)
        for kind, attributes in (
            ("camera.semantic_segmentation", size), ("camera.depth", size),
            ("lidar.ray_cast_semantic", turn),
        )
    }  # fmt: skip
    for _, messages in made.values():
        seen(world, messages)
    car.set_target_velocity(8.0 * car.get_transform().get_forward_vector())
    ticks(world, 3)
    frame = world.tick()
    newest = {}
    for kind, (_, messages) in made.items():
        while kind not in newest or newest[kind].frame < frame:
            newest[kind] = messages.get(timeout=10.0)
    images = [
        np.frombuffer(newest[f"camera.{kind}"].raw_data, np.uint8).reshape(192, 256, 4).astype(int)
        for kind in ("semantic_segmentation", "depth")
    ]
    tags, coded = images[0][:, :, 2], images[1]
    depth = (coded[:, :, 2] + 256 * coded[:, :, 1] + 65536 * coded[:, :, 0]) / (2**24 - 1) * 1000.0
    scan, camera = newest["lidar.ray_cast_semantic"], made["camera.depth"][0]
    points = np.array([(p.point.x, p.point.y, p.point.z, 1.0) for p in scan])
    there = np.array(made["lidar.ray_cast_semantic"][0].get_transform().get_matrix())
    x, y, z, _ = np.array(camera.get_transform().get_inverse_matrix()) @ there @ points.T
    is_ahead = x > 0.5
    x, y, z = x[is_ahead], y[is_ahead], z[is_ahead]
    labels = np.array([int(p.object_tag) for p in scan])[is_ahead]
    u = np.floor(128.0 + 128.0 * y / x).astype(int)
    v = np.floor(96.0 - 128.0 * z / x).astype(int)
    is_in = (u >= 0) & (u < 256) & (v >= 0) & (v < 192)
    u, v, x, labels = u[is_in], v[is_in], x[is_in], labels[is_in]
    assert len(u) > 2000
    assert {1, 16, 24} <= set(labels.tolist())
    assert (tags[v, u] == labels).mean() > 0.97
    is_bus = (labels == 16) & (tags[v, u] == 16)
    np.testing.assert_allclose(np.median(depth[v, u][is_bus]), np.median(x[is_bus]), atol=0.02)
    for sensor, _ in made.values():
        sensor.stop()


def test_a_point_is_projected_to_the_ground_with_its_tag(world, pair):
    car, bus = pair
    over = bus.get_location() + carla.Location(z=30.0)
    met = world.project_point(over, carla.Vector3D(z=-1.0), 100.0)
    assert met.label == carla.CityObjectLabel.Bus
    assert met.location.z == pytest.approx(2.0 * bus.bounding_box.extent.z, abs=0.02)
    beside = car.get_location() + carla.Location(z=10.0)
    beside -= 6.0 * car.get_transform().get_forward_vector()
    ground = world.ground_projection(beside, 100.0)
    assert ground.label in (carla.CityObjectLabel.Roads, carla.CityObjectLabel.RoadLines)
    assert ground.location.z == pytest.approx(0.0, abs=0.02)
    assert world.project_point(over, carla.Vector3D(z=1.0), 100.0) is None
    labels = [
        point.label for point in world.cast_ray(over, bus.get_location() - carla.Location(z=1))
    ]
    assert labels[0] == carla.CityObjectLabel.Bus
    assert labels[-1] == carla.CityObjectLabel.Terrain


def test_a_server_can_be_ready_for_sensors_before_any_client_connects():
    with server_process("--port", "0", "--sync", "--sensors") as process:
        assert process.stdout.readline().startswith("ready 127.0.0.1:")


def test_a_lidar_that_cannot_be_is_refused(world, pair):
    with pytest.raises(RuntimeError, match="channels must lie within"):
        listen(world, "sensor.lidar.ray_cast", ROOF, pair[0], channels="0")
