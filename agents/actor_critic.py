"""Actor-critic training on imagined rollouts.

Shapes: B rollouts, T decisions, C H W latent, K vector size, A action size.

Reference:
    Hafner et al. 2023, "Mastering Diverse Domains through World Models", arXiv:2301.04104 (critic,
    normalisation, score-function gradient); Hafner et al. 2020, "Dream to Control",
    arXiv:1912.01603 (gradient through the dynamics).
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from dreamdrive.agents.imagination import Dream, imagine
from dreamdrive.agents.networks import Actor, Critic, NetworkConfig, TanhGaussian, joined
from dreamdrive.agents.quick import quicken
from dreamdrive.agents.returns import ReturnScale
from dreamdrive.errors import ConfigError, DreamdriveError
from dreamdrive.kernels.scan import lambda_return
from dreamdrive.worldmodel.engine import Engine
from dreamdrive.worldmodel.model import WorldModel
from dreamdrive.worldmodel.packed import Precision
from dreamdrive.worldmodel.rollout import Rollout
from dreamdrive.worldmodel.state import RolloutState


class DivergedError(DreamdriveError, RuntimeError):
    """A loss or a gradient is not finite; the network concerned is unchanged."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ActorCriticConfig:
    """How an agent learns in a dream."""

    network: NetworkConfig = field(default_factory=NetworkConfig)
    gradient: Literal["dynamics", "score"] = "dynamics"
    """How the actor learns: through the derivative of the dream, or by the score function."""
    horizon: int = 15
    """Decisions in a dream."""
    num_steps: int = 1
    """Euler steps of the world model's sampler."""
    discount: float = 0.99
    lambda_: float = 0.95
    actor_rate: float = 1e-3
    critic_rate: float = 1e-3
    critic_steps: int = 8
    """Steps of the critic on each dream, which costs far more than they do."""
    slow_rate: float = 0.05
    """Share of the critic that the slow critic, which bootstraps, takes over in an update."""
    mean_rate: float = 0.02
    """Share of the actor that the mean actor, the one that is kept, takes over in an update: what
    an actor forgets and relearns from dream to dream is averaged out."""
    entropy: float = 1e-3
    """Reward for the entropy of the action, in units of the scale of returns."""
    scale_floor: float = 0.1
    """Least scale of returns: smaller differences are treated as noise."""
    uncertainty: float = 0.0
    """Reward lost for each unit of the model's uncertainty."""
    termination_penalty: float = 0.3
    """Reward lost when a dream is terminated, beside what the environment takes and all that would
    have come after. With a metre at 0.01 and risk rated truly, 1 and more teach to stand still."""
    prior: float = 0.0
    """Weight of the divergence from the behaviour prior."""
    clip: float = 10.0
    """Largest norm of the gradient of the actor and of the critic."""

    def __post_init__(self) -> None:
        """Checks the ranges.

        Raises:
            ValueError: If a value is outside its range.
        """
        if min(self.horizon, self.num_steps, self.critic_steps) < 1:
            raise ValueError("horizon, num_steps and critic_steps must be at least 1")
        for name in ("discount", "lambda_", "slow_rate", "mean_rate"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} must lie in [0, 1], got {getattr(self, name)}")
        for name in ("actor_rate", "critic_rate", "scale_floor", "clip"):
            if not getattr(self, name) > 0.0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        for name in ("entropy", "uncertainty", "termination_penalty", "prior"):
            if getattr(self, name) < 0.0:
                raise ValueError(f"{name} must be at least 0, got {getattr(self, name)}")


class ActorCritic:
    """An actor and a critic, and the one update that trains both on a fresh dream.

    Args:
        model: The world model; it is only read.
        config: How to learn.
        seed: Fixes initial weights, actions and the noise of the dream.
        actor: A trained actor to go on from; it is trained in place.
        critic: Its critic, likewise.
        prior: A frozen policy that `config.prior` holds the actor near to.
        engine: How dreams are computed, see `worldmodel.rollout`; with `fused`, actor and critic
            too take the faster products.
        precision: Of the dream's products, with `fused`.

    Raises:
        ConfigError: If the engine cannot dream as the configuration asks.
        KernelError: If the engine cannot run here.
    """

    def __init__(
        self,
        model: WorldModel,
        config: ActorCriticConfig,
        *,
        seed: int,
        actor: Actor | None = None,
        critic: Critic | None = None,
        prior: Actor | None = None,
        engine: Engine = "eager",
        precision: Precision = "float32",
    ) -> None:
        if config.prior > 0.0 and prior is None:
            raise ValueError("config.prior is positive, but no prior is given")
        if engine == "fused" and config.gradient == "dynamics" and config.num_steps > 1:
            raise ConfigError(
                "The fused way takes gradients through one sampling step",
                do="Use engine='eager', or num_steps=1.",
            )
        self.model, self.config, self.prior = model, config, prior
        self._how = engine, precision
        self._rollout: Rollout | None = None
        device = model.vector_mean.device
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.actor = actor or Actor.for_model(model, config.network)
            self.critic = critic or Critic.for_model(model, config.network)
        if engine == "fused":
            quicken(self.actor)
            quicken(self.critic)
        self.mean_actor = copy.deepcopy(self.actor).requires_grad_(False)
        self.slow_critic = copy.deepcopy(self.critic).requires_grad_(False)
        self.actor_optimizer = torch.optim.Adam(self.actor.parameters(), config.actor_rate)
        self.critic_optimizer = torch.optim.Adam(self.critic.parameters(), config.critic_rate)
        self.generator = torch.Generator(device).manual_seed(seed)
        self.scale = ReturnScale(floor=config.scale_floor)

    def update(self, start: RolloutState) -> dict[str, float]:
        """Dreams from the start states, takes a step of actor and critic, and returns metrics.

        Returns:
            `return`: mean λ-return; `return_scale`: its running range; `reward`: mean predicted
            reward; `value`: the critic's mean; `survival`: mean probability to reach the end of
            the dream; `uncertainty`: the model's mean disagreement; `entropy`: of the action;
            `prior_divergence`: KL from the prior, 0 without one; `actor_loss`, `critic_loss`;
            `actor_norm`, `critic_norm`: norms of the gradients before clipping.

        Raises:
            DivergedError: If a loss or a gradient is not finite; the network it belongs to is
                unchanged.
        """
        through = self.config.gradient == "dynamics"
        start = start.detach()
        rollout = self._rollout_of(len(start.vector_BK))
        policies: list[TanhGaussian] = []

        def choose(seen_BCHW: Tensor, vector_BK: Tensor) -> Tensor:
            # What the policy sees is cut off: its gradient flows through its actions alone.
            policies.append(self.actor(seen_BCHW.detach(), vector_BK.detach()))
            return policies[-1].sample(self._noise(policies[-1].mean))

        with torch.set_grad_enabled(through):
            dream = imagine(
                self.model, start, choose, horizon=self.config.horizon,
                generator=self.generator, num_steps=self.config.num_steps, rollout=rollout,
            )  # fmt: skip
            ahead_BT = self._ahead(dream)
            target_BT = self._returns(dream, ahead_BT)
        scale = self.scale.update(_finite(target_BT, "return"))
        weight_BT = self._weight(dream)
        seen, vector = dream.seen_BTCHW[:, :-1], dream.vector_BTK[:, :-1]
        flat = (seen.detach().flatten(0, 1), vector.detach().flatten(0, 1))
        first = self.slow_critic.value(seen[:, 0].detach(), vector[:, 0].detach())
        values_BT = torch.cat([first[:, None], ahead_BT[:, :-1].detach()], 1)
        policy = joined(policies) if through else self.actor(*flat)
        entropy = policy.entropy(self._noise(policy.mean)).view_as(weight_BT)
        if through:
            gain_BT = target_BT / scale
        else:
            log_prob = policy.log_prob(dream.raw_BTA.flatten(0, 1)).view_as(weight_BT)
            gain_BT = log_prob * ((target_BT - values_BT) / scale).detach()
        loss_BT = -gain_BT - self.config.entropy * entropy
        divergence = torch.zeros(())
        if self.prior is not None:
            with torch.no_grad():
                near = self.prior(*flat)
            kl = policy.divergence(near).view_as(weight_BT)
            loss_BT = loss_BT + self.config.prior * kl
            divergence = kl.mean()
        actor_loss = (weight_BT * loss_BT).mean()
        actor_norm = self._step(actor_loss, self.actor, self.actor_optimizer, "actor")
        target, weight = target_BT.detach().flatten(), weight_BT.flatten()
        for _ in range(self.config.critic_steps):
            critic_loss = (weight * self.critic.loss(*flat, target)).mean()
            critic_norm = self._step(critic_loss, self.critic, self.critic_optimizer, "critic")
        self._follow()
        metrics = {
            "return": target.mean(), "reward": dream.reward_BT.mean(), "value": values_BT.mean(),
            "survival": dream.continuation.prod(1).mean(), "entropy": entropy.mean(),
            "uncertainty": dream.uncertainty_BT.mean(), "prior_divergence": divergence,
            "actor_loss": actor_loss, "critic_loss": critic_loss,
        }  # fmt: skip
        return {name: float(value.detach()) for name, value in metrics.items()} | {
            "return_scale": scale, "actor_norm": actor_norm, "critic_norm": critic_norm,
        }  # fmt: skip

    def state(self) -> dict[str, Any]:
        """Returns everything that the next update depends on, as nested dicts of tensors."""
        return {
            "actor": self.actor.state_dict(),
            "mean_actor": self.mean_actor.state_dict(),
            "critic": self.critic.state_dict(),
            "slow_critic": self.slow_critic.state_dict(),
            "actor_optimizer": self.actor_optimizer.state_dict(),
            "critic_optimizer": self.critic_optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "range": self.scale.range,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Goes on exactly where `state()` was taken."""
        state = copy.deepcopy(dict(state))
        for name in (
            "actor", "mean_actor", "critic", "slow_critic", "actor_optimizer", "critic_optimizer",
        ):  # fmt: skip
            getattr(self, name).load_state_dict(state[name])
        self.generator.set_state(state["generator"])
        self.scale.range = state["range"]

    def _noise(self, like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=self.generator, device=like.device)

    def _rollout_of(self, batch_size: int) -> Rollout:
        """Returns the rollout for so many dreams, made once."""
        if self._rollout is None or self._rollout.batch_size != batch_size:
            self._rollout = Rollout(self.model, batch_size, self.config.horizon, *self._how)
        return self._rollout

    def _ahead(self, dream: Dream) -> Tensor:
        """Returns the value of the frame that each decision leads to, shape (B, T)."""
        seen, vector = dream.seen_BTCHW[:, 1:], dream.vector_BTK[:, 1:]
        value = self.slow_critic.value(seen.flatten(0, 1), vector.flatten(0, 1))
        return value.view_as(dream.reward_BT)

    def _returns(self, dream: Dream, ahead_BT: Tensor) -> Tensor:
        reward = (
            dream.reward_BT
            - self.config.uncertainty * dream.uncertainty_BT
            - self.config.termination_penalty * (1.0 - dream.continuation)
        )
        return lambda_return(
            reward, ahead_BT, dream.continuation,
            discount=self.config.discount, lambda_=self.config.lambda_,
        )  # fmt: skip

    def _weight(self, dream: Dream) -> Tensor:
        T = dream.reward_BT.shape[1]
        steps = torch.arange(T, device=dream.reward_BT.device)
        return (dream.alive * self.config.discount**steps).detach()

    def _step(
        self, loss: Tensor, network: nn.Module, optimizer: torch.optim.Optimizer, name: str
    ) -> float:
        parameters = list(network.parameters())
        # Not backward(): it would leave gradients in the world model as well.
        gradients = torch.autograd.grad(_finite(loss, f"{name} loss"), parameters)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        norm = nn.utils.clip_grad_norm_(parameters, self.config.clip)
        _finite(norm, f"gradient of the {name}")
        optimizer.step()
        return float(norm)

    @torch.no_grad()
    def _follow(self) -> None:
        for slow, fast, rate in (
            (self.mean_actor, self.actor, self.config.mean_rate),
            (self.slow_critic, self.critic, self.config.slow_rate),
        ):
            for mean, weight in zip(slow.parameters(), fast.parameters(), strict=True):
                mean.lerp_(weight, rate)


def _finite(value: Tensor, name: str) -> Tensor:
    if not torch.isfinite(value).all():
        raise DivergedError(
            f"The {name} is not finite", where="actor-critic",
            do="Lower the learning rate or the horizon; the last saved agent is intact.",
        )  # fmt: skip
    return value
