"""The cost J of plans, from imagined rollouts and a kinematic ego.

A plan is a sequence of residuals: what is added, at each step, to the action of a base policy that
looks at the dream. Without a base policy the residuals are the actions.

J = Σ_t γ^t p_t [w_c c_collision + w_r c_rule + w_p c_progress + w_k c_comfort] / L
  + Σ_t γ^t p_t π_t w_term - γ^L p_L w_v V, with π_t the predicted probability of termination at
step t and p_t = Π_{k<t} (1 - π_k) that of still being there.

Shapes: B plans, D draws of the model's noise, L steps, A action size, J causes, K vector size.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from dreamdrive.driving.kinematics import BicycleConfig, comfort_signals, drive
from dreamdrive.driving.state import STATE_INDEX
from dreamdrive.planners.costs import (
    CostWeights,
    collision_cost,
    comfort_cost,
    progress_cost,
    rule_cost,
)
from dreamdrive.worldmodel.engine import Engine
from dreamdrive.worldmodel.model import WorldModel
from dreamdrive.worldmodel.rollout import Rollout
from dreamdrive.worldmodel.state import RolloutState

Policy = Callable[[Tensor, Tensor], Tensor]
"""Latent (B, C, H, W) and vector (B, K) to an action (B, A) in [-1, 1]."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ObjectiveConfig:
    """What a plan is judged by."""

    weights: CostWeights = field(default_factory=CostWeights)
    bicycle: BicycleConfig = field(default_factory=BicycleConfig)
    discount: float = 1.0
    probability_floor: float = 0.0
    """Predicted probabilities of termination below it, at one step, count as none: for a model that
    is never quite sure, since fear of nothing would keep the ego standing."""
    num_steps: int = 1
    """Euler steps of the world model's sampler."""
    engine: Engine = "eager"
    """How steps are computed: `fused` is faster on a processor and the same but for rounding."""

    def __post_init__(self) -> None:
        """Checks the ranges.

        Raises:
            ValueError: If a value is outside its range.
        """
        if not 0.0 < self.discount <= 1.0:
            raise ValueError(f"discount must lie in (0, 1], got {self.discount}")
        if not 0.0 <= self.probability_floor < 1.0 or self.num_steps < 1:
            raise ValueError("probability_floor must lie in [0, 1), num_steps be at least 1")


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What plans cost.

    Attributes:
        total_B: J of each plan; infinite where the rollout was not finite.
        terms: Each weighted, discounted and masked sum by its name, shape (B,); they add up to J.
        survival_B: Probability that nothing ends the episode within the plan.
    """

    total_B: Tensor
    terms: dict[str, Tensor]
    survival_B: Tensor


class Objective:
    """J of plans in a world model.

    Args:
        model: Where plans are imagined.
        config: What they are judged by.
        base: The policy that plans are residuals to; without it they are the actions.
        value: Value of a frame from its latent and vector, to end plans with.
    """

    def __init__(
        self,
        model: WorldModel,
        config: ObjectiveConfig,
        base: Policy | None = None,
        value: Callable[[Tensor, Tensor], Tensor] | None = None,
    ) -> None:
        if config.weights.value > 0.0 and value is None:
            raise ValueError("weights.value is positive, but no value function is given")
        self.model, self.config, self.base, self.value = model, config, base, value
        self._rollouts: dict[tuple[int, int], Rollout] = {}

    def _rollout(self, plan_BLA: Tensor) -> Rollout:
        """Returns the rollout for so many plans of such a length, made once."""
        size = plan_BLA.shape[0], plan_BLA.shape[1]
        if size not in self._rollouts:
            self._rollouts[size] = Rollout(self.model, *size, self.config.engine)
        return self._rollouts[size]

    def act(self, state: RolloutState, residual_BA: Tensor) -> Tensor:
        """Returns the action in a state, shape (B, A), in [-1, 1]: the base policy's + residual."""
        if self.base is None:
            return residual_BA.clamp(-1.0, 1.0)
        return (self.base(state.seen, state.vector_BK) + residual_BA).clamp(-1.0, 1.0)

    @torch.no_grad()
    def evaluate(
        self,
        start: RolloutState,
        residual_BLA: Tensor,
        *,
        generator: torch.Generator,
        previous_BA: Tensor | None = None,
        draws: int = 1,
    ) -> Evaluation:
        """Returns the cost of each plan from its start state, averaged over the model's noise.

        All plans meet the same noise, so that they differ by themselves alone.

        Args:
            start: States; the plans from one of them share its past.
            residual_BLA: Equally many plans for each of them, those of one after each other.
            generator: Source of the model's noise.
            previous_BA: The action taken before the plan.
            draws: How often each plan is imagined.
        """
        B = len(residual_BLA)
        rows = torch.arange(B, device=residual_BLA.device).repeat_interleave(draws)
        judged = self._imagine(
            start.fork(B // len(start.vector_BK) * draws), residual_BLA[rows], generator,
            None if previous_BA is None else previous_BA[rows], draws,
        )  # fmt: skip
        return Evaluation(
            judged.total_B.view(B, draws).mean(1),
            {name: term.view(B, draws).mean(1) for name, term in judged.terms.items()},
            judged.survival_B.view(B, draws).mean(1),
        )

    def _imagine(
        self,
        start: RolloutState,
        residual_BLA: Tensor,
        generator: torch.Generator,
        previous_BA: Tensor | None,
        draws: int,
    ) -> Evaluation:
        config = self.config

        def draw(state: RolloutState) -> tuple[Tensor, Tensor]:
            return (
                _shared(state.latent_BCHW, draws, generator),
                _shared(state.vector_BK, draws, generator),
            )

        rolled = self._rollout(residual_BLA)(
            start, lambda state, t: self.act(state, residual_BLA[:, t]), draw,
            horizon=residual_BLA.shape[1], num_steps=config.num_steps,
        )  # fmt: skip
        action_BLA, vector, state = rolled.action_BTA, rolled.vector_BTK[:, 1:], rolled.end
        termination = rolled.termination_BTJ
        floor = config.probability_floor
        total = termination.sum(-1, keepdim=True)
        heeded = ((total - floor) / (1.0 - floor)).clamp(0.0, 1.0)
        termination = termination * heeded / total.clamp(min=1e-9)
        terms, survival = self._terms(start, action_BLA, vector, termination, previous_BA)
        if self.value is not None and config.weights.value > 0.0:
            ahead = self.value(state.seen, state.vector_BK)
            reached = config.discount ** action_BLA.shape[1] * survival
            terms["value"] = -config.weights.value * reached * ahead
        cost = torch.stack(list(terms.values())).sum(0)
        cost = torch.where(cost.isfinite(), cost, torch.inf)
        return Evaluation(cost, terms, survival)

    def _terms(
        self,
        start: RolloutState,
        action_BLA: Tensor,
        vector_BLK: Tensor,
        termination_BLJ: Tensor,
        previous_BA: Tensor | None,
    ) -> tuple[dict[str, Tensor], Tensor]:
        config, weights = self.config, self.config.weights
        L = action_BLA.shape[1]
        ends = termination_BLJ.sum(-1)
        alive = torch.cat([torch.ones_like(ends[:, :1]), 1.0 - ends], 1).cumprod(1)
        counted = alive[:, :-1] * config.discount ** torch.arange(L, device=ends.device)
        speed = start.vector_BK[:, STATE_INDEX["speed"]]
        limit = start.vector_BK[:, STATE_INDEX["speed_limit"], None]
        motion = drive(action_BLA, speed, config.bicycle, previous_BA)
        causes = self.model.config.causes
        costs = {
            "collision": weights.collision * collision_cost(termination_BLJ, causes),
            "rule": weights.rule * rule_cost(termination_BLJ, causes, vector_BLK),
            "progress": weights.progress * progress_cost(vector_BLK, limit),
            "comfort": weights.comfort * comfort_cost(comfort_signals(motion, config.bicycle.dt_s)),
        }
        terms = {name: (counted * cost).sum(1) / L for name, cost in costs.items()}
        terms["termination"] = weights.termination * (counted * ends).sum(1)
        return terms, alive[:, -1]


def _shared(like: Tensor, draws: int, generator: torch.Generator) -> Tensor:
    drawn = torch.randn(draws, *like.shape[1:], generator=generator, device=like.device)
    return drawn.repeat(len(like) // draws, *(1 for _ in like.shape[1:]))
