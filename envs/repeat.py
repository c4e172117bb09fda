"""Holds each action for some steps of an environment, so that a decision lasts longer."""

from typing import Any, SupportsFloat

import gymnasium as gym


class RepeatedAction(gym.Wrapper[Any, Any, Any, Any]):
    """One step of this environment is up to `times` steps of the other with the same action.

    Rewards are summed, and the observation is the last one; an episode that ends ends the step too.

    Args:
        env: The environment.
        times: Its steps a decision.

    Raises:
        ValueError: If `times` is less than one.
    """

    def __init__(self, env: gym.Env[Any, Any], times: int) -> None:
        if times < 1:
            raise ValueError(f"an action is held for one step or more, got {times}")
        super().__init__(env)
        self._times = times

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Returns what the last of the steps returns, with the sum of their rewards."""
        gained = 0.0
        for _ in range(self._times):
            observation, reward, terminated, truncated, info = self.env.step(action)
            gained += float(reward)
            if terminated or truncated:
                break
        return observation, gained, terminated, truncated, info
