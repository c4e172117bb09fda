import numpy as np
import pytest

from dreamdrive.envs.embedded.render.view import Lens, Pose


def test_without_angles_ahead_is_x_right_is_y_up_is_z():
    np.testing.assert_array_equal(Pose(1.0, 2.0, 3.0, 0.0, 0.0, 0.0).axes(), np.eye(3))


@pytest.mark.parametrize(
    ("angles", "ahead", "right"),
    [
        ((0.0, 90.0, 0.0), (0.0, 1.0, 0.0), (-1.0, 0.0, 0.0)),
        ((90.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, 1.0, 0.0)),
        ((0.0, 0.0, 90.0), (1.0, 0.0, 0.0), (0.0, 0.0, -1.0)),
    ],
    ids=["yaw turns to the right", "pitch turns up", "roll lowers the right side"],
)
def test_positive_angles(angles, ahead, right):
    axes = Pose(0.0, 0.0, 0.0, *angles).axes()
    np.testing.assert_allclose(axes[0], ahead, atol=1e-12)
    np.testing.assert_allclose(axes[1], right, atol=1e-12)


@pytest.mark.parametrize("angles", [(0, 0, 0), (20, -130, 0), (-35, 70, 15), (80, 10, -120)])
def test_axes_are_the_clients(angles):
    carla = pytest.importorskip("carla")
    there = carla.Transform(carla.Location(), carla.Rotation(*angles))
    vectors = there.get_forward_vector(), there.get_right_vector(), there.get_up_vector()
    wanted = [(v.x, v.y, v.z) for v in vectors]
    np.testing.assert_allclose(Pose(0.0, 0.0, 0.0, *angles).axes(), wanted, atol=1e-6)


def test_the_focal_length_is_half_the_width_at_ninety_degrees():
    assert Lens(800, 600, 90.0).focal == pytest.approx(400.0)
