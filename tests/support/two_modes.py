"""A world in which one of two things follows, and nothing says which."""

import torch
from torch import Tensor

from dreamdrive.worldmodel.dynamics import DynamicsConfig
from dreamdrive.worldmodel.losses import Batch
from dreamdrive.worldmodel.model import WorldModel, WorldModelConfig
from dreamdrive.worldmodel.tokenizer import TokenizerConfig

MODE = 1.0
SPREAD = 0.1
"""Standard deviation of a latent about its mode."""


def two_mode_model(seed: int = 0, **transformer: bool) -> WorldModel:
    """Returns an untrained model of 16x16 frames, its latents (1, 2, 2)."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return WorldModel(
            WorldModelConfig(
                vector_names=("v",), causes=("end",), action_size=1,
                tokenizer=TokenizerConfig(
                    image_size=16, latent_channels=1, width=4, coarse_width=4
                ),
                transformer=DynamicsConfig(
                    width=32, num_layers=2, num_heads=2, num_key_heads=1, window=2, **transformer
                ),
            )
        )  # fmt: skip


def two_mode_batch(count: int, generator: torch.Generator, length: int = 2) -> Batch:
    """Returns windows whose every frame but the first is all near `MODE` or all near `-MODE`."""
    sign = torch.randint(0, 2, (count, length, 1, 1, 1), generator=generator) * 2.0 - 1.0
    noise = torch.randn(count, length, 1, 2, 2, generator=generator)
    latent = MODE * sign + SPREAD * noise
    latent[:, 0] = 0.0
    zero = torch.zeros(count, length)
    return Batch(latent, zero[..., None], zero[..., None], zero, zero.long())


@torch.no_grad()
def two_mode_draws(model: WorldModel, count: int, num_steps: int) -> Tensor:
    """Returns the mean over each of `count` latents that are dreamed after the first frame."""
    state = model.observe_latent(
        model.init_state(count), torch.zeros(count, 1, 2, 2), torch.zeros(count, 1)
    )
    generator = torch.Generator().manual_seed(7)
    _, seen = model.imagine_step(
        state, torch.zeros(count, 1), generator=generator, num_steps=num_steps
    )
    return seen.latent_BCHW.mean((1, 2, 3))
