"""Causal 3D VAE: RGB (B, T, 3, H, W) to latents (B, T/s, C, H/8, W/8) and back, s = 1 in dreams.

Space is convolved frame by frame; time is mixed by causal convolutions at the coarsest resolution,
so that a stream of single frames with a small cache equals the whole clip. Norms act on the
channels of one position alone: anything wider would look across time or at the clip's length.

Reference:
    Kingma & Welling 2014, arXiv:1312.6114; van den Oord et al. 2016, arXiv:1609.03499.
"""

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dreamdrive.errors import ConfigError
from dreamdrive.worldmodel.causal_conv import CausalTimeConv, through
from dreamdrive.worldmodel.vivit import TimeLayer, TubeletEmbedding, ViViTConfig

COLOUR_BINS = 8
"""Levels per channel of the colour histogram that weights rare content."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenizerConfig:
    """Sizes of the tokenizer and weights of its loss."""

    image_size: int = 64
    latent_channels: int = 8
    width: int = 48
    """Channels at a quarter of the resolution."""
    coarse_width: int = 64
    """Channels at an eighth of the resolution."""
    encoder: Literal["conv", "vivit"] = "conv"
    """What makes latents of pictures: convolutions, or ViViT's tubelets and factorised attention
    (Arnab et al. 2021, arXiv:2103.15691)."""
    vivit: ViViTConfig = field(default_factory=ViViTConfig)
    """Sizes of that."""
    time_stride: int = 1
    """Frames that become one latent: 1, 2 or 4, or 8 with `vivit`, whose tubelets are cubes then.
    A dream needs 1; more compresses clips."""
    dilations: tuple[int, ...] = (1,)
    """Of the causal convolutions over time, one above the other (WaveNet, arXiv:1609.03499,
    §2.1)."""
    bottleneck: Literal["kl", "tanh"] = "kl"
    """What bounds latents: the divergence from a unit Gaussian, or a tanh without chance (Dreamer
    4, arXiv:2509.24527, §3.1)."""
    kl_weight: float = 1e-4
    latent_noise: float = 0.2
    """Largest standard deviation of the noise on latents that the decoder learns to bear."""
    rarity_power: float = 0.5
    """A colour of frequency f weighs f to the minus this power; 0 weighs all pixels alike."""
    rarity_bound: float = 20.0
    """Most that a colour weighs; what has a pixel or two in few frames needs more to be drawn."""

    def __post_init__(self) -> None:
        """Checks the sizes."""
        if self.image_size % 8:
            raise ValueError(f"image_size must be a multiple of 8, got {self.image_size}")
        if self.rarity_bound < 1.0:
            raise ValueError(f"rarity_bound must be at least 1, got {self.rarity_bound}")
        if self.time_stride not in ((1, 2, 4, 8) if self.encoder == "vivit" else (1, 2, 4)):
            raise ValueError(
                f"time_stride must be 1, 2 or 4, or 8 with vivit, got {self.time_stride}"
            )
        if not self.dilations or min(self.dilations) < 1:
            raise ValueError(f"dilations must be at least 1, got {self.dilations}")
        if self.encoder == "vivit" and self.coarse_width % self.vivit.num_heads:
            raise ValueError("coarse_width must be a multiple of vivit.num_heads")

    @property
    def latent_size(self) -> int:
        """Height and width of a latent."""
        return self.image_size // 8


class ChannelNorm(nn.Module):
    """RMS norm over the channels of each position."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(channels))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Returns the input with unit root mean square at each position, times a scale."""
        inverse = torch.rsqrt(x_BCHW.square().mean(1, keepdim=True) + 1e-6)
        return x_BCHW * inverse * self.scale[:, None, None]


class ResBlock(nn.Module):
    """Two 3x3 convolutions around a residual."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = ChannelNorm(channels), ChannelNorm(channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Returns a tensor of the input's shape."""
        hidden = self.conv1(F.silu(self.norm1(x_BCHW)))
        return x_BCHW + self.conv2(F.silu(self.norm2(hidden)))


class Posterior(NamedTuple):
    """A diagonal Gaussian over latents; both of shape (B, T, C, H, W)."""

    mean: Tensor
    log_variance: Tensor

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """Returns one draw."""
        noise = torch.randn(self.mean.shape, generator=generator, device=self.mean.device)
        return self.mean + noise * (0.5 * self.log_variance).exp()

    def kl(self) -> Tensor:
        """Returns the divergence from the unit Gaussian, in nats per latent value."""
        mean, log_variance = self
        return 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance).mean()


class Tokenizer(nn.Module):
    """Encoder and decoder; see the module's docstring."""

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        self.config = config
        W, D, C, s = config.width, config.coarse_width, config.latent_channels, config.time_stride
        first, *more = config.dilations
        if config.encoder == "vivit":
            sizes = config.vivit
            self.tubelets = TubeletEmbedding(sizes, D, config.latent_size, s)
            self.time_layers = nn.ModuleList(
                TimeLayer(D, sizes.num_heads, sizes.window) for _ in range(sizes.num_time_layers)
            )
        else:
            self.stem = nn.Conv2d(48, W, 3, padding=1)
            self.fine_in = ResBlock(W)
            self.down = nn.Conv2d(W, D, 2, stride=2)
            self.coarse_in = ResBlock(D)
            self.time_in = CausalTimeConv(D, dilation=first)
            self.time_in_more = nn.ModuleList(CausalTimeConv(D, dilation=d) for d in more)
        self.to_posterior = nn.Conv2d(D, 2 * C if config.bottleneck == "kl" else C, 1)
        self.from_latent = nn.Conv2d(C, D, 3, padding=1)
        self.time_out = CausalTimeConv(D, dilation=first)
        self.time_out_more = nn.ModuleList(CausalTimeConv(D, dilation=d) for d in more)
        self.coarse_out = nn.Sequential(ResBlock(D), ResBlock(D))
        self.up = nn.Conv2d(D, 4 * W, 1)
        self.fine_out = nn.Sequential(ResBlock(W), ResBlock(W))
        self.head = nn.Conv2d(W, 48, 3, padding=1)
        if s > 1:
            self.unfold = nn.Conv2d(D, s * D, 1)
            if config.encoder == "conv":
                self.fold = nn.Conv2d(s * D, D, 1)
        self.register_buffer("colour_weight", torch.ones(COLOUR_BINS**3))
        self.colour_weight: Tensor

    def decoder_parameters(self) -> list[nn.Parameter]:
        """Returns what makes pictures of latents, and no part of what makes latents of pictures."""
        parts: list[Any] = [
            self.from_latent, *self._layers_out, self.coarse_out, self.up, self.fine_out, self.head,
        ]  # fmt: skip
        if self.config.time_stride > 1:
            parts.append(self.unfold)
        return [parameter for part in parts for parameter in part.parameters()]

    @property
    def _layers_in(self) -> list[Any]:
        if self.config.encoder == "vivit":
            return list(self.time_layers)
        return [self.time_in, *self.time_in_more]

    @property
    def _layers_out(self) -> list[Any]:
        return [self.time_out, *self.time_out_more]

    def posterior(
        self, image_BTCHW: Tensor, cache: Tensor | None = None
    ) -> tuple[Posterior, Tensor]:
        """Returns the posterior of each latent given its frames and those before, and the cache.

        Args:
            image_BTCHW: RGB in [0, 1], shape (B, T, 3, H, W); T is a multiple of `time_stride`.
            cache: What the call on the frames before returned; None at an episode's start.

        Raises:
            ConfigError: If T is no such multiple.
        """
        T = image_BTCHW.shape[1]
        if T % self.config.time_stride:
            raise ConfigError(
                f"A clip of {T} frames is no multiple of the time stride {self.config.time_stride}",
                do="Leave out the frames that are left over.",
            )
        x, cache = through(self._layers_in, self._embed(image_BTCHW * 2.0 - 1.0), cache)
        lead = x.shape[:2]
        out = self.to_posterior(x.flatten(0, 1)).float()
        if self.config.bottleneck == "tanh":
            mean, log_variance = out.tanh(), torch.full_like(out, -torch.inf)
        else:
            mean, log_variance = out.chunk(2, 1)
            log_variance = log_variance.clamp(-12.0, 4.0)
        return Posterior(mean.unflatten(0, lead), log_variance.unflatten(0, lead)), cache

    def _embed(self, image_BTCHW: Tensor) -> Tensor:
        """Returns features (B, T/s, D, H/8, W/8), each of its own frames alone."""
        if self.config.encoder == "vivit":
            tokens: Tensor = self.tubelets(image_BTCHW)
            return tokens
        B, s = len(image_BTCHW), self.config.time_stride
        x = F.pixel_unshuffle(image_BTCHW.flatten(0, 1), 4)
        x = self.coarse_in(self.down(self.fine_in(self.stem(x))))
        if s > 1:
            x = self.fold(x.unflatten(0, (-1, s)).flatten(1, 2))
        return x.unflatten(0, (B, -1))

    def decode(
        self, latent_BTCHW: Tensor, cache: Tensor | None = None, *, shown: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """Returns RGB of shape (B, T, 3, H, W), in [0, 1] but not clipped, and the cache.

        Args:
            latent_BTCHW: Shape (B, T / `time_stride`, C, H/8, W/8).
            cache: What the call on the latents before returned; None at an episode's start.
            shown: How many of the latents are shown, the last ones; all by default.
        """
        B, s = len(latent_BTCHW), self.config.time_stride
        x, cache = self._mix_latents(latent_BTCHW, cache)
        x = (x if shown is None else x[:, -shown:]).flatten(0, 1)
        if s > 1:
            x = self.unfold(x).unflatten(1, (s, -1)).flatten(0, 1)
        x = self.fine_out(F.pixel_shuffle(self.up(self.coarse_out(x)), 2))
        image = F.pixel_shuffle(self.head(x), 4).float() * 0.5 + 0.5
        return image.unflatten(0, (B, -1)), cache

    def _mix_latents(self, latent_BTCHW: Tensor, cache: Tensor | None) -> tuple[Tensor, Tensor]:
        x = self.from_latent(latent_BTCHW.flatten(0, 1)).unflatten(0, latent_BTCHW.shape[:2])
        return through(self._layers_out, x, cache)

    def passed(self, latent_BCHW: Tensor, cache: Tensor) -> Tensor:
        """Returns the decoder's cache after a latent that is not shown."""
        if len(self._layers_out) > 1:
            return self._mix_latents(latent_BCHW[:, None], cache)[1]
        return torch.cat([cache[:, 1:], self.from_latent(latent_BCHW)[:, None]], 1)

    def encoder_cache(self, batch_size: int, like: Tensor) -> Tensor:
        """Returns the encoder's cache before an episode's first frame."""
        return self._empty_cache(self._layers_in, batch_size, like)

    def decoder_cache(self, batch_size: int, like: Tensor) -> Tensor:
        """Returns the decoder's cache before an episode's first frame."""
        return self._empty_cache(self._layers_out, batch_size, like)

    def _empty_cache(self, layers: list[Any], batch_size: int, like: Tensor) -> Tensor:
        frames = sum(layer.history for layer in layers)
        size = self.config.latent_size
        return like.new_zeros(batch_size, frames, self.config.coarse_width, size, size)

    def fit_colour_weights(self, image_NHWC: Tensor) -> None:
        """Sets the weight of each colour from its frequency in uint8 frames (N, H, W, 3).

        Weights average 1 over the pixels and are kept within [0.2, `rarity_bound`].
        """
        index = colour_index(image_NHWC.movedim(-1, 1).float() / 255.0)
        count = torch.bincount(index.flatten(), minlength=COLOUR_BINS**3).float()
        frequency = count / count.sum()
        weight = frequency.clamp_min(1e-6).pow(-self.config.rarity_power)
        weight = weight / (weight * frequency).sum()
        self.colour_weight.copy_(weight.clamp(0.2, self.config.rarity_bound))

    def pixel_weight(self, image_BTCHW: Tensor) -> Tensor:
        """Returns the weight of each pixel's colour, shape (B, T, 1, H, W)."""
        image = image_BTCHW.flatten(0, 1)
        return self.colour_weight[colour_index(image)][:, None].unflatten(0, image_BTCHW.shape[:2])

    def reconstruction_loss(
        self, predicted_BTCHW: Tensor, image_BTCHW: Tensor, *, squares: float = 4.0,
        is_weighted: bool = True,
    ) -> Tensor:  # fmt: skip
        """Returns the absolute error plus `squares` times the squared, a scalar; by rarity."""
        difference = predicted_BTCHW - image_BTCHW
        error = squares * difference.square() + difference.abs()
        return (self.pixel_weight(image_BTCHW) * error if is_weighted else error).mean()

    def loss(
        self, image_BTCHW: Tensor, generator: torch.Generator | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Returns the training loss and its parts.

        The decoder sees a posterior sample with extra noise of a random strength, so that it bears
        the imperfect latents of a dream.
        """
        posterior, _ = self.posterior(image_BTCHW)
        is_drawn = self.config.bottleneck == "kl"
        latent = posterior.sample(generator) if is_drawn else posterior.mean
        B = len(latent)
        strength = torch.rand((B, 1, 1, 1, 1), generator=generator, device=latent.device)
        noise = torch.randn(latent.shape, generator=generator, device=latent.device)
        spread = latent.detach().std()
        noisy = latent + noise * strength * self.config.latent_noise * spread
        predicted, _ = self.decode(noisy)
        reconstruction = self.reconstruction_loss(predicted, image_BTCHW)
        error = (predicted.detach() - image_BTCHW).square().mean()
        parts = {"reconstruction": reconstruction, "psnr": -10.0 * error.log10()}
        if not is_drawn:
            return reconstruction, parts
        kl = posterior.kl()
        return reconstruction + self.config.kl_weight * kl, parts | {"kl": kl}


def colour_index(image_NCHW: Tensor) -> Tensor:
    """Returns the histogram bin of each pixel's colour, shape (N, H, W)."""
    level = (image_NCHW * COLOUR_BINS).long().clamp(0, COLOUR_BINS - 1)
    return (level[:, 0] * COLOUR_BINS + level[:, 1]) * COLOUR_BINS + level[:, 2]
