"""Rotary position embedding over time, height and width.

Attention is factorised: space layers rotate by (h, w), each with half of the bands, and time layers
rotate by t with all of them, so the three axes never meet in one product. The rotation itself is
`kernels.qk_rope`.

Reference:
    Su et al. 2021, "RoFormer", arXiv:2104.09864, equation 34.
"""

import torch
from torch import Tensor


def angles(position: Tensor, num_bands: int, base: float) -> Tensor:
    """Returns the angle of each band at each position, shape (*position, num_bands)."""
    frequency = base ** (-torch.arange(num_bands, device=position.device) / num_bands)
    return position[..., None].float() * frequency


def space_angles(grid: int, num_extra: int, head_size: int, base: float = 100.0) -> Tensor:
    """Returns angles for a grid of tokens in row order, followed by tokens without a place.

    Args:
        grid: Tokens along each side.
        num_extra: Tokens that are not rotated (registers, vectors, the agent token).
        head_size: Channels of a head, a multiple of 4.

    Returns:
        Shape (grid² + num_extra, head_size / 2).
    """
    row, column = torch.meshgrid(torch.arange(grid), torch.arange(grid), indexing="ij")
    bands = head_size // 4
    placed = torch.cat([angles(row, bands, base), angles(column, bands, base)], -1).flatten(0, 1)
    return torch.cat([placed, torch.zeros(num_extra, head_size // 2)])
