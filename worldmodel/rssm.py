"""The recurrent state-space model of DreamerV3, on the latents of the tokenizer.

    recurrence       h_t = f(h_{t-1}, s_{t-1}, a_{t-1})
    representation   s_t ~ q(s_t | h_t, x_t)
    dynamics         ŝ_t ~ p(s_t | h_t)
    reconstruction   x̂_t = d(h_t, s_t)

x_t is the frame's latent and vector, s_t a number of categorical variables with straight-through
gradients. In a dream s_t comes from the dynamics; a frame is known to be dreamed by its latent
being, to the last bit, what the model itself has shown.

Shapes: B batch, T time, G categorical variables, L classes of each, E entries of x, D hidden.

Reference:
    Hafner et al. 2023, "Mastering Diverse Domains through World Models", arXiv:2301.04104, eq. 3-5
    and appendix (1 % uniform mixture, free bits, balance of the divergences).
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dreamdrive.worldmodel.transformer import Step

UNIFORM_SHARE = 0.01
"""Share of the uniform distribution in every categorical, so that no divergence is infinite."""
FREE_NATS = 1.0
"""A divergence below this many nats is small enough."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RSSMConfig:
    """Sizes of the recurrent state-space model."""

    width: int = 256
    hidden: int = 320
    num_variables: int = 16
    num_classes: int = 16

    def __post_init__(self) -> None:
        """Checks the sizes."""
        if min(self.width, self.hidden, self.num_variables) < 1 or self.num_classes < 2:
            raise ValueError("sizes must be at least 1, and num_classes at least 2")


class RSSMState(NamedTuple):
    """What the model keeps of the frames before.

    Attributes:
        hidden_BD: Deterministic state h.
        sample_BS: Stochastic state s that was dreamed with `shown_BCHW`, one-hot, S = G·L.
        shown_BCHW: The latent that h and s were decoded to.
    """

    hidden_BD: Tensor
    sample_BS: Tensor
    shown_BCHW: Tensor


class RSSMDynamics(nn.Module):
    """See the module's docstring."""

    def __init__(
        self,
        config: RSSMConfig,
        *,
        latent_shape: tuple[int, int, int],
        vector_size: int,
        action_size: int,
    ) -> None:
        super().__init__()
        self.config, self.latent_shape = config, latent_shape
        W, D, S = config.width, config.hidden, config.num_variables * config.num_classes
        self.num_entries = math.prod(latent_shape) + vector_size
        if self.num_entries < config.num_variables:
            raise ValueError("a frame has fewer entries than there are categorical variables")
        self.embed = nn.Sequential(nn.Linear(self.num_entries, W), nn.LayerNorm(W), nn.SiLU())
        self.inside = nn.Sequential(nn.Linear(S + action_size, W), nn.LayerNorm(W), nn.SiLU())
        self.cell = nn.GRUCell(W, D)
        self.prior = nn.Sequential(nn.Linear(D, W), nn.LayerNorm(W), nn.SiLU(), nn.Linear(W, S))
        self.posterior = nn.Sequential(
            nn.Linear(D + W, W), nn.LayerNorm(W), nn.SiLU(), nn.Linear(W, S)
        )
        self.decoder = nn.Sequential(
            nn.Linear(D + S, D), nn.LayerNorm(D), nn.SiLU(), nn.Linear(D, self.num_entries)
        )
        self.agent_size = D + S

    def init_memory(self, batch_size: int, device: torch.device) -> RSSMState:
        """Returns the memory before any frame; nothing that is observed equals what it shows."""
        config = self.config
        return RSSMState(
            torch.zeros(batch_size, config.hidden, device=device),
            torch.zeros(batch_size, config.num_variables * config.num_classes, device=device),
            torch.full((batch_size, *self.latent_shape), float("nan"), device=device),
        )

    def log_probabilities(self, logits_BS: Tensor) -> Tensor:
        """Returns log-probabilities with their share of the uniform, shape (..., G, L)."""
        config = self.config
        each = logits_BS.float().unflatten(-1, (config.num_variables, config.num_classes))
        mixed = (1.0 - UNIFORM_SHARE) * each.softmax(-1) + UNIFORM_SHARE / config.num_classes
        return mixed.log()

    def draw(self, log_BGL: Tensor, uniform_BG: Tensor | None) -> Tensor:
        """Returns one-hot draws, or modes where no uniform number is given; (B, G·L).

        The gradient is that of the probabilities (straight-through).
        """
        probability = log_BGL.exp()
        if uniform_BG is None:
            index = probability.argmax(-1)
        else:
            index = (uniform_BG[..., None] > probability.cumsum(-1)).sum(-1)
            index = index.clamp_max(self.config.num_classes - 1)
        hard = F.one_hot(index, self.config.num_classes).to(probability.dtype)
        return (hard + probability - probability.detach()).flatten(-2)

    def representation(self, hidden_BD: Tensor, entries_BE: Tensor) -> Tensor:
        """Returns log q(s | h, x), shape (B, G, L)."""
        joined = torch.cat([hidden_BD, self.embed(entries_BE)], -1)
        return self.log_probabilities(self.posterior(joined))

    def advance(self, hidden_BD: Tensor, sample_BS: Tensor, action_BA: Tensor) -> Tensor:
        """Returns the next deterministic state, (B, D)."""
        hidden: Tensor = self.cell(self.inside(torch.cat([sample_BS, action_BA], -1)), hidden_BD)
        return hidden

    def step(
        self,
        latent: Tensor,
        vector: Tensor,
        action: Tensor,
        memory: RSSMState,
        noise: tuple[Tensor, Tensor],
        num_steps: int = 1,
    ) -> Step:
        """Returns the frame after `latent` and `vector` under `action`.

        Args:
            latent: Normalised latent, shape (B, C, H, W).
            vector: Normalised vector, shape (B, K).
            action: Shape (B, A).
            memory: What the frames before left behind.
            noise: Unit Gaussian of the shapes of `latent` and `vector`; its first G entries draw.
            num_steps: 1 takes the likeliest classes, more draws them.
        """
        entries = torch.cat([latent.flatten(1), vector], -1)
        is_dreamed = (latent == memory.shown_BCHW).flatten(1).all(1, keepdim=True)
        seen = self.draw(self.representation(memory.hidden_BD, entries), None)
        sample = torch.where(is_dreamed, memory.sample_BS, seen)
        hidden = self.advance(memory.hidden_BD, sample, action)
        uniform = torch.special.ndtr(
            torch.cat([noise[0].flatten(1), noise[1]], -1)[:, : self.config.num_variables]
        )
        log_prior = self.log_probabilities(self.prior(hidden))
        following = self.draw(log_prior, None if num_steps == 1 else uniform)
        feature = torch.cat([hidden, following], -1)
        shown = self.decoder(feature).float()
        size = latent[0].numel()
        shown_latent = shown[:, :size].reshape(latent.shape)
        return Step(
            shown_latent, shown[:, size:], feature, RSSMState(hidden, following, shown_latent)
        )

    def learn(
        self,
        latent_BTCHW: Tensor,
        vector_BTK: Tensor,
        action_BTA: Tensor,
        weight_BTHW: Tensor | None,
        generator: torch.Generator,
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Returns the parts of the loss on true windows, and the agent tokens (B, T-1, D).

        `latent`, `vector`: squared errors of the reconstruction. `dynamics`: KL(sg q || p), which
        teaches the dynamics; `representation`: KL(q || sg p), which makes what is seen
        predictable; nats, at least `FREE_NATS`.

        Args:
            latent_BTCHW: Normalised latents.
            vector_BTK: Normalised vectors.
            action_BTA: The action that led to each frame.
            weight_BTHW: Weight of each latent position, mean about 1, or None.
            generator: Draws the stochastic states.
        """
        B, T = latent_BTCHW.shape[:2]
        entries_BTE = torch.cat([latent_BTCHW.flatten(2), vector_BTK], -1)
        shape = (B, self.config.num_variables)
        hidden = self.init_memory(B, latent_BTCHW.device).hidden_BD
        features, priors, posteriors = [], [], []
        for t in range(T):
            log_posterior = self.representation(hidden, entries_BTE[:, t])
            uniform = torch.rand(shape, generator=generator, device=hidden.device)
            sample = self.draw(log_posterior, uniform)
            features.append(torch.cat([hidden, sample], -1))
            priors.append(self.log_probabilities(self.prior(hidden)))
            posteriors.append(log_posterior)
            if t + 1 < T:
                hidden = self.advance(hidden, sample, action_BTA[:, t + 1])
        feature = torch.stack(features, 1)
        shown = self.decoder(feature).float()
        size = latent_BTCHW[0, 0].numel()
        error = (shown[..., :size].reshape(latent_BTCHW.shape) - latent_BTCHW).square()
        if weight_BTHW is not None:
            error = error * weight_BTHW[:, :, None]
        prior, posterior = torch.stack(priors, 1)[:, 1:], torch.stack(posteriors, 1)[:, 1:]
        return {
            "latent": error.mean(),
            "vector": (shown[..., size:] - vector_BTK).square().mean(),
            "dynamics": divergence(posterior.detach(), prior).clamp_min(FREE_NATS).mean(),
            "representation": divergence(posterior, prior.detach()).clamp_min(FREE_NATS).mean(),
        }, feature[:, 1:]  # fmt: skip


def divergence(log_q: Tensor, log_p: Tensor) -> Tensor:
    """Returns KL(q || p) in nats, summed over variables; from (..., G, L) to (...)."""
    return (log_q.exp() * (log_q - log_p)).sum((-1, -2))
