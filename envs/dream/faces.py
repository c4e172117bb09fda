"""What a dream looks like from outside: the spaces, checks and costs of what it was learned from.

`DreamVectorEnv` steps a world model; a face stands between its tensors and the caller's arrays.
`DrivingFace` is that of `CarlaDrive-v0`, `OwnFace` that of any other environment.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dreamdrive.driving.actions import (
    ACTION_SIZE,
    DISCRETE_ACTIONS,
    NUM_DISCRETE_ACTIONS,
    checked_action,
    chosen_action,
)
from dreamdrive.driving.state import STATE_FIELDS, STATE_HIGH, STATE_LOW
from dreamdrive.envs.dream.costs import COST_NAMES, CostMeter
from dreamdrive.envs.interface import action_space, observation_space
from dreamdrive.envs.spaces import (
    driving_action_space,
    driving_observation_space,
    driving_state_space,
)
from dreamdrive.errors import ActionError, ConfigError
from dreamdrive.worldmodel.interface import Interface
from dreamdrive.worldmodel.model import WorldModelConfig

MAX_STEPS = 200
"""Decisions until the time limit, where the environment has none of its own."""


class Face(ABC):
    """What `DreamVectorEnv` needs to know of the environment that a model was learned from.

    Attributes:
        observation_space: Of one environment that shows pixels.
        state_space: Of one environment's vector.
        action_space: Of one environment.
        cost_names: The cost terms that `costs` returns.
        max_steps: Decisions until the time limit.
        has_image: Whether an observation shows a picture.
    """

    observation_space: gym.Space[Any]
    state_space: gym.spaces.Box
    action_space: gym.Space[Any]
    cost_names: tuple[str, ...]
    max_steps: int
    has_image: bool

    @abstractmethod
    def to_unit(self, actions: Any, num_envs: int) -> Tensor:
        """Returns actions as the model's, (B, A) in [-1, 1].

        Raises:
            ActionError: If one does not lie in the action space.
        """

    @abstractmethod
    def observations(self, image_BHWC: Tensor, vector_BK: Tensor, *, as_torch: bool) -> Any:
        """Returns the observations of B frames; a dictionary where the space is one."""

    @abstractmethod
    def bounded(self, vector_BK: Tensor) -> Tensor:
        """Returns new vectors, within the bounds of `state_space`."""

    @abstractmethod
    def restart(self, mask_B: Tensor, vector_BK: Tensor) -> None:
        """Forgets what costs need of the past, where episodes begin."""

    def buffers(self) -> list[Tensor]:
        """Returns what is remembered from step to step, which is written in place."""
        return []

    @abstractmethod
    def costs(self, vector_BK: Tensor, termination_BJ: Tensor) -> dict[str, Tensor]:
        """Returns the cost terms of the decisions that led to some frames, (B,) each."""

    def costs_by_loops(self, vector_BK: Tensor, termination_BJ: Tensor) -> dict[str, Tensor]:
        """Returns the same but for rounding, faster on a processor where the face has a way."""
        return self.costs(vector_BK, termination_BJ)


def make_face(
    config: WorldModelConfig, num_envs: int, device: torch.device, actions: str = "continuous"
) -> Face:
    """Returns the face of a world model.

    Args:
        config: The model's.
        num_envs: How many dreams.
        device: Where the model runs.
        actions: `continuous`, or `discrete` for the grid that `CarlaDrive-v0` has too.

    Raises:
        ConfigError: If the model says of no environment that it was learned from it, or there are
            no such actions.
    """
    if config.interface is not None:
        if actions != "continuous":
            raise ConfigError(
                f"The model's environment has no actions {actions!r}",
                do="Leave them out: the dream has that environment's own.",
            )
        return OwnFace(config.interface, device)
    if config.vector_names != tuple(field.name for field in STATE_FIELDS):
        raise ConfigError(
            "The world model was not learned from driving states",
            do="Train it on episodes of CarlaDrive-v0, or on those of `dreamdrive collect --env`.",
        )
    return DrivingFace(config, num_envs, device, actions)


class DrivingFace(Face):
    """`CarlaDrive-v0`: `Dict(image, state)`, steer and acceleration or their grid, four costs."""

    max_steps = MAX_STEPS
    has_image = True
    cost_names = COST_NAMES

    def __init__(
        self, config: WorldModelConfig, num_envs: int, device: torch.device, actions: str
    ) -> None:
        self.observation_space = driving_observation_space()
        self.state_space, self.action_space = driving_state_space(), driving_action_space(actions)
        self._grid = torch.tensor(DISCRETE_ACTIONS.tolist(), device=device)
        self._meter = CostMeter(config.causes, num_envs, device)
        self._low = torch.from_numpy(STATE_LOW).to(device)
        self._high = torch.from_numpy(STATE_HIGH).to(device)
        self._device = device

    def to_unit(self, actions: Any, num_envs: int) -> Tensor:
        """Returns actions as they are; tensors on another device than the CPU are clipped.

        Raises:
            ActionError: If an action has a wrong shape, is not finite or is out of bounds.
        """
        if isinstance(self.action_space, gym.spaces.Discrete):
            return self._chosen(actions, num_envs)
        if isinstance(actions, Tensor) and actions.device.type != "cpu":
            if actions.shape != (num_envs, ACTION_SIZE):
                raise ActionError(
                    f"The action has shape {tuple(actions.shape)}, "
                    f"expected {(num_envs, ACTION_SIZE)}"
                )
            return actions.detach().to(self._device).float().clamp(-1.0, 1.0)
        if isinstance(actions, Tensor):
            actions = actions.detach()
        return torch.from_numpy(checked_action(actions, num_envs)).to(self._device)

    def _chosen(self, numbers: Any, num_envs: int) -> Tensor:
        """Returns the actions of the grid; see `to_unit`."""
        if isinstance(numbers, Tensor) and numbers.device.type != "cpu":
            if numbers.shape != (num_envs,):
                raise ActionError(
                    f"The actions have shape {tuple(numbers.shape)}, expected {(num_envs,)}"
                )
            at = numbers.detach().to(self._device).long().clamp(0, NUM_DISCRETE_ACTIONS - 1)
            return self._grid[at]
        if isinstance(numbers, Tensor):
            numbers = numbers.detach().numpy()
        return torch.from_numpy(chosen_action(numbers, num_envs)).to(self._device)

    def observations(self, image_BHWC: Tensor, vector_BK: Tensor, *, as_torch: bool) -> Any:
        """Returns `image` and the clipped `state`."""
        observation = {"image": image_BHWC, "state": self.bounded(vector_BK)}
        return observation if as_torch else arrays(observation)

    def bounded(self, vector_BK: Tensor) -> Tensor:
        """Returns states within their bounds."""
        return vector_BK.clamp(self._low, self._high)

    def restart(self, mask_B: Tensor, vector_BK: Tensor) -> None:
        """Forgets the motion that comfort needs."""
        self._meter.restart(mask_B, vector_BK)

    def buffers(self) -> list[Tensor]:
        """Returns the motion that comfort needs."""
        return self._meter.buffers()

    def costs(self, vector_BK: Tensor, termination_BJ: Tensor) -> dict[str, Tensor]:
        """Returns collision, rule, progress and comfort."""
        return self._meter.update(vector_BK, termination_BJ)

    def costs_by_loops(self, vector_BK: Tensor, termination_BJ: Tensor) -> dict[str, Tensor]:
        """Returns collision, rule, progress and comfort, by one loop on a processor."""
        return self._meter.update_by_loops(vector_BK, termination_BJ)


class OwnFace(Face):
    """Any environment that `dreamdrive collect --env` recorded: its own spaces, no costs."""

    cost_names: tuple[str, ...] = ()

    def __init__(self, interface: Interface, device: torch.device) -> None:
        self.interface = interface
        self.observation_space = observation_space(interface)
        self.action_space = action_space(interface)
        size = len(interface.vector_names)
        self.state_space = gym.spaces.Box(-np.inf, np.inf, (size,), np.float32)
        self.has_image = interface.image is not None
        self.max_steps = interface.max_steps or MAX_STEPS
        self._device = device

    def to_unit(self, actions: Any, num_envs: int) -> Tensor:
        """Returns actions of the environment as the model's.

        Raises:
            ActionError: If an action has a wrong shape, is not finite or is out of bounds.
        """
        if isinstance(actions, Tensor):
            actions = actions.detach().cpu().numpy()
        return torch.from_numpy(self.interface.to_unit(actions, num_envs)).to(self._device)

    def observations(self, image_BHWC: Tensor, vector_BK: Tensor, *, as_torch: bool) -> Any:
        """Returns the environment's own observations."""
        own = self.interface.observations(image_BHWC.cpu().numpy(), vector_BK.cpu().numpy())
        if not as_torch:
            return own
        if isinstance(own, Mapping):
            return {name: self._tensor(value) for name, value in own.items()}
        return self._tensor(own)

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._device)

    def bounded(self, vector_BK: Tensor) -> Tensor:
        """Returns a copy of the vectors."""
        return vector_BK.clone()

    def restart(self, mask_B: Tensor, vector_BK: Tensor) -> None:
        """Does nothing: there are no costs."""

    def costs(self, vector_BK: Tensor, termination_BJ: Tensor) -> dict[str, Tensor]:
        """Returns no costs."""
        return {}


def arrays(observation: Mapping[str, Tensor]) -> dict[str, NDArray[Any]]:
    """Returns the tensors of an observation as arrays."""
    return {name: value.cpu().numpy() for name, value in observation.items()}
