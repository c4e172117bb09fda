"""The named terms of a plan's cost: dimensionless, in [0, 1] at each step, 0 at best.

Shapes: B batch, L steps, J causes, Q comfort signals, K vector size.

Reference:
    nuPlan's comfort bounds; ranking by ordered weights after arXiv:2212.03323.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from dreamdrive.driving.causes import is_collision
from dreamdrive.driving.cost_terms import along_route_mps, discomfort, speeding


@dataclass(frozen=True, kw_only=True, slots=True)
class CostWeights:
    """What each term weighs; from `collision` to `comfort` each above all below it together.

    `collision`, `rule`, `progress` and `comfort` are divided by the number of steps, so that they
    weigh the mean over a plan; `termination` is paid once, where the episode ends.
    """

    termination: float = 20.0
    collision: float = 100.0
    rule: float = 20.0
    progress: float = 2.0
    comfort: float = 0.5
    value: float = 0.0
    """Weight of the value of the last frame, which is subtracted; 0 without a critic."""

    def __post_init__(self) -> None:
        """Checks the order.

        Raises:
            ValueError: If a weight is negative or does not exceed those below it.
        """
        ordered = (self.collision, self.rule, self.progress, self.comfort)
        if min(*ordered, self.termination, self.value) < 0.0:
            raise ValueError("weights must be at least 0")
        for i, weight in enumerate(ordered[:-1]):
            if not weight > sum(ordered[i + 1 :]):
                raise ValueError(
                    "the order collision > rule > progress > comfort is lost: each weight must "
                    f"exceed those below it together, got {ordered}"
                )


def split_causes(causes: tuple[str, ...]) -> tuple[list[int], list[int]]:
    """Returns the indices of the causes that are collisions, and of those that are not."""
    hit = [i for i, name in enumerate(causes) if is_collision(name)]
    return hit, [i for i in range(len(causes)) if i not in hit]


def collision_cost(termination_BLJ: Tensor, causes: tuple[str, ...]) -> Tensor:
    """Returns the probability of a collision of any kind at each step, shape (B, L)."""
    return termination_BLJ[..., split_causes(causes)[0]].sum(-1).clamp(0.0, 1.0)


def rule_cost(termination_BLJ: Tensor, causes: tuple[str, ...], vector_BLK: Tensor) -> Tensor:
    """Returns the probability of breaking a rule or the excess over the limit, shape (B, L).

    The excess counts in units of 2.23 m/s; the larger of the two counts.
    """
    broken = termination_BLJ[..., split_causes(causes)[1]].sum(-1).clamp(0.0, 1.0)
    return torch.maximum(broken, speeding(vector_BLK))


def progress_cost(vector_BLK: Tensor, reference_mps: Tensor | float) -> Tensor:
    """Returns 1 where the ego gains nothing along the route and 0 at the reference speed, (B, L).

    Args:
        vector_BLK: State vectors in their own units.
        reference_mps: Speed at which nothing is left to gain; broadcast against (B, L).
    """
    along = along_route_mps(vector_BLK)
    reference = torch.as_tensor(reference_mps, device=along.device).clamp(min=0.1)
    return 1.0 - (along / reference).clamp(0.0, 1.0)


def comfort_cost(signals_BLQ: Tensor) -> Tensor:
    """Returns the discomfort of each step in [0, 1), shape (B, L).

    With each signal as a share s of its bound, the raw cost is mean max(0, |s| - 1)² + 0.05 mean s²
    and the cost is 1 - exp(-raw): however rough, comfort never outweighs progress.

    Args:
        signals_BLQ: Signals in the order of `COMFORT_BOUNDS`.
    """
    return -torch.expm1(-discomfort(signals_BLQ))
