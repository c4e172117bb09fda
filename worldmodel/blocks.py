"""Transformer blocks: attention over space or over time, SwiGLU, AdaLN-Zero.

x ← x + α₁ · Attention(AdaLN(x, c)),  x ← x + α₂ · SwiGLU(AdaLN(x, c)).

Shapes: B batch, T frames, N tokens a frame, D width, M query heads, G key heads, P head size,
W slots of the ring cache.

Reference:
    Peebles & Xie 2023, "Scalable Diffusion Models with Transformers", arXiv:2212.09748, figure 3.
    Dehghani et al. 2023 (QK-norm), arXiv:2302.05442; Ainslie et al. 2023 (GQA), arXiv:2305.13245.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dreamdrive.kernels.adaln import adaln_modulate
from dreamdrive.worldmodel.rope import angles, rotate

TIME_BASE = 1000.0


class Ring(NamedTuple):
    """Keys before RoPE and values of the last W frames, for all time layers of a model.

    Attributes:
        key_BLNWGP: Shape (B, L, N, W, G, P).
        value_BLNWGP: Likewise.
        count_B: Frames written so far; the next goes to slot `count % W`.
    """

    key_BLNWGP: Tensor
    value_BLNWGP: Tensor
    count_B: Tensor

    def ages(self) -> tuple[Tensor, Tensor]:
        """Returns the age of each slot after the next write (0 is the newest) and its validity."""
        W = self.key_BLNWGP.shape[3]
        slot = torch.arange(W, device=self.count_B.device)
        age_BW = (self.count_B[:, None] - slot) % W
        return age_BW, age_BW <= self.count_B[:, None]


class Attention(nn.Module):
    """Grouped-query attention with normalised queries and keys and rotary positions."""

    def __init__(self, width: int, num_heads: int, num_key_heads: int) -> None:
        super().__init__()
        self.head_size = width // num_heads
        self.num_heads, self.num_key_heads = num_heads, num_key_heads
        self.to_query = nn.Linear(width, width, bias=False)
        self.to_key_value = nn.Linear(width, 2 * num_key_heads * self.head_size, bias=False)
        self.query_scale = nn.Parameter(torch.ones(self.head_size))
        self.key_scale = nn.Parameter(torch.ones(self.head_size))
        self.out = nn.Linear(width, width, bias=False)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns queries (..., M, P) and keys and values (..., G, P) of tokens (..., D)."""
        query = self.to_query(x).unflatten(-1, (self.num_heads, self.head_size))
        key, value = self.to_key_value(x).chunk(2, -1)
        key = key.unflatten(-1, (self.num_key_heads, self.head_size))
        value = value.unflatten(-1, (self.num_key_heads, self.head_size))
        return _unit(query) * self.query_scale, _unit(key) * self.key_scale, value

    def attend(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        """Returns the output (R, Q, D) for queries (R, Q, M, P), keys and values (R, S, G, P).

        Args:
            query: Rotated queries.
            key: Rotated keys.
            value: Values.
            mask: True where a query may read, broadcastable to (R, 1, Q, S).
        """
        repeat = self.num_heads // self.num_key_heads
        key = key.transpose(1, 2).repeat_interleave(repeat, 1)
        value = value.transpose(1, 2).repeat_interleave(repeat, 1)
        out = F.scaled_dot_product_attention(query.transpose(1, 2), key, value, attn_mask=mask)
        return self.out(out.transpose(1, 2).flatten(2))


def _unit(x: Tensor) -> Tensor:
    return x * torch.rsqrt(x.float().square().mean(-1, keepdim=True) + 1e-6).to(x.dtype)


class Block(nn.Module):
    """One attention and one SwiGLU, modulated by a condition; over space or over time."""

    def __init__(self, width: int, num_heads: int, num_key_heads: int, *, over_time: bool) -> None:
        super().__init__()
        self.over_time = over_time
        self.attention = Attention(width, num_heads, num_key_heads)
        hidden = 2 * width
        self.gate_up = nn.Linear(width, 2 * hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)
        self.modulation_bias = nn.Parameter(torch.zeros(6 * width))

    def forward(
        self,
        x_BTND: Tensor,
        modulation_BTE: Tensor,
        space_angle: Tensor,
        space_mask: Tensor,
        window: int,
        ring: tuple[Tensor, Tensor, Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, tuple[Tensor, Tensor] | None]:
        """Returns the tokens and, for a time layer with a ring, its updated keys and values.

        Args:
            x_BTND: Tokens.
            modulation_BTE: Shift, scale and gate of both halves, E = 6 D, shared by all blocks;
                this block adds its own bias.
            space_angle: Angles of the tokens of one frame, (N, P/2).
            space_mask: True where a token (row) may read another of its frame (column), (N, N).
            window: Frames that a time layer sees, the current one included.
            ring: Keys and values of this layer, both (B, N, W, G, P), ages (B, W) after the write
                and their validity; then T is 1.
        """
        modulation = (modulation_BTE + self.modulation_bias)[:, :, None]
        shift1, scale1, gate1, shift2, scale2, gate2 = modulation.chunk(6, -1)
        hidden = adaln_modulate(x_BTND, shift1, scale1)
        if self.over_time:
            attended, written = self._over_time(hidden, window, ring)
        else:
            attended, written = self._over_space(hidden, space_angle, space_mask), None
        x_BTND = x_BTND + gate1 * attended
        gate, up = self.gate_up(adaln_modulate(x_BTND, shift2, scale2)).chunk(2, -1)
        return x_BTND + gate2 * self.down(F.silu(gate) * up), written

    def _over_space(self, x_BTND: Tensor, angle: Tensor, mask: Tensor) -> Tensor:
        query, key, value = self.attention.project(x_BTND.flatten(0, 1))
        angle = angle[:, None]
        out = self.attention.attend(rotate(query, angle), rotate(key, angle), value, mask)
        return out.unflatten(0, x_BTND.shape[:2])

    def _over_time(
        self, x_BTND: Tensor, window: int, ring: tuple[Tensor, Tensor, Tensor, Tensor] | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor] | None]:
        B, T, N, _ = x_BTND.shape
        bands = self.attention.head_size // 2
        query, key, value = self.attention.project(x_BTND.transpose(1, 2))
        if ring is None:
            time = torch.arange(T, device=x_BTND.device)
            angle = angles(time, bands, TIME_BASE)[:, None]
            distance = time[:, None] - time
            mask = (distance >= 0) & (distance < window)
            query, key = rotate(query, angle), rotate(key, angle)
            parts = (query.flatten(0, 1), key.flatten(0, 1), value.flatten(0, 1))
            out = self.attention.attend(*parts, mask)
            return out.unflatten(0, (B, N)).transpose(1, 2), None
        keys, values, age_BW, valid_BW = ring
        newest = (age_BW == 0)[:, None, :, None, None]
        keys = torch.where(newest, key.to(keys.dtype), keys)
        values = torch.where(newest, value.to(values.dtype), values)
        angle = angles(-age_BW, bands, TIME_BASE)[:, None, :, None]
        rotated = rotate(keys, angle).flatten(0, 1).to(query.dtype)
        mask = valid_BW[:, None, None, None].expand(B, N, 1, 1, -1).flatten(0, 1)
        out = self.attention.attend(
            query.flatten(0, 1), rotated, values.flatten(0, 1).to(query.dtype), mask
        )
        return out.unflatten(0, (B, N)).transpose(1, 2), (keys, values)
