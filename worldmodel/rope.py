"""Rotary position embedding over time, height and width.

Where attention is factorised, space layers rotate by (h, w), each with half of the bands, and time
layers rotate by t with all of them, so the three axes never meet in one product. Where it is dense,
the bands are split over (t, h, w). The rotation itself is `kernels.qk_rope`.

Reference:
    Su et al. 2021, "RoFormer", arXiv:2104.09864, equation 34.
"""

import torch
from torch import Tensor

from dreamdrive.kernels.qk_rope import angles_3d

TIME_BASE = 1000.0
SPACE_TIME_BASE = 10_000.0


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


def num_time_pairs(head_size: int) -> int:
    """Returns how many channel pairs of a head tell time where it also tells the place."""
    pairs = head_size // 2
    return pairs - 2 * (pairs // 3)


def space_time_angles(grid: int, num_extra: int, head_size: int) -> Tensor:
    """Returns the angles at time 0, with the pairs of time first; as `space_angles`."""
    row, column = torch.meshgrid(torch.arange(grid), torch.arange(grid), indexing="ij")
    position = torch.stack([torch.zeros_like(row), row, column], -1).flatten(0, 1)
    placed = angles_3d(position, head_size // 2, SPACE_TIME_BASE)
    return torch.cat([placed, torch.zeros(num_extra, head_size // 2)])
