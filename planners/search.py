"""Search over action sequences by sampling around a mean; what MPPI and CEM share.

Shapes: B searches at once, S candidates of each, L steps, A action size.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from dreamdrive.driving.actions import ACCELERATION, STEER
from dreamdrive.planners.objective import Evaluation, Objective
from dreamdrive.worldmodel.state import RolloutState

Proposal = Callable[[Tensor, Tensor], Tensor]
"""A policy: latent (B, C, H, W) and vector (B, K) to an action (B, A) in [-1, 1]."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchConfig:
    """How candidates are drawn; the defaults suit a search around a policy's proposals on a CPU."""

    num_samples: int = 8
    horizon: int = 15
    iterations: int = 1
    steer_std: float = 0.03
    """Full steer turns the front wheels by some 70°: a little goes a long way."""
    acceleration_std: float = 0.3
    correlation: float = 0.8
    """Of the noise at neighbouring steps: 0 is white, towards 1 whole plans lean one way."""
    num_proposals: int = 6
    """Candidates from rollouts of the proposal policy, where there is one."""

    def __post_init__(self) -> None:
        """Checks the ranges.

        Raises:
            ValueError: If a value is outside its range.
        """
        if min(self.num_samples, self.horizon, self.iterations) < 1 or self.num_proposals < 0:
            raise ValueError("num_samples, horizon and iterations must be at least 1")
        if not 0.0 <= self.correlation < 1.0:
            raise ValueError(f"correlation must lie in [0, 1), got {self.correlation}")
        if min(self.steer_std, self.acceleration_std) <= 0.0:
            raise ValueError("steer_std and acceleration_std must be positive")


WIDE = SearchConfig(num_samples=64, iterations=2, steer_std=0.15, acceleration_std=0.5)
"""A search that has nothing but itself to find a way."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The sequences that a search settled on.

    Attributes:
        action_BLA: The plan of each search.
        evaluation: What the plans cost, term by term.
    """

    action_BLA: Tensor
    evaluation: Evaluation


class Refit(Protocol):
    """Moves the distribution of candidates towards the cheap ones."""

    def __call__(
        self, candidate_BSLA: Tensor, cost_BS: Tensor, std_BLA: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Returns the new mean and standard deviation, shape (B, L, A) each."""


class Search:
    """Draws, judges and refits, then takes the best of mean, best candidate and full brake.

    Args:
        objective: What candidates cost.
        config: How they are drawn.
        refit: How the distribution follows the costs.
        proposal: A policy whose rollouts are candidates too.
    """

    def __init__(
        self,
        objective: Objective,
        config: SearchConfig,
        refit: Refit,
        proposal: Proposal | None = None,
    ) -> None:
        self.objective, self.config, self.refit, self.proposal = objective, config, refit, proposal

    def initial_mean(self, batch_size: int) -> Tensor:
        """Returns the plan to start from before any other is known: coasting straight on."""
        model = self.objective.model
        like = model.vector_mean
        return like.new_zeros(batch_size, self.config.horizon, model.config.action_size)

    @torch.no_grad()
    def plan(
        self,
        start: RolloutState,
        mean_BLA: Tensor,
        *,
        generator: torch.Generator,
        previous_BA: Tensor | None = None,
    ) -> Plan:
        """Returns the best plan found for each start state.

        The plan costs no more, under one noise of the model, than braking fully all along; where no
        candidate has a finite cost, it is braking fully.

        Args:
            start: B states.
            mean_BLA: The plan to search around, for example what is left of the one before.
            generator: Source of candidates and of the model's noise.
            previous_BA: The action taken before the plan.
        """
        brake_BLA = torch.zeros_like(mean_BLA)
        brake_BLA[..., ACCELERATION] = -1.0
        std = torch.empty_like(mean_BLA)
        std[..., STEER], std[..., ACCELERATION] = (
            self.config.steer_std, self.config.acceleration_std,
        )  # fmt: skip
        fixed = [brake_BLA[:, None], mean_BLA[:, None]]
        if self.proposal is not None and self.config.num_proposals:
            fixed.append(self._propose(start, std, generator))
        best = brake_BLA
        for _ in range(self.config.iterations):
            noise = smooth_noise(
                mean_BLA, self.config.num_samples, self.config.correlation, generator
            )
            drawn = (mean_BLA[:, None] + std[:, None] * noise).clamp(-1.0, 1.0)
            candidate = torch.cat([*fixed, drawn], 1)
            cost_BS = self._judge(start, candidate, generator, previous_BA).total_B.view(
                candidate.shape[:2]
            )
            best = candidate[torch.arange(len(best)), cost_BS.argmin(1)]
            mean_BLA, std = self.refit(candidate, cost_BS, std)
            fixed[1] = best[:, None]
        final = torch.stack([brake_BLA, best, mean_BLA], 1)
        judged = self._judge(start, final, generator, previous_BA)
        pick = judged.total_B.view(final.shape[:2]).argmin(1)
        rows = torch.arange(len(pick), device=pick.device)
        flat = rows * final.shape[1] + pick
        evaluation = Evaluation(
            judged.total_B[flat],
            {name: term[flat] for name, term in judged.terms.items()},
            judged.survival_B[flat],
        )
        return Plan(final[rows, pick], evaluation)

    def _judge(
        self,
        start: RolloutState,
        candidate_BSLA: Tensor,
        generator: torch.Generator,
        previous_BA: Tensor | None,
    ) -> Evaluation:
        B, S = candidate_BSLA.shape[:2]
        rows = torch.arange(B, device=candidate_BSLA.device).repeat_interleave(S)
        return self.objective.evaluate(
            start.select(rows), candidate_BSLA.flatten(0, 1), generator=generator,
            previous_BA=None if previous_BA is None else previous_BA[rows],
        )  # fmt: skip

    def _propose(self, start: RolloutState, std_BLA: Tensor, generator: torch.Generator) -> Tensor:
        """Returns rollouts of the proposal policy, the first without noise, (B, S, L, A)."""
        assert self.proposal is not None
        B, L = std_BLA.shape[:2]
        S = self.config.num_proposals
        noise = smooth_noise(std_BLA, S, self.config.correlation, generator) * std_BLA[:, None]
        noise[:, 0] = 0.0
        rows = torch.arange(B, device=std_BLA.device).repeat_interleave(S)
        state, actions = start.select(rows), []
        for t in range(L):
            action = self.proposal(state.seen, state.vector_BK)
            actions.append((action + noise[:, :, t].flatten(0, 1)).clamp(-1.0, 1.0))
            state, _ = self.objective.model.imagine_step(state, actions[-1], generator=generator)
        return torch.stack(actions, 1).view(B, S, L, -1)


def smooth_noise(
    like_BLA: Tensor, num_samples: int, correlation: float, generator: torch.Generator
) -> Tensor:
    """Returns unit Gaussian noise that is correlated along the steps, shape (B, S, L, A)."""
    B, L, A = like_BLA.shape
    white: dict[str, Any] = {"generator": generator, "device": like_BLA.device}
    steps = [torch.randn(B, num_samples, A, **white)]
    fresh = (1.0 - correlation**2) ** 0.5
    for _ in range(L - 1):
        steps.append(correlation * steps[-1] + fresh * torch.randn(B, num_samples, A, **white))
    return torch.stack(steps, 2)


def shift(plan_BLA: Tensor, steps: int) -> Tensor:
    """Returns what is left of a plan after some steps, its last action repeated at the end."""
    L = plan_BLA.shape[1]
    kept = plan_BLA[:, min(steps, L) :]
    return torch.cat([kept, plan_BLA[:, -1:].expand(-1, L - kept.shape[1], -1)], 1)
