"""ViViT's factorised encoder over tubelets: space within a frame, then time at each place.

A tubelet is a cuboid of pixels, s frames long and 8 by 8 wide; there are N = T H W / (8² s), and
with s = 8 they are cubes, N = T H W / P³. Each becomes one token. Attention over space is that of
one latent frame; attention over time looks back a fixed number of latent frames and never ahead, so
that a stream of frames with the inputs of those before it in a cache equals the whole clip.

Shapes: B batch, T latent frames, D width, h w grid, N = h w, W frames that time attends to.

Reference:
    Arnab et al. 2021, "ViViT", arXiv:2103.15691, §3.2 (tubelets) and §3.3, model 2 (factorised
    encoder); time is causal here, and each place keeps its token.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PATCH = 8
"""Pixels along a side of a tubelet."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ViViTConfig:
    """Sizes of the encoder; its width is the tokenizer's `coarse_width`."""

    num_space_layers: int = 2
    num_time_layers: int = 1
    num_heads: int = 4
    window: int = 4
    """Latent frames that time attends to, the current one included."""

    def __post_init__(self) -> None:
        """Checks the sizes.

        Raises:
            ValueError: If one is less than 1, or there is no time to attend to.
        """
        if min(self.num_space_layers, self.num_time_layers, self.num_heads) < 1 or self.window < 2:
            raise ValueError("layers and heads must be at least 1 and the window at least 2")


class SelfAttention(nn.Module):
    """Attention and an MLP with norms before them; the sequence is the second axis."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.to_query = nn.Linear(width, width)
        self.to_key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(
        self, x_RSD: Tensor, memory_RLD: Tensor | None = None, bias: Tensor | None = None
    ) -> Tensor:
        """Returns the sequences.

        Args:
            x_RSD: R sequences.
            memory_RLD: What they attend to; themselves by default.
            bias: Added to the scores before the softmax, shape (M, S, L).
        """
        query = self.to_query(self.norm1(x_RSD))
        seen = x_RSD if memory_RLD is None else memory_RLD
        key, value = self.to_key_value(self.norm1(seen)).chunk(2, -1)
        heads = [t.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for t in (query, key, value)]
        attended = F.scaled_dot_product_attention(
            heads[0], heads[1], heads[2], attn_mask=None if bias is None else bias.to(query.dtype)
        )
        x_RSD = x_RSD + self.out(attended.transpose(1, 2).flatten(2))
        return x_RSD + self.mlp(self.norm2(x_RSD))


class SpaceLayer(nn.Module):
    """Each frame attends to itself."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.attention = SelfAttention(width, num_heads)

    def forward(self, x_BTND: Tensor) -> Tensor:
        """Returns tokens (B, T, N, D)."""
        B, T = x_BTND.shape[:2]
        mixed: Tensor = self.attention(x_BTND.flatten(0, 1))
        return mixed.unflatten(0, (B, T))


class TimeLayer(nn.Module):
    """Each place attends to itself in the last W frames; those before the first are zero.

    A step of `causal_conv.through`, as a convolution is.
    """

    def __init__(self, width: int, num_heads: int, window: int) -> None:
        super().__init__()
        self.history = window - 1
        """Frames of its own input that it needs from before."""
        self.attention = SelfAttention(width, num_heads)
        self.distance = nn.Parameter(torch.zeros(num_heads, window))
        """Added to the scores of a frame so many frames ago."""

    def mixed(self, x_BTCHW: Tensor, before_BTCHW: Tensor) -> Tensor:
        """Returns the frames, (B, T, C, H, W), given the `history` frames before them."""
        B, T, C, H, W = x_BTCHW.shape
        places = [
            t.permute(0, 3, 4, 1, 2).reshape(B * H * W, -1, C)
            for t in (x_BTCHW, torch.cat([before_BTCHW.to(x_BTCHW.dtype), x_BTCHW], 1))
        ]
        now = torch.arange(T, device=x_BTCHW.device) + self.history
        ago = now[:, None] - torch.arange(T + self.history, device=x_BTCHW.device)
        is_seen = (ago >= 0) & (ago <= self.history)
        bias = self.distance[:, ago.clamp(0, self.history)].masked_fill(~is_seen, float("-inf"))
        mixed: Tensor = self.attention(places[0], places[1], bias)
        return mixed.reshape(B, H, W, T, C).permute(0, 3, 4, 1, 2)


class TubeletEmbedding(nn.Module):
    """Tubelets to tokens, and space layers over them.

    Args:
        config: Sizes.
        width: D.
        grid: h = w.
        length: s, frames of a tubelet.
    """

    def __init__(self, config: ViViTConfig, width: int, grid: int, length: int) -> None:
        super().__init__()
        self.length = length
        self.embed = nn.Linear(3 * length * PATCH**2, width)
        self.place = nn.Parameter(torch.randn(grid**2, width) * 0.02)
        self.space = nn.ModuleList(
            SpaceLayer(width, config.num_heads) for _ in range(config.num_space_layers)
        )

    def forward(self, image_BTCHW: Tensor) -> Tensor:
        """Returns features (B, T / s, D, h, w) of pictures in [-1, 1]."""
        B, T, C, H, W = image_BTCHW.shape
        s, h, w = self.length, H // PATCH, W // PATCH
        cut = image_BTCHW.reshape(B, T // s, s, C, h, PATCH, w, PATCH)
        tubelets = cut.permute(0, 1, 4, 6, 2, 3, 5, 7).reshape(B, T // s, h * w, -1)
        x = self.embed(tubelets) + self.place
        for layer in self.space:
            x = layer(x)
        return x.transpose(2, 3).unflatten(3, (h, w))
