"""What a policy is, and the policies that need no learning."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dreamdrive.driving.actions import ACTION_SIZE, checked_action
from dreamdrive.seeding import numpy_generator

Observation = dict[str, NDArray[Any]]
"""`image`: uint8 (H, W, 3); `state`: float32 (K,)."""


class Policy(Protocol):
    """Chooses an action for every observation of an episode."""

    def reset(self) -> None:
        """Forgets the episode before; called before the first `act` of each episode."""

    def act(self, observation: Observation) -> NDArray[np.float32]:
        """Returns the action (steer, acceleration), shape (2,), in [-1, 1]."""


class ConstantPolicy:
    """Takes the same action at every step."""

    def __init__(self, steer: float, acceleration: float) -> None:
        """Keeps the action.

        Raises:
            ActionError: If it is not finite or lies outside [-1, 1].
        """
        self._action = checked_action([steer, acceleration])

    def reset(self) -> None:
        """Does nothing: there is nothing to forget."""

    def act(self, observation: Observation) -> NDArray[np.float32]:
        """Returns the action, whatever is seen."""
        return self._action.copy()


class RandomPolicy:
    """Draws every action evenly from [-1, 1]²; seed and number of the episode fix the draws."""

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._episode = 0
        self._generator = numpy_generator(seed, "random policy", 0)

    def reset(self) -> None:
        """Starts the draws of the next episode."""
        self._episode += 1
        self._generator = numpy_generator(self._seed, "random policy", self._episode)

    def act(self, observation: Observation) -> NDArray[np.float32]:
        """Returns a fresh draw, whatever is seen."""
        return self._generator.uniform(-1.0, 1.0, ACTION_SIZE).astype(np.float32)


STRAIGHT_THROTTLE = 0.5


def standing() -> ConstantPolicy:
    """Returns the policy that holds the brake: a yardstick that never crashes or arrives."""
    return ConstantPolicy(0.0, -1.0)


def straight() -> ConstantPolicy:
    """Returns the policy that holds the wheel straight at half throttle: a yardstick."""
    return ConstantPolicy(0.0, STRAIGHT_THROTTLE)
