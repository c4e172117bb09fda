"""The motion of a decision: from poses exactly, from speeds and yaw rates on arcs."""

import numpy as np
import pytest

from dreamdrive.driving.motion import motion_between, motion_of_states
from dreamdrive.driving.state import STATE_INDEX, STATE_SIZE


def test_it_is_in_the_axes_of_the_ego_before() -> None:
    north = np.pi / 2
    pose = np.array([[2.0, 3.0, north], [2.0, 4.0, north + 0.1], [1.0, 4.0, north]])
    motion = motion_between(pose)
    assert motion[0] == pytest.approx([1.0, 0.0, 0.1], abs=1e-6)
    assert motion[1] == pytest.approx([np.sin(0.1), np.cos(0.1), -0.1], abs=1e-6)


def test_a_turn_over_half_a_circle_is_the_short_way() -> None:
    pose = np.array([[0.0, 0.0, 3.1], [0.0, 0.0, -3.1]])
    assert motion_between(pose)[0, 2] == pytest.approx(2.0 * np.pi - 6.2, abs=1e-6)


def test_states_tell_the_same_on_an_arc() -> None:
    speed, rate, dt = 8.0, 0.4, 0.1
    yaw = rate * dt * np.arange(12)
    radius = speed / rate
    pose = np.stack([radius * np.sin(yaw), -radius * np.cos(yaw), yaw], 1)
    state = np.zeros((12, STATE_SIZE), np.float32)
    state[:, STATE_INDEX["speed"]], state[:, STATE_INDEX["yaw_rate"]] = speed, rate
    assert motion_of_states(state) == pytest.approx(motion_between(pose), abs=1e-3)
