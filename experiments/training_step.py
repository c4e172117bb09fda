"""One step of a world model's training: which phase it belongs to, its windows, and its loss."""

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from dreamdrive.errors import ConfigError, KernelError
from dreamdrive.experiments.far_dreams import FarDreams
from dreamdrive.experiments.training_state import TrainingState
from dreamdrive.worldmodel.adversary import CRITIC_WEIGHT, Critic, adversarial_loss
from dreamdrive.worldmodel.engine import why_not
from dreamdrive.worldmodel.jepa import Jepa, clean_frames, jepa_loss
from dreamdrive.worldmodel.losses import (
    Batch,
    flow_loss,
    rollout_loss,
    sequence_loss,
    teacher_forcing_ratio,
)
from dreamdrive.worldmodel.model import WorldModel
from dreamdrive.worldmodel.rolling import Rolling, build_rolling
from dreamdrive.worldmodel.transformer import TransformerDynamics

if TYPE_CHECKING:
    from dreamdrive.experiments.train_worldmodel import LatentTable, TrainWorldModelConfig

SHORTEST = 3
"""Fewest frames that a training rollout imagines."""


class Ways(NamedTuple):
    """What takes the steps of a training: of rollouts from windows, and of far dreams."""

    windows: Rolling
    dreams: Rolling

    @classmethod
    def of(cls, model: WorldModel, config: "TrainWorldModelConfig") -> "Ways":
        """Returns them as asked, or fused where that can run.

        Raises:
            KernelError: If the fused way is asked for by name and cannot run here.
        """
        why = why_not(model, "fused")
        if config.engine == "fused" and why:
            raise KernelError(f"The engine 'fused' cannot run: {why}", do="Use --engine eager")
        is_fused, judged = config.engine != "eager" and not why, config.adversary
        windows = build_rolling(
            model, config.batch_size, config.context + config.horizon - 1, is_fused=is_fused,
            precision=config.precision,
        )  # fmt: skip
        dreams = build_rolling(
            model, judged.dreams, max(judged.between + judged.judged, config.context - 1),
            is_fused=is_fused and config.loss.adversarial > 0.0, precision=config.precision,
        )  # fmt: skip
        return cls(windows, dreams)


def window_loss(
    model: WorldModel, data: "LatentTable", config: "TrainWorldModelConfig", state: TrainingState,
    ways: Ways,
) -> tuple[Tensor, dict[str, float]]:  # fmt: skip
    """Returns the loss of the phase that a step belongs to, on fresh windows, and what to log."""
    with torch.autocast(model.device.type, torch.bfloat16, enabled=config.precision == "bfloat16"):
        loss, parts, facts = _phase_loss(model, data, config, state, ways)
    return loss, {name: float(value.detach()) for name, value in parts.items()} | facts


def _phase_loss(
    model: WorldModel, data: "LatentTable", config: "TrainWorldModelConfig", state: TrainingState,
    ways: Ways,
) -> tuple[Tensor, dict[str, Tensor], dict[str, float]]:  # fmt: skip
    facts: dict[str, float] = {}
    is_recurrent = model.config.kind == "recurrent"
    flow_steps = 0 if is_recurrent else round(config.steps * (1.0 - config.rollout_share))
    if model.config.kind in ("mdnrnn", "rssm"):
        batch = _windows(data, config.window, config, state, with_images=False)
        loss, parts = sequence_loss(model, batch, config.loss, state.generator)
    elif state.step < flow_steps or flow_steps == config.steps:
        batch = _windows(data, config.window, config, state, with_images=False)
        loss, parts = flow_loss(model, batch, config.loss, state.generator)
    else:
        t, t_max = state.step - flow_steps, config.steps - flow_steps
        longest = SHORTEST + round((config.horizon - SHORTEST) * min(1.0, 2.0 * t / t_max))
        drawn = torch.randint(
            SHORTEST, longest + 1, (), generator=state.generator, device=model.device
        )
        horizon = int(drawn)
        facts["teacher_forcing"] = config.teacher_forcing * teacher_forcing_ratio(
            t, config.teacher_forcing_share * t_max
        )
        batch = _windows(
            data, config.context + horizon, config, state,
            with_images=config.loss.reconstruction > 0,
        )  # fmt: skip
        loss, parts = rollout_loss(
            model, batch, config.loss, state.generator,
            context=config.context, teacher_forcing=facts["teacher_forcing"],
            rolling=ways.windows,
        )  # fmt: skip
        if config.loss.adversarial:
            weight = min(1.0, t / max(1, config.adversary.warmup)) * config.loss.adversarial
            rest, named, told = _adversarial(model, data, weight, state, ways.dreams)
            loss, parts, facts = loss + rest, parts | named, facts | told
    if config.loss.jepa:
        foresight, named, health = _jepa(model, batch, state)
        loss, parts, facts = loss + config.loss.jepa * foresight, parts | named, facts | health
    B, T = batch.latent.shape[:2]
    facts["frames"] = B * (T - 1)
    return loss, parts, facts


def _adversarial(
    model: WorldModel, data: "LatentTable", weight: float, state: TrainingState, rolling: Rolling
) -> tuple[Tensor, dict[str, Tensor], dict[str, float]]:
    """Returns what dreams of any age add to the loss, the parts, and facts of them."""
    critic, dreams = (state.module.get_submodule(name) for name in ("critic", "dreams"))
    assert isinstance(critic, Critic)
    assert isinstance(dreams, FarDreams)
    real, dreamed, facts = dreams.go_on(model, data, state.generator, rolling)
    parts, told = adversarial_loss(critic, real, dreamed, state.generator)
    return weight * parts["adversarial"] + CRITIC_WEIGHT * parts["critic"], parts, facts | told


def _jepa(
    model: WorldModel, batch: Batch, state: TrainingState
) -> tuple[Tensor, dict[str, Tensor], dict[str, float]]:
    dynamics, jepa = model.dynamics, state.module.get_submodule("jepa")
    if not isinstance(dynamics, TransformerDynamics):
        raise ConfigError(
            f"There is no JEPA term for dynamics of the kind {model.config.kind!r}",
            do="Set --loss.jepa 0, or train a transformer.",
        )  # fmt: skip
    assert isinstance(jepa, Jepa)
    average = {
        name.removeprefix("dynamics.").removeprefix("jepa."): value
        for name, value in state.ema.items()
    }
    frames = clean_frames(dynamics, batch)
    return jepa_loss(dynamics.network, jepa, average, frames, state.generator)


def _windows(
    data: "LatentTable", length: int, config: "TrainWorldModelConfig", state: TrainingState, *,
    with_images: bool,
) -> Batch:  # fmt: skip
    rows = data.table.windows(config.batch_size, length, state.generator, ending=config.ending)
    return data.batch(rows, with_images=with_images)._replace(
        oversampling=data.table.oversampling(length, config.ending)
    )
