"""Attention over space, over time, or over both: who reads whom, and where earlier frames are kept.

Shapes: B batch, T frames, N tokens a frame, D width, M query heads, G key heads, P head size,
W slots of the ring cache or frames of the window, S = T N.

Reference:
    Dehghani et al. 2023 (QK-norm), arXiv:2302.05442; Ainslie et al. 2023 (GQA), arXiv:2305.13245.
"""

from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dreamdrive.kernels.attention import attention
from dreamdrive.kernels.block_attention import Frames, visible
from dreamdrive.kernels.qk_rope import qk_norm_rope, rotate
from dreamdrive.kernels.ring_attention import ring_attention
from dreamdrive.worldmodel.recurrence import Recurrence
from dreamdrive.worldmodel.rope import SPACE_TIME_BASE, TIME_BASE, angles, num_time_pairs


class RingLike(Protocol):
    """What attention needs of a ring cache that takes one frame; see `blocks.RingWriter`."""

    count_B: Tensor
    """Frames written once this one is."""
    angle: Tensor
    """Angles of this frame in time, shape (B, 1, P/2)."""

    def write(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Returns all keys and values of a layer, (B, N, G, W, P), this frame's included."""
        ...


Past = RingLike | Recurrence | None
"""Where frames before the given ones are: in a ring, in the segment before, or there are none."""


class Around(NamedTuple):
    """What the layers of a pass have in common.

    Attributes:
        space_angle: Angles of the tokens of one frame, (N, P/2); 0 in the pairs that tell time.
        space_mask: True where a token (row) may read another of its frame (column), (N, N).
        window: Frames that a token sees, its own included.
        past: What lies before; with a ring, T is 1.
    """

    space_angle: Tensor
    space_mask: Tensor
    window: int
    past: Past = None


class Attention(nn.Module):
    """Grouped-query attention with normalised queries and keys and rotary positions.

    Args:
        width: D.
        num_heads: M.
        num_key_heads: G, which divides M.
        has_norm: Whether queries and keys have unit root mean square before they meet.
        has_rope: Whether time turns them; places do by the angles that come with a pass.
    """

    def __init__(
        self,
        width: int,
        num_heads: int,
        num_key_heads: int,
        *,
        has_norm: bool = True,
        has_rope: bool = True,
    ) -> None:
        super().__init__()
        self.head_size = width // num_heads
        self.num_heads, self.num_key_heads = num_heads, num_key_heads
        self.has_norm, self.has_rope = has_norm, has_rope
        self.to_query = nn.Linear(width, width, bias=False)
        self.to_key_value = nn.Linear(width, 2 * num_key_heads * self.head_size, bias=False)
        self.query_scale = nn.Parameter(torch.ones(self.head_size))
        self.key_scale = nn.Parameter(torch.ones(self.head_size))
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, x_BTND: Tensor, around: Around, layer: int) -> Tensor:
        """Returns what the tokens read, shape (B, T, N, D).

        Args:
            x_BTND: Tokens.
            around: What the layers of a pass have in common.
            layer: Number of this layer among those that read earlier frames.
        """
        raise NotImplementedError

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
        if self.has_norm:
            query, key = qk_norm_rope(query, key, self.query_scale, self.key_scale, angle)
        else:
            angle = angle[..., None, :]
            query, key = rotate(query, angle), rotate(key, angle)
        return query, key, value

    def _in_time(self, angle: Tensor) -> Tensor:
        """Returns the angles of time, or none where time turns nothing."""
        return angle if self.has_rope else torch.zeros_like(angle)


class SpaceAttention(Attention):
    """Each token reads the tokens of its own frame."""

    def forward(self, x_BTND: Tensor, around: Around, layer: int) -> Tensor:
        """Returns what the tokens read; as `Attention.forward`."""
        query, key, value = self.project(x_BTND.flatten(0, 1), around.space_angle)
        # The last token of a frame, the agent's, is read by no other.
        frames = Frames(x_BTND.shape[2], 1, 1)
        read = attention(query, key, value, frames, mask=around.space_mask)
        return self.out(read.flatten(2)).unflatten(0, x_BTND.shape[:2])


class TimeAttention(Attention):
    """Each token reads the tokens of its own place in this frame and those before."""

    def forward(self, x_BTND: Tensor, around: Around, layer: int) -> Tensor:
        """Returns what the tokens read; as `Attention.forward`."""
        window, past = around.window, around.past
        if past is not None and not isinstance(past, Recurrence):
            return self._over_ring(x_BTND[:, 0], past, layer)[:, None]
        B, T, N, _ = x_BTND.shape
        start = 0 if past is None else past.start
        time = start + torch.arange(T, device=x_BTND.device)
        angle = self._in_time(angles(time, self.head_size // 2, TIME_BASE))
        query, key, value = self.project(x_BTND.transpose(1, 2), angle)
        query, key, value = query.flatten(0, 1), key.flatten(0, 1), value.flatten(0, 1)
        if past is not None:
            query, key, value = past.extend(layer, query, key, value)
        S = query.shape[1]
        place = torch.arange(S, device=x_BTND.device)
        distance = place[:, None] - place
        mask = (distance >= 0) & (distance < window)
        read = attention(query, key, value, Frames(1, window), mask=mask)[:, S - T :]
        return self.out(read.flatten(2)).unflatten(0, (B, N)).transpose(1, 2)

    def _over_ring(self, x_BND: Tensor, ring: RingLike, layer: int) -> Tensor:
        query, key, value = self.project(x_BND, self._in_time(ring.angle))
        keys, values = ring.write(layer, key, value)
        out = ring_attention(query, keys, values, ring.count_B)
        return self.out(out.reshape(x_BND.shape))


class SpaceTimeAttention(Attention):
    """Each token reads all tokens of its frame and of those before, but no agent token of others.

    Channel pairs are split over (t, h, w), so that the three axes meet in one product.
    """

    def forward(self, x_BTND: Tensor, around: Around, layer: int) -> Tensor:
        """Returns what the tokens read; as `Attention.forward`."""
        past = around.past
        if past is not None and not isinstance(past, Recurrence):
            return self._over_ring(x_BTND[:, 0], around, past, layer)[:, None]
        _, T, N, _ = x_BTND.shape
        start = 0 if past is None else past.start
        time = start + torch.arange(T, device=x_BTND.device)
        in_time = self._in_time(angles(time, num_time_pairs(self.head_size), SPACE_TIME_BASE))
        angle = _joined(in_time[:, None].expand(-1, N, -1), around.space_angle).flatten(0, 1)
        query, key, value = self.project(x_BTND.flatten(1, 2), angle)
        if past is not None:
            query, key, value = past.extend(layer, query, key, value, tokens=N)
        frames = Frames(N, around.window, 1)
        mask = visible(query.shape[1], frames, query.device)
        read = attention(query, key, value, frames, mask=mask)[:, -T * N :]
        return self.out(read.flatten(2)).unflatten(1, (T, N))

    def _over_ring(self, x_BND: Tensor, around: Around, ring: RingLike, layer: int) -> Tensor:
        pairs = num_time_pairs(self.head_size)
        exponent = torch.arange(pairs, device=x_BND.device).double() / pairs
        in_time = (ring.count_B - 1)[:, None] * SPACE_TIME_BASE**-exponent
        in_time = self._in_time(in_time)[:, None].expand(-1, x_BND.shape[1], -1)
        query, key, value = self.project(x_BND, _joined(in_time, around.space_angle))
        keys, values = ring.write(layer, key, value)
        G, W = keys.shape[2:4]
        slot_W = torch.arange(W, device=keys.device)
        is_written_BW = slot_W < ring.count_B[:, None]
        # Of a frame in the ring the same is read as of this one: all but another's agent token.
        mask = around.space_mask[None, None, :, None] & is_written_BW[:, None, None, :, None]
        out = F.scaled_dot_product_attention(
            query.transpose(1, 2),
            keys.permute(0, 2, 3, 1, 4).flatten(2, 3).to(query.dtype),
            values.permute(0, 2, 3, 1, 4).flatten(2, 3).to(query.dtype),
            attn_mask=mask.flatten(3),
            enable_gqa=self.num_heads != G,
        )
        return self.out(out.transpose(1, 2).flatten(2))


def _joined(in_time: Tensor, space_angle: Tensor) -> Tensor:
    """Returns angles of (t, h, w) from those of time and those of places, whose first are 0."""
    pairs = in_time.shape[-1]
    places = space_angle[:, pairs:].to(in_time.dtype)
    return torch.cat([in_time, places.expand(*in_time.shape[:-1], -1)], -1)
