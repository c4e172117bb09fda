"""The action `(steer, acceleration)` in [-1, 1]², and its check at an environment's edge."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamdrive.errors import ActionError

ACTION_SIZE = 2
STEER, ACCELERATION = 0, 1
DECISION_DT_S = 0.1
PHYSICS_DT_S = 0.05


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
