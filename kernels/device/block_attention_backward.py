"""Backward kernels of `block_attention`: one over tiles of queries, one over tiles of keys.

With p the weights, δ = Σ out · grad of each query and s the scale:
dV = pᵀ grad, dS = p · (grad Vᵀ - δ) · s, dQ = dS K, dK = dSᵀ Q; the gradients of turned queries and
keys are turned back.

Reference:
    Dao 2023, arXiv:2307.08691, algorithm 2.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from dreamdrive.kernels.block_attention import Frames
from dreamdrive.kernels.device.block_attention import LOG2_E, load_turned, may_read, sizes
from dreamdrive.kernels.device.tiles import product


@triton.jit
def load_heads(x_ptr, token, S, stride, P, column):
    """Returns a whole head of some tokens."""
    inside = (token < S)[:, None] & (column < P)[None, :]
    return tl.load(x_ptr + token[:, None] * stride + column[None, :], mask=inside, other=0.0)


@triton.jit
def store_turned_back(
    x_ptr, angle_ptr, first, second, token, S, stride, half, pair, ROTATE: tl.constexpr
):
    """Writes both halves of a gradient, turned back by the angles of their tokens."""
    inside = (token < S)[:, None] & (pair < half)[None, :]
    if ROTATE:
        angle_at = token[:, None] * half + pair[None, :]
        angle = tl.load(angle_ptr + angle_at, mask=inside, other=0.0).to(tl.float32)
        cos, sin = tl.cos(angle), tl.sin(angle)
        first, second = first * cos + second * sin, second * cos - first * sin
    at = token[:, None] * stride + pair[None, :]
    tl.store(x_ptr + at, first.to(x_ptr.dtype.element_ty), mask=inside)
    tl.store(x_ptr + at + half, second.to(x_ptr.dtype.element_ty), mask=inside)


@triton.jit
def query_kernel(
    grad_ptr, query_ptr, key_ptr, value_ptr, angle_ptr, log_sum_ptr, delta_ptr, grad_query_ptr,
    S, M, G, P, n, window, private, scale,
    ROTATE: tl.constexpr, PRECISION: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, HALF: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Writes the gradient of ROWS queries of one head."""
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
    grad = load_heads(grad_ptr + query_at, row, S, M * P, P, column)
    row_at = tl.program_id(1).to(tl.int64) * S + row
    log_sum = tl.load(log_sum_ptr + row_at, mask=row < S, other=0.0)
    delta = tl.load(delta_ptr + row_at, mask=row < S, other=0.0)
    grad1 = tl.zeros((ROWS, HALF), tl.float32)
    grad2 = tl.zeros((ROWS, HALF), tl.float32)
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
        weight = tl.where(seen, tl.exp2(score * (scale * LOG2_E) - log_sum[:, None]), 0.0)
        value = load_heads(value_ptr + key_at, key, S, G * P, P, column)
        along = product(grad, tl.trans(value), PRECISION)
        grad_score = (weight * (along - delta[:, None]) * scale).to(narrow)
        grad1 += product(grad_score, key1, PRECISION)
        grad2 += product(grad_score, key2, PRECISION)
    store_turned_back(
        grad_query_ptr + query_at, angle_ptr, grad1, grad2, row, S, M * P, half, pair, ROTATE
    )


@triton.jit
def key_kernel(
    grad_ptr, query_ptr, key_ptr, value_ptr, angle_ptr, log_sum_ptr, delta_ptr,
    grad_key_ptr, grad_value_ptr, S, M, G, P, n, window, private, scale,
    ROTATE: tl.constexpr, PRECISION: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, HALF: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Writes the gradients of COLUMNS keys and values of one key head, over all its queries."""
    sequence = (tl.program_id(1) // G).to(tl.int64)
    head = tl.program_id(1) % G
    narrow = query_ptr.dtype.element_ty
    pair, column, half = tl.arange(0, HALF), tl.arange(0, BLOCK), P // 2
    key = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    key_at = (sequence * S * G + head) * P
    key1, key2 = load_turned(key_ptr + key_at, angle_ptr, key, S, G * P, half, pair, ROTATE, narrow)
    value = load_heads(value_ptr + key_at, key, S, G * P, P, column)
    grad1 = tl.zeros((COLUMNS, HALF), tl.float32)
    grad2 = tl.zeros((COLUMNS, HALF), tl.float32)
    grad_value = tl.zeros((COLUMNS, BLOCK), tl.float32)
    begin = tl.program_id(0) * COLUMNS // n * n // ROWS * ROWS
    last_frame = tl.minimum(tl.program_id(0) * COLUMNS + COLUMNS, S) - 1
    last_frame = last_frame // n
    end = tl.minimum((last_frame + window) * n, S)
    repeat = M // G
    for query_head in range(head * repeat, head * repeat + repeat):
        query_at = (sequence * S * M + query_head) * P
        for start in range(begin, end, ROWS):
            row = start + tl.arange(0, ROWS)
            query1, query2 = load_turned(
                query_ptr + query_at, angle_ptr, row, S, M * P, half, pair, ROTATE, narrow
            )
            grad = load_heads(grad_ptr + query_at, row, S, M * P, P, column)
            row_at = (sequence * M + query_head) * S + row
            log_sum = tl.load(log_sum_ptr + row_at, mask=row < S, other=0.0)
            delta = tl.load(delta_ptr + row_at, mask=row < S, other=0.0)
            score = product(query1, tl.trans(key1), PRECISION)
            score += product(query2, tl.trans(key2), PRECISION)
            seen = may_read(row, key, S, n, window, private)
            weight = tl.where(seen, tl.exp2(score * (scale * LOG2_E) - log_sum[:, None]), 0.0)
            grad_value += product(tl.trans(weight.to(narrow)), grad, PRECISION)
            along = product(grad, tl.trans(value), PRECISION)
            grad_score = tl.trans((weight * (along - delta[:, None]) * scale).to(narrow))
            grad1 += product(grad_score, query1, PRECISION)
            grad2 += product(grad_score, query2, PRECISION)
    store_turned_back(
        grad_key_ptr + key_at, angle_ptr, grad1, grad2, key, S, G * P, half, pair, ROTATE
    )
    inside = (key < S)[:, None] & (column < P)[None, :]
    at = key_at + key[:, None] * (G * P) + column[None, :]
    tl.store(grad_value_ptr + at, grad_value.to(narrow), mask=inside)


def launch(
    grad: Tensor, query: Tensor, key: Tensor, value: Tensor, angle: Tensor | None, out: Tensor,
    log_sum: Tensor, frames: Frames,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Returns the gradients of queries, keys and values."""
    grads = torch.empty_like(query), torch.empty_like(key), torch.empty_like(value)
    if query.numel():
        R, S, M, P = query.shape
        G = key.shape[2]
        cut = sizes(query, angle, backward=True)
        delta = (grad.float() * out.float()).sum(-1).transpose(1, 2).contiguous()
        inputs = (grad, query, key, value, query if angle is None else angle, log_sum, delta)
        numbers = (S, M, G, P, *frames, P**-0.5)
        query_kernel[(triton.cdiv(S, cut["ROWS"]), R * M)](*inputs, grads[0], *numbers, **cut)
        key_kernel[(triton.cdiv(S, cut["COLUMNS"]), R * G)](*inputs, *grads[1:], *numbers, **cut)
    return grads
