"""Rollouts of a policy in a world model: observation → policy → step, T times, made once for many.

What agents learn through and planners search in. Without gradients the past of the starts is copied
once and every frame is written in place; with them, the fused way writes the frames of a dream into
lines and has its gradients written out (`fused_rollout`), and the others leave it to autograd.

Shapes: B rollouts, T decisions, C H W latent, K vector size, A action size, J causes.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from dreamdrive.worldmodel.blocks import Branch
from dreamdrive.worldmodel.engine import Engine, Imagine, build_step
from dreamdrive.worldmodel.fused import FusedStep
from dreamdrive.worldmodel.fused_rollout import FusedRollout
from dreamdrive.worldmodel.model import WorldModel
from dreamdrive.worldmodel.packed import Precision
from dreamdrive.worldmodel.state import RolloutState

Choose = Callable[[RolloutState, int], Tensor]
"""A state and the number of the decision to an action (B, A) in [-1, 1]."""
Draw = Callable[[RolloutState], tuple[Tensor, Tensor]]
"""A state to unit Gaussian noise of the shapes of its latent and its vector."""


class Rolled(NamedTuple):
    """T+1 frames and the T decisions between them.

    Attributes:
        seen_BTCHW: What a policy sees, `RolloutState.seen`, T+1 of them, the start's first.
        vector_BTK: Vectors in their own units, T+1 of them.
        action_BTA: The action on each of the first T frames.
        reward_BT: Expected reward of each decision.
        termination_BTJ: Probability of each cause at each decision.
        uncertainty_BT: The model's disagreement about each decision.
        end: The last state.
    """

    seen_BTCHW: Tensor
    vector_BTK: Tensor
    action_BTA: Tensor
    reward_BT: Tensor
    termination_BTJ: Tensor
    uncertainty_BT: Tensor
    end: RolloutState


class Rollout:
    """Rollouts of B dreams, T decisions at most.

    Args:
        model: Where it is dreamed.
        batch_size: B.
        horizon: T.
        engine: How steps are computed, see `engine`.
        precision: Of the matrix products, with `fused`.

    Raises:
        ConfigError: If there is no such way or precision, or they do not go together.
        KernelError: If a way that was asked for by name cannot run here.
    """

    def __init__(
        self, model: WorldModel, batch_size: int, horizon: int, engine: Engine = "eager",
        precision: Precision = "float32",
    ) -> None:  # fmt: skip
        self.model, self.batch_size, self.horizon = model, batch_size, horizon
        self._step: Imagine = build_step(model, batch_size, engine, precision)
        self._both_ways: FusedRollout | None = None

    def __call__(
        self, start: RolloutState, choose: Choose, draw: Draw, *, horizon: int | None = None,
        num_steps: int = 1, with_end: bool = True,
    ) -> Rolled:  # fmt: skip
        """Returns a rollout of a policy from each start state.

        With gradients on, it is differentiable in whatever `choose` computes with. Without, it is
        the same rollout; the start is left whole either way, unless it is a fork.

        Args:
            start: B states, or forks of some.
            choose: The policy.
            draw: Source of the model's noise.
            horizon: Number of decisions, T by default and at most.
            num_steps: Euler steps of the model's sampler.
            with_end: Whether the last state will be gone on from; without, it may lack its memory.

        Raises:
            ConfigError: If the fused way is asked for gradients through several sampling steps.
        """
        count = self.horizon if horizon is None else horizon
        if not torch.is_grad_enabled():
            # A fork's frames are its own, and its past is not written to.
            is_fork = isinstance(getattr(start.memory, "ring", start.memory), Branch)
            own = start if is_fork else start.clone()
            return roll(self._step, own, choose, draw, count, num_steps, in_place=True)
        if not isinstance(self._step, FusedStep):
            return roll(self._step, start, choose, draw, count, num_steps, in_place=False)
        if self._both_ways is None:
            self._both_ways = FusedRollout(
                self.model, self.batch_size, self.horizon, self._step.precision
            )
        fused = self._both_ways
        rolled = roll(fused, fused.begin(start), choose, draw, count, num_steps, in_place=False)
        return rolled._replace(end=fused.end(rolled.end)) if with_end else rolled


def roll(
    step: Imagine, state: RolloutState, choose: Choose, draw: Draw, horizon: int, num_steps: int,
    *, in_place: bool,
) -> Rolled:  # fmt: skip
    """Returns `horizon` decisions of a policy, each followed by a step of the model."""
    frames, vectors, actions, outcomes = [state.seen], [state.vector_BK], [], []
    for t in range(horizon):
        action_BA = choose(state, t)
        state, told = step(
            state, action_BA, noise=draw(state), num_steps=num_steps, in_place=in_place
        )
        frames.append(state.seen)
        vectors.append(told.vector_BK)
        actions.append(action_BA)
        outcomes.append((told.reward_B, told.termination_BC, told.uncertainty_B))
    reward, termination, uncertainty = (torch.stack(x, 1) for x in zip(*outcomes, strict=True))
    return Rolled(
        torch.stack(frames, 1), torch.stack(vectors, 1), torch.stack(actions, 1), reward,
        termination, uncertainty, state,
    )  # fmt: skip


def drawn(generator: torch.Generator | None) -> Draw:
    """Returns a source of noise of its own for each dream: a generator's next numbers."""

    def draw(state: RolloutState) -> tuple[Tensor, Tensor]:
        latent, vector = state.latent_BCHW, state.vector_BK
        return (
            torch.randn(latent.shape, generator=generator, device=latent.device),
            torch.randn(vector.shape, generator=generator, device=vector.device),
        )

    return draw
