"""The straight probability path of flow matching, and conversions between its parametrisations.

τ = 0 is noise and τ = 1 is data: z_τ = (1 - τ) z_0 + τ z_1, with velocity v = z_1 - z_0. The
σ-form of rectified-flow papers is the same field with σ = 1 - τ and f = -v.

Reference:
    Lipman et al. 2023, "Flow Matching for Generative Modeling", arXiv:2210.02747, equation 23.
    Liu et al. 2023, "Flow Straight and Fast", arXiv:2209.03003.
"""

from torch import Tensor

from dreamdrive.kernels.flow_step import flow_step


def interpolate(noise: Tensor, data: Tensor, tau: Tensor) -> Tensor:
    """Returns z_τ = (1 - τ) z_0 + τ z_1; `tau` broadcasts against both."""
    return (1.0 - tau) * noise + tau * data


def velocity_from_data(data: Tensor, z: Tensor, tau: Tensor) -> Tensor:
    """Returns v = (z_1 - z_τ) / (1 - τ), the velocity that leads to `data`; τ must be below 1."""
    return (data - z) / (1.0 - tau)


def data_from_velocity(velocity: Tensor, z: Tensor, tau: Tensor) -> Tensor:
    """Returns z_1 = z_τ + (1 - τ) v."""
    return z + (1.0 - tau) * velocity


def implied_noise(data: Tensor, z: Tensor, tau: Tensor) -> Tensor:
    """Returns z_0 = (z_τ - τ z_1) / (1 - τ), the noise that `z` and a prediction of data imply."""
    return (z - tau * data) / (1.0 - tau)


def euler_step(data: Tensor, z: Tensor, tau: Tensor, step: float) -> Tensor:
    """Returns z_{τ+step}: one Euler step along the velocity to the predicted data.

    `tau` is a scalar, or has one entry for each of the first axis and size 1 elsewhere.
    """
    return flow_step(data, z, tau, step)


def sigma_step(f: Tensor, z: Tensor, delta_sigma: float) -> Tensor:
    """Returns z - Δσ f with f = -v: the σ-form of an Euler step by Δτ = Δσ > 0."""
    return z - delta_sigma * f
