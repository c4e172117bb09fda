"""Poses: blending turns about one axis, by a share of the angle."""

import math

import numpy as np
import pytest

from dreamdrive.envs.embedded.gait import STEPS, STRIDE_M
from dreamdrive.envs.embedded.render.models import walker_in_step
from dreamdrive.envs.embedded.render.view import Pose, angles_of, attached
from dreamdrive.envs.embedded.skeleton import (
    WALKER_JOINTS,
    animated,
    blended,
    chained,
    posed,
)


@pytest.mark.parametrize("seed", range(8))
def test_angles_come_back_from_axes(seed):
    angles = np.random.default_rng(seed).uniform(-80.0, 80.0, 3)
    assert angles_of(Pose(0.0, 0.0, 0.0, *angles).axes()) == pytest.approx(angles)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("share", [0.25, 0.5, 0.9])
def test_a_blend_turns_by_a_share_of_the_angle(seed, share):
    first, second = (
        Pose(*np.random.default_rng([seed, k]).uniform(-90.0, 90.0, 6)) for k in range(2)
    )
    mixed = blended(first, second, share)

    def angle(a, b):
        return math.acos(min(max((np.trace(a.axes() @ b.axes().T) - 1.0) / 2.0, -1.0), 1.0))

    assert angle(first, mixed) == pytest.approx(share * angle(first, second), abs=1e-6)
    assert angle(mixed, second) == pytest.approx((1.0 - share) * angle(first, second), abs=1e-6)
    expected = np.array(first[:3]) + share * (np.array(second[:3]) - np.array(first[:3]))
    assert mixed[:3] == pytest.approx(expected)


def test_half_a_turn_is_blended_too():
    first, second = Pose(0, 0, 0, 0, 0, 0), Pose(0, 0, 0, 0, 180.0, 0)
    ahead = blended(first, second, 0.5).axes()[0]
    assert abs(ahead[1]) == pytest.approx(1.0)


def test_poses_add_up_along_the_joints():
    parent, own = Pose(1.0, 2.0, 3.0, 0.0, 90.0, 0.0), Pose(1.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    assert attached(parent, own)[:3] == pytest.approx((1.0, 3.0, 3.0))
    joints = posed(WALKER_JOINTS, {"crl_leg__L": (0.0, 0.0, -0.40, 90.0, 0.0, 0.0)}, 1.0)
    places = dict(
        zip((j.name for j in joints), chained(joints, Pose(0, 0, 0, 0, 0, 0)), strict=True)
    )
    assert places["crl_foot__L"][:3] == pytest.approx((0.36, -0.095, -0.53))


@pytest.mark.parametrize("step", range(STEPS))
def test_joints_swing_with_the_limbs_that_cameras_draw(step):
    joints = animated((step + 0.5) / STEPS * STRIDE_M, 1.4)
    places = dict(
        zip((j.name for j in joints), chained(joints, Pose(0, 0, 0, 0, 0, 0)), strict=True)
    )
    drawn = walker_in_step("walker.pedestrian.0001", step).points.reshape(-1, 3)
    for side, mark in ((-1.0, "L"), (1.0, "R")):
        leg = drawn[(np.abs(drawn[:, 1] - 0.095 * side) < 0.08) & (drawn[:, 2] < -0.6)]
        ahead = places[f"crl_foot__{mark}"][0]
        assert leg[:, 0].mean() - 0.02 == pytest.approx(ahead, abs=0.06)
    assert animated(3.0, 0.0) == list(WALKER_JOINTS)
