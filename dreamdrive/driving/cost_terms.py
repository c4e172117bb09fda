"""What the costs of dreamed motion are made of, for the dream's own costs and the planners'.

Shapes: any leading dimensions `...`, K vector size, Q comfort signals.
"""

from functools import cache

import torch
from torch import Tensor

from dreamdrive.driving.comfort import COMFORT_BOUNDS
from dreamdrive.driving.rewards import OVERSPEED_SCALE_MPS
from dreamdrive.driving.state import STATE_INDEX


def along_route_mps(vector: Tensor) -> Tensor:
    """Returns the speed along the route in m/s, shape (...), of state vectors (..., K)."""
    return vector[..., STATE_INDEX["speed"]] * vector[..., STATE_INDEX["heading_error"]].cos()


def speeding(vector: Tensor) -> Tensor:
    """Returns the excess over the limit in units of 2.23 m/s, at most 1, shape (...)."""
    excess = vector[..., STATE_INDEX["speed"]] - vector[..., STATE_INDEX["speed_limit"]]
    return (excess / OVERSPEED_SCALE_MPS).clamp(0.0, 1.0)


def discomfort(signals: Tensor) -> Tensor:
    """Returns the mean squared excess over the bounds plus 0.05 of the mean square, shape (...).

    Each signal counts as a share of its bound.

    Args:
        signals: Signals in the order of `COMFORT_BOUNDS`, shape (..., Q).
    """
    low, high = _bounds(signals.dtype, signals.device)
    share = torch.where(signals < 0.0, signals / low, signals / high)
    excess = (share - 1.0).clamp_min(0.0)
    return excess.square().mean(-1) + 0.05 * share.square().mean(-1)


@cache
def _bounds(dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Returns the bounds, brought to a device once: a step of a dream may not wait for the host."""
    with torch.inference_mode(False):
        low = torch.tensor([bound.low for bound in COMFORT_BOUNDS], dtype=dtype, device=device)
        high = torch.tensor([bound.high for bound in COMFORT_BOUNDS], dtype=dtype, device=device)
    return low, high
