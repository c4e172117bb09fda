"""From the disagreement of the heads to a probability: does the model know?

That it does not is an event: the error of the frame that it dreams exceeds a threshold. How often
that happens at each disagreement is counted on episodes that the model has not learned from, made
monotone, and kept with the model; between the points it is interpolated in the logarithm of the
disagreement, and beyond the outermost it stays.

Reference:
    Zadrozny & Elkan 2002, "Transforming classifier scores into accurate multiclass probability
    estimates" (isotonic regression); Kuleshov et al. 2018, arXiv:1807.00263.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

LEAST = 1e-9
"""Added to a disagreement before its logarithm is taken."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """A curve from disagreement to probability."""

    threshold: float
    """Root mean square error of a dreamed latent, in its standard deviations, above which the model
    did not know."""
    disagreement: tuple[float, ...]
    """Where the curve has its points, ascending."""
    probability: tuple[float, ...]
    """That the error exceeds the threshold there, never descending."""

    def __post_init__(self) -> None:
        """Checks the curve.

        Raises:
            ValueError: If it is none.
        """
        x, p = self.disagreement, self.probability
        if len(x) != len(p) or not x:
            raise ValueError("a calibration needs as many probabilities as disagreements")
        if list(x) != sorted(set(x)) or list(p) != sorted(p) or not 0.0 <= p[0] <= p[-1] <= 1.0:
            raise ValueError("a calibration must ascend, its probabilities within [0, 1]")


def fit_calibration(
    disagreement_N: Tensor, error_N: Tensor, threshold: float, *, num_bins: int = 20
) -> Calibration:
    """Returns the curve that says how often an error exceeds a threshold.

    Disagreements are put into bins of equal counts; each gets the share of its errors above the
    threshold, with one of either kind added so that nothing is certain (Laplace), and neighbours
    that descend are merged (pool adjacent violators).

    Args:
        disagreement_N: At least 0.
        error_N: The error that came with each.
        threshold: Of the error.
        num_bins: At most so many; fewer where many disagreements are equal.

    Raises:
        ValueError: If there is nothing to count.
    """
    if not len(disagreement_N) or len(disagreement_N) != len(error_N):
        raise ValueError("a calibration needs disagreements, and an error with each")
    order = disagreement_N.argsort(stable=True)
    x, is_above = disagreement_N[order].double(), (error_N > threshold)[order].double()
    # Each pool: how many, how many above, sum of the logarithms.
    pools: list[tuple[int, float, float]] = []
    for x_bin, above in zip(x.tensor_split(num_bins), is_above.tensor_split(num_bins), strict=True):
        if not len(x_bin):
            continue
        pools.append((len(x_bin), float(above.sum()), float((x_bin + LEAST).log().sum())))
        while len(pools) > 1 and _must_merge(pools[-2], pools[-1]):
            last = pools.pop()
            count, hits, log = pools.pop()
            pools.append((count + last[0], hits + last[1], log + last[2]))
    return Calibration(
        threshold=float(threshold),
        disagreement=tuple(math.exp(log / count) - LEAST for count, _, log in pools),
        probability=tuple(_share(pool) for pool in pools),
    )


def _share(pool: tuple[int, float, float]) -> float:
    return (pool[1] + 1.0) / (pool[0] + 2.0)


def _must_merge(a: tuple[int, float, float], b: tuple[int, float, float]) -> bool:
    is_one_place = math.exp(b[2] / b[0]) - math.exp(a[2] / a[0]) <= 1e-12
    return is_one_place or _share(a) >= _share(b)


class Doubt(nn.Module):
    """The curve as a module: disagreements of any shape to probabilities of that shape."""

    def __init__(self, calibration: Calibration) -> None:
        super().__init__()
        x = torch.tensor(calibration.disagreement, dtype=torch.float64)
        self.register_buffer("place", (x + LEAST).log().float(), persistent=False)
        curve = torch.tensor(calibration.probability)
        self.register_buffer("curve", curve, persistent=False)
        self.place: Tensor
        self.curve: Tensor

    def forward(self, disagreement: Tensor) -> Tensor:
        """Returns the probability that the model does not know."""
        x = (disagreement + LEAST).log().clamp(self.place[0], self.place[-1])
        if len(self.place) == 1:
            return torch.zeros_like(x) + self.curve[0]
        right = torch.bucketize(x, self.place).clamp(1, len(self.place) - 1)
        left = right - 1
        share = (x - self.place[left]) / (self.place[right] - self.place[left])
        return torch.lerp(self.curve[left], self.curve[right], share)


def calibration_error(probability_N: Tensor, is_so_N: Tensor, *, num_bins: int = 10) -> float:
    """Returns the expected calibration error: the mean gap between what is said and what happens.

    Over bins of equal counts, weighted by them (Naeini et al. 2015).

    Args:
        probability_N: What was said.
        is_so_N: Whether it happened.
        num_bins: How many bins.
    """
    order = probability_N.argsort(stable=True)
    bins = zip(
        probability_N[order].double().tensor_split(num_bins),
        is_so_N[order].double().tensor_split(num_bins), strict=True,
    )  # fmt: skip
    gaps = [len(p) * abs(float(p.mean() - y.mean())) for p, y in bins if len(p)]
    return sum(gaps) / len(probability_N)
