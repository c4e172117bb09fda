"""Steps of known size: what a step of d has to be worth, from two steps of d/2.

A network that knows d as well as τ learns the average velocity over [τ, τ + d] instead of the one
at τ. The smallest step learns from data, as in flow matching; each larger one from two halves:

    v̄(z, τ, 2d) = ½ v̄(z, τ, d) + ½ v̄(z + d v̄(z, τ, d), τ + d, d)

Predictions are of clean data, x̂ = z + (1 - τ) v̄, and so is the target; its squared error is that of
the velocity times (1 - τ)².

Shapes: S the leading axes, (B, T) in a world model, with a flow time and a step for each.

Reference:
    Frans et al. 2024, "One Step Diffusion via Shortcut Models", arXiv:2410.12557, eq. 4-5; Hafner,
    Yan & Lillicrap 2025, "Dreamer 4", arXiv:2509.24527 (in terms of clean data).
"""

from collections.abc import Callable

import torch
from torch import Tensor

from dreamdrive.worldmodel.path import data_from_velocity, velocity_from_data

NUM_STEPS = (1, 2, 4, 8)
"""Numbers of steps that such a network learns to dream in."""
FINEST = 1.0 / NUM_STEPS[-1]
"""The step that learns from data."""

Parts = tuple[Tensor, ...]
"""What is drawn together, such as a latent and a vector, each of shape (S..., any)."""
Field = Callable[[Parts, Tensor, Tensor], Parts]
"""From z, τ (S...) and the step (S...) to a prediction of clean data."""


def draw_steps(
    shape: tuple[int, ...], generator: torch.Generator, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Returns flow times and steps that are learned from two halves, each of `shape`.

    All steps but the finest are equally likely; τ is one of those that a sampler reaches with them.
    """
    count = 2.0 ** torch.randint(len(NUM_STEPS) - 1, shape, generator=generator, device=device)
    uniform = torch.rand(shape, generator=generator, device=device)
    return (uniform * count).floor() / count, 1.0 / count


def along(scalar: Tensor, like: Tensor) -> Tensor:
    """Returns one number for each of the leading axes in a shape that broadcasts against `like`."""
    return scalar.reshape(*scalar.shape, *[1] * (like.dim() - scalar.dim()))


@torch.no_grad()
def two_halves(field: Field, z: Parts, tau: Tensor, step: Tensor) -> Parts:
    """Returns the clean data that a prediction at τ for the whole step should name; no gradient.

    Args:
        field: The network.
        z: Where the step begins.
        tau: Flow time there, shape (S...), at most 1 - step.
        step: Its size, shape (S...).
    """
    half = step / 2.0
    first = _velocities(field, z, tau, half)
    midway = tuple(x + along(half, x) * v for x, v in zip(z, first, strict=True))
    second = _velocities(field, midway, tau + half, half)
    return tuple(
        data_from_velocity((v + w) / 2.0, x, along(tau, x))
        for x, v, w in zip(z, first, second, strict=True)
    )


def _velocities(field: Field, z: Parts, tau: Tensor, step: Tensor) -> Parts:
    predicted = field(z, tau, step)
    return tuple(
        velocity_from_data(x_hat, x, along(tau, x)) for x_hat, x in zip(predicted, z, strict=True)
    )
