"""Random inputs of a small transformer: latents of (4, 4, 4), vectors of 3, actions of 2."""

import torch

from dreamdrive.worldmodel.dynamics import Frames

LATENT_SHAPE = (4, 4, 4)
SIZES = {"latent_shape": LATENT_SHAPE, "vector_size": 3, "action_size": 2}


def random_frames(batch: int, time: int, seed: int = 1) -> Frames:
    """Returns blocks whose flow times lie in [0, 0.8), short of where a velocity has no scale."""
    g = torch.Generator().manual_seed(seed)
    latent = (batch, time, *LATENT_SHAPE)
    return Frames(
        torch.randn(latent, generator=g), torch.randn(batch, time, 3, generator=g),
        torch.randn(latent, generator=g), torch.randn(batch, time, 3, generator=g),
        torch.randn(batch, time, 2, generator=g), 0.8 * torch.rand(batch, time, generator=g),
    )  # fmt: skip


def between(frames: Frames, start: int, stop: int) -> Frames:
    """Returns some of the blocks, in order."""
    return Frames(*(None if x is None else x[:, start:stop] for x in frames))
