import math
import struct

import numpy as np
import pytest

from dreamdrive.envs.embedded.render.eyes import SENSORS
from dreamdrive.envs.embedded.render.lidar import SEMANTIC_POINT
from dreamdrive.envs.embedded.render.mesh import MeshBuilder, Tag
from dreamdrive.envs.embedded.render.settings import settings_of
from dreamdrive.envs.embedded.render.view import Pose
from dreamdrive.envs.embedded.world import SpawnError
from support.shapes import look_at

PLAIN, SEMANTIC = "sensor.lidar.ray_cast", "sensor.lidar.ray_cast_semantic"
ORIGIN = Pose(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
TURN = {
    "channels": "4", "points_per_second": "8000", "rotation_frequency": "20", "range": "50",
    "upper_fov": "15", "lower_fov": "-30",
}  # fmt: skip
ALL = {**TURN, "dropoff_general_rate": "0", "dropoff_zero_intensity": "0"}


def made(kind, **attributes):
    return SENSORS[kind](kind, settings_of(kind, attributes))


def room():
    """Returns a room of 20 by 12 by 8 metres around the origin, a wall to each side."""
    builder = MeshBuilder()
    x, y, z = 10.0, 6.0, 4.0
    rim = [(x, y), (x, -y), (-x, -y), (-x, y)]
    for k, (a, b) in enumerate(zip(rim, rim[1:] + rim[:1], strict=True)):
        corners = [(*a, -z), (*b, -z), (*b, z), (*a, z)]
        builder.polygon(corners, Tag.WALL, (0, 0, 0), instance=k + 1)
    builder.polygon([(*p, -z) for p in rim[::-1]], Tag.ROAD, (0, 0, 0), instance=-5)
    builder.polygon([(*p, z) for p in rim], Tag.BUILDING, (0, 0, 0), instance=6)
    return builder


def sent(lidar, pose=ORIGIN, interval_s=0.05, channels=4):
    """Returns the angle, the number of points of each channel, and the points' bytes."""
    ((name, data),) = lidar.sense(look_at(room()), 1, pose, interval_s)
    angle, count = struct.unpack_from("<fI", data)
    assert count == channels
    counts = np.frombuffer(data, "<u4", channels, 8)
    return name, angle, counts.tolist(), data[8 + 4 * channels :]


def test_points_lie_on_the_walls_channel_by_channel_from_the_highest():
    name, angle, counts, data = sent(made(PLAIN, **ALL))
    assert (name, angle, counts) == ("lidar", 0.0, [100] * 4)
    points = np.frombuffer(data, "<f4").reshape(4, 100, 4)
    wall = np.abs(points[..., :3]) / (10.0, 6.0, 4.0)
    np.testing.assert_allclose(wall.max(-1), 1.0, rtol=1e-5)
    elevation = np.degrees(np.arctan2(points[..., 2], np.hypot(points[..., 0], points[..., 1])))
    np.testing.assert_allclose(
        elevation, np.tile([[15.0], [0.0], [-15.0], [-30.0]], 100), atol=1e-4
    )
    azimuth = np.degrees(np.arctan2(points[..., 1], points[..., 0]))
    # A turn to the right from behind: y, which is to the right, is negative at first.
    np.testing.assert_allclose(azimuth[1, 1:], -180.0 + 3.6 * np.arange(1, 100), atol=1e-3)
    distance = np.linalg.norm(points[..., :3], axis=-1)
    np.testing.assert_allclose(points[..., 3], np.exp(-0.004 * distance), rtol=1e-5)


def test_a_turn_goes_on_where_the_last_frame_ended():
    lidar = made(PLAIN, **ALL)
    halves = [sent(lidar, interval_s=0.025) for _ in range(2)]
    assert [half[1] for half in halves] == pytest.approx([math.pi, 0.0], abs=1e-6)
    y = [np.frombuffer(half[3], "<f4").reshape(-1, 4)[:, 1] for half in halves]
    assert y[0][1:].max() < 1e-4
    assert y[1].min() > -1e-4


def test_points_are_in_the_sensors_axes():
    flat = np.frombuffer(sent(made(PLAIN, **ALL))[3], "<f4").reshape(-1, 4)[:, :3]
    pose = Pose(2.0, -1.0, 0.5, 12.0, 70.0, -20.0)
    tilted = np.frombuffer(sent(made(PLAIN, **ALL), pose)[3], "<f4").reshape(-1, 4)[:, :3]
    np.testing.assert_allclose(
        tilted / np.linalg.norm(tilted, axis=1, keepdims=True),
        flat / np.linalg.norm(flat, axis=1, keepdims=True), atol=1e-5,
    )  # fmt: skip
    world = np.array(pose[:3]) + tilted @ pose.axes()
    np.testing.assert_allclose((np.abs(world) / (10.0, 6.0, 4.0)).max(1), 1.0, rtol=1e-5)


def test_points_are_lost_by_seed_and_more_with_distance():
    counts = [sum(sent(made(PLAIN, **TURN, noise_seed=seed))[2]) for seed in ("1", "1", "2")]
    assert counts[0] == counts[1] != counts[2]
    assert counts[0] == pytest.approx(400 * 0.55, abs=40)
    dim = {**ALL, "atmosphere_attenuation_rate": "5", "dropoff_zero_intensity": "0.4"}
    assert sum(sent(made(PLAIN, **dim))[2]) == pytest.approx(400 * 0.6, abs=40)


def test_noise_moves_points_along_their_rays():
    plain = np.frombuffer(sent(made(PLAIN, **ALL))[3], "<f4").reshape(-1, 4)[:, :3]
    noisy = sent(made(PLAIN, **ALL, noise_stddev="0.2"))[3]
    noisy = np.frombuffer(noisy, "<f4").reshape(-1, 4)[:, :3]
    distance = np.linalg.norm(plain, axis=1)
    along = np.einsum("nd,nd->n", noisy, plain) / distance
    np.testing.assert_allclose(np.linalg.norm(noisy, axis=1), along, rtol=1e-5)
    assert (along - distance).std() == pytest.approx(0.2, rel=0.15)


def test_nothing_is_sent_from_beyond_the_range():
    _, _, counts, data = sent(made(PLAIN, **{**ALL, "range": "7"}))
    points = np.frombuffer(data, "<f4").reshape(-1, 4)
    assert 0 < sum(counts) == len(points) < 400
    assert np.linalg.norm(points[:, :3], axis=1).max() <= 7.0


def test_a_semantic_lidar_names_actors_tags_and_angles():
    name, _, counts, data = sent(made(SEMANTIC, **TURN))
    assert (name, counts) == ("semantic_lidar", [100] * 4)
    points = np.frombuffer(data, SEMANTIC_POINT).reshape(4, 100)
    right = points[1, 75]
    assert right["place"] == pytest.approx((0.0, 6.0, 0.0), abs=1e-4)
    assert (right["tag"], right["instance"]) == (Tag.WALL, 4)
    assert right["cosine"] == pytest.approx(1.0)
    slanted = points[1, 60]
    assert slanted["cosine"] == pytest.approx(math.cos(math.radians(54.0)), abs=1e-5)
    low = points[3, 75]
    assert low["tag"] == Tag.WALL
    floor = points[points["tag"] == Tag.ROAD]
    np.testing.assert_allclose(floor["place"][:, 2], -4.0, atol=1e-5)
    assert set(floor["instance"]) == {0}


@pytest.mark.parametrize(("name", "value"), [("channels", "0"), ("range", "-1"), ("channels", "x")])
def test_a_lidar_that_cannot_be_says_why(name, value):
    with pytest.raises(SpawnError, match=f"{name} must lie within"):
        settings_of(PLAIN, {name: value})
