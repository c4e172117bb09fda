"""Search over plans by sampling around a mean; what MPPI and CEM share.

Shapes: B searches at once, S candidates of each, L steps, A action size.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from dreamdrive.driving.actions import ACCELERATION, STEER
from dreamdrive.planners.objective import Evaluation, Objective
from dreamdrive.worldmodel.state import RolloutState


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchConfig:
    """How candidates are drawn; the defaults suit residuals to a policy on a CPU."""

    num_samples: int = 14
    horizon: int = 15
    iterations: int = 1
    steer_std: float = 0.0
    """Full steer turns the front wheels by some 70°: a little goes a long way."""
    acceleration_std: float = 0.5
    correlation: float = 0.9
    """Of the noise at neighbouring steps: 0 is white, towards 1 whole plans lean one way."""
    final_draws: int = 4
    """How often the few plans that are left at the end are imagined, each with other noise."""
    margin: float = 0.3
    """How much cheaper than the base policy alone, in units of J, another plan has to be."""

    def __post_init__(self) -> None:
        """Checks the ranges.

        Raises:
            ValueError: If a value is outside its range.
        """
        if min(self.num_samples, self.horizon, self.iterations, self.final_draws) < 1:
            raise ValueError("num_samples, horizon, iterations and final_draws must be at least 1")
        if not 0.0 <= self.correlation < 1.0:
            raise ValueError(f"correlation must lie in [0, 1), got {self.correlation}")
        if min(self.steer_std, self.acceleration_std, self.margin) < 0.0:
            raise ValueError("steer_std, acceleration_std and margin must be at least 0")


WIDE = SearchConfig(
    num_samples=64, iterations=2, steer_std=0.15, acceleration_std=0.5, correlation=0.8,
    final_draws=1,
)  # fmt: skip
"""A search that has nothing but itself to find a way."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The sequences that a search settled on.

    Attributes:
        residual_BLA: The plan of each search: what it adds to the base policy's actions.
        evaluation: What the plans cost, term by term.
    """

    residual_BLA: Tensor
    evaluation: Evaluation


class Refit(Protocol):
    """Moves the distribution of candidates towards the cheap ones."""

    def __call__(
        self, candidate_BSLA: Tensor, cost_BS: Tensor, std_BLA: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Returns the new mean and standard deviation, shape (B, L, A) each."""


class Search:
    """Draws, judges and refits, then takes the best of mean, best candidate and full brake.

    Around a base policy its own way, residuals of 0, is among the candidates, and another is taken
    only where it is cheaper by `config.margin`.

    Args:
        objective: What candidates cost.
        config: How they are drawn.
        refit: How the distribution follows the costs.
    """

    def __init__(self, objective: Objective, config: SearchConfig, refit: Refit) -> None:
        self.objective, self.config, self.refit = objective, config, refit
        self.limit = 1.0 if objective.base is None else 2.0
        """Largest residual; 2 leads from any action to any other."""

    def initial_mean(self, batch_size: int) -> Tensor:
        """Returns the plan before any is known: the base policy's, or coasting straight on."""
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

        The plan costs no more, on the same draws of the model's noise, than braking fully all
        along, beyond the margin; where no candidate has a finite cost, it is braking fully.

        Args:
            start: B states.
            mean_BLA: The plan to search around, for example what is left of the one before.
            generator: Source of candidates and of the model's noise.
            previous_BA: The action taken before the plan.
        """
        brake_BLA = torch.zeros_like(mean_BLA)
        brake_BLA[..., ACCELERATION] = -self.limit
        std = torch.empty_like(mean_BLA)
        std[..., STEER], std[..., ACCELERATION] = (
            self.config.steer_std, self.config.acceleration_std,
        )  # fmt: skip
        known = [brake_BLA, mean_BLA]
        if self.objective.base is not None:
            known.append(torch.zeros_like(mean_BLA))
        for _ in range(self.config.iterations):
            noise = smooth_noise(
                mean_BLA, self.config.num_samples, self.config.correlation, generator
            )
            drawn = (mean_BLA[:, None] + std[:, None] * noise).clamp(-self.limit, self.limit)
            candidate = torch.cat([torch.stack(known, 1), drawn], 1)
            cost_BS = self._judge(start, candidate, generator, previous_BA, 1).total_B.view(
                candidate.shape[:2]
            )
            known[1] = candidate[torch.arange(len(candidate)), cost_BS.argmin(1)]
            mean_BLA, std = self.refit(candidate, cost_BS, std)
        final = torch.stack([*known, mean_BLA], 1)
        judged = self._judge(start, final, generator, previous_BA, self.config.final_draws)
        counted = judged.total_B.view(final.shape[:2]).clone()
        if self.objective.base is not None:
            counted[:, 2] -= self.config.margin
        pick = counted.argmin(1)
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
        draws: int,
    ) -> Evaluation:
        B, S = candidate_BSLA.shape[:2]
        rows = torch.arange(B, device=candidate_BSLA.device).repeat_interleave(S)
        return self.objective.evaluate(
            start, candidate_BSLA.flatten(0, 1), generator=generator, draws=draws,
            previous_BA=None if previous_BA is None else previous_BA[rows],
        )  # fmt: skip


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
