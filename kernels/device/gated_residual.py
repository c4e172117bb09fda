"""Kernels of `gated_residual`: a program takes a tile of one group, or a column of tiles."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from dreamdrive.kernels.device.tiles import num_warps, rows_a_tile

WIDEST = 1024
"""Channels of a tile; wider rows are cut."""


@triton.jit
def forward_kernel(
    x_ptr, gate_ptr, y_ptr, out_ptr, N, D, gate_stride, ROWS: tl.constexpr, BLOCK: tl.constexpr
):
    """Writes one tile of one group."""
    group = tl.program_id(0).to(tl.int64)
    row = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    column = tl.program_id(2) * BLOCK + tl.arange(0, BLOCK)
    inside = (row < N)[:, None] & (column < D)[None, :]
    at = (group * N + row)[:, None] * D + column[None, :]
    x = tl.load(x_ptr + at, mask=inside, other=0.0).to(tl.float32)
    y = tl.load(y_ptr + at, mask=inside, other=0.0).to(tl.float32)
    gate = tl.load(gate_ptr + group * gate_stride + column, mask=column < D, other=0.0)
    out = x + gate.to(tl.float32)[None, :] * y
    tl.store(out_ptr + at, out.to(out_ptr.dtype.element_ty), mask=inside)


@triton.jit
def backward_kernel(
    grad_ptr, gate_ptr, y_ptr, grad_gate_ptr, grad_y_ptr, N, D, gate_stride,
    ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Writes the gradients of gate and y for some channels of one group."""
    group = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    gate = tl.load(gate_ptr + group * gate_stride + column, mask=column < D, other=0.0)
    grad_gate = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, N, ROWS):
        row = start + tl.arange(0, ROWS)
        inside = (row < N)[:, None] & (column < D)[None, :]
        at = (group * N + row)[:, None] * D + column[None, :]
        grad = tl.load(grad_ptr + at, mask=inside, other=0.0).to(tl.float32)
        y = tl.load(y_ptr + at, mask=inside, other=0.0).to(tl.float32)
        grad_y = grad * gate.to(tl.float32)[None, :]
        tl.store(grad_y_ptr + at, grad_y.to(grad_y_ptr.dtype.element_ty), mask=inside)
        grad_gate += tl.sum(grad * y, 0)
    at_gate = grad_gate_ptr + group * D + column
    tl.store(at_gate, grad_gate.to(grad_gate_ptr.dtype.element_ty), mask=column < D)


def launch_forward(x_RD: Tensor, gate_GD: Tensor, y_RD: Tensor, num_tokens: int) -> Tensor:
    """Returns x + gate · y, in the dtype of `x_RD`."""
    out = torch.empty_like(x_RD)
    if out.numel():
        D = x_RD.shape[1]
        block = min(WIDEST, triton.next_power_of_2(D))
        rows = rows_a_tile(num_tokens, block)
        grid = (len(gate_GD), triton.cdiv(num_tokens, rows), triton.cdiv(D, block))
        forward_kernel[grid](
            x_RD, gate_GD, y_RD, out, num_tokens, D, gate_GD.stride(0),
            ROWS=rows, BLOCK=block, num_warps=num_warps(rows * block),
        )  # fmt: skip
    return out


def launch_backward(
    grad_RD: Tensor, gate_GD: Tensor, y_RD: Tensor, num_tokens: int
) -> tuple[Tensor, Tensor]:
    """Returns the gradients of gate and y, each in its tensor's dtype."""
    grad_y = torch.empty_like(y_RD)
    grad_gate = torch.zeros(gate_GD.shape, dtype=gate_GD.dtype, device=gate_GD.device)
    if grad_y.numel():
        D = y_RD.shape[1]
        block = min(WIDEST, triton.next_power_of_2(D))
        rows = rows_a_tile(num_tokens, block)
        backward_kernel[(len(gate_GD), triton.cdiv(D, block))](
            grad_RD, gate_GD, y_RD, grad_gate, grad_y, num_tokens, D, gate_GD.stride(0),
            ROWS=rows, BLOCK=block, num_warps=num_warps(rows * block),
        )  # fmt: skip
    return grad_gate, grad_y
