"""Sizes that go together, by name: what `--preset` of the trainings begins from.

`cpu` learns on two cores and ships; `nano` has a checkpoint of less than 12 MiB in
16 bits; `base` and `large` are what others train on GPUs. Parameters of tokenizer and dynamics, and
tokens of a frame beside the vector's and the agent's:

    cpu     64² px    0.44 M +   1.06 M    16 tokens
    nano    64² px    0.90 M +   4.19 M    64
    base   128² px    5.2  M +  87    M   256
    large  256² px     13  M + 289    M   256

Reference:
    Peebles & Xie 2023, arXiv:2212.09748, table 1: `large` is as deep as DiT-L and as wide as
    DiT-XL. That few layers attend over time is Dreamer 4's (Hafner et al. 2025, arXiv:2509.24527).
    The other sizes are this project's own.
"""

from dataclasses import dataclass

from dreamdrive.worldmodel.dynamics import DynamicsConfig
from dreamdrive.worldmodel.tokenizer import TokenizerConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class Preset:
    """Sizes of a tokenizer, and of the transformer on its latents."""

    tokenizer: TokenizerConfig
    transformer: DynamicsConfig

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of a latent."""
        tokenizer = self.tokenizer
        return tokenizer.latent_channels, tokenizer.latent_size, tokenizer.latent_size


PRESETS = {
    "cpu": Preset(tokenizer=TokenizerConfig(), transformer=DynamicsConfig()),
    "nano": Preset(
        tokenizer=TokenizerConfig(latent_channels=16, width=64, coarse_width=96),
        transformer=DynamicsConfig(width=256, num_layers=6, time_every=3, patch=1, window=32),
    ),
    "base": Preset(
        tokenizer=TokenizerConfig(
            image_size=128, latent_channels=16, width=128, coarse_width=256
        ),
        transformer=DynamicsConfig(
            width=768, num_layers=16, num_heads=12, num_key_heads=4, time_every=4, patch=1,
            window=32,
        ),
    ),
    "large": Preset(
        tokenizer=TokenizerConfig(
            image_size=256, latent_channels=16, width=256, coarse_width=384
        ),
        transformer=DynamicsConfig(
            width=1152, num_layers=24, num_heads=18, num_key_heads=6, time_every=4, window=32
        ),
    ),
}  # fmt: skip
