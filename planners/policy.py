"""A planner as a policy: it follows the real frames, plans in the dream, and drives the plan.

Around a trained policy a plan is what is added to that policy's actions, and the policy goes on
looking at the real frames while the plan is driven: nothing is executed blindly.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dreamdrive.planners.cem import CEM, CEMConfig
from dreamdrive.planners.mppi import MPPI, MPPIConfig
from dreamdrive.planners.objective import Objective, ObjectiveConfig, Policy
from dreamdrive.planners.search import Plan, Search, shift
from dreamdrive.seeding import derive_seed
from dreamdrive.worldmodel.model import WorldModel


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannerConfig:
    """How a planner searches, what it wants, and how often it thinks again."""

    method: Literal["mppi", "cem"] = "mppi"
    mppi: MPPIConfig = field(default_factory=MPPIConfig)
    cem: CEMConfig = field(default_factory=CEMConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    replan_every: int = 4
    """Decisions between two plans: 2.5 Hz at 10 decisions a second."""

    def __post_init__(self) -> None:
        """Checks the ranges.

        Raises:
            ValueError: If a plan would be executed beyond its end.
        """
        if not 1 <= self.replan_every <= self.chosen.search.horizon:
            raise ValueError(
                f"replan_every must lie in [1, {self.chosen.search.horizon}], "
                f"got {self.replan_every}"
            )

    @property
    def chosen(self) -> MPPIConfig | CEMConfig:
        """The configuration of the chosen method."""
        return self.mppi if self.method == "mppi" else self.cem


def build_search(
    model: WorldModel,
    config: PlannerConfig,
    base: Policy | None = None,
    value: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> Search:
    """Returns the search that a configuration describes.

    Args:
        model: Where plans are imagined.
        config: How.
        base: The policy that plans are residuals to; without it they are the actions.
        value: Value of a frame from latent and vector, weighed by `objective.weights.value`.
    """
    refit = MPPI(config.mppi) if config.method == "mppi" else CEM(config.cem)
    return Search(Objective(model, config.objective, base, value), config.chosen.search, refit)


class PlannerPolicy:
    """Plans every few decisions and executes the plan in between.

    Args:
        model: Where plans are imagined; it also follows the real frames.
        config: How to plan.
        seed: Fixes the draws.
        base: The policy that plans are residuals to; without it they are the actions.
        value: Value of a frame from latent and vector, to end plans with.
    """

    def __init__(
        self,
        model: WorldModel,
        config: PlannerConfig,
        *,
        seed: int = 0,
        base: Policy | None = None,
        value: Callable[[Tensor, Tensor], Tensor] | None = None,
    ) -> None:
        self.model, self.config, self._seed = model, config, seed
        self.search = build_search(model, config, base, value)
        self._episode = -1
        self.reset()

    @classmethod
    def load(
        cls,
        model: str | Path,
        config: PlannerConfig,
        device: str | torch.device = "cpu",
        **how: Any,
    ) -> "PlannerPolicy":
        """Returns a planner in a stored world model; further arguments as above.

        Raises:
            CheckpointError: If the world model is missing, truncated, or does not fit.
        """
        return cls(WorldModel.from_pretrained(model, device), config, **how)

    def reset(self) -> None:
        """Forgets the frames and the plan of the episode before."""
        self._episode += 1
        seed = derive_seed(self._seed, "planner", self._episode)
        self._generator = torch.Generator(self.model.vector_mean.device).manual_seed(seed)
        self._state = self.model.init_state(1)
        self._mean = self.search.initial_mean(1)
        self._previous: Tensor | None = None
        self._age = self.config.replan_every
        self.plan: Plan | None = None
        """The plan that is being executed: its residuals and the named terms of its cost."""

    @torch.no_grad()
    def act(self, observation: dict[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Returns the action (steer, acceleration), shape (2,), in [-1, 1].

        Args:
            observation: `image`: uint8 (H, W, 3); `state`: float32 (K,).
        """
        device = self.model.vector_mean.device
        image = torch.as_tensor(observation["image"], device=device).permute(2, 0, 1)[None]
        vector = torch.as_tensor(observation["state"], device=device).float()[None]
        self._state = self.model.observe(self._state, image.float() / 255.0, vector, self._previous)
        if self._age >= self.config.replan_every:
            mean = shift(self._mean, self._age) if self.plan is not None else self._mean
            self.plan = self.search.plan(
                self._state, mean, generator=self._generator, previous_BA=self._previous
            )
            self._mean, self._age = self.plan.residual_BLA, 0
        self._previous = self.search.objective.act(self._state, self._mean[:, self._age])
        self._age += 1
        action: NDArray[np.float32] = self._previous[0].cpu().numpy()
        return action
