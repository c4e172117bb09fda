"""What is each part of the tokenizer worth? The same small training without it, or with it.

A frame goes through encoder and decoder, and what is left of it is measured: all of it, and what is
rare in it and decides a drive. No dynamics is trained, so that how well a variant's latents can be
foreseen is not said.
"""

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from dreamdrive.experiments.ablate import (
    FULL,
    check_choice,
    measured_variants,
    save_table,
)
from dreamdrive.experiments.run import begin_run
from dreamdrive.experiments.train_tokenizer import (
    TrainTokenizerConfig,
    images,
    train_tokenizer,
)
from dreamdrive.experiments.truth_pictures import round_trip
from dreamdrive.worldmodel.episodes import EpisodeStore, FrameTable
from dreamdrive.worldmodel.model import WorldModel
from dreamdrive.worldmodel.tokenizer import TokenizerConfig

SHOWN = (
    "round_psnr", "noisy_psnr", "round_f1_vehicle", "round_f1_walker", "round_f1_lane_mark",
    "round_f1_red_light", "noisy_f1_vehicle",
)  # fmt: skip
"""Measures in the table; `truth.json` of each run has all."""
NOISE = 0.3
"""Spread of the noise on latents of `noisy_…`, over that of the latents themselves."""
CLIP = 8
"""Frames of a clip, of which the last is measured."""

Change = Callable[[TokenizerConfig], TokenizerConfig]


def _with(**options: Any) -> Change:
    return lambda config: dataclasses.replace(config, **options)


VARIANTS: dict[str, Change] = {
    FULL: lambda config: config,
    "without weights of rare colours": _with(rarity_power=0.0),
    "without noise on latents": _with(latent_noise=0.0),
    "without divergence from a Gaussian": _with(kl_weight=0.0),
    "with a tanh bottleneck": _with(bottleneck="tanh"),
    "with dilated convolutions": _with(dilations=(1, 2, 4)),
    "with ViViT's tubelets": _with(encoder="vivit"),
    "with two frames a latent": _with(time_stride=2),
    "with four frames a latent": _with(time_stride=4),
}
"""What is changed, by the words of the table."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AblateTokenizerConfig:
    """Which parts, and how much training each gets."""

    data: Path = Path("data/train")
    """Folder of episodes to train on."""
    test: tuple[Path, ...] = (Path("data/test"),)
    """Folders of episodes of other towns to measure on."""
    variants: tuple[str, ...] = tuple(VARIANTS)
    """Which; the default tokenizer is always among them."""
    seeds: tuple[int, ...] = (0, 1, 2)
    steps: int = 600
    """Of each run."""
    batch_size: int = 8
    learning_rate: float = 2e-3
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    """What all variants begin with."""
    num_clips: int = 512
    """Frames that are measured."""
    out: Path = Path("runs/ablate-tokenizer")
    """A folder for each run, so that what is done is not done again."""

    def __post_init__(self) -> None:
        """Checks that there are such variants.

        Raises:
            ConfigError: If one is unknown or there is no seed.
        """
        check_choice(self.variants, tuple(VARIANTS), self.seeds)


def ablate_tokenizer(config: AblateTokenizerConfig) -> Path:
    """Trains and measures what is missing, prints a table, and returns the folder.

    The folder gets `ablation.json` with every measure and `ablation.md` with the table. Started
    again after a kill, it goes on where it was.

    Raises:
        ConfigError: If `out` holds an ablation of other settings.
        EpisodeError: If there are no episodes, or one is damaged or shorter than a clip.
        DivergedError: If a variant's loss is not finite.
        StorageError: If a result could not be written.
    """
    begin_run(config.out, config, may_change=("variants", "seeds"))
    found = measured_variants(
        config.out, config.variants, config.seeds,
        lambda name, seed, folder: _measured(config, name, seed, folder),
    )  # fmt: skip
    save_table(config.out, found, SHOWN, seeds=config.seeds, steps=config.steps)
    return config.out


def _measured(
    config: AblateTokenizerConfig, name: str, seed: int, folder: Path
) -> dict[str, float]:
    begin = time.process_time()
    model_folder = train_tokenizer(
        TrainTokenizerConfig(
            data=config.data, out=folder, steps=config.steps, batch_size=config.batch_size,
            learning_rate=config.learning_rate, seed=seed, save_every=300,
            tokenizer=VARIANTS[name](config.tokenizer),
        )
    )  # fmt: skip
    seconds = time.process_time() - begin
    model = WorldModel.from_pretrained(model_folder)
    table = FrameTable.load(EpisodeStore(*config.test), model.config.causes)
    clips = images(table, table.windows(config.num_clips, CLIP, torch.Generator().manual_seed(0)))
    noisy = round_trip(model, clips, noise=NOISE)
    row = round_trip(model, clips) | {
        key.replace("round_", "noisy_"): value for key, value in noisy.items()
    }
    parameters = sum(p.numel() for p in model.tokenizer.parameters())
    return row | {"cpu_seconds": seconds, "parameters": float(parameters)}
