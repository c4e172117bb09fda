"""Actor and critic on a world model's features: the latents of two frames and the vector.

Shapes: B batch, C H W what is seen, K vector size, A action size, D width. Every network takes
`RolloutState.seen` and the vector (B, K) in its own units, which it normalises itself.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dreamdrive.worldmodel.model import WorldModel
from dreamdrive.worldmodel.two_hot import symexp_bins, two_hot_loss, two_hot_mean

VECTOR_LIMIT = 10.0
"""Normalised vector entries are clamped to it, so that a dream gone wild stays finite."""
MEAN_LIMIT = 3.0
"""Bound of the mean before the tanh, whose slope there is still 0.01."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkConfig:
    """Sizes of actor and critic."""

    width: int = 256
    num_layers: int = 2
    channels: int = 16
    use_image: bool = True
    """False leaves the latent out: the agent without the image."""
    min_std: float = 0.05
    max_std: float = 1.0
    initial_std: float = 0.3
    """Spread of the actions before learning; more would leave the road within a dream."""
    num_bins: int = 127
    """Bins of the critic's distribution; odd."""
    value_limit: float = 50.0
    """Outermost bin of the critic; larger returns are clamped to it."""
    value_scale: float = 0.01
    """Bins are spaced evenly below it and by a constant ratio above it."""

    def __post_init__(self) -> None:
        """Checks the sizes.

        Raises:
            ValueError: If a size is not positive or the bounds are out of order.
        """
        if min(self.width, self.num_layers, self.channels) < 1:
            raise ValueError("width, num_layers and channels must be at least 1")
        if not 0.0 < self.min_std < self.initial_std < self.max_std:
            raise ValueError(
                "need 0 < min_std < initial_std < max_std, got "
                f"{self.min_std}, {self.initial_std}, {self.max_std}"
            )
        if self.num_bins < 3 or self.num_bins % 2 == 0:
            raise ValueError(f"num_bins must be odd and at least 3, got {self.num_bins}")
        if not 0.0 < self.value_scale < self.value_limit:
            raise ValueError("need 0 < value_scale < value_limit")


class FeatureSpec(NamedTuple):
    """What the networks read and how large it is.

    Attributes:
        seen_shape: Channels, height and width of what is seen.
        vector_size: Entries K of the vector.
        action_size: Entries A of the action.
    """

    seen_shape: tuple[int, int, int]
    vector_size: int
    action_size: int

    @staticmethod
    def of(model: WorldModel) -> "FeatureSpec":
        """Returns the features of a world model."""
        config = model.config
        C, H, W = model.latent_shape
        return FeatureSpec((2 * C, H, W), config.vector_size, config.action_size)


class Trunk(nn.Module):
    """Two convolutions over what is seen beside the vector, then a perceptron; (B, D)."""

    def __init__(self, spec: FeatureSpec, config: NetworkConfig) -> None:
        super().__init__()
        self.use_image = config.use_image
        C, H, W = spec.seen_shape
        size = spec.vector_size
        if config.use_image:
            narrow, wide = config.channels, 2 * config.channels
            self.see = nn.Sequential(
                nn.Conv2d(C, narrow, 3, padding=1), nn.SiLU(),
                nn.Conv2d(narrow, wide, 3, stride=2, padding=1), nn.SiLU(), nn.Flatten(),
            )  # fmt: skip
            size += wide * ((H + 1) // 2) * ((W + 1) // 2)
        layers: list[nn.Module] = []
        for _ in range(config.num_layers):
            layers += [nn.Linear(size, config.width), nn.LayerNorm(config.width), nn.SiLU()]
            size = config.width
        self.layers = nn.Sequential(*layers)
        self.register_buffer("vector_mean", torch.zeros(spec.vector_size))
        self.register_buffer("vector_std", torch.ones(spec.vector_size))
        self.vector_mean: Tensor
        self.vector_std: Tensor

    def forward(self, seen_BCHW: Tensor, vector_BK: Tensor) -> Tensor:
        """Returns features (B, D)."""
        vector = (vector_BK - self.vector_mean) / self.vector_std
        seen = vector.clamp(-VECTOR_LIMIT, VECTOR_LIMIT)
        if self.use_image:
            seen = torch.cat([self.see(seen_BCHW), seen], -1)
        features: Tensor = self.layers(seen)
        return features


class TanhGaussian(NamedTuple):
    """The distribution of tanh(u) with u ~ N(mean, std²), for each entry of an action.

    Attributes:
        mean: Of u, shape (..., A).
        std: Of u, shape (..., A).
    """

    mean: Tensor
    std: Tensor

    @property
    def mode(self) -> Tensor:
        """The action at the mean of u, shape (..., A)."""
        return self.mean.tanh()

    def sample(self, noise: Tensor) -> Tensor:
        """Returns u, shape (..., A), for unit Gaussian noise; its gradient is reparameterised."""
        return self.mean + self.std * noise

    def log_prob(self, u: Tensor) -> Tensor:
        """Returns the log-density of the action tanh(u), summed over its entries, shape (...)."""
        standard = (u - self.mean) / self.std
        density = -0.5 * standard.square() - self.std.log() - 0.5 * math.log(2.0 * math.pi)
        return (density - log_tanh_slope(u)).sum(-1)

    def entropy(self, noise: Tensor) -> Tensor:
        """Returns one reparameterised draw of the entropy of the action, shape (...)."""
        return -self.log_prob(self.sample(noise))

    def divergence(self, other: "TanhGaussian") -> Tensor:
        """Returns KL(self | other), shape (...); the tanh leaves it as it is for Gaussians."""
        ratio = (self.std / other.std).square()
        shift = ((self.mean - other.mean) / other.std).square()
        return 0.5 * (ratio + shift - 1.0 - ratio.log()).sum(-1)


def joined(policies: list[TanhGaussian]) -> TanhGaussian:
    """Returns the policies of T decisions (B, A) as one of all of them, (B · T, A)."""
    mean, std = (torch.stack(part, 1).flatten(0, 1) for part in zip(*policies, strict=True))
    return TanhGaussian(mean, std)


def log_tanh_slope(u: Tensor) -> Tensor:
    """Returns ln(1 - tanh(u)²) without the loss of digits at large |u|."""
    return 2.0 * (math.log(2.0) - u - F.softplus(-2.0 * u))


class Actor(nn.Module):
    """A policy network: features to a tanh-Gaussian over actions."""

    def __init__(self, spec: FeatureSpec, config: NetworkConfig) -> None:
        super().__init__()
        self.spec, self.config = spec, config
        self.trunk = Trunk(spec, config)
        self.head = nn.Linear(config.width, 2 * spec.action_size)
        # Near-zero actions at first: random steering would leave the road before it learns.
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)
        share = (config.initial_std - config.min_std) / (config.max_std - config.min_std)
        nn.init.constant_(self.head.bias[spec.action_size :], math.log(share / (1.0 - share)))

    @classmethod
    def for_model(cls, model: WorldModel, config: NetworkConfig) -> "Actor":
        """Returns an untrained actor that reads a world model's features, on its device."""
        return _normalised(cls(FeatureSpec.of(model), config), model)

    def forward(self, seen_BCHW: Tensor, vector_BK: Tensor) -> TanhGaussian:
        """Returns the distribution of the action, batch shape (B,)."""
        mean, spread = self.head(self.trunk(seen_BCHW, vector_BK)).chunk(2, -1)
        low, high = self.config.min_std, self.config.max_std
        mean = MEAN_LIMIT * torch.tanh(mean / MEAN_LIMIT)
        return TanhGaussian(mean, low + (high - low) * torch.sigmoid(spread))


class Critic(nn.Module):
    """A value network: features to a distribution over returns."""

    def __init__(self, spec: FeatureSpec, config: NetworkConfig) -> None:
        super().__init__()
        self.spec, self.config = spec, config
        self.trunk = Trunk(spec, config)
        self.head = nn.Linear(config.width, config.num_bins)
        # Even logits have mean 0: an untrained critic promises nothing.
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        bins = symexp_bins(config.num_bins, config.value_limit, config.value_scale)
        self.register_buffer("bins", bins, persistent=False)
        self.bins: Tensor

    @classmethod
    def for_model(cls, model: WorldModel, config: NetworkConfig) -> "Critic":
        """Returns an untrained critic that reads a world model's features, on its device."""
        return _normalised(cls(FeatureSpec.of(model), config), model)

    def forward(self, seen_BCHW: Tensor, vector_BK: Tensor) -> Tensor:
        """Returns logits over the bins, shape (B, bins)."""
        logits: Tensor = self.head(self.trunk(seen_BCHW, vector_BK))
        return logits

    def value(self, seen_BCHW: Tensor, vector_BK: Tensor) -> Tensor:
        """Returns the expected return, shape (B,)."""
        return two_hot_mean(self(seen_BCHW, vector_BK), self.bins)

    def loss(self, seen_BCHW: Tensor, vector_BK: Tensor, target_B: Tensor) -> Tensor:
        """Returns the cross-entropy against the two-hot of the target, shape (B,)."""
        return two_hot_loss(self(seen_BCHW, vector_BK), target_B, self.bins)


Network = TypeVar("Network", Actor, Critic)


def _normalised(network: Network, model: WorldModel) -> Network:
    network.trunk.vector_mean.copy_(model.vector_mean)
    network.trunk.vector_std.copy_(model.vector_std)
    return network.to(model.vector_mean.device)
