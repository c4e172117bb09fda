"""What the dynamics learn from: L = λ₁ reconstruction + λ₂ flow + λ₃ JEPA + λ₄ consistency + heads.

Each part has its name in `LossConfig`, which holds its λ, and in the logs. The consistency is a KL
divergence of discrete distributions, those that the heads give over the bins of the reward and over
the causes of termination; so are `dynamics` and `representation` of `rssm`, of its categorical
variables. The JEPA term has a module of its own, `jepa`; so has what a critic says of dreams that
are older than any training rollout, `adversary`.

Three ways to see a window of frames:

* `flow_loss`: every frame at its own noise level beside its clean predecessor (flow matching with
  diffusion forcing); all frames at once, many frames a second. Where the network is told the size
  of its steps, some windows learn large ones from two halves instead (shortcut).
* `sequence_loss`: windows of true frames, for the classical dynamics with a loss of their own.
* `rollout_loss`: the model's own predictions fed back for a number of steps, as in a dream, with
  the gradient through all of them (self-forcing); what it costs in speed it repays in drift.

Reference:
    Lipman et al. 2023, arXiv:2210.02747; Chen et al. 2024, arXiv:2407.01392; Huang et al. 2025,
    "Self Forcing", arXiv:2506.08009.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dreamdrive.worldmodel.dynamics import Frames, Predicted
from dreamdrive.worldmodel.mdnrnn import MDNRNNDynamics
from dreamdrive.worldmodel.model import WorldModel
from dreamdrive.worldmodel.path import interpolate
from dreamdrive.worldmodel.recurrence import Recurrence
from dreamdrive.worldmodel.rolling import OwnRolling, Rolling
from dreamdrive.worldmodel.rssm import RSSMDynamics
from dreamdrive.worldmodel.shortcut import FINEST, Parts, along, draw_steps, two_halves
from dreamdrive.worldmodel.state import RolloutState
from dreamdrive.worldmodel.surroundings import situated
from dreamdrive.worldmodel.transformer import TransformerDynamics

SHOWN = 5
"""Frames of a training rollout that are decoded, those that the decoder only mixes in included."""


class Batch(NamedTuple):
    """Windows of T frames; what belongs to a decision stands at the frame it led to.

    Attributes:
        latent: Normalised latents, shape (B, T, C, H, W).
        vector: Normalised vectors, shape (B, T, K).
        action: Shape (B, T, A); NaN in video without actions, which a null action makes use of.
        reward: In units of the model's `reward_scale`, shape (B, T).
        cause: 0 for none, else 1 + the number of the cause, shape (B, T).
        image: RGB in [0, 1], shape (B, T, 3, H, W), or None.
        weight: Weight of each latent position, mean about 1, shape (B, T, H, W), or None.
        oversampling: How many times more often terminations are in the windows than they happen.
        quantity: The model's quantities in their own units, shape (B, T, Q), or None.
        surroundings: What holds for each window's episode, shape (B, X), or None.
    """

    latent: Tensor
    vector: Tensor
    action: Tensor
    reward: Tensor
    cause: Tensor
    image: Tensor | None = None
    weight: Tensor | None = None
    oversampling: float = 1.0
    quantity: Tensor | None = None
    surroundings: Tensor | None = None

    def around(self, length: int) -> Tensor | None:
        """Returns the surroundings of windows of a length, shape (B, T, X), or None."""
        if self.surroundings is None:
            return None
        return self.surroundings[:, None].expand(-1, length, -1)


@dataclass(frozen=True, kw_only=True, slots=True)
class LossConfig:
    """Weights of the parts; each can be switched off with 0."""

    reconstruction: float = 10.0
    """Of the pictures of a rollout, which keep vehicles whole where the latents' mean would not."""
    flow: float = 1.0
    latent: float = 0.3
    """Of the latents of a rollout."""
    vector: float = 0.5
    reward: float = 0.1
    cause: float = 0.3
    quantity: float = 0.1
    """Of the numbers that a head tells, where it does: ego motion, terms of the cost."""
    likelihood: float = 1.0
    """Of the mixture of `mdnrnn`."""
    dynamics: float = 1.0
    """Of the divergence that teaches the dynamics of `rssm`, in nats a frame."""
    representation: float = 0.1
    """Of the divergence that makes what `rssm` sees predictable."""
    jepa: float = 0.0
    """Of masked prediction in latent space, its guard included; off by default, at most 0.1."""
    consistency: float = 0.0
    """Of KL(student ‖ teacher), in nats: what the heads say in a rollout beside what they say where
    every frame before is the true one; off by default."""
    adversarial: float = 0.0
    """Of what a critic can tell from dreams of any age that they are none (`adversary`); off by
    default."""
    shortcut: float = 1.0
    """Of steps that are learned from two of half their size."""
    shortcut_share: float = 0.25
    """Share of the windows that learn them, where the network is told the size of its steps."""
    action_drop: float = 0.1
    """Share of the actions that are hidden, where the network has a null action."""
    surroundings_drop: float = 0.1
    """Share of the windows whose surroundings are hidden, where the network is told some."""
    diffusion_forcing: bool = True
    """Whether each frame of a window has a noise level of its own, or all the same one."""
    class_weights: bool = True
    """Whether rare content weighs more than its area: in latents, and in the pictures of a rollout
    (`tokenizer.rarity_power`)."""
    ramp: bool = False
    """Whether frames weigh 0.9 τ + 0.1 in the flow's loss, less the noisier they are (Dreamer 4,
    arXiv:2509.24527, eq. 8)."""
    segments: int = 1
    """Parts of a window that are learned one after the other, each reading what the one before left
    behind (`recurrence`)."""
    noise_free_share: float = 0.5
    """Share of frames at τ = 0, where the one-step sampler works; the rest are uniform in τ."""
    history_noise: float = 0.1
    """Largest standard deviation of the noise on the clean predecessor."""


def flow_loss(
    model: WorldModel, batch: Batch, config: LossConfig, generator: torch.Generator
) -> tuple[Tensor, dict[str, Tensor]]:
    """Returns the loss of clean-data prediction at random noise levels, and its parts.

    The first frame of a window is only seen as a predecessor.

    Raises:
        TypeError: If the model's dynamics are not a transformer.
    """
    if not isinstance(model.dynamics, TransformerDynamics):
        raise TypeError("flow matching needs the transformer dynamics")

    def normal(like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=generator, device=like.device)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, device=batch.latent.device)

    target: Parts = (batch.latent[:, 1:], batch.vector[:, 1:])
    B, T = target[0].shape[:2]
    tau = uniform(B, T) * (uniform(B, T) >= config.noise_free_share)
    if not config.diffusion_forcing:
        tau = tau[:, :1].repeat(1, T)
    strength = uniform(B, T) * config.history_noise
    previous = batch.latent[:, :-1]
    previous = previous + normal(previous) * strength[..., None, None, None]
    previous_vector = batch.vector[:, :-1]
    previous_vector = previous_vector + normal(previous_vector) * 0.2 * strength[..., None]
    num_shortcuts, step = 0, None
    if model.dynamics.network.config.has_step_size:
        num_shortcuts = round(config.shortcut_share * B) if config.shortcut else 0
        step = torch.full_like(tau, FINEST)
        tau[:num_shortcuts], step[:num_shortcuts] = draw_steps(
            (num_shortcuts, T), generator, tau.device
        )
    z = tuple(interpolate(normal(x), x, along(tau, x)) for x in target)
    action = batch.action[:, 1:]
    if model.dynamics.network.config.has_null_action and config.action_drop:
        dropped = uniform(B, T, 1) < config.action_drop
        action = torch.where(dropped, torch.nan, action)
    frames = Frames(
        z[0], z[1], previous, previous_vector, action, tau,
        model.dynamics.recall(previous, previous_vector, action), step,
        _hidden(batch, config, generator).around(T),
    )  # fmt: skip
    predicted = _in_segments(model.dynamics, frames, config.segments)
    rows = slice(num_shortcuts, None)
    weight = _class_weight(batch, config)
    weight = None if weight is None else weight[rows]
    errors = tuple(
        _root_weight(tau[rows], x, config, model.dynamics) * (x[rows] - y[rows])
        for x, y in zip((predicted.latent, predicted.vector), target, strict=True)
    )
    parts = {"flow": _weighted(errors[0], weight), "vector": errors[1].square().mean()}
    if num_shortcuts:
        parts["shortcut"] = _shortcut_loss(model.dynamics, frames, predicted, num_shortcuts)
    parts |= _outcome_loss(model, predicted.agent, batch)
    return _total(parts, config), parts


def _in_segments(dynamics: TransformerDynamics, frames: Frames, count: int) -> Predicted:
    """Returns the predictions for a window that is seen in `count` parts."""
    if count == 1:
        predicted, _ = dynamics.network(frames)
        return predicted
    recurrence = Recurrence(dynamics.network.config.window)
    chunks = [
        (None,) * count if x is None else x.tensor_split(count, 1) for x in frames
    ]  # fmt: skip
    found = [
        dynamics.network(Frames._make(parts), recurrence=recurrence)[0]
        for parts in zip(*chunks, strict=True)
    ]
    return Predicted(*(torch.cat(parts, 1) for parts in zip(*found, strict=True)))


def _root_weight(
    tau: Tensor, like: Tensor, config: LossConfig, dynamics: TransformerDynamics
) -> Tensor:
    """Returns the root of what each frame's squared error weighs, to broadcast against `like`."""
    weight = torch.ones_like(tau)
    if config.ramp:
        weight = 0.9 * tau + 0.1
    if dynamics.network.config.predicts == "velocity":
        # The squared error of the velocity is that of the data over (1 - τ)².
        weight = weight / (1.0 - tau).clamp_min(0.1).square()
    return along(weight.sqrt(), like)


def _shortcut_loss(
    dynamics: TransformerDynamics, frames: Frames, predicted: Predicted, count: int
) -> Tensor:
    """Returns the squared error of the first `count` windows beside what two half steps come to."""
    few = Frames._make(None if x is None else x[:count] for x in frames)
    assert few.step is not None
    latent, vector = two_halves(dynamics.field(few), (few.latent, few.vector), few.tau, few.step)
    error = (predicted.latent[:count] - latent).square().mean()
    return error + (predicted.vector[:count] - vector).square().mean()


def teacher_forcing_ratio(t: float, t_max: float) -> float:
    """Returns λ_t = max(0, 1 - t / T_max): how much of scheduled sampling is still the truth.

    Args:
        t: Steps since it began.
        t_max: Steps until a model is on its own; 0 leaves it so from the start.

    Reference:
        Bengio et al. 2015, "Scheduled Sampling", arXiv:1506.03099, §2.4 (linear decay).
    """
    return max(0.0, 1.0 - t / t_max) if t_max > 0 else 0.0


def rollout_loss(
    model: WorldModel,
    batch: Batch,
    config: LossConfig,
    generator: torch.Generator,
    *,
    context: int,
    teacher_forcing: float = 0.0,
    rolling: Rolling | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Returns the loss of one-step predictions that are fed back, and its parts.

    Args:
        model: The model.
        batch: Windows of T frames, with images if `config.reconstruction` is not 0.
        config: Weights.
        generator: Source of randomness.
        context: Frames seen before the model is on its own, at least 1.
        teacher_forcing: Chance that a fed-back frame is the true one instead; it falls with
            `teacher_forcing_ratio`.
        rolling: What takes the steps, for B dreams; the model's own dynamics by default.
    """
    rolling = OwnRolling(model) if rolling is None else rolling
    B, T = batch.latent.shape[:2]
    true_memory: Any = model.dynamics.init_memory(B, batch.latent.device)
    true_memory = situated(true_memory, _hidden(batch, config, generator).surroundings)
    memory = rolling.open(true_memory)
    latent, vector = batch.latent[:, 0], batch.vector[:, 0]
    latents, vectors, agents, true_agents = [], [], [], []
    for t in range(1, T):
        noise = (
            torch.randn(latent.shape, generator=generator, device=latent.device),
            torch.randn(vector.shape, generator=generator, device=latent.device),
        )
        step = rolling.step(latent, vector, batch.action[:, t], memory, noise)
        memory = step.memory
        latents.append(step.latent)
        vectors.append(step.vector)
        agents.append(step.agent)
        if config.consistency:
            with torch.no_grad():
                told = model.dynamics.step(
                    batch.latent[:, t - 1], batch.vector[:, t - 1], batch.action[:, t],
                    true_memory, noise,
                )  # fmt: skip
            true_memory = told.memory
            true_agents.append(told.agent)
        truth = torch.rand(B, generator=generator, device=latent.device) < teacher_forcing
        if t < context:
            truth = torch.ones_like(truth)
        latent = torch.where(truth[:, None, None, None], batch.latent[:, t], step.latent)
        vector = torch.where(truth[:, None], batch.vector[:, t], step.vector)
    predicted = torch.stack(latents, 1)
    parts = {
        "latent": _weighted(predicted - batch.latent[:, 1:], _class_weight(batch, config)),
        "vector": (torch.stack(vectors, 1) - batch.vector[:, 1:]).square().mean(),
    }
    parts |= _outcome_loss(model, torch.stack(agents, 1), batch)
    if config.consistency:
        parts["consistency"] = model.heads.divergence(
            torch.stack(agents, 1), model.heads, torch.stack(true_agents, 1)
        )
    if config.reconstruction and batch.image is not None:
        last = int(
            torch.randint(min(SHOWN, T - 1), T, (), generator=generator, device=latent.device)
        )
        first = max(1, last - SHOWN + 1)
        raw = model.unnormalise_latent(predicted[:, first - 1 : last])
        # The decoder mixes a frame with the two before; those without them do not count.
        scored = max(1, last - first - 1)
        image, _ = model.tokenizer.decode(raw, shown=scored)
        parts["reconstruction"] = model.tokenizer.reconstruction_loss(
            image, batch.image[:, last - scored + 1 : last + 1], squares=0.0,
            is_weighted=config.class_weights,
        )  # fmt: skip
    return _total(parts, config), parts


def sequence_loss(
    model: WorldModel, batch: Batch, config: LossConfig, generator: torch.Generator
) -> tuple[Tensor, dict[str, Tensor]]:
    """Returns the loss of the dynamics that learn from true windows by a loss of their own.

    Raises:
        TypeError: If the model's dynamics have none.
    """
    if not isinstance(model.dynamics, MDNRNNDynamics | RSSMDynamics):
        raise TypeError("these dynamics learn from flow_loss or rollout_loss")
    parts, agent = model.dynamics.learn(
        batch.latent, batch.vector, batch.action, _class_weight(batch, config), generator
    )
    parts |= _outcome_loss(model, agent, batch)
    return _total(parts, config), parts


def _outcome_loss(model: WorldModel, agent_BTD: Tensor, batch: Batch) -> dict[str, Tensor]:
    """Returns the losses of the heads; video without actions has none."""
    told = None if batch.quantity is None else batch.quantity[:, 1:]
    reward, cause = batch.reward[:, 1:], batch.cause[:, 1:]
    is_known = ~batch.action[:, 1:].isnan().any(-1)
    if not bool(is_known.any()):
        return {"reward": agent_BTD.new_zeros(()), "cause": agent_BTD.new_zeros(())}
    if not bool(is_known.all()):
        agent_BTD, reward, cause = agent_BTD[is_known], reward[is_known], cause[is_known]
        told = None if told is None else told[is_known]
    return model.heads.loss(agent_BTD, reward, cause, batch.oversampling, told)


def _hidden(
    batch: Batch, config: LossConfig, generator: torch.Generator
) -> Batch:  # fmt: skip
    """Returns windows without the surroundings of some."""
    around = batch.surroundings
    if around is None:
        return batch
    drawn = torch.rand(len(around), 1, generator=generator, device=around.device)
    return batch._replace(
        surroundings=around.masked_fill(drawn < config.surroundings_drop, torch.nan)
    )


def _class_weight(batch: Batch, config: LossConfig) -> Tensor | None:
    return batch.weight if config.class_weights else None


def _weighted(error_BTCHW: Tensor, weight_BTHW: Tensor | None) -> Tensor:
    """Returns the mean squared error of all frames but the first, rare content weighing more."""
    square = error_BTCHW.square()
    return (square if weight_BTHW is None else square * weight_BTHW[:, 1:, None]).mean()


def _total(parts: dict[str, Tensor], config: LossConfig) -> Tensor:
    return torch.stack([getattr(config, name) * value for name, value in parts.items()]).sum()


def start_states(
    model: WorldModel, batch: Batch, *, context: int | None = None,
    imagine: Callable[..., Any] | None = None,
) -> RolloutState:  # fmt: skip
    """Returns the states after the last frame of each window, from its latents; no gradient.

    With `imagine`, a faster `imagine_step` of the model, it is what takes the steps.
    """
    with torch.no_grad():
        state = model.init_state(len(batch.latent))
        frames = batch.latent.shape[1] if context is None else context
        for t in range(frames):
            vector = model.unnormalise_vector(batch.vector[:, t])
            action = batch.action[:, t] if t else None
            state = model.observe_latent(state, batch.latent[:, t], vector, action, imagine)
    return state
