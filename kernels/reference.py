"""Every operation of this package in plain torch: what the kernels mean."""

import torch.nn.functional as F
from torch import Tensor

EPSILON = 1e-6


def adaln_modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Returns LayerNorm(x) · (1 + scale) + shift, with no affine parameters of its own.

    Args:
        x: Tokens, shape (..., N, D).
        shift: Broadcastable to `x`, usually (..., 1, D).
        scale: Likewise.

    Reference:
        Peebles & Xie 2023, "Scalable Diffusion Models with Transformers", arXiv:2212.09748.
    """
    return F.layer_norm(x, x.shape[-1:], eps=EPSILON) * (1.0 + scale) + shift
