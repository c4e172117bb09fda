"""A point on a line with a picture of itself: an environment that is nobody's but ours."""

from typing import Any

import gymnasium as gym
import numpy as np

ID = "support.point_env:Point-v0"
LIMIT = 20


class PointEnv(gym.Env[Any, Any]):
    """Push a point (force in [-2, 4]) towards 0; leaving [-1, 1] terminates."""

    metadata = {"render_modes": []}  # noqa: RUF012

    def __init__(self, size: int = 24, render_mode: str | None = None) -> None:
        self.size, self.render_mode = size, render_mode
        self.observation_space = gym.spaces.Dict(
            {
                "camera": gym.spaces.Box(0, 255, (size, 2 * size, 1), np.uint8),
                "place": gym.spaces.Box(-1.0, 1.0, (2,), np.float64),
                "speed": gym.spaces.Box(-np.inf, np.inf, (1, 1), np.float32),
            }
        )
        self.action_space = gym.spaces.Box(np.float32([[-2.0]]), np.float32([[4.0]]))

    def _observe(self) -> dict[str, Any]:
        camera = np.zeros((self.size, 2 * self.size, 1), np.uint8)
        camera[:, int(np.clip((self.x + 1.0) * self.size, 0, 2 * self.size - 1))] = 255
        return {
            "camera": camera, "place": np.clip([self.x, -self.x], -1.0, 1.0),
            "speed": np.float32([[self.v]]),
        }  # fmt: skip

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.x, self.v = float(self.np_random.uniform(-0.5, 0.5)), 0.0
        return self._observe(), {}

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action)
        self.v += 0.1 * float(action[0, 0])
        self.x += 0.1 * self.v
        return self._observe(), 10.0 * (1.0 - abs(self.x)), abs(self.x) > 1.0, False, {}


if "Point-v0" not in gym.registry:
    gym.register("Point-v0", PointEnv, max_episode_steps=LIMIT)
