"""How a decision moves the ego: ahead, to the left and round, in its axes before.

Shapes: T decisions, K entries of a state.
"""

import numpy as np
from numpy.typing import NDArray

from dreamdrive.driving.actions import DECISION_DT_S
from dreamdrive.driving.state import STATE_INDEX

MOTION: tuple[str, ...] = ("motion_ahead", "motion_left", "motion_turn")
"""Names of its parts: metres, metres, radians."""


def motion_between(pose_T3: NDArray[np.float64]) -> NDArray[np.float32]:
    """Returns the motions between poses, shape (T, 3).

    Args:
        pose_T3: x, y in metres and yaw in radians in ISO world axes, shape (T+1, 3).
    """
    moved = np.diff(pose_T3[:, :2], axis=0)
    yaw = pose_T3[:-1, 2]
    cos, sin = np.cos(yaw), np.sin(yaw)
    ahead = cos * moved[:, 0] + sin * moved[:, 1]
    left = cos * moved[:, 1] - sin * moved[:, 0]
    turn = (np.diff(pose_T3[:, 2]) + np.pi) % (2.0 * np.pi) - np.pi
    return np.stack([ahead, left, turn], 1).astype(np.float32)


def motion_of_states(state_TK: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns the motions that speeds and yaw rates at both ends tell, shape (T, 3).

    The mean rate over a decision turns the ego, and the mean speed moves it along the mean heading:
    exact where both change evenly and little, and blind to slip.

    Args:
        state_TK: States of T+1 frames, as `driving.state`.
    """
    speed, rate = (
        0.5 * (state_TK[:-1, i] + state_TK[1:, i]) * DECISION_DT_S
        for i in (STATE_INDEX["speed"], STATE_INDEX["yaw_rate"])
    )
    return np.stack([speed * np.cos(rate / 2), speed * np.sin(rate / 2), rate], 1)
