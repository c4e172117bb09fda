"""Behaviour cloning: an actor that imitates stored decisions.

Shapes: B batch, C H W what is seen, K vector size, A action size.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from dreamdrive.agents.actor_critic import DivergedError
from dreamdrive.agents.networks import Actor, NetworkConfig
from dreamdrive.worldmodel.model import WorldModel

ACTION_LIMIT = 0.97
"""Stored actions are clamped to it before the inverse of the tanh, which is infinite at 1."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CloningConfig:
    """How an actor imitates."""

    network: NetworkConfig = field(default_factory=NetworkConfig)
    rate: float = 1e-3
    weight_decay: float = 1e-3
    clip: float = 10.0

    def __post_init__(self) -> None:
        """Checks the ranges.

        Raises:
            ValueError: If a value is outside its range.
        """
        if not (self.rate > 0.0 and self.clip > 0.0 and self.weight_decay >= 0.0):
            raise ValueError("rate and clip must be positive, weight_decay at least 0")


class BehaviourCloning:
    """An actor trained by the likelihood of stored actions on stored features."""

    def __init__(self, model: WorldModel, config: CloningConfig, *, seed: int) -> None:
        self.config = config
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.actor = Actor.for_model(model, config.network)
        self.optimizer = torch.optim.AdamW(
            self.actor.parameters(), config.rate, weight_decay=config.weight_decay
        )

    def loss(self, seen_BCHW: Tensor, vector_BK: Tensor, action_BA: Tensor) -> Tensor:
        """Returns the mean negative log-likelihood of the actions, in nats."""
        raw = action_BA.clamp(-ACTION_LIMIT, ACTION_LIMIT).atanh()
        return -self.actor(seen_BCHW, vector_BK).log_prob(raw).mean()

    def update(self, seen_BCHW: Tensor, vector_BK: Tensor, action_BA: Tensor) -> dict[str, float]:
        """Takes one step on a batch and returns metrics.

        Args:
            seen_BCHW: What was seen, as `RolloutState.seen`.
            vector_BK: Vectors in their own units.
            action_BA: What was done there, in [-1, 1].

        Returns:
            `loss`: mean negative log-likelihood in nats; `norm`: of the gradient before clipping.

        Raises:
            DivergedError: If the loss or the gradient is not finite; no weight has changed then.
        """
        loss = self.loss(seen_BCHW, vector_BK, action_BA)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.actor.parameters(), self.config.clip)
        if not (torch.isfinite(loss) and torch.isfinite(norm)):
            raise DivergedError(
                f"The loss of cloning is {loss.item()}",
                do="Check the stored actions and vectors for numbers that are not finite.",
            )
        self.optimizer.step()
        return {"loss": float(loss.detach()), "norm": float(norm)}
