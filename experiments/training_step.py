"""One step of a world model's training: which phase it belongs to, its windows, and its loss."""

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from dreamdrive.errors import ConfigError, KernelError
from dreamdrive.experiments.far_dreams import FarDreams
from dreamdrive.experiments.latent_table import LatentTable
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
    from dreamdrive.experiments.train_worldmodel import TrainWorldModelConfig

SHORTEST = 3
"""Fewest frames that a training rollout imagines."""
HELD_OUT_BATCHES = 8
"""Batches of the windows that nothing is learned from."""


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
    model: WorldModel, data: LatentTable, config: "TrainWorldModelConfig", state: TrainingState,
    ways: Ways,
) -> tuple[Tensor, dict[str, float]]:  # fmt: skip
    """Returns the loss of the phase that a step belongs to, on fresh windows, and what to log."""
    with torch.autocast(model.device.type, torch.bfloat16, enabled=config.precision == "bfloat16"):
        loss, parts, facts = _phase_loss(model, data, config, state, ways)
    return loss, {name: float(value.detach()) for name, value in parts.items()} | facts


def held_out_loss(
    model: WorldModel, data: LatentTable, config: "TrainWorldModelConfig", step: int, ways: Ways
) -> dict[str, float]:
    """Returns the parts of the loss on episodes that nothing is learned from, as `held_out_…`.

    Throughout a phase the windows and their noise are the same, those of rollouts as long as at
    the end.
    """
    generator = torch.Generator(model.device).manual_seed(0)
    step = config.steps if step >= _flow_steps(model, config) else step
    total: dict[str, float] = {}
    with (
        torch.no_grad(),
        torch.autocast(model.device.type, torch.bfloat16, enabled=config.precision == "bfloat16"),
    ):
        for _ in range(HELD_OUT_BATCHES):
            seen = _seen(model, data, config, step, generator, ways)
            for name, value in seen.parts.items():
                total[name] = total.get(name, 0.0) + float(value) / HELD_OUT_BATCHES
    return {f"held_out_{name}": value for name, value in total.items()}


class Seen(NamedTuple):
    """A loss of some windows, its parts, facts to log, and the windows."""

    loss: Tensor
    parts: dict[str, Tensor]
    facts: dict[str, float]
    batch: Batch


def _seen(
    model: WorldModel, data: LatentTable, config: "TrainWorldModelConfig", step: int,
    generator: torch.Generator, ways: Ways,
) -> Seen:  # fmt: skip
    """Returns the loss of fresh windows in the phase that a step belongs to."""
    flow_steps = _flow_steps(model, config)
    if model.config.kind in ("mdnrnn", "rssm"):
        batch = _windows(data, config.window, config, generator, with_images=False)
        return Seen(*sequence_loss(model, batch, config.loss, generator), {}, batch)
    if step < flow_steps or flow_steps == config.steps:
        batch = _windows(data, config.window, config, generator, with_images=False)
        return Seen(*flow_loss(model, batch, config.loss, generator), {}, batch)
    t, t_max = step - flow_steps, config.steps - flow_steps
    longest = SHORTEST + round((config.horizon - SHORTEST) * min(1.0, 2.0 * t / t_max))
    drawn = torch.randint(SHORTEST, longest + 1, (), generator=generator, device=model.device)
    forcing = config.teacher_forcing * teacher_forcing_ratio(
        t, config.teacher_forcing_share * t_max
    )
    batch = _windows(
        data, config.context + int(drawn), config, generator,
        with_images=config.loss.reconstruction > 0,
    )  # fmt: skip
    told = rollout_loss(
        model, batch, config.loss, generator, context=config.context, teacher_forcing=forcing,
        rolling=ways.windows,
    )  # fmt: skip
    return Seen(*told, {"teacher_forcing": forcing}, batch)


def _flow_steps(model: WorldModel, config: "TrainWorldModelConfig") -> int:
    """Returns how many steps learn by flow matching, before rollouts begin."""
    is_recurrent = model.config.kind == "recurrent"
    return 0 if is_recurrent else round(config.steps * (1.0 - config.rollout_share))


def _phase_loss(
    model: WorldModel, data: LatentTable, config: "TrainWorldModelConfig", state: TrainingState,
    ways: Ways,
) -> tuple[Tensor, dict[str, Tensor], dict[str, float]]:  # fmt: skip
    loss, parts, facts, batch = _seen(model, data, config, state.step, state.generator, ways)
    if config.loss.adversarial and "teacher_forcing" in facts:
        t = state.step - _flow_steps(model, config)
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
    model: WorldModel, data: LatentTable, weight: float, state: TrainingState, rolling: Rolling
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
    data: LatentTable, length: int, config: "TrainWorldModelConfig",
    generator: torch.Generator, *, with_images: bool,
) -> Batch:  # fmt: skip
    rows = data.table.windows(config.batch_size, length, generator, ending=config.ending)
    return data.batch(rows, with_images=with_images)._replace(
        oversampling=data.table.oversampling(length, config.ending)
    )
