"""Kernels of `adaln`: a program takes a tile of rows of one group, or all rows of one."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from dreamdrive.kernels.adaln import EPSILON
from dreamdrive.kernels.device.tiles import num_warps, rows_a_tile


@triton.jit
def normalised(x, inside, D, eps, RMS: tl.constexpr):
    """Returns the normalised rows of a tile (rows, channels) and 1 / deviation of each row."""
    centred = x
    if not RMS:
        centred = tl.where(inside, x - (tl.sum(x, 1) / D)[:, None], 0.0)
    inverse = 1.0 / tl.sqrt(tl.sum(centred * centred, 1) / D + eps)
    return centred * inverse[:, None], inverse


@triton.jit
def forward_kernel(
    x_ptr, shift_ptr, scale_ptr, out_ptr, N, D, shift_stride, scale_stride, eps,
    RMS: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Writes a tile of rows of one group."""
    group = tl.program_id(0).to(tl.int64)
    row = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, BLOCK)
    inside = (row < N)[:, None] & (column < D)[None, :]
    at = (group * N + row)[:, None] * D + column[None, :]
    x = tl.load(x_ptr + at, mask=inside, other=0.0).to(tl.float32)
    normal, _ = normalised(x, inside, D, eps, RMS)
    shift = tl.load(shift_ptr + group * shift_stride + column, mask=column < D, other=0.0)
    scale = tl.load(scale_ptr + group * scale_stride + column, mask=column < D, other=0.0)
    out = normal * (1.0 + scale.to(tl.float32))[None, :] + shift.to(tl.float32)[None, :]
    tl.store(out_ptr + at, out.to(out_ptr.dtype.element_ty), mask=inside)


@triton.jit
def backward_kernel(
    grad_ptr, x_ptr, scale_ptr, grad_x_ptr, grad_shift_ptr, grad_scale_ptr, N, D, scale_stride, eps,
    RMS: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Writes the gradients of one group: of its rows, and of its shift and scale."""
    group = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, BLOCK)
    scale = tl.load(scale_ptr + group * scale_stride + column, mask=column < D, other=0.0)
    factor = (1.0 + scale.to(tl.float32))[None, :]
    grad_shift = tl.zeros((BLOCK,), tl.float32)
    grad_scale = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, N, ROWS):
        row = start + tl.arange(0, ROWS)
        inside = (row < N)[:, None] & (column < D)[None, :]
        at = (group * N + row)[:, None] * D + column[None, :]
        x = tl.load(x_ptr + at, mask=inside, other=0.0).to(tl.float32)
        grad = tl.load(grad_ptr + at, mask=inside, other=0.0).to(tl.float32)
        normal, inverse = normalised(x, inside, D, eps, RMS)
        inner = grad * factor
        back = inner - normal * (tl.sum(inner * normal, 1) / D)[:, None]
        if not RMS:
            back -= (tl.sum(inner, 1) / D)[:, None]
        grad_x = back * inverse[:, None]
        tl.store(grad_x_ptr + at, grad_x.to(grad_x_ptr.dtype.element_ty), mask=inside)
        grad_shift += tl.sum(grad, 0)
        grad_scale += tl.sum(grad * normal, 0)
    here = group * D + column
    tl.store(grad_shift_ptr + here, grad_shift.to(grad_shift_ptr.dtype.element_ty), mask=column < D)
    tl.store(grad_scale_ptr + here, grad_scale.to(grad_scale_ptr.dtype.element_ty), mask=column < D)


def launch_forward(
    x_RD: Tensor, shift_GD: Tensor, scale_GD: Tensor, num_tokens: int, rms: bool
) -> Tensor:
    """Returns the modulated rows, in the dtype of `x_RD`."""
    out = torch.empty_like(x_RD)
    if out.numel():
        block = triton.next_power_of_2(x_RD.shape[1])
        rows = rows_a_tile(num_tokens, block)
        forward_kernel[(len(shift_GD), triton.cdiv(num_tokens, rows))](
            x_RD, shift_GD, scale_GD, out, num_tokens, x_RD.shape[1], shift_GD.stride(0),
            scale_GD.stride(0), EPSILON, RMS=rms, ROWS=rows, BLOCK=block,
            num_warps=num_warps(rows * block),
        )  # fmt: skip
    return out


def launch_backward(
    grad_RD: Tensor, x_RD: Tensor, scale_GD: Tensor, num_tokens: int, rms: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the gradients of the rows, of shift and of scale, each in its tensor's dtype."""
    grad_x = torch.empty_like(x_RD)
    # No rows, no gradient: the sum over nothing is zero.
    grad_shift = torch.zeros(scale_GD.shape, dtype=scale_GD.dtype, device=scale_GD.device)
    grad_scale = torch.zeros_like(grad_shift)
    if grad_x.numel():
        block = triton.next_power_of_2(x_RD.shape[1])
        rows = rows_a_tile(num_tokens, block)
        backward_kernel[(len(scale_GD),)](
            grad_RD, x_RD, scale_GD, grad_x, grad_shift, grad_scale, num_tokens, x_RD.shape[1],
            scale_GD.stride(0), EPSILON, RMS=rms, ROWS=rows, BLOCK=block,
            num_warps=num_warps(rows * block),
        )  # fmt: skip
    return grad_x, grad_shift, grad_scale
