"""What tells dreamed frames from real ones, so that dreams of any age stay among real pictures.

A hundred frames into a dream nobody knows what would have been seen: the one frame that came is one
of many that could have, and who is asked to name it blurs. What can be asked of a frame there is
that it looks like some real one, and that it moves as the action says. A small critic D learns to
tell them apart, three frames at a time with their vectors and actions, and the dynamics learn to
leave it nothing to tell (relativistic pairing, with softplus f(x) = log(1 + eˣ)):

    adversarial  f(D(real) - D(dreamed)), the critic held still
    critic       f(D(dreamed) - D(real)) + G / 2S² Σ (D(x) - D(x + S·e))²

The sum is over the real and the dreamed frames x. It keeps the critic from being sure about what
nobody would see (the gradient penalties R1 and R2, approximated without second derivatives);
without, such a game need not converge.

Shapes: B batch, T time, C H W latent, K vector, A action.

Reference:
    Goodfellow et al. 2014, arXiv:1406.2661; Jolicoeur-Martineau 2018, "The relativistic
    discriminator", arXiv:1807.00734; Huang et al. 2024, "The GAN is dead; long live the GAN!",
    arXiv:2501.05441 (pairing with both penalties); Lin et al. 2025, "Diffusion adversarial
    post-training", arXiv:2501.08316 (the penalty approximated); Huang et al. 2025, "Self
    Forcing", arXiv:2506.08009 (matching distributions of a model's own
    rollouts).
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

SLOPE = 0.2
"""Of the critic's rectifiers below zero."""
CRITIC_WEIGHT = 0.01
"""Of the critic's own loss in the sum. Adam heeds no scale of a gradient, but the bound on the norm
of all gradients does: at this weight the critic's do not crowd out the dynamics'."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AdversaryConfig:
    """Which dreams are judged, and by what."""

    dreams: int = 32
    """Dreams that go on from one training step to the next."""
    longest: int = 400
    """Most frames of a dream before it is begun anew; each draws its own, from 1 on."""
    young_share: float = 0.0
    """Share of the dreams that are begun anew after `young` frames at most: those that agents see,
    of which there are few among dreams that live long."""
    young: int = 30
    between: int = 6
    """Frames that each goes on without gradient between two that are judged."""
    judged: int = 3
    """Frames that are judged together, and through which the gradient goes."""
    width: int = 48
    """Channels of the critic at the latents' resolution; twice as many at half of it."""
    penalty: float = 4.0
    """G, of the critic's squared slope."""
    shake: float = 0.1
    """S, in spreads of the latents."""
    warmup: int = 200
    """Steps over which the weight of `adversarial` rises from 0, while the critic learns."""

    def __post_init__(self) -> None:
        """Checks the sizes.

        Raises:
            ValueError: If one is out of its range.
        """
        counts = (self.dreams, self.longest, self.young, self.judged, self.width)
        if min(counts) < 1 or self.between < 0:
            raise ValueError("dreams, lives, judged and width must be at least 1, between 0")
        if not 0.0 <= self.young_share <= 1.0:
            raise ValueError(f"young_share must be in [0, 1], got {self.young_share}")
        if self.shake <= 0.0 or self.penalty < 0.0 or self.warmup < 0:
            raise ValueError("shake must be positive, penalty and warmup not negative")


class Clip(NamedTuple):
    """Some consecutive frames, each with the action that led to it.

    Attributes:
        latent: Normalised latents, shape (B, T, C, H, W).
        vector: Normalised vectors, shape (B, T, K).
        action: Shape (B, T, A).
    """

    latent: Tensor
    vector: Tensor
    action: Tensor

    def detach(self) -> "Clip":
        """Returns the same without what computed it."""
        return Clip._make(x.detach() for x in self)

    def shaken(self, strength: float, generator: torch.Generator) -> "Clip":
        """Returns the same with Gaussian noise on latents and vectors."""
        return self._replace(
            latent=self.latent + strength * _normal(self.latent, generator),
            vector=self.vector + strength * _normal(self.vector, generator),
        )


def _normal(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=generator, device=like.device)


class Critic(nn.Module):
    """Says of each place of a clip how real it looks; left behind when training ends.

    It knows where a place is (the picture is drawn around the ego) and what was done there, and has
    no norm: how large latents are is among the things that it has to see.
    """

    def __init__(
        self, config: AdversaryConfig, *, latent_shape: tuple[int, int, int], vector_size: int,
        action_size: int,
    ) -> None:  # fmt: skip
        super().__init__()
        self.config = config
        C, H, W = latent_shape
        T, width = config.judged, config.width
        self.stem = nn.Conv2d(T * C, width, 3, padding=1)
        self.place = nn.Parameter(torch.zeros(width, H, W))
        self.known = nn.Linear(T * (vector_size + action_size), width)
        self.down = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)
        self.inner = nn.Conv2d(2 * width, 2 * width, 3, padding=1)
        self.outer = nn.Conv2d(2 * width, 2 * width, 3, padding=1)
        self.verdict = nn.Conv2d(2 * width, 1, 1)

    def forward(self, latent_BTCHW: Tensor, vector_BTK: Tensor, action_BTA: Tensor) -> Tensor:
        """Returns a score a place, shape (B, H/2, W/2); larger is more real."""
        known = torch.cat([vector_BTK, action_BTA.nan_to_num()], -1).flatten(1)
        x = self.stem(latent_BTCHW.flatten(1, 2)) + self.place
        x = F.leaky_relu(x + self.known(known)[:, :, None, None], SLOPE)
        x = F.leaky_relu(self.down(x), SLOPE)
        x = x + self.outer(F.leaky_relu(self.inner(x), SLOPE))
        score: Tensor = self.verdict(F.leaky_relu(x, SLOPE))[:, 0]
        return score


def adversarial_loss(
    critic: Critic, real: Clip, dreamed: Clip, generator: torch.Generator
) -> tuple[dict[str, Tensor], dict[str, float]]:
    """Returns the parts `adversarial` and `critic`, and how well the critic tells them apart.

    The first has a gradient to what dreamed, the second to the critic, and neither to the other.

    Args:
        critic: D.
        real: Recorded clips.
        dreamed: As many dreamed ones.
        generator: Source of the noise of the penalties.
    """
    config, B = critic.config, len(real.latent)
    still = {name: value.detach() for name, value in critic.named_parameters()}
    told: Tensor = functional_call(critic, still, tuple(dreamed))
    seen = dreamed.detach()
    shaken = (clip.shaken(config.shake, generator) for clip in (real, seen))
    score = critic(*(torch.cat(parts) for parts in zip(real, seen, *shaken, strict=True)))
    on_real, on_seen, *beside = score.split(B)
    uneven = sum(
        (a - b).flatten(1).mean(1).square().mean()
        for a, b in zip((on_real, on_seen), beside, strict=True)
    )
    parts = {
        "adversarial": F.softplus(on_real.detach() - told).mean(),
        "critic": F.softplus(on_seen - on_real).mean()
        + 0.5 * config.penalty / config.shake**2 * uneven,
    }
    right = (on_real > on_seen).float().mean()
    return parts, {"critic_right": float(right)}
