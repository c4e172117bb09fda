"""A head that names numbers of a decision: how the ego moved, what each term of the cost was.

It knows no names itself: what the numbers are is `WorldModelConfig.quantities`.
"""

import torch
from torch import Tensor, nn

SMALLEST_SPREAD = 1e-2
"""Of a quantity that hardly ever changes, so that one odd value does not outweigh all others."""


class QuantityHead(nn.Module):
    """A network from the agent token to the mean of Q quantities, each in its own units.

    Args:
        width: D.
        num_quantities: Q.
    """

    def __init__(self, width: int, num_quantities: int) -> None:
        super().__init__()
        last = nn.Linear(width, num_quantities)
        self.network = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU(), last
        )  # fmt: skip
        self.register_buffer("mean", torch.zeros(num_quantities))
        self.register_buffer("spread", torch.ones(num_quantities))
        self.mean: Tensor
        self.spread: Tensor
        # A new head says the mean.
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def fit(self, quantity_NQ: Tensor) -> None:
        """Sets mean and spread from data."""
        self.mean.copy_(quantity_NQ.mean(0))
        self.spread.copy_(quantity_NQ.std(0).clamp_min(SMALLEST_SPREAD))

    def forward(self, agent: Tensor) -> Tensor:
        """Returns the quantities, shape (..., Q), for agent tokens of shape (..., D)."""
        told: Tensor = self.network(agent).float()
        return told * self.spread + self.mean

    def loss(self, agent: Tensor, quantity: Tensor, weight: Tensor) -> Tensor:
        """Returns the mean squared error in units of the spread, whose least is at the mean.

        Args:
            agent: Agent tokens, shape (..., D).
            quantity: The truth, shape (..., Q).
            weight: Of each element, shape (...).
        """
        error = (self(agent) - quantity) / self.spread
        return (weight[..., None] * error.square()).mean()
