"""From a teacher of several steps to a student of one, and what diversity that costs.

The teacher integrates its flow from a noise z₀ to an endpoint z₁ in a few steps. From such pairs a
student learns, each part with its own weight and its own size of step, so that one network holds
them all (`num_steps=1|2|4|8`):

    distillation   ‖f_student(z₀, 0) - ∫₀¹ f_teacher(z_τ, τ) dτ‖², the whole way in one step
    reflow         ‖f_student(z_τ, τ) - (z₁ - z₀)‖² on z_τ = (1 - τ) z₀ + τ z₁: straight ways
    kept           ‖f_student(z_τ, τ) - f_teacher(z_τ, τ)‖² on z₁ with another noise: the teacher's
                   own way
    consistency    KL(student ‖ teacher) of the heads' distributions over the bins of the reward and
                   over the causes of termination, both discrete, in nats

Networks predict clean data x̂ = z + (1 - τ) f, so the first three are squared errors of x̂, which at
τ = 0 are those of f to the letter and elsewhere (1 - τ)² times those. Since each z₀ keeps its own
z₁, the student stays a map of the noise: it cannot fall back to the mean of what may follow, which
a flow gives in one step.

Shapes: B batch, T time, C H W latent, K vector size, D agent token.

Reference:
    Liu et al. 2023, "Flow Straight and Fast", arXiv:2209.03003, §2.2 (reflow and distillation).
"""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dreamdrive.errors import ConfigError
from dreamdrive.worldmodel.dynamics import Frames
from dreamdrive.worldmodel.losses import Batch, start_states
from dreamdrive.worldmodel.model import WorldModel
from dreamdrive.worldmodel.path import euler_step, interpolate
from dreamdrive.worldmodel.shortcut import NUM_STEPS, Field, Parts, along
from dreamdrive.worldmodel.surroundings import situated
from dreamdrive.worldmodel.transformer import TransformerDynamics


@dataclass(frozen=True, kw_only=True, slots=True)
class DistillationConfig:
    """Weights of the parts; each can be switched off with 0."""

    distillation: float = 1.0
    reflow: float = 0.5
    kept: float = 0.5
    consistency: float = 0.1
    quantity: float = 0.1
    """Of the numbers that a head tells, where it does: they stay what the teacher says."""
    teacher_steps: int = 4
    """Steps that the teacher takes from noise to endpoint."""
    kept_from: int = 4
    """Numbers of steps from here on keep the teacher's own way, those below are straightened."""
    generated: float = 0.5
    """Chance that a frame follows one that the teacher dreamed instead of a true one."""

    def __post_init__(self) -> None:
        """Checks that the student learns each of its parts at some size of step."""
        if self.teacher_steps < 2 or self.kept_from not in NUM_STEPS[1:]:
            raise ValueError("teacher_steps must be at least 2 and kept_from one of 2, 4, 8")
        if self.reflow and not self.straight_steps:
            raise ValueError("with kept_from=2 no steps are straightened: set reflow to 0")

    @property
    def straight_steps(self) -> tuple[int, ...]:
        """Numbers of steps that learn straight ways."""
        return tuple(n for n in NUM_STEPS[1:] if n < self.kept_from)

    @property
    def kept_steps(self) -> tuple[int, ...]:
        """Numbers of steps that keep the teacher's way."""
        return tuple(n for n in NUM_STEPS if n >= self.kept_from)


class Pairs(NamedTuple):
    """Noises and where the teacher carries them, for T - 1 frames of a window.

    Attributes:
        noise: z₀, a latent (B, T-1, C, H, W) and a vector (B, T-1, K).
        endpoint: z₁, likewise.
        previous: The clean frames that they follow, likewise.
        agent: The teacher's agent tokens, shape (B, T-1, D).
    """

    noise: tuple[Tensor, Tensor]
    endpoint: tuple[Tensor, Tensor]
    previous: tuple[Tensor, Tensor]
    agent: Tensor


def integrate(field: Field, noise: Parts, num_steps: int) -> Parts:
    """Returns z₁ = z₀ + ∫₀¹ f(z_τ, τ) dτ by Euler steps.

    Args:
        field: Predicts clean data.
        noise: z₀, each part of shape (S..., any); the first has one axis more than S, at least.
        num_steps: How many.
    """
    z, lead = noise, noise[-1].shape[:-1]
    for i in range(num_steps):
        tau = torch.full(lead, i / num_steps, device=noise[0].device)
        predicted = field(z, tau, torch.full_like(tau, 1.0 / num_steps))
        now = torch.tensor(i / num_steps, device=noise[0].device)
        z = tuple(
            euler_step(x_hat, x, now, 1.0 / num_steps)
            for x_hat, x in zip(predicted, z, strict=True)
        )
    return z


def on_the_way(
    noise: Parts, endpoint: Parts, num_steps: tuple[int, ...], generator: torch.Generator
) -> tuple[Parts, Tensor, Tensor]:
    """Returns z_τ on straight ways, τ and the step: where samplers of some numbers of steps stand.

    Args:
        noise: z₀, parts of shape (S..., any), the last with one axis more than S.
        endpoint: z₁, likewise.
        num_steps: Numbers of steps, equally likely.
        generator: Draws them, and which of its steps a sampler is about to take.
    """
    lead, device = noise[-1].shape[:-1], noise[0].device
    choice = torch.tensor(num_steps, device=device, dtype=noise[0].dtype)
    count = choice[torch.randint(len(num_steps), lead, generator=generator, device=device)]
    tau = (torch.rand(lead, generator=generator, device=device) * count).floor() / count
    z = tuple(interpolate(a, b, along(tau, a)) for a, b in zip(noise, endpoint, strict=True))
    return z, tau, 1.0 / count


def squared_error(predicted: Parts, target: Parts) -> Tensor:
    """Returns the sum over the parts of their mean squared errors."""
    errors = [(a - b).square().mean() for a, b in zip(predicted, target, strict=True)]
    return torch.stack(errors).sum()


def student_of(teacher: WorldModel) -> WorldModel:
    """Returns a student that begins as its teacher, told the size of its steps.

    Raises:
        ConfigError: If the teacher's dynamics are not a transformer.
    """
    if not isinstance(teacher.dynamics, TransformerDynamics):
        raise ConfigError(
            f"There is no flow to distil in dynamics of the kind {teacher.config.kind!r}",
            do="Give a teacher of the kind 'transformer'.",
        )  # fmt: skip
    told = replace(teacher.config.transformer, has_step_size=True)
    student = WorldModel(replace(teacher.config, transformer=told))
    state = student.state_dict()
    student.load_state_dict(state | teacher.state_dict())
    return student


@torch.no_grad()
def teacher_pairs(
    teacher: WorldModel, batch: Batch, config: DistillationConfig, generator: torch.Generator
) -> Pairs:
    """Returns where the teacher's sampler carries fresh noise at each frame of a window.

    Args:
        teacher: Its dynamics are a transformer.
        batch: Windows of T frames.
        config: The teacher's steps, and how often it follows its own frames.
        generator: Source of randomness.
    """
    B, T = batch.latent.shape[:2]
    device = batch.latent.device
    memory: Any = situated(teacher.dynamics.init_memory(B, device), batch.surroundings)
    latent, vector = batch.latent[:, 0], batch.vector[:, 0]
    columns: list[tuple[Tensor, ...]] = []
    for t in range(1, T):
        noise = (
            torch.randn(latent.shape, generator=generator, device=device),
            torch.randn(vector.shape, generator=generator, device=device),
        )
        step = teacher.dynamics.step(
            latent, vector, batch.action[:, t], memory, noise, config.teacher_steps
        )
        memory = step.memory
        columns.append((*noise, step.latent, step.vector, latent, vector, step.agent))
        dreamed = torch.rand(B, generator=generator, device=device) < config.generated
        latent = torch.where(dreamed[:, None, None, None], step.latent, batch.latent[:, t])
        vector = torch.where(dreamed[:, None], step.vector, batch.vector[:, t])
    found = [torch.stack(column, 1) for column in zip(*columns, strict=True)]
    return Pairs((found[0], found[1]), (found[2], found[3]), (found[4], found[5]), found[6])


def distillation_loss(
    student: WorldModel,
    teacher: WorldModel,
    batch: Batch,
    config: DistillationConfig,
    generator: torch.Generator,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Returns the weighted sum of the parts, and the parts.

    Args:
        student: As `student_of` returns it.
        teacher: Whose flow it learns; gets no gradient.
        batch: Windows of T frames.
        config: Weights.
        generator: Source of randomness.
    """
    assert isinstance(student.dynamics, TransformerDynamics)
    assert isinstance(teacher.dynamics, TransformerDynamics)
    pairs = teacher_pairs(teacher, batch, config, generator)
    action = batch.action[:, 1:]
    beside = Frames(*pairs.noise, *pairs.previous, action, torch.zeros_like(action[..., 0]))
    beside = beside._replace(
        recalled=student.dynamics.recall(*pairs.previous, action),
        surroundings=batch.around(action.shape[1]),
    )
    field = student.dynamics.field(beside)
    parts: dict[str, Tensor] = {}
    told = student.heads.quantities if config.quantity else None
    if config.distillation or config.consistency or told is not None:
        predicted, _ = student.dynamics.network(beside._replace(step=torch.ones_like(beside.tau)))
        if config.distillation:
            reached = (predicted.latent, predicted.vector)
            parts["distillation"] = squared_error(reached, pairs.endpoint)
        if config.consistency:
            parts["consistency"] = student.heads.divergence(
                predicted.agent, teacher.heads, pairs.agent
            )
        if told is not None and teacher.heads.quantities is not None:
            with torch.no_grad():
                right = teacher.heads.quantities(pairs.agent)
            parts["quantity"] = told.loss(predicted.agent, right, torch.ones_like(beside.tau))
    if config.reflow:
        z, tau, step = on_the_way(pairs.noise, pairs.endpoint, config.straight_steps, generator)
        parts["reflow"] = squared_error(field(z, tau, step), pairs.endpoint)
    if config.kept:
        fresh = tuple(
            torch.randn(x.shape, generator=generator, device=x.device) for x in pairs.noise
        )
        z, tau, step = on_the_way(fresh, pairs.endpoint, config.kept_steps, generator)
        with torch.no_grad():
            recalled = teacher.dynamics.recall(*pairs.previous, action)
            own = teacher.dynamics.field(beside._replace(recalled=recalled))(z, tau, step)
        parts["kept"] = squared_error(field(z, tau, step), own)
    total = torch.stack([getattr(config, name) * value for name, value in parts.items()]).sum()
    return total, parts


@torch.no_grad()
def diversity(
    model: WorldModel, batch: Batch, *, num_steps: int, draws: int, horizon: int, seed: int
) -> float:
    """Returns how far futures of one start lie apart, in standard deviations of the latents.

    The root of the variance between draws, averaged over starts, frames and entries: 0 where a
    dream is deterministic.

    Args:
        model: Whose dreams.
        batch: Windows whose first frames are the starts; the actions after them are taken.
        num_steps: Steps of the sampler.
        draws: Futures of each start.
        horizon: Frames of each, at most what the windows hold after one frame.
        seed: Of the noise; equal noise makes models comparable.
    """
    context = batch.latent.shape[1] - horizon
    start = start_states(model, batch, context=context)
    B = len(batch.latent)
    state = start.select(torch.arange(B).repeat_interleave(draws))
    generator = torch.Generator(model.device).manual_seed(seed)
    variance = []
    for t in range(context, context + horizon):
        action = batch.action[:, t].repeat_interleave(draws, 0)
        state, _ = model.imagine_step(state, action, generator=generator, num_steps=num_steps)
        variance.append(state.latent_BCHW.unflatten(0, (B, draws)).var(1).mean())
    return float(torch.stack(variance).mean().sqrt())
