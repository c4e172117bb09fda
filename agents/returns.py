"""The scale of returns; the λ-returns themselves are `kernels.scan`."""

import torch
from torch import Tensor


class ReturnScale:
    """A running range of returns, to bring advantages to unit size.

    Reference:
        Hafner et al. 2023, arXiv:2301.04104, eq. 7: percentiles 5 to 95, a floor against noise.
    """

    def __init__(self, *, floor: float, decay: float = 0.99) -> None:
        self.floor, self.decay = floor, decay
        self.range: float | None = None

    def update(self, returns: Tensor) -> float:
        """Takes in a batch of returns and returns the scale to divide by, at least the floor."""
        low, high = torch.quantile(
            returns.detach().flatten().float(), returns.new_tensor([0.05, 0.95])
        ).tolist()
        new = high - low
        self.range = new if self.range is None else self.decay * self.range + (1 - self.decay) * new
        return max(self.floor, self.range)
