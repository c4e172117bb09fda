import numpy as np
import pytest

from dreamdrive.envs.embedded.render.mesh import MeshBuilder, Tag
from dreamdrive.envs.embedded.render.raster import SKY, Image
from dreamdrive.envs.embedded.render.view import Lens, Pose
from support.shapes import triangles_of, wall

ORIGIN = Pose(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
LENS = Lens(64, 48, 90.0)


def drawn(builder, pose=ORIGIN, lens=LENS):
    return Image(triangles_of(builder), pose, lens)


def tags(image):
    return np.where(image.triangle >= 0, image.triangles.tag[image.triangle], Tag.SKY)


@pytest.mark.parametrize("distance", [0.5, 7.25, 640.0])
def test_a_wall_has_its_distance_as_depth_in_every_pixel(distance):
    builder = MeshBuilder()
    wall(builder, distance, Tag.WALL, half=2000.0)
    np.testing.assert_allclose(drawn(builder).depth(), distance, rtol=1e-6)


def test_the_depth_of_a_slope_is_exact_at_the_middle_of_each_pixel():
    builder = MeshBuilder()
    ground = [(500, -900, 0), (500, 900, 0), (-500, 900, 0), (-500, -900, 0)]
    builder.polygon(ground, Tag.ROAD, (0, 0, 0))
    depth = drawn(builder, ORIGIN._replace(z=1.5)).depth()
    down = (np.arange(48) + 0.5 - 24.0) / LENS.focal
    np.testing.assert_allclose(depth[24:], np.tile((1.5 / down[24:])[:, None], 64), rtol=1e-6)
    assert np.isinf(depth[:24]).all()


def test_a_box_covers_exactly_its_pixels():
    builder = MeshBuilder()
    # At 90 degrees a pixel is 1/32 of the depth wide: the front spans 8 m of depth 8.
    builder.box((9.0, 0.0, 0.0), (1.0, 2.0, 1.0), 0.0, Tag.CAR, (1, 0, 0))
    seen = tags(drawn(builder)) == Tag.CAR
    expected = np.zeros((48, 64), bool)
    expected[20:28, 24:40] = True
    np.testing.assert_array_equal(seen, expected)


def test_y_is_to_the_right_and_z_is_up():
    builder = MeshBuilder()
    builder.box((10.0, 5.0, 0.0), (0.5, 0.5, 0.5), 0.0, Tag.CAR, (1, 0, 0))
    builder.box((10.0, 0.0, 4.0), (0.5, 0.5, 0.5), 0.0, Tag.POLE, (1, 0, 0), is_open_below=False)
    found = tags(drawn(builder))
    assert np.nonzero(found == Tag.CAR)[1].min() > 40
    rows, columns = np.nonzero(found == Tag.POLE)
    assert rows.max() < 20
    assert 28 < columns.min() <= columns.max() < 36


def test_yaw_turns_the_view_to_the_right_and_pitch_lifts_it():
    builder = MeshBuilder()
    builder.box((0.0, 10.0, 0.0), (0.5, 0.5, 0.5), 0.0, Tag.CAR, (1, 0, 0))
    seen = np.nonzero(tags(drawn(builder, ORIGIN._replace(yaw=90.0))) == Tag.CAR)
    assert seen[1].mean() == pytest.approx(31.5)
    lifted = np.nonzero(tags(drawn(builder, ORIGIN._replace(yaw=90.0, pitch=20.0))) == Tag.CAR)
    assert lifted[0].min() > seen[0].max()


def test_the_nearer_of_two_walls_is_seen_whatever_their_order():
    for first, second in ((5.0, 9.0), (9.0, 5.0)):
        builder = MeshBuilder()
        wall(builder, first, Tag.WALL if first == 5.0 else Tag.BUILDING)
        wall(builder, second, Tag.WALL if second == 5.0 else Tag.BUILDING)
        image = drawn(builder)
        assert (tags(image) == Tag.WALL).all()
        np.testing.assert_allclose(image.depth(), 5.0, rtol=1e-6)


def test_triangles_are_seen_from_one_side():
    builder = MeshBuilder()
    wall(builder, 5.0, Tag.WALL)
    behind = Pose(10.0, 0.0, 0.0, 0.0, 180.0, 0.0)
    assert (drawn(builder, behind).triangle == SKY).all()


def test_neighbours_leave_no_gap_and_do_not_overlap():
    rng = np.random.default_rng(3)
    grid = np.stack(np.meshgrid(*[np.linspace(-60, 60, 13)] * 2, indexing="ij"), -1)
    grid[1:-1, 1:-1] += rng.uniform(-3, 3, grid[1:-1, 1:-1].shape)
    builder = MeshBuilder()
    for i in range(12):
        for j in range(12):
            corners = [grid[i, j], grid[i, j + 1], grid[i + 1, j + 1], grid[i + 1, j]]
            builder.polygon([(30.0, *corner) for corner in corners], Tag.WALL, (0, 0, 0))
    for pose in (ORIGIN, ORIGIN._replace(pitch=7.3, roll=31.0)):
        assert (drawn(builder, pose).triangle != SKY).all()


def test_what_reaches_behind_the_camera_is_cut_not_lost():
    builder = MeshBuilder()
    builder.triangles([[(-100, -3, -1), (900, -3, -1), (900, 3, -1)]], Tag.ROAD, (0, 0, 0))
    builder.triangles([[(-100, -3, -1), (900, 3, -1), (-100, 3, -1)]], Tag.ROAD, (0, 0, 0))
    found = tags(drawn(builder)) == Tag.ROAD
    assert found[47].all()  # 1.02 m ahead, where the picture is two metres wide.
    assert found[24, 31:33].all()
    assert not found[:24].any()


def test_nothing_in_view_is_sky():
    builder = MeshBuilder()
    wall(builder, 5.0, Tag.WALL)
    image = drawn(builder, ORIGIN._replace(yaw=180.0))
    assert (image.triangle == SKY).all()
    assert (image.inverse_depth == 0.0).all()
