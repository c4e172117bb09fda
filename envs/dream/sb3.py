"""Many dreams in one batch as Stable-Baselines3's `VecEnv`."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from dreamdrive.envs.dream.vector import DreamVectorEnv
from dreamdrive.errors import ConfigError, MissingExtraError

try:
    from stable_baselines3.common.vec_env import VecEnv
except ImportError as error:
    raise MissingExtraError("stable-baselines3", "sb3") from error


class DreamVecEnv(VecEnv):
    """`DreamVectorEnv` with Stable-Baselines3's conventions.

    Args:
        num_envs: How many dreams.
        **how: As of `DreamVectorEnv`, but for `as_torch` and `autoreset_mode`.

    Raises:
        CheckpointError: If the world model is missing or damaged.
        ConfigError: If an argument is impossible.
    """

    def __init__(self, num_envs: int = 1, **how: Any) -> None:
        for name in ("as_torch", "autoreset_mode"):
            if name in how:
                raise ConfigError(f"{name} is fixed by Stable-Baselines3")
        self.dreams = DreamVectorEnv(num_envs, autoreset_mode=AutoresetMode.SAME_STEP, **how)
        self.metadata = self.dreams.metadata
        self.render_mode = self.dreams.render_mode
        self._action: Any = None
        super().__init__(
            num_envs, self.dreams.single_observation_space, self.dreams.single_action_space
        )

    def reset(self) -> dict[str, NDArray[Any]]:
        """Returns the first observations; `seed` and `set_options` before it take effect."""
        if any(self._options):
            raise ConfigError("Options for single dreams are not supported", do="Use DreamEnv.")
        given = any(seed is not None for seed in self._seeds)
        observation, info = self.dreams.reset(seed=self._seeds if given else None)
        self._reset_seeds()
        self._reset_options()
        self.reset_infos = [_row(info, i) for i in range(self.num_envs)]
        shown: dict[str, NDArray[Any]] = observation
        return shown

    def step_async(self, actions: NDArray[Any]) -> None:
        """Keeps the actions for `step_wait`."""
        self._action = actions

    def step_wait(self) -> Any:
        """Returns observations, rewards, dones and infos, of which a finished one holds its end.

        Raises:
            ActionError: If an action has a wrong shape, is not finite or is out of bounds.
        """
        observation, reward, terminated, truncated, info = self.dreams.step(self._action)
        done = terminated | truncated
        infos = [_row(info, i) for i in range(self.num_envs)]
        for i in np.flatnonzero(done).tolist():
            infos[i] = _row(info["final_info"], i)
            infos[i]["terminal_observation"] = info["final_obs"][i]
            infos[i]["TimeLimit.truncated"] = bool(truncated[i] and not terminated[i])
        return observation, reward.astype(np.float32), done, infos

    def close(self) -> None:
        """Closes the dreams."""
        self.dreams.close()

    def get_images(self) -> Sequence[NDArray[np.uint8] | None]:
        """Returns the frame of each dream."""
        return self.dreams.render() or [None] * self.num_envs

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Returns an attribute that all dreams share, once for each."""
        return [getattr(self.dreams, attr_name)] * len(list(self._get_indices(indices)))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Sets an attribute of all dreams.

        Raises:
            ConfigError: If it is asked for some of them alone.
        """
        if len(list(self._get_indices(indices))) != self.num_envs:
            raise ConfigError(f"{attr_name} belongs to all dreams together")
        setattr(self.dreams, attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any
    ) -> list[Any]:
        """Raises: the dreams of a batch have no methods of their own.

        Raises:
            ConfigError: Always.
        """
        raise ConfigError(f"A dream of a batch has no method {method_name!r} of its own")

    def env_is_wrapped(self, wrapper_class: type, indices: Any = None) -> list[bool]:
        """Returns False for each dream."""
        wanted: Iterable[int] = self._get_indices(indices)
        return [False for _ in wanted]


def _row(info: dict[str, Any], i: int) -> dict[str, Any]:
    """Returns the info of one dream, without masks and what belongs to ends."""
    return {
        name: _row(value, i) if isinstance(value, dict) else value[i]
        for name, value in info.items()
        if not name.startswith(("_", "final_"))
    }
