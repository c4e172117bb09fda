"""Kernels of `qk_rope`: a program takes some heads, those of queries and keys in one row of items.

Item i is head i % (M + G) of token i // (M + G): a query head below M, a key head from there on.
A head is read as its two halves, whose channels are the pairs that turn together.
"""

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from dreamdrive.kernels.device.tiles import num_warps, rows_a_tile
from dreamdrive.kernels.qk_rope import EPSILON

TURN = tl.constexpr(6.283185307179586)


@triton.jit
def load_half(query_ptr, key_ptr, query_at, key_at, is_query, is_key):
    """Returns one half of each item's head in float32, from wherever it lies."""
    query = tl.load(query_ptr + query_at, mask=is_query, other=0.0).to(tl.float32)
    return query + tl.load(key_ptr + key_at, mask=is_key, other=0.0).to(tl.float32)


@triton.jit
def store_half(query_ptr, key_ptr, query_at, key_at, is_query, is_key, value):
    """Writes one half of each item's head to where it belongs."""
    tl.store(query_ptr + query_at, value.to(query_ptr.dtype.element_ty), mask=is_query)
    tl.store(key_ptr + key_at, value.to(key_ptr.dtype.element_ty), mask=is_key)


@triton.jit
def places(R, M, G, HALF, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    """Returns each item's token, offsets among queries and keys, and masks of both."""
    item = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    token, head = item // (M + G), item % (M + G)
    pair = tl.arange(0, BLOCK)
    query_at = ((token * M + head) * 2 * HALF)[:, None] + pair[None, :]
    key_at = ((token * G + head - M) * 2 * HALF)[:, None] + pair[None, :]
    inside = (token < R)[:, None] & (pair < HALF)[None, :]
    return token, query_at, key_at, inside & (head < M)[:, None], inside & (head >= M)[:, None]


@triton.jit
def turns(angle_ptr, token, repeats, A, HALF, BLOCK: tl.constexpr):
    """Returns cosine and sine of each token's angles, (items, pairs)."""
    pair = tl.arange(0, BLOCK)
    at = (((token // repeats) % A) * HALF)[:, None] + pair[None, :]
    angle = tl.load(angle_ptr + at, mask=(pair < HALF)[None, :], other=0.0)
    if angle_ptr.dtype.element_ty == tl.float64:
        # Frame numbers grow for ever: whole turns are taken off before precision is.
        angle = angle - tl.floor(angle / TURN) * TURN
    angle = angle.to(tl.float32)
    return tl.cos(angle), tl.sin(angle)


@triton.jit
def forward_kernel(
    query_ptr, key_ptr, query_scale_ptr, key_scale_ptr, angle_ptr, query_out_ptr, key_out_ptr,
    R, M, G, HALF, A, repeats, eps, ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Writes ROWS heads."""
    token, query_at, key_at, is_query, is_key = places(R, M, G, HALF, ROWS, BLOCK)
    first = load_half(query_ptr, key_ptr, query_at, key_at, is_query, is_key)
    second = load_half(query_ptr, key_ptr, query_at + HALF, key_at + HALF, is_query, is_key)
    square = tl.sum(first * first, 1) + tl.sum(second * second, 1)
    inverse = (1.0 / tl.sqrt(square / (2 * HALF) + eps))[:, None]
    pair = tl.arange(0, BLOCK)[None, :]
    scale1 = load_half(query_scale_ptr, key_scale_ptr, pair, pair, is_query, is_key)
    scale2 = load_half(query_scale_ptr, key_scale_ptr, pair + HALF, pair + HALF, is_query, is_key)
    first, second = first * inverse * scale1, second * inverse * scale2
    cos, sin = turns(angle_ptr, token, repeats, A, HALF, BLOCK)
    out1, out2 = first * cos - second * sin, first * sin + second * cos
    store_half(query_out_ptr, key_out_ptr, query_at, key_at, is_query, is_key, out1)
    store_half(query_out_ptr, key_out_ptr, query_at + HALF, key_at + HALF, is_query, is_key, out2)


@triton.jit
def backward_kernel(
    grad_query_ptr, grad_key_ptr, query_ptr, key_ptr, query_scale_ptr, key_scale_ptr, angle_ptr,
    query_out_ptr, key_out_ptr, query_part_ptr, key_part_ptr,
    R, M, G, HALF, A, repeats, eps, ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Writes the gradients of ROWS heads, and their part of the gradients of both scales."""
    token, query_at, key_at, is_query, is_key = places(R, M, G, HALF, ROWS, BLOCK)
    first = load_half(query_ptr, key_ptr, query_at, key_at, is_query, is_key)
    second = load_half(query_ptr, key_ptr, query_at + HALF, key_at + HALF, is_query, is_key)
    square = tl.sum(first * first, 1) + tl.sum(second * second, 1)
    inverse = (1.0 / tl.sqrt(square / (2 * HALF) + eps))[:, None]
    first, second = first * inverse, second * inverse
    grad1 = load_half(grad_query_ptr, grad_key_ptr, query_at, key_at, is_query, is_key)
    grad2 = load_half(
        grad_query_ptr, grad_key_ptr, query_at + HALF, key_at + HALF, is_query, is_key
    )
    cos, sin = turns(angle_ptr, token, repeats, A, HALF, BLOCK)
    grad1, grad2 = grad1 * cos + grad2 * sin, grad2 * cos - grad1 * sin
    one, two = grad1 * first, grad2 * second
    column = tl.arange(0, BLOCK)
    part = tl.program_id(0).to(tl.int64) * 2 * HALF + column
    inside = column < HALF
    tl.store(query_part_ptr + part, tl.sum(tl.where(is_query, one, 0.0), 0), mask=inside)
    tl.store(query_part_ptr + part + HALF, tl.sum(tl.where(is_query, two, 0.0), 0), mask=inside)
    tl.store(key_part_ptr + part, tl.sum(tl.where(is_key, one, 0.0), 0), mask=inside)
    tl.store(key_part_ptr + part + HALF, tl.sum(tl.where(is_key, two, 0.0), 0), mask=inside)
    pair = column[None, :]
    grad1 *= load_half(query_scale_ptr, key_scale_ptr, pair, pair, is_query, is_key)
    grad2 *= load_half(query_scale_ptr, key_scale_ptr, pair + HALF, pair + HALF, is_query, is_key)
    along = ((tl.sum(grad1 * first, 1) + tl.sum(grad2 * second, 1)) / (2 * HALF))[:, None]
    out1, out2 = (grad1 - first * along) * inverse, (grad2 - second * along) * inverse
    store_half(query_out_ptr, key_out_ptr, query_at, key_at, is_query, is_key, out1)
    store_half(query_out_ptr, key_out_ptr, query_at + HALF, key_at + HALF, is_query, is_key, out2)


def launch_forward(
    query_RMP: Tensor, key_RGP: Tensor, query_scale_P: Tensor, key_scale_P: Tensor,
    angle_AE: Tensor, repeats: int,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Returns normalised and rotated queries and keys."""
    outs = torch.empty_like(query_RMP), torch.empty_like(key_RGP)
    sizes = _sizes(query_RMP, key_RGP)
    if sizes.num_programs and sizes.half:
        forward_kernel[(sizes.num_programs,)](
            query_RMP, key_RGP, query_scale_P, key_scale_P, angle_AE, *outs, *sizes.counts,
            len(angle_AE), repeats, EPSILON,
            ROWS=sizes.rows, BLOCK=sizes.block, num_warps=num_warps(2 * sizes.rows * sizes.block),
        )  # fmt: skip
    return outs


def launch_backward(
    grad_query: Tensor, grad_key: Tensor, query_RMP: Tensor, key_RGP: Tensor,
    query_scale_P: Tensor, key_scale_P: Tensor, angle_AE: Tensor, repeats: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """Returns the gradients of queries, keys and both scales."""
    outs = torch.empty_like(query_RMP), torch.empty_like(key_RGP)
    sizes = _sizes(query_RMP, key_RGP)
    num_programs = sizes.num_programs if sizes.half else 0
    parts = query_RMP.new_empty(2, num_programs, 2 * sizes.half, dtype=torch.float32)
    if num_programs:
        backward_kernel[(num_programs,)](
            grad_query, grad_key, query_RMP, key_RGP, query_scale_P, key_scale_P, angle_AE, *outs,
            parts[0], parts[1], *sizes.counts, len(angle_AE), repeats, EPSILON,
            ROWS=sizes.rows, BLOCK=sizes.block, num_warps=num_warps(2 * sizes.rows * sizes.block),
        )  # fmt: skip
    # Summed apart: an operator's results may not share memory.
    grad_scales = parts[0].sum(0).to(query_scale_P.dtype), parts[1].sum(0).to(key_scale_P.dtype)
    return (*outs, *grad_scales)


class Sizes(NamedTuple):
    """How the heads are cut into programs."""

    counts: tuple[int, int, int, int]
    """R, M, G and P / 2."""
    rows: int
    block: int

    @property
    def half(self) -> int:
        """Channel pairs of a head."""
        return self.counts[3]

    @property
    def num_programs(self) -> int:
        """Programs that take `rows` heads each."""
        R, M, G, _ = self.counts
        return int(triton.cdiv(R * (M + G), self.rows))


def _sizes(query_RMP: Tensor, key_RGP: Tensor) -> Sizes:
    R, M, P = query_RMP.shape
    G = key_RGP.shape[1]
    block = triton.next_power_of_2(max(1, P // 2))
    rows = rows_a_tile(R * (M + G), block, elements=1024)
    return Sizes((R, M, G, P // 2), rows, block)
