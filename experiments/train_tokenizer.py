"""Trains the tokenizer on stored episodes."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dreamdrive.config import from_dict, to_dict
from dreamdrive.driving.causes import TERMINATION_CAUSES
from dreamdrive.driving.state import STATE_FIELDS
from dreamdrive.envs.dream.contexts import Contexts
from dreamdrive.errors import ConfigError
from dreamdrive.experiments.devices import device_of
from dreamdrive.experiments.run import RunLog, begin_run
from dreamdrive.experiments.training_report import report_pictures, report_weights
from dreamdrive.experiments.training_state import TrainingState
from dreamdrive.worldmodel.episodes import EpisodeStore, FrameTable
from dreamdrive.worldmodel.interface import TERMINATED, Interface
from dreamdrive.worldmodel.model import WorldModel, WorldModelConfig
from dreamdrive.worldmodel.presets import Preset
from dreamdrive.worldmodel.tokenizer import TokenizerConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainTokenizerConfig:
    """How to train a tokenizer."""

    data: Path = Path("data/train")
    """Folder of episodes."""
    out: Path = Path("runs/tokenizer")
    """Run folder; the model goes to `out/model`."""
    steps: int = 6000
    batch_size: int = 8
    window: int = 4
    """Frames of a clip, a multiple of `tokenizer.time_stride`."""
    learning_rate: float = 2e-3
    device: str = "auto"
    """`cpu`, `cuda`, `cuda:1`; `auto` is a GPU where there is one."""
    seed: int = 0
    save_every: int = 500
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    """Its sizes, and what weighs how much."""
    decoder_of: Path | None = None
    """A world model whose decoder alone goes on learning: its latents stay as they are, and with
    them its dynamics and the policies that see them. Of `tokenizer`, the weights count."""
    rare_share: float = 0.0
    """Share of the clips that are drawn from where the rarest colours are seen last."""

    @classmethod
    def begun_with(cls, preset: Preset) -> "TrainTokenizerConfig":
        """Returns the defaults with a preset's sizes."""
        return cls(tokenizer=preset.tokenizer)

    def __post_init__(self) -> None:
        """Checks the window.

        Raises:
            ValueError: If it is no multiple of the time stride.
        """
        if self.window < 1 or self.window % self.tokenizer.time_stride:
            raise ValueError(
                f"window must be a multiple of the time stride {self.tokenizer.time_stride}, "
                f"got {self.window}"
            )


def fit_statistics(model: WorldModel, table: FrameTable) -> None:
    """Sets the mean and spread of latents and vectors from the data."""
    generator = torch.Generator(table.device).manual_seed(0)
    rows = table.windows(128, 8 * model.config.tokenizer.time_stride, generator)
    with torch.no_grad():
        latent = model.tokenizer.posterior(images(table, rows))[0].mean[:, 2:]
    model.latent_mean.copy_(latent.mean((0, 1, 3, 4)))
    model.latent_std.copy_(latent.std((0, 1, 3, 4)).clamp_min(1e-3))
    model.vector_mean.copy_(table.vector_NK.mean(0))
    model.vector_std.copy_(table.vector_NK.std(0).clamp_min(1e-2))


def images(table: FrameTable, rows_BT: Tensor) -> Tensor:
    """Returns the frames of windows as RGB in [0, 1], shape (B, T, 3, H, W)."""
    stored = table.image_NHWC
    image = stored[rows_BT.to(stored.device)].to(rows_BT.device)
    return image.movedim(-1, 2).float() / 255.0


def driving_model(tokenizer: TokenizerConfig) -> WorldModelConfig:
    """Returns the configuration of a world model of `CarlaDrive-v0`."""
    return WorldModelConfig(
        vector_names=tuple(field.name for field in STATE_FIELDS), causes=TERMINATION_CAUSES,
        tokenizer=tokenizer,
    )  # fmt: skip


def model_of(store: EpisodeStore, tokenizer: TokenizerConfig) -> WorldModelConfig:
    """Returns the configuration of a world model of the environment that episodes come from.

    Raises:
        ConfigError: If they come from environments of different spaces, or its pictures are not of
            the tokenizer's size.
    """
    facts = store[0].meta.get("interface")
    for index in range(len(store)):
        if store[index].meta.get("interface") != facts:
            raise ConfigError(
                "These episodes come from environments of different spaces",
                where=f"{store.paths[0]}, {store.paths[index]}",
                do="Train on those of one environment.",
            )  # fmt: skip
    size = store[0].image.shape[1]
    if size != tokenizer.image_size:
        raise ConfigError(
            f"The pictures are {size} pixels wide, the tokenizer reads {tokenizer.image_size}",
            where=store.paths[0], do=f"Give --tokenizer.image-size {size}.",
        )  # fmt: skip
    if facts is None:
        return driving_model(tokenizer)
    interface = from_dict(Interface, facts, "interface")
    largest = max(float(np.abs(store[index].reward).max()) for index in range(len(store)))
    return WorldModelConfig(
        vector_names=interface.vector_names, causes=(TERMINATED,), tokenizer=tokenizer,
        action_size=interface.action_size, interface=interface, reward_scale=largest or 1.0,
    )  # fmt: skip


def with_open_decoder(folder: Path, weights: TokenizerConfig) -> WorldModel:
    """Returns a world model of which nothing but the decoder learns, with other weights of colours.

    Raises:
        CheckpointError: If there is no such model, or it is damaged.
    """
    model = WorldModel.from_pretrained(folder)
    tokenizer = replace(
        model.config.tokenizer, rarity_power=weights.rarity_power,
        rarity_bound=weights.rarity_bound, latent_noise=weights.latent_noise,
    )  # fmt: skip
    model.config = replace(model.config, tokenizer=tokenizer)
    model.tokenizer.config = tokenizer
    for parameter in model.tokenizer.decoder_parameters():
        parameter.requires_grad_(True)
    return model.train()


def rare_rows(model: WorldModel, table: FrameTable, length: int) -> Tensor:
    """Returns the rows of frames that show a colour of at least half of the largest weight.

    Those of episodes that have fewer than `length` frames are left out.
    """
    tokenizer, found = model.tokenizer, []
    least = 0.5 * float(tokenizer.colour_weight.max())
    for chunk in torch.arange(len(table), device=table.device).split(512):
        weight = tokenizer.pixel_weight(images(table, chunk[None]))
        found.append(chunk[weight[0].flatten(1).amax(1) >= least])
    row = torch.cat(found)
    return row[table.length_E.repeat_interleave(table.length_E)[row] >= length]


def _windows_to(
    rows_R: Tensor, table: FrameTable, length: int, count: int, generator: torch.Generator
) -> Tensor:
    """Returns windows that end at some of the rows, or as soon after as an episode can."""
    device = table.device
    last = rows_R[torch.randint(len(rows_R), (count,), generator=generator, device=device)]
    episode = torch.searchsorted(table.start_E, last, right=True) - 1
    first = torch.maximum(last - length + 1, table.start_E[episode])
    return first[:, None] + torch.arange(length, device=device)


def train_tokenizer(config: TrainTokenizerConfig) -> Path:
    """Trains and returns the folder of a world model with a trained tokenizer.

    Its dynamics are untrained, or those of `decoder_of`. The run resumes from `out/training` where
    that stands.

    Raises:
        CheckpointError: If `decoder_of` is missing or damaged.
        ConfigError: If `out` holds a run of other settings, or the episodes do not fit each other.
        EpisodeError: If there are no episodes, or one is damaged.
        DivergedError: If a loss is not finite; the last saved state is intact.
        StorageError: If a checkpoint could not be written.
    """
    device = device_of(config.device)
    store = EpisodeStore(config.data)
    model_config = model_of(store, config.tokenizer)
    table = FrameTable.load(store, model_config.causes, may_lack_actions=True)
    begin_run(config.out, config, may_change=("steps", "save_every"))
    recorded, table = table, table.to(device)
    torch.manual_seed(config.seed)
    model = WorldModel(model_config)
    if config.decoder_of is not None:
        model = with_open_decoder(config.decoder_of, config.tokenizer)
    model = model.to(device)
    tokenizer = model.tokenizer
    tokenizer.fit_colour_weights(recorded.image_NHWC[:: max(1, len(table) // 4000)])
    rare = rare_rows(model, table, config.window) if config.rare_share else torch.empty(0)
    state = TrainingState(
        tokenizer, learning_rate=config.learning_rate, steps=config.steps, seed=config.seed
    )
    state.restore(config.out / "training")
    with RunLog(config.out, "train tokenizer", config.steps) as log:
        while state.step < config.steps:
            rows = table.windows(config.batch_size, config.window, state.generator)
            if len(rare):
                few = round(config.rare_share * config.batch_size)
                rows[:few] = _windows_to(rare, table, config.window, few, state.generator)
            with torch.autocast(device.type, torch.bfloat16):
                loss, parts = tokenizer.loss(images(table, rows), state.generator)
            norm = state.update(loss)
            metrics = {name: float(value.detach()) for name, value in parts.items()}
            log(state.step, metrics | {"grad_norm": norm})
            is_last = state.step == config.steps
            if state.step % config.save_every == 0 and not is_last:
                state.save(config.out / "training", to_dict(config))
            if state.step % config.save_every == 0 or is_last:
                report_weights(log, state.step, tokenizer.named_children())
                report_pictures(log, state.step, tokenizer, images(table, rows[:3]))
    state.save(config.out / "training", to_dict(config))
    tokenizer.load_state_dict(state.ema)
    if config.decoder_of is None:
        fit_statistics(model, table)
    model.save_pretrained(
        config.out / "model", step=state.step, seconds=round(state.seconds), frames=len(table),
        data=[str(config.data)], episodes=len(store),
    )  # fmt: skip
    if config.decoder_of is not None:
        Contexts.choose(recorded, seed=config.seed).save(config.out / "model")
    return config.out / "model"
