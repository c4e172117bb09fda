"""The spaces that a real drive and a dream of it share."""

import gymnasium as gym
import numpy as np

from dreamdrive.driving.actions import ACTION_SIZE, NUM_DISCRETE_ACTIONS
from dreamdrive.driving.state import IMAGE_SIZE, STATE_HIGH, STATE_LOW
from dreamdrive.errors import ConfigError


def driving_state_space() -> gym.spaces.Box:
    """Returns the space of the state vector, float32 (14,)."""
    return gym.spaces.Box(STATE_LOW, STATE_HIGH, dtype=np.float32)


def driving_observation_space() -> gym.spaces.Dict:
    """Returns `Dict(image: uint8 (64, 64, 3), state: float32 (14,))`."""
    image = gym.spaces.Box(0, 255, (IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
    return gym.spaces.Dict({"image": image, "state": driving_state_space()})


def driving_action_space(kind: str = "continuous") -> gym.spaces.Box | gym.spaces.Discrete:
    """Returns the space of the actions.

    Args:
        kind: `continuous`: `Box(-1, 1, (2,), float32)`, steer and acceleration; or `discrete`:
            `Discrete(28)`, the rows of `dreamdrive.driving.actions.DISCRETE_ACTIONS`.

    Raises:
        ConfigError: If there is no such kind.
    """
    if kind == "discrete":
        return gym.spaces.Discrete(NUM_DISCRETE_ACTIONS)
    if kind != "continuous":
        raise ConfigError(f"There are no actions {kind!r}", do="Known: continuous, discrete.")
    return gym.spaces.Box(-1.0, 1.0, (ACTION_SIZE,), np.float32)
