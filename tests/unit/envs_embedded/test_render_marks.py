"""Shapes for debugging in painted images: where they are, how wide, and what hides them."""

import numpy as np
import pytest

from dreamdrive.envs.embedded.debug_shapes import DebugShapes, ShapeKind, lines_of
from dreamdrive.envs.embedded.render.marks import mark
from dreamdrive.envs.embedded.render.mesh import MeshBuilder, Tag
from dreamdrive.envs.embedded.render.raster import Image
from dreamdrive.envs.embedded.render.view import Lens, Pose
from support.shapes import triangles_of, wall

EYE = Pose(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
WIDTH, HEIGHT, SAMPLES = 80, 60, 2
FOCAL = WIDTH / 2.0
GREY, RED = 90, [255, 0, 0]


def marked(kind, primitive, *, pose=EYE, wall_m=50.0, colour=RED):
    """Returns red, green, blue of a grey image that a shape is drawn into, shape (H, W, 3)."""
    builder = MeshBuilder()
    wall(builder, wall_m, Tag.WALL)
    lens = Lens(SAMPLES * WIDTH, SAMPLES * HEIGHT, 90.0)
    painted = np.full((HEIGHT, WIDTH, 4), GREY, np.uint8)
    painted[:, :, 3] = 255
    shapes = DebugShapes(5)
    shapes.add(kind, primitive, colour, -1.0, 0.0)
    mark(painted, Image(triangles_of(builder), pose, lens), shapes, SAMPLES)
    assert (painted[:, :, 3] == 255).all()
    return painted[:, :, 2::-1].astype(np.int64)


def is_red(picture):
    return (picture == RED).all(-1)


def test_a_thick_line_is_as_wide_as_it_is_told():
    across = [[10.0, -5.0, 0.0], [10.0, 5.0, 0.0], 2.0]
    rows, columns = np.nonzero(is_red(marked(ShapeKind.LINE, across)))
    assert (rows.min(), rows.max()) == (30 - 4, 30 + 3)  # 2 m at 10 m are 8 pixels.
    assert (columns.min(), columns.max()) == (40 - 20, 40 + 19)


def test_a_thin_line_is_a_pixel_wide_and_all_else_stays():
    picture = marked(ShapeKind.LINE, [[10.0, -5.0, 0.125], [10.0, 5.0, 0.125], 0.0])
    rows, columns = np.nonzero((picture != GREY).any(-1))
    assert set(rows) == {29}
    assert len(set(columns)) == 40
    assert is_red(picture)[29, 20:60].all()


def test_the_colour_is_red_green_blue_and_half_a_pixel_is_mixed():
    picture = marked(
        ShapeKind.LINE, [[10.0, -5.0, 0.0], [10.0, 5.0, 0.0], 0.0], colour=[250, 10, 50]
    )
    assert (picture[29, 40] == [(250 + GREY) // 2, (10 + GREY) // 2, (50 + GREY) // 2]).all()


@pytest.mark.parametrize("wall_m", [9.0, 11.0])
def test_what_stands_before_a_shape_hides_it(wall_m):
    line = [[10.0, -5.0, 0.0], [10.0, 5.0, 0.0], 2.0]
    assert is_red(marked(ShapeKind.LINE, line, wall_m=wall_m)).any() == (wall_m > 10.0)


def test_a_line_from_behind_the_camera_to_beyond_the_town_is_drawn_where_it_is_seen():
    picture = is_red(
        marked(ShapeKind.LINE, [[-1e9, 0.0, -1.0], [1e9, 0.0, -1.0], 0.5], wall_m=40.0)
    )
    rows, columns = np.nonzero(picture)
    assert rows.max() == HEIGHT - 1
    assert rows.min() in (31, 32)  # 1 m below the eye and 40 m away, where the wall begins.
    assert columns[rows == HEIGHT - 1].mean() == pytest.approx(39.5)
    behind = [[-5.0, 0.0, 0.0], [-1.0, 0.0, 0.0], 0.5]
    assert not is_red(marked(ShapeKind.LINE, behind)).any()


@pytest.mark.parametrize("distance_m", [5.0, 40.0])
def test_points_have_a_size_in_pixels(distance_m):
    picture = is_red(marked(ShapeKind.POINT, [[distance_m, 0.0, 0.0], 0.1]))
    rows, columns = np.nonzero(picture)
    assert picture.sum() == 100
    assert (rows.min(), columns.min()) == (25, 35)


def test_a_camera_may_stand_anywhere_and_look_anywhere():
    pose = Pose(100.0, -50.0, 7.0, 0.0, 90.0, 0.0)
    picture = is_red(marked(ShapeKind.POINT, [[100.0, -40.0, 7.0], 0.04], pose=pose))
    rows, columns = np.nonzero(picture)
    assert (rows.mean(), columns.mean()) == (29.5, 39.5)


def test_a_box_has_twelve_edges_turned_as_told():
    box = [[[1.0, 2.0, 3.0], [4.0, 1.0, 0.5], [0.0] * 3, 0], [0.0, 90.0, 0.0], 0.1]
    edges = lines_of(ShapeKind.BOX, box)
    assert edges.shape == (12, 7)
    np.testing.assert_allclose(np.ptp(edges[:, :3], axis=0), [2.0, 8.0, 1.0])
    lengths = np.linalg.norm(edges[:, 3:6] - edges[:, :3], axis=1)
    np.testing.assert_allclose(np.sort(lengths), [1.0] * 4 + [2.0] * 4 + [8.0] * 4)
    np.testing.assert_allclose(edges[:, [0, 3]].mean(), 1.0)


@pytest.mark.parametrize("tip", [[4.0, 0.0, 0.0], [0.0, 0.0, 4.0], [1.0, -2.0, 3.0]])
def test_an_arrow_ends_in_four_barbs(tip):
    lines = lines_of(ShapeKind.ARROW, [[[0.0] * 3, tip, 0.1], 0.5])
    assert lines.shape == (5, 7)
    np.testing.assert_allclose(lines[:, 3:6], np.tile(tip, (5, 1)))
    back = (lines[1:, :3] - tip) @ (np.array(tip) / np.linalg.norm(tip))
    np.testing.assert_allclose(back, -0.5)
    np.testing.assert_allclose(np.linalg.norm(lines[1:, :3] - tip, axis=1), 0.5 * np.sqrt(3.0))


def test_an_arrow_without_a_length_and_a_string_are_drawn_too():
    still = [[[9.0, 0.0, 0.0], [9.0, 0.0, 0.0], 0.1], 0.5]
    assert len(lines_of(ShapeKind.ARROW, still)) == 1
    assert np.isfinite(marked(ShapeKind.ARROW, still)).all()
    assert (marked(ShapeKind.STRING, [[9.0, 0.0, 0.0], "here", False]) == GREY).all()
