"""Rollouts of a policy inside a world model.

Shapes: B rollouts, T decisions, C H W latent, K vector size, A action size, J causes.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from dreamdrive.worldmodel.interface import Interface
from dreamdrive.worldmodel.model import WorldModel
from dreamdrive.worldmodel.rollout import Rollout, drawn
from dreamdrive.worldmodel.state import RolloutState


class Dream(NamedTuple):
    """An imagined rollout: T+1 frames and the T decisions between them.

    Attributes:
        seen_BTCHW: What the policy sees, `RolloutState.seen`, T+1 of them; the first is the
            start's.
        vector_BTK: Vectors in their own units, T+1 of them.
        action_BTA: Action taken on each of the first T frames.
        raw_BTA: The same before the tanh.
        reward_BT: Expected reward of each decision.
        termination_BTJ: Probability of each cause at each decision.
        uncertainty_BT: The model's disagreement about each decision.
    """

    seen_BTCHW: Tensor
    vector_BTK: Tensor
    action_BTA: Tensor
    raw_BTA: Tensor
    reward_BT: Tensor
    termination_BTJ: Tensor
    uncertainty_BT: Tensor

    @property
    def continuation(self) -> Tensor:
        """Probability that a decision does not terminate the episode, shape (B, T)."""
        return (1.0 - self.termination_BTJ.sum(-1)).clamp(0.0, 1.0)

    @property
    def alive(self) -> Tensor:
        """Probability that the episode still runs when a decision is taken, shape (B, T)."""
        continuation = self.continuation
        first = torch.ones_like(continuation[:, :1])
        return torch.cat([first, continuation[:, :-1]], 1).cumprod(1)


def taken(raw_BA: Tensor, interface: Interface | None) -> Tensor:
    """Returns the model's action of an action before its tanh, (B, A) in [-1, 1].

    Where actions are discrete, the largest entry is 1 and the others are -1, and the gradient is
    that of the tanh (straight-through).

    Reference:
        Bengio et al. 2013, arXiv:1308.3432, §4.
    """
    soft = raw_BA.tanh()
    if interface is None or interface.action == "box":
        return soft
    hard = 2.0 * F.one_hot(raw_BA.argmax(-1), raw_BA.shape[-1]).to(soft.dtype) - 1.0
    return soft + (hard - soft).detach()


def imagine(
    model: WorldModel,
    start: RolloutState,
    choose: Callable[[Tensor, Tensor], Tensor],
    *,
    horizon: int,
    generator: torch.Generator | None = None,
    num_steps: int = 1,
    rollout: Rollout | None = None,
) -> Dream:
    """Returns a rollout of `horizon` decisions from each start state.

    With gradients on, it is differentiable in whatever `choose` computes with. Without, it is the
    same.

    Args:
        model: Where it is dreamed.
        start: B start states.
        choose: What is seen (B, 2C, H, W) and vector (B, K) to the action before its tanh, (B, A).
        horizon: Number of decisions T.
        generator: Source of the model's noise.
        num_steps: Euler steps of the model's sampler.
        rollout: How it is computed, made for B starts; the model's own way by default.
    """
    raws: list[Tensor] = []

    def act(state: RolloutState, t: int) -> Tensor:
        raws.append(choose(state.seen, state.vector_BK))
        return taken(raws[-1], model.config.interface)

    if rollout is None:
        rollout = Rollout(model, len(start.vector_BK), horizon)
    done = rollout(
        start, act, drawn(generator), horizon=horizon, num_steps=num_steps, with_end=False
    )
    return Dream(
        done.seen_BTCHW, done.vector_BTK, done.action_BTA, torch.stack(raws, 1), done.reward_BT,
        done.termination_BTJ, done.uncertainty_BT,
    )  # fmt: skip
