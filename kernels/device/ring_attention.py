"""Kernel of `ring_attention`: a program takes one key head of one token, and all its queries.

Few slots and few queries: products are sums over broadcast tiles, since the tensor cores' smallest
tile of 16 queries would be filled to an eighth. Keys are read as their two halves, which turn
together, so that a rotated key is never put together.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from dreamdrive.kernels.device.tiles import num_warps

LOG2_E = tl.constexpr(1.4426950408889634)
LOWEST = tl.constexpr(-1.0e30)
MOST_SLOTS = 16
"""Slots of a tile; longer rings are read tile by tile."""


@triton.jit
def kernel(
    query_ptr, key_ptr, value_ptr, count_ptr, frequency_ptr, out_ptr,
    N, G, W, P, key_stride, value_stride, scale,
    ROTATE: tl.constexpr, REPEAT: tl.constexpr, QUERIES: tl.constexpr, SLOTS: tl.constexpr,
    HALF: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Writes the output of the REPEAT query heads of one key head of one token."""
    program = tl.program_id(0).to(tl.int64)
    head, token, row = program % G, (program // G) % N, program // (G * N)
    count = tl.load(count_ptr + row)
    query_at = (tl.arange(0, QUERIES) + ((row * N + token) * G + head) * REPEAT) * P
    is_query = tl.arange(0, QUERIES) < REPEAT
    pair, column = tl.arange(0, HALF), tl.arange(0, BLOCK)
    half = P // 2
    inside = is_query[:, None] & (pair < half)[None, :]
    at = query_at[:, None] + pair[None, :]
    query1 = tl.load(query_ptr + at, mask=inside, other=0.0).to(tl.float32)
    query2 = tl.load(query_ptr + at + half, mask=inside, other=0.0).to(tl.float32)
    frequency = tl.zeros((HALF,), tl.float32)
    if ROTATE:
        frequency += tl.load(frequency_ptr + pair, mask=pair < half, other=0.0).to(tl.float32)
    highest = tl.full((QUERIES,), LOWEST, tl.float32)
    total = tl.zeros((QUERIES,), tl.float32)
    out = tl.zeros((QUERIES, BLOCK), tl.float32)
    base = (token * G + head) * W * P
    valid_slots = tl.minimum(count, W)
    for start in range(0, W, SLOTS):
        slot = start + tl.arange(0, SLOTS)
        valid = slot < valid_slots
        key_at = row * key_stride + base + slot[:, None] * P + pair[None, :]
        mask = valid[:, None] & (pair < half)[None, :]
        key1 = tl.load(key_ptr + key_at, mask=mask, other=0.0).to(tl.float32)
        key2 = tl.load(key_ptr + key_at + half, mask=mask, other=0.0).to(tl.float32)
        if ROTATE:
            # Never below zero before the remainder, whose sign differs between languages.
            age = ((count - 1) % W - slot + 2 * W) % W
            angle = -age.to(tl.float32)[:, None] * frequency[None, :]
            cos, sin = tl.cos(angle), tl.sin(angle)
            key1, key2 = key1 * cos - key2 * sin, key1 * sin + key2 * cos
        score = tl.sum(query1[:, None, :] * key1[None, :, :], 2)
        score += tl.sum(query2[:, None, :] * key2[None, :, :], 2)
        score = tl.where(valid[None, :], score * scale * LOG2_E, LOWEST)
        higher = tl.maximum(highest, tl.max(score, 1))
        weight = tl.where(valid[None, :], tl.exp2(score - higher[:, None]), 0.0)
        shrink = tl.exp2(highest - higher)
        value_at = row * value_stride + base + slot[:, None] * P + column[None, :]
        mask = valid[:, None] & (column < P)[None, :]
        value = tl.load(value_ptr + value_at, mask=mask, other=0.0).to(tl.float32)
        total = total * shrink + tl.sum(weight, 1)
        out = out * shrink[:, None] + tl.sum(weight[:, :, None] * value[None, :, :], 1)
        highest = higher
    out = out / total[:, None]
    at = query_at[:, None] + column[None, :]
    mask = is_query[:, None] & (column < P)[None, :]
    tl.store(out_ptr + at, out.to(out_ptr.dtype.element_ty), mask=mask)


def launch(
    query_BNMP: Tensor, key_BNGWP: Tensor, value_BNGWP: Tensor, count_B: Tensor,
    frequency: Tensor | None,
) -> Tensor:  # fmt: skip
    """Returns what each query head reads, in the dtype of the queries."""
    out = torch.empty_like(query_BNMP)
    B, N, M, P = out.shape
    G, W = key_BNGWP.shape[2:4]
    if out.numel():
        queries, half = (triton.next_power_of_2(max(1, x)) for x in (M // G, P // 2))
        block, slots = triton.next_power_of_2(P), min(MOST_SLOTS, triton.next_power_of_2(W))
        kernel[(B * N * G,)](
            query_BNMP, key_BNGWP, value_BNGWP, count_B,
            query_BNMP if frequency is None else frequency, out,
            N, G, W, P, key_BNGWP.stride(0), value_BNGWP.stride(0), P**-0.5,
            ROTATE=frequency is not None, REPEAT=M // G, QUERIES=queries, SLOTS=slots, HALF=half,
            BLOCK=block, num_warps=num_warps(queries * slots * block),
        )  # fmt: skip
    return out
