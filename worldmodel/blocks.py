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
from torch import Tensor, nn

from dreamdrive.kernels.adaln import adaln_modulate
from dreamdrive.kernels.attention import attention
from dreamdrive.kernels.block_attention import Frames
from dreamdrive.kernels.gated_residual import gated_residual
from dreamdrive.kernels.qk_rope import qk_norm_rope
from dreamdrive.kernels.ring_attention import ring_attention
from dreamdrive.kernels.swiglu import swiglu
from dreamdrive.worldmodel.rope import angles

TIME_BASE = 1000.0


class Ring(NamedTuple):
    """Keys and values of the last W frames, for all time layers of a model.

    A key is rotated by the number of its frame when it is written: products with queries then
    depend on the distance alone, and a step rotates one key instead of W.

    Attributes:
        key_BLNGWP: Shape (B, L, N, G, W, P).
        value_BLNGWP: Likewise.
        count_B: Frames written so far; the next goes to slot `count % W`.
    """

    key_BLNGWP: Tensor
    value_BLNGWP: Tensor
    count_B: Tensor

    def fork(self, num_branches: int) -> "Branch":
        """Returns branches of every row, one after the other, which share this ring's frames."""
        B, device = len(self.count_B), self.count_B.device
        row = torch.arange(B, device=device).repeat_interleave(num_branches)
        shape = (len(row), *self.key_BLNGWP.shape[1:])
        count = self.count_B[row]
        return Branch(
            self, row, count, self.key_BLNGWP.new_empty(shape), self.value_BLNGWP.new_empty(shape),
            count,
        )  # fmt: skip


class Branch(NamedTuple):
    """Rings that begin at frames of another, which they share and do not copy.

    Attributes:
        past: The ring that was forked, which must not be written to meanwhile.
        row_B: The row of it that each branch began at.
        start_B: Frames in it then.
        key_BLNGWP: Of the frames since, each in its slot; the other slots hold nothing.
        value_BLNGWP: Likewise.
        count_B: Frames so far, those of the past included.
    """

    past: Ring
    row_B: Tensor
    start_B: Tensor
    key_BLNGWP: Tensor
    value_BLNGWP: Tensor
    count_B: Tensor

    def joined(self) -> Ring:
        """Returns a ring of its own, with a copy of what is left of the past in it."""
        W = self.key_BLNGWP.shape[4]
        slot_W = torch.arange(W, device=self.count_B.device)
        age_BW = (self.count_B[:, None] - 1 - slot_W) % W
        is_own = age_BW < (self.count_B - self.start_B)[:, None]
        is_own = is_own[:, None, None, None, :, None]
        return Ring(
            torch.where(is_own, self.key_BLNGWP, self.past.key_BLNGWP[self.row_B]),
            torch.where(is_own, self.value_BLNGWP, self.past.value_BLNGWP[self.row_B]),
            self.count_B,
        )


class RingWriter:
    """Writes one frame to a ring, layer by layer.

    Args:
        ring: Where the frames before are.
        in_place: Write into the ring's own memory, which saves a copy of it but spoils the state
            that it belongs to; otherwise the ring is left intact. Without gradients only.
    """

    def __init__(self, ring: Ring, *, in_place: bool = False) -> None:
        if in_place and torch.is_grad_enabled():
            raise ValueError("A ring is written in place where no gradient is recorded")
        W, P = ring.key_BLNGWP.shape[-2:]
        count_B, device = ring.count_B, ring.count_B.device
        self._row_B = torch.arange(len(count_B), device=device)
        self._slot_B = count_B % W
        # Frame numbers grow for ever; in double precision their angles stay exact.
        frequency = TIME_BASE ** (-torch.arange(P // 2, device=device).double() / (P // 2))
        self.angle = (count_B[:, None] * frequency)[:, None]
        """Angles of this frame, shape (B, 1, P/2)."""
        self.count_B = count_B + 1
        """Frames written once this one is."""
        self._is_written = not torch.is_grad_enabled()
        if self._is_written:
            self._key, self._value = ring.key_BLNGWP, ring.value_BLNGWP
            if not in_place:
                self._key, self._value = self._key.clone(), self._value.clone()
        else:
            newest = torch.arange(W, device=device) == self._slot_B[:, None]
            self._newest = newest[:, None, None, :, None]
            self._keys = list(ring.key_BLNGWP.unbind(1))
            self._values = list(ring.value_BLNGWP.unbind(1))

    def write(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Returns all keys and values of a layer, (B, N, G, W, P), this frame's included.

        Args:
            layer: Which of the time layers.
            key: This frame's rotated key, shape (B, N, G, P).
            value: Likewise.
        """
        if self._is_written:
            keys, values = self._key[:, layer], self._value[:, layer]
            for store, new in ((keys, key), (values, value)):
                store[self._row_B, :, :, self._slot_B] = new.to(store.dtype)
            return keys, values
        for stores, new in ((self._keys, key), (self._values, value)):
            store = stores[layer]
            stores[layer] = torch.where(self._newest, new.to(store.dtype)[:, :, :, None], store)
        return self._keys[layer], self._values[layer]

    def finish(self) -> Ring:
        """Returns the ring with this frame in it."""
        if self._is_written:
            return Ring(self._key, self._value, self.count_B)
        return Ring(torch.stack(self._keys, 1), torch.stack(self._values, 1), self.count_B)


class Attention(nn.Module):
    """Grouped-query attention with normalised queries and keys and rotary positions."""

    def __init__(self, width: int, num_heads: int, num_key_heads: int) -> None:
        super().__init__()
        self.head_size = width // num_heads
        self.num_heads, self.num_key_heads = num_heads, num_key_heads
        self.repeat = num_heads // num_key_heads
        self.to_query = nn.Linear(width, width, bias=False)
        self.to_key_value = nn.Linear(width, 2 * num_key_heads * self.head_size, bias=False)
        self.query_scale = nn.Parameter(torch.ones(self.head_size))
        self.key_scale = nn.Parameter(torch.ones(self.head_size))
        self.out = nn.Linear(width, width, bias=False)

    def project(self, x: Tensor, angle: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns rotated queries (..., M, P) and keys, and values (..., G, P) of tokens (..., D).

        Args:
            x: Tokens.
            angle: Radians of each token, broadcastable to (..., P/2).
        """
        query = self.to_query(x).unflatten(-1, (self.num_heads, self.head_size))
        key, value = self.to_key_value(x).chunk(2, -1)
        key = key.unflatten(-1, (self.num_key_heads, self.head_size))
        value = value.unflatten(-1, (self.num_key_heads, self.head_size))
        query, key = qk_norm_rope(query, key, self.query_scale, self.key_scale, angle)
        return query, key, value

    def attend(
        self, query: Tensor, key: Tensor, value: Tensor, frames: Frames, mask: Tensor
    ) -> Tensor:
        """Returns the output (R, S, D) for queries (R, S, M, P), keys and values (R, S, G, P).

        Args:
            query: Rotated queries.
            key: Rotated keys.
            value: Values.
            frames: Who may read whom.
            mask: The same as a mask (S, S), for implementations that need one.
        """
        return self.out(attention(query, key, value, frames, mask=mask).flatten(2))


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
        ring: RingWriter | None = None,
        layer: int = 0,
    ) -> Tensor:
        """Returns the tokens.

        Args:
            x_BTND: Tokens.
            modulation_BTE: Shift, scale and gate of both halves, E = 6 D, shared by all blocks;
                this block adds its own bias.
            space_angle: Angles of the tokens of one frame, (N, P/2).
            space_mask: True where a token (row) may read another of its frame (column), (N, N).
            window: Frames that a time layer sees, the current one included.
            ring: What a time layer reads and writes instead of the window; then T is 1.
            layer: Number of this layer among the time layers, for the ring.
        """
        modulation = (modulation_BTE + self.modulation_bias)[:, :, None]
        shift1, scale1, gate1, shift2, scale2, gate2 = modulation.chunk(6, -1)
        hidden = adaln_modulate(x_BTND, shift1, scale1)
        if self.over_time:
            attended = self._over_time(hidden, window, ring, layer)
        else:
            attended = self._over_space(hidden, space_angle, space_mask)
        x_BTND = gated_residual(x_BTND, gate1, attended)
        hidden = self.gate_up(adaln_modulate(x_BTND, shift2, scale2))
        return gated_residual(x_BTND, gate2, self.down(swiglu(hidden)))

    def _over_space(self, x_BTND: Tensor, angle: Tensor, mask: Tensor) -> Tensor:
        query, key, value = self.attention.project(x_BTND.flatten(0, 1), angle)
        # The last token of a frame, the agent's, is read by no other.
        frames = Frames(x_BTND.shape[2], 1, 1)
        out = self.attention.attend(query, key, value, frames, mask)
        return out.unflatten(0, x_BTND.shape[:2])

    def _over_time(
        self, x_BTND: Tensor, window: int, ring: RingWriter | None, layer: int
    ) -> Tensor:
        if ring is not None:
            return self._over_ring(x_BTND[:, 0], ring, layer)[:, None]
        B, T, N, _ = x_BTND.shape
        time = torch.arange(T, device=x_BTND.device)
        angle = angles(time, self.attention.head_size // 2, TIME_BASE)
        query, key, value = self.attention.project(x_BTND.transpose(1, 2), angle)
        distance = time[:, None] - time
        mask = (distance >= 0) & (distance < window)
        query, key, value = query.flatten(0, 1), key.flatten(0, 1), value.flatten(0, 1)
        out = self.attention.attend(query, key, value, Frames(1, window), mask)
        return out.unflatten(0, (B, N)).transpose(1, 2)

    def _over_ring(self, x_BND: Tensor, ring: RingWriter, layer: int) -> Tensor:
        query, key, value = self.attention.project(x_BND, ring.angle)
        keys, values = ring.write(layer, key, value)
        out = ring_attention(query, keys, values, ring.count_B)
        return self.attention.out(out.reshape(x_BND.shape))
