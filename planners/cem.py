"""The cross-entropy method: the mean and spread of the cheapest candidates.

Reference:
    Rubinstein & Kroese 2004, "The Cross-Entropy Method".
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from dreamdrive.planners.search import WIDE, SearchConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class CEMConfig:
    """How the cross-entropy method searches."""

    search: SearchConfig = WIDE
    num_elites: int = 8
    min_std: float = 0.05

    def __post_init__(self) -> None:
        """Checks the ranges.

        Raises:
            ValueError: If there are more elites than samples, or a value is not positive.
        """
        if not 1 <= self.num_elites <= self.search.num_samples:
            raise ValueError(
                f"num_elites must lie in [1, {self.search.num_samples}], got {self.num_elites}"
            )
        if not self.min_std > 0.0:
            raise ValueError(f"min_std must be positive, got {self.min_std}")


class CEM:
    """The refit of the cross-entropy method."""

    def __init__(self, config: CEMConfig) -> None:
        self.config = config

    def __call__(
        self, candidate_BSLA: Tensor, cost_BS: Tensor, std_BLA: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Returns mean and spread of the elites, shape (B, L, A) each; arguments as in MPPI."""
        cost, best = cost_BS.topk(self.config.num_elites, 1, largest=False)
        elite = candidate_BSLA.gather(1, best[..., None, None].expand(-1, -1, *std_BLA.shape[1:]))
        counted = cost.isfinite()[..., None, None].to(elite.dtype)
        number = counted.sum(1).clamp(min=1.0)
        mean = (counted * elite).sum(1) / number
        variance = (counted * (elite - mean[:, None]).square()).sum(1) / number
        return mean, torch.minimum(variance.sqrt().clamp(min=self.config.min_std), std_BLA)
