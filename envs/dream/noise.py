"""Random numbers for many dreams at once, each from a stream of its own.

A number is a hash of (seed, episode, step, position), so that a dream is the same in any batch, on
reset nothing has to be advanced, and no draw needs the host.

Reference:
    Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3" (counter-based generators);
    Steele et al. 2014, "Fast splittable pseudorandom number generators" (SplitMix64's finaliser).
"""

import math

import torch
from torch import Tensor

GOLDEN = 0x9E3779B97F4A7C15 - 2**64
FIRST = 0xBF58476D1CE4E5B9 - 2**64
SECOND = 0x94D049BB133111EB - 2**64
LOW_HALF = 2**32 - 1


class NoiseStreams:
    """One stream of numbers for each of B environments.

    Args:
        num_envs: B.
        count: How many numbers a step takes at most.
        device: Where they are made.
    """

    def __init__(self, num_envs: int, count: int, device: torch.device) -> None:
        self.seed_B = torch.zeros(num_envs, dtype=torch.long, device=device)
        self.episode_B = torch.zeros(num_envs, dtype=torch.long, device=device)
        self._offset_N = GOLDEN * torch.arange(1, count + 1, device=device)

    def normals(self, step_B: Tensor, count: int) -> Tensor:
        """Returns unit Gaussians of one step of each environment, float32, shape (B, count)."""
        half = (count + 1) // 2
        bits = self._bits(step_B, half)
        # Box-Muller: one hash gives a radius and an angle, and they give two numbers.
        radius = _unit(bits & LOW_HALF).log().mul_(-2.0).sqrt_()
        angle = _unit((bits >> 32) & LOW_HALF).mul_(2.0 * math.pi)
        return torch.cat([radius * angle.cos(), radius * angle.sin()], 1)[:, :count]

    def uniforms(self, step_B: Tensor) -> Tensor:
        """Returns one number in (0, 1] for each environment, independent of the Gaussians."""
        return _unit(self._bits(-1 - step_B, 1)[:, 0] & LOW_HALF)

    def integers(self, high: int) -> Tensor:
        """Returns one number in [0, high) for each environment's present episode, int64 (B,)."""
        return (_mix(self._key() ^ SECOND) & LOW_HALF) % high

    def _key(self) -> Tensor:
        return _mix(self.seed_B + GOLDEN * self.episode_B)

    def _bits(self, step_B: Tensor, count: int) -> Tensor:
        key_B = _mix(self._key() + GOLDEN * step_B)
        return _mix(key_B[:, None] + self._offset_N[:count])


def _unit(bits: Tensor) -> Tensor:
    """Returns float32 in (0, 1] from 32-bit integers."""
    return bits.float().add_(1.0).mul_(2.0**-32)


def _mix(z: Tensor) -> Tensor:
    """Returns a hash of each 64-bit integer; products wrap around."""
    z = (z ^ ((z >> 30) & (2**34 - 1))) * FIRST
    z = (z ^ ((z >> 27) & (2**37 - 1))) * SECOND
    return z ^ ((z >> 31) & (2**33 - 1))
