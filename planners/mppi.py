"""Model predictive path integral control: candidates weighed by exp(-J / λ).

Reference:
    Williams et al. 2017, "Information Theoretic MPC for Model-Based Reinforcement Learning".
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from dreamdrive.planners.search import SearchConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class MPPIConfig:
    """How MPPI searches."""

    search: SearchConfig = field(default_factory=SearchConfig)
    temperature: float = 0.05
    """λ, in units of J: candidates this much dearer than the best weigh a third of it."""
    min_std: float = 0.02

    def __post_init__(self) -> None:
        """Checks the ranges.

        Raises:
            ValueError: If a value is not positive.
        """
        if not (self.temperature > 0.0 and self.min_std > 0.0):
            raise ValueError("temperature and min_std must be positive")


class MPPI:
    """The refit of MPPI."""

    def __init__(self, config: MPPIConfig) -> None:
        self.config = config

    def __call__(
        self, candidate_BSLA: Tensor, cost_BS: Tensor, std_BLA: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Returns the weighted mean of the candidates and their spread, shape (B, L, A) each.

        Args:
            candidate_BSLA: Plans.
            cost_BS: What they cost; infinite ones weigh nothing.
            std_BLA: Spread that the candidates were drawn with, which bounds the new one.
        """
        weight = path_weights(cost_BS, self.config.temperature)[..., None, None]
        mean = (weight * candidate_BSLA).sum(1)
        spread = (weight * (candidate_BSLA - mean[:, None]).square()).sum(1).sqrt()
        return mean, torch.minimum(spread.clamp(min=self.config.min_std), std_BLA)


def path_weights(cost_BS: Tensor, temperature: float) -> Tensor:
    """Returns exp(-(J - min J) / λ), normalised to sum 1 over the candidates, shape (B, S).

    Where no cost is finite all weights are 0. Without the shift by the minimum, costs in the
    thousands would leave nothing but zeros.
    """
    shifted = cost_BS - cost_BS.min(1, keepdim=True).values
    weight = torch.exp(-torch.where(cost_BS.isfinite(), shifted, torch.inf) / temperature)
    return weight / weight.sum(1, keepdim=True).clamp(min=1e-30)
