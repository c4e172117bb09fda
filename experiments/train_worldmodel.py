"""Trains dynamics and heads on the latents of a trained tokenizer.

Two phases, one loop: flow matching on whole windows, then rollouts that feed predictions back.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch

from dreamdrive.config import from_dict, to_dict
from dreamdrive.experiments.train_tokenizer import Report, images
from dreamdrive.experiments.training_state import TrainingState
from dreamdrive.worldmodel.episodes import EpisodeStore, FrameTable
from dreamdrive.worldmodel.losses import Batch, LossConfig, flow_loss, rollout_loss
from dreamdrive.worldmodel.model import WorldModel, WorldModelConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainWorldModelConfig:
    """How to train the dynamics."""

    data: Path = Path("data/train")
    """Folder of episodes."""
    init: Path = Path("runs/tokenizer/model")
    """A world model whose tokenizer is trained; with `fine_tune`, one that is trained whole."""
    out: Path = Path("runs/worldmodel")
    """Run folder; the model goes to `out/model`."""
    kind: Literal["transformer", "recurrent"] = "transformer"
    fine_tune: bool = False
    """Go on from the dynamics in `init` instead of new ones."""
    steps: int = 8000
    rollout_share: float = 0.6
    """Share of the steps, at the end, that train on rollouts; all of them if recurrent."""
    batch_size: int = 32
    window: int = 16
    """Frames of a training window of the first phase."""
    context: int = 4
    """Frames that a training rollout sees."""
    horizon: int = 12
    """Frames that a training rollout imagines at the end of the curriculum."""
    ending: float = 0.2
    """Share of the windows that end where an episode was terminated."""
    learning_rate: float = 1e-3
    seed: int = 0
    save_every: int = 500
    loss: LossConfig = field(default_factory=LossConfig)


class LatentTable:
    """The frames of a table as normalised latents and vectors, encoded episode by episode."""

    def __init__(self, model: WorldModel, table: FrameTable) -> None:
        self.table = table
        latents = []
        with torch.no_grad():
            for start, length in zip(table.start_E.tolist(), table.length_E.tolist(), strict=True):
                rows = torch.arange(start, start + length)[None]
                latents.append(model.encode(images(table, rows))[0].half())
        self.latent_N = torch.cat(latents)
        self.vector_N = model.normalise_vector(table.vector_NK)

    def batch(self, rows_BT: torch.Tensor, *, with_images: bool = False) -> Batch:
        """Returns the windows whose rows are given."""
        table = self.table
        return Batch(
            self.latent_N[rows_BT].float(), self.vector_N[rows_BT], table.action_NA[rows_BT],
            table.reward_N[rows_BT], table.cause_N[rows_BT],
            images(table, rows_BT) if with_images else None,
        )  # fmt: skip


def new_dynamics(init: WorldModel, config: WorldModelConfig, seed: int) -> WorldModel:
    """Returns a model with the tokenizer and statistics of `init` and untrained dynamics."""
    torch.manual_seed(seed)
    model = WorldModel(config)
    kept = {name: value for name, value in init.state_dict().items()
            if not name.startswith(("dynamics.", "heads."))}  # fmt: skip
    missing = model.load_state_dict(kept, strict=False).unexpected_keys
    assert not missing, missing
    return model


def train_worldmodel(
    config: TrainWorldModelConfig,
    report: Report,
    evaluate: Callable[[WorldModel, int], None] | None = None,
) -> Path:
    """Trains and returns the folder of the trained world model.

    Args:
        config: How.
        report: Called after each step.
        evaluate: Called with the averaged model each time the run is saved.
    """
    init = WorldModel.from_pretrained(config.init)
    model = init
    if not config.fine_tune:
        fields = to_dict(init.config) | {"kind": config.kind}
        model = new_dynamics(init, from_dict(WorldModelConfig, fields), config.seed)
    model.requires_grad_(True)
    model.tokenizer.requires_grad_(False)
    data = LatentTable(model, FrameTable.load(EpisodeStore(config.data), model.config.causes))
    trained = torch.nn.ModuleDict({"dynamics": model.dynamics, "heads": model.heads})
    state = TrainingState(
        trained, learning_rate=config.learning_rate, steps=config.steps, seed=config.seed
    )
    state.restore(config.out / "training")
    flow_steps = 0 if model.config.kind == "recurrent" else round(
        config.steps * (1.0 - config.rollout_share))  # fmt: skip
    while state.step < config.steps:
        if state.step < flow_steps:
            rows = data.table.windows(
                config.batch_size, config.window, state.generator, ending=config.ending
            )
            loss, parts = flow_loss(model, data.batch(rows), config.loss, state.generator)
        else:
            done = (state.step - flow_steps) / max(1, config.steps - flow_steps)
            horizon = 3 + round((config.horizon - 3) * min(1.0, 2.0 * done))
            rows = data.table.windows(
                config.batch_size, config.context + horizon, state.generator, ending=config.ending
            )
            batch = data.batch(rows, with_images=config.loss.reconstruction > 0)
            loss, parts = rollout_loss(
                model, batch, config.loss, state.generator,
                context=config.context, teacher_forcing=max(0.0, 0.5 - 2.0 * done),
            )  # fmt: skip
        norm = state.update(loss)
        report(state.step, {k: float(v.detach()) for k, v in parts.items()} | {"grad_norm": norm})
        if state.step % config.save_every == 0 or state.step == config.steps:
            state.save(config.out / "training", to_dict(config))
            if evaluate is not None:
                evaluate(averaged(model, state), state.step)
    averaged(model, state).save_pretrained(
        config.out / "model", step=state.step, frames=len(data.table)
    )
    return config.out / "model"


def averaged(model: WorldModel, state: TrainingState) -> WorldModel:
    """Returns a copy of the model with the moving average of its trained weights."""
    copy = WorldModel(model.config)
    copy.load_state_dict(model.state_dict() | state.ema)
    return copy.eval().requires_grad_(False)
