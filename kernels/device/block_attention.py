"""Forward kernel of `block_attention`: a program takes a tile of queries of one head.

Queries and keys are read as their two halves, which turn together; their product is the sum of two
products of halves, so that a rotated head is never put together.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from dreamdrive.kernels.block_attention import Frames
from dreamdrive.kernels.device.tiles import product

LOG2_E = tl.constexpr(1.4426950408889634)
LOWEST = tl.constexpr(-1.0e30)
LARGEST_TILE = 64


@triton.jit
def load_turned(
    x_ptr, angle_ptr, token, S, stride, half, pair, ROTATE: tl.constexpr, NARROW: tl.constexpr
):
    """Returns both halves of a head of some tokens, turned by their angles."""
    inside = (token < S)[:, None] & (pair < half)[None, :]
    at = token[:, None] * stride + pair[None, :]
    first = tl.load(x_ptr + at, mask=inside, other=0.0)
    second = tl.load(x_ptr + at + half, mask=inside, other=0.0)
    if ROTATE:
        angle_at = token[:, None] * half + pair[None, :]
        angle = tl.load(angle_ptr + angle_at, mask=inside, other=0.0).to(tl.float32)
        cos, sin = tl.cos(angle), tl.sin(angle)
        one, two = first.to(tl.float32), second.to(tl.float32)
        first = (one * cos - two * sin).to(NARROW)
        second = (one * sin + two * cos).to(NARROW)
    return first, second


@triton.jit
def may_read(query, key, S, n, window, private):
    """Returns True where a query (row) may read a key (column)."""
    distance = (query // n)[:, None] - (key // n)[None, :]
    in_window = (distance >= 0) & (distance < window)
    public = (key % n < n - private)[None, :] | ((query % n)[:, None] == (key % n)[None, :])
    return in_window & public & (query < S)[:, None] & (key < S)[None, :]


@triton.jit
def forward_kernel(
    query_ptr, key_ptr, value_ptr, angle_ptr, out_ptr, log_sum_ptr,
    S, M, G, P, n, window, private, scale,
    ROTATE: tl.constexpr, PRECISION: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, HALF: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Writes what ROWS queries of one head read."""
    sequence = (tl.program_id(1) // M).to(tl.int64)
    head = tl.program_id(1) % M
    narrow = query_ptr.dtype.element_ty
    pair, column, half = tl.arange(0, HALF), tl.arange(0, BLOCK), P // 2
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    query_at = (sequence * S * M + head) * P
    key_at = (sequence * S * G + head // (M // G)) * P
    query1, query2 = load_turned(
        query_ptr + query_at, angle_ptr, row, S, M * P, half, pair, ROTATE, narrow
    )
    highest = tl.full((ROWS,), LOWEST, tl.float32)
    total = tl.zeros((ROWS,), tl.float32)
    out = tl.zeros((ROWS, BLOCK), tl.float32)
    first_frame = tl.program_id(0) * ROWS // n
    last_frame = tl.minimum(tl.program_id(0) * ROWS + ROWS, S) - 1
    last_frame = last_frame // n
    begin = tl.maximum(first_frame - window + 1, 0) * n // COLUMNS * COLUMNS
    for start in range(begin, tl.minimum((last_frame + 1) * n, S), COLUMNS):
        key = start + tl.arange(0, COLUMNS)
        key1, key2 = load_turned(
            key_ptr + key_at, angle_ptr, key, S, G * P, half, pair, ROTATE, narrow
        )
        score = product(query1, tl.trans(key1), PRECISION)
        score += product(query2, tl.trans(key2), PRECISION)
        seen = may_read(row, key, S, n, window, private)
        score = tl.where(seen, score * (scale * LOG2_E), LOWEST)
        higher = tl.maximum(highest, tl.max(score, 1))
        weight = tl.where(seen, tl.exp2(score - higher[:, None]), 0.0)
        shrink = tl.exp2(highest - higher)
        inside = (key < S)[:, None] & (column < P)[None, :]
        value_at = key_at + key[:, None] * (G * P) + column[None, :]
        value = tl.load(value_ptr + value_at, mask=inside, other=0.0)
        total = total * shrink + tl.sum(weight, 1)
        out = out * shrink[:, None]
        out += product(weight.to(narrow), value, PRECISION)
        highest = higher
    inside = row < S
    # Rows beyond the sequence read nothing and are not written; no sum of theirs is divided by.
    out = out / tl.where(inside, total, 1.0)[:, None]
    at = query_at + row[:, None] * (M * P) + column[None, :]
    tl.store(out_ptr + at, out.to(narrow), mask=inside[:, None] & (column < P)[None, :])
    log_sum = highest + tl.log2(tl.where(inside, total, 1.0))
    tl.store(log_sum_ptr + tl.program_id(1).to(tl.int64) * S + row, log_sum, mask=inside)


def sizes(query: Tensor, angle: Tensor | None, *, backward: bool = False) -> dict[str, Any]:
    """Returns how the sequences are cut into tiles, as arguments of a launch."""
    S, P = query.shape[1], query.shape[3]
    single = query.dtype == torch.float32
    # Products on tensor cores have at least 16 rows, columns and channels.
    largest = LARGEST_TILE if P <= 128 and not (single or (backward and P > 32)) else 32
    tile = min(largest, max(16, triton.next_power_of_2(max(1, S))))
    half, block = (max(16, triton.next_power_of_2(x)) for x in (P // 2, P))
    warps = 4 if tile * block >= 2048 else 2
    return {
        "ROTATE": angle is not None,
        # Single precision means single precision, not the tensor cores' 10 bits.
        "PRECISION": "ieee" if single else "tf32",
        "ROWS": tile, "COLUMNS": tile, "HALF": half, "BLOCK": block,
        # Without tensor cores the products' parts lie in registers: more lanes share them.
        "num_warps": 2 * warps if single else warps, "num_stages": 2,
    }  # fmt: skip


def launch_forward(
    query: Tensor, key: Tensor, value: Tensor, angle: Tensor | None, frames: Frames
) -> tuple[Tensor, Tensor]:
    """Returns what each query reads, and the binary logarithms of its sums, (R, M, S)."""
    R, S, M, P = query.shape
    out = torch.empty_like(query)
    log_sum = query.new_empty(R, M, S, dtype=torch.float32)
    if out.numel():
        cut = sizes(query, angle)
        forward_kernel[(triton.cdiv(S, cut["ROWS"]), R * M)](
            query, key, value, query if angle is None else angle, out, log_sum,
            S, M, key.shape[2], P, *frames, P**-0.5, **cut,
        )  # fmt: skip
    return out, log_sum
