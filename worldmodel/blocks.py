"""Transformer blocks: attention, SwiGLU and AdaLN-Zero; and the ring cache of a rollout.

x ← x + α₁ · Attention(AdaLN(x, c)),  x ← x + α₂ · SwiGLU(AdaLN(x, c)).

Shapes: B batch, T frames, N tokens a frame, D width, M query heads, G key heads, P head size,
W slots of the ring cache.

Reference:
    Peebles & Xie 2023, "Scalable Diffusion Models with Transformers", arXiv:2212.09748, figure 3;
    Chen et al. 2023, "PixArt-α", arXiv:2310.00426 (one projection for all blocks).
"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from dreamdrive.kernels.adaln import adaln_modulate
from dreamdrive.kernels.gated_residual import gated_residual
from dreamdrive.kernels.swiglu import swiglu
from dreamdrive.worldmodel.attention import (
    Around,
    Attention,
    SpaceAttention,
    SpaceTimeAttention,
    TimeAttention,
)
from dreamdrive.worldmodel.rope import TIME_BASE

Reach = Literal["space", "time", "both"]
ATTENTION: dict[Reach, type[Attention]] = {
    "space": SpaceAttention, "time": TimeAttention, "both": SpaceTimeAttention,
}  # fmt: skip


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


class Block(nn.Module):
    """One attention and one SwiGLU, modulated by a condition.

    Args:
        width: D.
        num_heads: Query heads.
        num_key_heads: Key heads.
        reach: What the attention is over.
        modulation_rank: Rank of this block's own projection of the condition; 0 for none, D for a
            whole one.
        has_qk_norm: Whether queries and keys have unit root mean square.
        has_rope: Whether time turns them.
    """

    def __init__(
        self,
        width: int,
        num_heads: int,
        num_key_heads: int,
        *,
        reach: Reach,
        modulation_rank: int = 0,
        has_qk_norm: bool = True,
        has_rope: bool = True,
    ) -> None:
        super().__init__()
        self.reads_past = reach != "space"
        self.attention = ATTENTION[reach](
            width, num_heads, num_key_heads, has_norm=has_qk_norm, has_rope=has_rope
        )
        hidden = 2 * width
        self.gate_up = nn.Linear(width, 2 * hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)
        self.modulation_bias = nn.Parameter(torch.zeros(6 * width))
        if modulation_rank == width:
            self.own_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width, bias=False))
        elif modulation_rank:
            self.own_modulation = nn.Sequential(
                nn.SiLU(),
                nn.Linear(width, modulation_rank, bias=False),
                nn.Linear(modulation_rank, 6 * width, bias=False),
            )
        self.has_own_modulation = modulation_rank > 0

    def forward(
        self,
        x_BTND: Tensor,
        condition_BTD: Tensor,
        modulation_BTE: Tensor | None,
        around: Around,
        layer: int = 0,
    ) -> Tensor:
        """Returns the tokens.

        Args:
            x_BTND: Tokens.
            condition_BTD: What this block's own projection sees, if it has one.
            modulation_BTE: Shift, scale and gate of both halves, E = 6 D, shared by all blocks, to
                which this block adds its own.
            around: What the layers of a pass have in common.
            layer: Number of this layer among those that read earlier frames.
        """
        modulation: Tensor = self.modulation_bias
        if modulation_BTE is not None:
            modulation = modulation_BTE + modulation
        if self.has_own_modulation:
            modulation = modulation + self.own_modulation(condition_BTD)
        shift1, scale1, gate1, shift2, scale2, gate2 = modulation[:, :, None].chunk(6, -1)
        attended = self.attention(adaln_modulate(x_BTND, shift1, scale1), around, layer)
        x_BTND = gated_residual(x_BTND, gate1, attended)
        hidden = self.gate_up(adaln_modulate(x_BTND, shift2, scale2))
        return gated_residual(x_BTND, gate2, self.down(swiglu(hidden)))
