"""The M of World Models: a recurrent network whose output is a mixture of Gaussians.

z_{t+1} = f(z_t, a_t, h_t) + ε, where every entry of the next latent and vector has a mixture of its
own: weights π, means μ and spreads σ, p(z) = Σ_k π_k N(z; μ_k, σ_k²).

Shapes: B batch, T time, K mixture components, E entries of latent and vector together, D hidden.

Reference:
    Ha & Schmidhuber 2018, "World Models", arXiv:1803.10122, §2.2 and appendix A.2.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dreamdrive.worldmodel.transformer import Step

LOWEST_LOG_STD, HIGHEST_LOG_STD = -5.0, 2.0
"""Bounds of a spread's log: without the lower, a constant entry would be worth more and more."""
EDGE = 1e-6
"""Uniform draws stay so far from 0 and 1, where the normal quantile is infinite."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MDNRNNConfig:
    """Sizes of the mixture density network."""

    width: int = 256
    hidden: int = 256
    num_components: int = 3

    def __post_init__(self) -> None:
        """Checks the sizes."""
        if min(self.width, self.hidden, self.num_components) < 1:
            raise ValueError("width, hidden and num_components must be at least 1")


class LSTMState(NamedTuple):
    """Hidden and cell state, (B, D) each."""

    hidden_BD: Tensor
    cell_BD: Tensor


class Mixture(NamedTuple):
    """A mixture of Gaussians for each entry; all of shape (..., K, E).

    Attributes:
        log_weight: log π, normalised over K.
        mean: μ.
        log_std: log σ.
    """

    log_weight: Tensor
    mean: Tensor
    log_std: Tensor

    def negative_log_likelihood(self, target: Tensor) -> Tensor:
        """Returns -log p of each entry of targets (..., E), same shape."""
        scaled = (target.unsqueeze(-2) - self.mean) * (-self.log_std).exp()
        log_normal = -0.5 * scaled.square() - self.log_std - 0.5 * math.log(2.0 * math.pi)
        return -torch.logsumexp(self.log_weight + log_normal, -2)

    def expectation(self) -> Tensor:
        """Returns the mean of each entry, (..., E)."""
        return (self.log_weight.exp() * self.mean).sum(-2)

    def sample(self, noise: Tensor) -> Tensor:
        """Returns a draw of each entry from one unit Gaussian each, (..., E).

        The Gaussian's quantile picks the component; its place within the component's share of
        [0, 1] is uniform again and becomes the component's own Gaussian.
        """
        uniform = torch.special.ndtr(noise).clamp(EDGE, 1.0 - EDGE)
        weight = self.log_weight.exp()
        upper = weight.cumsum(-2)
        index = (uniform.unsqueeze(-2) > upper).sum(-2, keepdim=True)
        index = index.clamp_max(weight.shape[-2] - 1)

        def chosen(values: Tensor) -> Tensor:
            return values.gather(-2, index).squeeze(-2)

        share = chosen(weight).clamp_min(EDGE)
        within = ((uniform - (chosen(upper) - share)) / share).clamp(EDGE, 1.0 - EDGE)
        return chosen(self.mean) + chosen(self.log_std).exp() * torch.special.ndtri(within)


class MDNRNNDynamics(nn.Module):
    """An LSTM over flat latents, vectors and actions, with a mixture for what follows.

    The mixture is of the change from the frame before, so that a new network predicts that frame.
    """

    def __init__(
        self,
        config: MDNRNNConfig,
        *,
        latent_shape: tuple[int, int, int],
        vector_size: int,
        action_size: int,
    ) -> None:
        super().__init__()
        self.config, self.agent_size = config, config.hidden
        self.num_entries = math.prod(latent_shape) + vector_size
        self.inside = nn.Sequential(
            nn.Linear(self.num_entries + action_size, config.width), nn.SiLU()
        )
        self.cell = nn.LSTMCell(config.width, config.hidden)
        self.outside = nn.Linear(config.hidden, 3 * config.num_components * self.num_entries)
        # Components start apart, else they would all learn the same; together they change nothing.
        nn.init.zeros_(self.outside.weight)
        nn.init.zeros_(self.outside.bias)
        spread = torch.linspace(-0.1, 0.1, config.num_components)
        if config.num_components > 1:
            with torch.no_grad():
                self.outside.bias.view(3, config.num_components, -1)[1] += spread[:, None]

    def init_memory(self, batch_size: int, device: torch.device) -> LSTMState:
        """Returns the memory before any frame."""
        zero = torch.zeros(batch_size, self.config.hidden, device=device)
        return LSTMState(zero, zero.clone())

    def mixture(
        self, latent: Tensor, vector: Tensor, action: Tensor, memory: LSTMState
    ) -> tuple[Mixture, LSTMState]:
        """Returns what may follow a frame under an action, and the memory after it."""
        flat = torch.cat([latent.flatten(1), vector], -1)
        seen = self.inside(torch.cat([flat, action], -1))
        hidden, cell = self.cell(seen, (memory.hidden_BD, memory.cell_BD))
        out = self.outside(hidden).float().unflatten(-1, (3, self.config.num_components, -1))
        weight, change, log_std = out.unbind(1)
        bounded = LOWEST_LOG_STD + F.softplus(log_std - LOWEST_LOG_STD)
        return Mixture(
            weight.log_softmax(1), flat[:, None] + change, bounded.clamp_max(HIGHEST_LOG_STD)
        ), LSTMState(hidden, cell)

    def step(
        self,
        latent: Tensor,
        vector: Tensor,
        action: Tensor,
        memory: LSTMState,
        noise: tuple[Tensor, Tensor],
        num_steps: int = 1,
    ) -> Step:
        """Returns the frame after `latent` and `vector`: the mixture's mean, or a draw from it.

        Args:
            latent: Normalised latent, shape (B, C, H, W).
            vector: Normalised vector, shape (B, K).
            action: Shape (B, A).
            memory: What the frames before left behind.
            noise: Unit Gaussian of the shapes of `latent` and `vector`.
            num_steps: 1 gives the mean, more a draw.
        """
        mixture, memory = self.mixture(latent, vector, action, memory)
        if num_steps == 1:
            flat = mixture.expectation()
        else:
            flat = mixture.sample(torch.cat([noise[0].flatten(1), noise[1]], -1))
        size = latent[0].numel()
        return Step(
            flat[:, :size].reshape(latent.shape), flat[:, size:], F.silu(memory.hidden_BD), memory
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

        `likelihood`: mean -log p of the entries of latent and vector, given the true frames before.

        Args:
            latent_BTCHW: Normalised latents.
            vector_BTK: Normalised vectors.
            action_BTA: The action that led to each frame.
            weight_BTHW: Weight of each latent position, mean about 1, or None.
            generator: Not used: the likelihood needs no draw.
        """
        memory = self.init_memory(len(latent_BTCHW), latent_BTCHW.device)
        errors, agents = [], []
        for t in range(1, latent_BTCHW.shape[1]):
            mixture, memory = self.mixture(
                latent_BTCHW[:, t - 1], vector_BTK[:, t - 1], action_BTA[:, t], memory
            )
            target = torch.cat([latent_BTCHW[:, t].flatten(1), vector_BTK[:, t]], -1)
            error = mixture.negative_log_likelihood(target)
            if weight_BTHW is not None:
                weight = weight_BTHW[:, t, None].expand_as(latent_BTCHW[:, t]).flatten(1)
                error = error * torch.cat([weight, torch.ones_like(vector_BTK[:, t])], -1)
            errors.append(error.mean())
            agents.append(F.silu(memory.hidden_BD))
        return {"likelihood": torch.stack(errors).mean()}, torch.stack(agents, 1)
