"""The action `(steer, acceleration)` in [-1, 1]², a grid of it, and checks at an env's edge."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dreamdrive.errors import ActionError

ACTION_SIZE = 2
STEER, ACCELERATION = 0, 1
DECISION_DT_S = 0.1
PHYSICS_DT_S = 0.05

ActionKind = Literal["continuous", "discrete"]
STEER_GRID = (-0.5, -0.2, -0.05, 0.0, 0.05, 0.2, 0.5)
"""Right to left: half a turn of the wheel takes any junction, a twentieth keeps a lane."""

PEDAL_GRID = (-1.0, -0.3, 0.0, 0.5)
"""Full brake, brake, none, half throttle."""

DISCRETE_ACTIONS: NDArray[np.float32] = np.array(
    [(steer, pedal) for steer in STEER_GRID for pedal in PEDAL_GRID], np.float32
)
"""Steer and acceleration of each discrete action, shape (28, 2): number 4 i + j is
`STEER_GRID[i]` and `PEDAL_GRID[j]`."""
DISCRETE_ACTIONS.setflags(write=False)

NUM_DISCRETE_ACTIONS = len(DISCRETE_ACTIONS)


def checked_action(action: Any, num_envs: int | None = None) -> NDArray[np.float32]:
    """Returns the action as float32, shape (2,) or (num_envs, 2).

    Steer is positive to the left; acceleration is throttle where positive and brake where negative.

    Raises:
        ActionError: If the shape is wrong, a value is not finite, or one lies outside [-1, 1].
    """
    shape = (ACTION_SIZE,) if num_envs is None else (num_envs, ACTION_SIZE)
    try:
        values = np.asarray(action, np.float32)
    except (TypeError, ValueError) as error:
        raise ActionError(f"The action is no array of numbers: {action!r}") from error
    if values.shape != shape:
        raise ActionError(f"The action has shape {values.shape}, expected {shape}")
    if not np.isfinite(values).all():
        raise ActionError(
            f"The action is not finite: {values.tolist()}",
            do="Check the policy for a division by zero or a diverged network.",
        )
    if np.abs(values).max(initial=0.0) > 1.0 + 1e-6:
        raise ActionError(
            f"The action lies outside [-1, 1]: {values.tolist()}", do="Clip it to the action space."
        )
    return np.clip(values, -1.0, 1.0)


def chosen_action(number: Any, num_envs: int | None = None) -> NDArray[np.float32]:
    """Returns steer and acceleration of a discrete action, float32 (2,) or (num_envs, 2).

    Raises:
        ActionError: If it is no whole number, or there is no action of that number.
    """
    shape = () if num_envs is None else (num_envs,)
    values = np.asarray(number)
    if values.dtype.kind not in "iu" or values.shape != shape:
        raise ActionError(
            f"A discrete action cannot be {number!r}",
            do=f"Give whole numbers of shape {shape}, each below {NUM_DISCRETE_ACTIONS}.",
        )
    if values.min(initial=0) < 0 or values.max(initial=0) >= NUM_DISCRETE_ACTIONS:
        raise ActionError(
            f"There is no discrete action {values.tolist()}",
            do=f"They are numbered from 0 to {NUM_DISCRETE_ACTIONS - 1}.",
        )
    return DISCRETE_ACTIONS[values].copy()


def nearest_choice(action: Any) -> int:
    """Returns the number of the discrete action that is nearest to a continuous one.

    Steer and pedal are rounded each by itself.

    Raises:
        ActionError: If the action is none.
    """
    steer, pedal = checked_action(action)
    i = int(np.abs(np.array(STEER_GRID) - steer).argmin())
    return i * len(PEDAL_GRID) + int(np.abs(np.array(PEDAL_GRID) - pedal).argmin())
