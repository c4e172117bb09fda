"""Scalars as distributions over fixed bins, trained by cross-entropy.

Reference:
    Hafner et al. 2023, "Mastering Diverse Domains through World Models", arXiv:2301.04104, eq. 9.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def symlog(x: Tensor) -> Tensor:
    """Returns sign(x) ln(1 + |x|)."""
    return x.sign() * x.abs().log1p()


def symexp(x: Tensor) -> Tensor:
    """Returns sign(x) (exp|x| - 1), the inverse of `symlog`."""
    return x.sign() * x.abs().expm1()


def symexp_bins(num_bins: int, limit: float, scale: float = 1.0) -> Tensor:
    """Returns `num_bins` values, spaced finely near 0, from about -limit to limit.

    Args:
        num_bins: An odd number, so that 0 is a bin.
        limit: The outermost value.
        scale: Values much below it are spaced evenly, values above it by a constant ratio.
    """
    if num_bins % 2 == 0:
        raise ValueError(f"num_bins must be odd, got {num_bins}")
    edge = torch.tensor(limit / scale, device="cpu").log1p().item()
    above = scale * symexp(torch.linspace(0.0, edge, num_bins // 2 + 1))
    return torch.cat([-above[1:].flip(0), above])


def two_hot(value: Tensor, bins_K: Tensor) -> Tensor:
    """Returns weights on the two bins around each value, shape (..., K), whose mean is the value.

    Values beyond the outermost bins are clamped to them.
    """
    value = value.clamp(bins_K[0], bins_K[-1])
    above = torch.searchsorted(bins_K, value.contiguous()).clamp(1, len(bins_K) - 1)
    low, high = bins_K[above - 1], bins_K[above]
    weight = ((value - low) / (high - low)).unsqueeze(-1)
    K = len(bins_K)
    return F.one_hot(above - 1, K) * (1.0 - weight) + F.one_hot(above, K) * weight


def two_hot_mean(logits: Tensor, bins_K: Tensor) -> Tensor:
    """Returns the mean of the distribution over the bins, shape (...,)."""
    return (logits.float().softmax(-1) * bins_K).sum(-1)


def two_hot_loss(logits: Tensor, value: Tensor, bins_K: Tensor) -> Tensor:
    """Returns the cross-entropy of the distribution against the value, shape (...,)."""
    return -(two_hot(value, bins_K) * logits.float().log_softmax(-1)).sum(-1)
