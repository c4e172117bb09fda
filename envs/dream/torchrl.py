"""Many dreams in one batch as TorchRL's `EnvBase`: tensors in, tensors out, all on the device.

Nothing passes through NumPy or the host: `_reset` masks and actions are tensors of the program, and
what a step gives is its own result. Only pictures are copied, since a rollout keeps them all.
"""

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from tensordict import TensorDict, TensorDictBase
from torch import Tensor
from torchrl.data import Bounded, Categorical, Composite, Unbounded
from torchrl.envs import EnvBase

from dreamdrive.envs.dream.vector import DreamVectorEnv
from dreamdrive.errors import ConfigError

OBSERVATION = "observation"
"""The entry of observations that are no dictionary."""
UNBOUNDED = 1e30


class DreamTorchRLEnv(EnvBase):  # type: ignore[misc]
    """`DreamVectorEnv` with TorchRL's conventions; batch size (num_envs,).

    Args:
        num_envs: How many dreams.
        **how: As of `DreamVectorEnv`, but for `as_torch` and `autoreset_mode`, which TorchRL fixes.

    Raises:
        CheckpointError: If the world model is missing or damaged.
        ConfigError: If an argument is impossible.
    """

    def __init__(self, num_envs: int = 1, **how: Any) -> None:
        for name in ("as_torch", "autoreset_mode"):
            if name in how:
                raise ConfigError(f"{name} is fixed by TorchRL")
        dreams = DreamVectorEnv(
            num_envs, as_torch=True, autoreset_mode=AutoresetMode.DISABLED, **how
        )
        super().__init__(device=dreams.device, batch_size=torch.Size((num_envs,)))
        self.dreams = dreams
        batch = (num_envs,)
        seen = _spec(dreams.single_observation_space, batch, dreams.device)
        if not isinstance(seen, Composite):
            seen = Composite({OBSERVATION: seen}, shape=batch, device=dreams.device)
        self.observation_spec = seen
        self.action_spec = _spec(dreams.single_action_space, batch, dreams.device)
        self.reward_spec = Unbounded((num_envs, 1), device=dreams.device, dtype=torch.float32)
        flag = Categorical(2, shape=(num_envs, 1), device=dreams.device, dtype=torch.bool)
        names = ("done", "terminated", "truncated")
        self.done_spec = Composite(
            {name: flag.clone() for name in names}, shape=batch, device=dreams.device
        )
        self._seed_given: int | None = None

    def _reset(self, tensordict: TensorDictBase | None = None, **how: Any) -> TensorDictBase:
        mask = None if tensordict is None else tensordict.get("_reset", None)
        if mask is not None and self.dreams.is_seeded and self._seed_given is None:
            observation = self.dreams.restart(mask.view(self.batch_size))
        else:
            observation, _ = self.dreams.reset(seed=self._seed_given, **how)
            self._seed_given = None
        return self._with_ends(self._entries(observation), None, None)

    def _step(self, tensordict: TensorDictBase) -> TensorDictBase:
        action = tensordict.get("action")
        observation, reward, terminated, truncated, _ = self.dreams.step(action)
        entries = self._entries(observation) | {"reward": reward[:, None].float()}
        return self._with_ends(entries, terminated[:, None], truncated[:, None])

    def _set_seed(self, seed: int | None) -> None:
        self._seed_given = seed

    def _entries(self, observation: Any) -> dict[str, Tensor]:
        return dict(observation) if isinstance(observation, dict) else {OBSERVATION: observation}

    def _with_ends(
        self, entries: dict[str, Tensor], terminated: Tensor | None, truncated: Tensor | None
    ) -> TensorDict:
        none = torch.zeros(*self.batch_size, 1, dtype=torch.bool, device=self.device)
        terminated = none if terminated is None else terminated
        truncated = none.clone() if truncated is None else truncated
        ends = {"terminated": terminated, "truncated": truncated, "done": terminated | truncated}
        return TensorDict(entries | ends, batch_size=self.batch_size, device=self.device)


def _spec(space: gym.Space[Any], batch: tuple[int, ...], device: torch.device) -> Any:
    """Returns TorchRL's spec of a batch of a space's values.

    Raises:
        ConfigError: If the space is of a kind that dreams do not have.
    """
    if isinstance(space, gym.spaces.Dict):
        parts = {name: _spec(part, batch, device) for name, part in space.spaces.items()}
        return Composite(parts, shape=batch, device=device)
    if isinstance(space, gym.spaces.Discrete):
        return Categorical(int(space.n), shape=batch, device=device, dtype=torch.int64)
    if not isinstance(space, gym.spaces.Box):
        raise ConfigError(f"There is no TorchRL spec for {space}")
    shape = (*batch, *space.shape)
    dtype = torch.from_numpy(np.zeros(0, space.dtype)).dtype
    low, high = (torch.from_numpy(np.array(x)).to(device) for x in (space.low, space.high))
    if float(low.min()) < -UNBOUNDED or float(high.max()) > UNBOUNDED:
        return Unbounded(shape, device=device, dtype=dtype)
    return Bounded(low.expand(shape), high.expand(shape), shape, device=device, dtype=dtype)
