import numpy as np
import pytest

from dreamdrive.envs.embedded.render.view import Lens, Pose, on_spring_arm


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


@pytest.mark.parametrize("place", [(-5.0, 0.0, 2.5), (4.0, 2.0, 1.5), (0.0, -3.0, 0.0)])
def test_a_spring_arm_makes_a_camera_look_at_its_parent(place):
    found = on_spring_arm(Pose(*place, 0.0, 0.0, 0.0))
    assert found[:3] == place
    np.testing.assert_allclose(found.axes()[0], -np.array(place) / np.linalg.norm(place), atol=1e-9)
    assert found.roll == pytest.approx(0.0, abs=1e-6)


def test_angles_on_a_spring_arm_are_added_to_the_arms():
    plain = on_spring_arm(Pose(-5.0, 0.0, 2.5, 0.0, 0.0, 0.0))
    found = on_spring_arm(Pose(-5.0, 0.0, 2.5, 8.0, 0.0, 0.0))
    assert found[3:] == pytest.approx((plain.pitch + 8.0, plain.yaw, 0.0), abs=1e-9)
    rolled = on_spring_arm(Pose(-5.0, 0.0, 2.5, 0.0, 0.0, 20.0))
    assert rolled[3:] == pytest.approx((plain.pitch, plain.yaw, 20.0))


def test_the_focal_length_is_half_the_width_at_ninety_degrees():
    assert Lens(800, 600, 90.0).focal == pytest.approx(400.0)
