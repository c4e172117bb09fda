"""Kernels of `int8_linear`: a matrix product whose weights widen as they are read; a quantiser."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from dreamdrive.kernels.device.tiles import product

ROUND = tl.constexpr(12582912.0)
"""1.5 · 2²³: adding and taking it away rounds a float32 below 2²² to the nearest, halves to the
even."""


@triton.jit
def kernel(
    x_ptr, weight_ptr, scale_ptr, bias_ptr, out_ptr, R, num_in, num_out,
    BIAS: tl.constexpr, PRECISION: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, INNER: tl.constexpr,
):  # fmt: skip
    """Writes one tile of the output."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    narrow = x_ptr.dtype.element_ty
    total = tl.zeros((ROWS, COLUMNS), tl.float32)
    for start in range(0, num_in, INNER):
        inner = start + tl.arange(0, INNER)
        x_mask = (row < R)[:, None] & (inner < num_in)[None, :]
        x = tl.load(x_ptr + row[:, None] * num_in + inner[None, :], mask=x_mask, other=0.0)
        w_mask = (column < num_out)[:, None] & (inner < num_in)[None, :]
        weight_at = column[:, None].to(tl.int64) * num_in + inner[None, :]
        weight = tl.load(weight_ptr + weight_at, mask=w_mask, other=0.0)
        total += product(x, tl.trans(weight.to(tl.float32).to(narrow)), PRECISION)
    scale = tl.load(scale_ptr + column, mask=column < num_out, other=0.0)
    total *= scale[None, :]
    if BIAS:
        bias = tl.load(bias_ptr + column, mask=column < num_out, other=0.0).to(tl.float32)
        total += bias[None, :]
    mask = (row < R)[:, None] & (column < num_out)[None, :]
    tl.store(out_ptr + row[:, None] * num_out + column[None, :], total.to(narrow), mask=mask)


@triton.jit
def quantiser_kernel(weight_ptr, out_ptr, scale_ptr, num_in, BLOCK: tl.constexpr):
    """Writes the 8-bit numbers and the scale of one output."""
    row = tl.program_id(0).to(tl.int64)
    largest = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, num_in, BLOCK):
        at = start + tl.arange(0, BLOCK)
        weight = tl.load(weight_ptr + row * num_in + at, mask=at < num_in, other=0.0).to(tl.float32)
        largest = tl.maximum(largest, tl.abs(weight))
    scale = tl.max(largest, 0) / 127.0
    scale = tl.where(scale > 0.0, scale, 1.0)
    tl.store(scale_ptr + row, scale)
    for start in range(0, num_in, BLOCK):
        at = start + tl.arange(0, BLOCK)
        weight = tl.load(weight_ptr + row * num_in + at, mask=at < num_in, other=0.0).to(tl.float32)
        rounded = (tl.div_rn(weight, scale + tl.zeros((BLOCK,), tl.float32)) + ROUND) - ROUND
        tl.store(out_ptr + row * num_in + at, rounded.to(tl.int8), mask=at < num_in)


def launch(x_RI: Tensor, weight_OI: Tensor, scale_O: Tensor, bias: Tensor | None) -> Tensor:
    """Returns (x · Qᵀ) · s + b, in the dtype of `x_RI`."""
    R, num_in = x_RI.shape
    num_out = len(weight_OI)
    out = x_RI.new_empty(R, num_out)
    if out.numel():
        # Single precision is multiplied without tensor cores, out of registers: smaller tiles.
        most = 32 if x_RI.dtype == torch.float32 else 64
        rows, columns, inner = (
            min(most, max(16, triton.next_power_of_2(max(1, size))))
            for size in (R, num_out, num_in)
        )
        # Products of bytes that widen to 16 bits need 32 of them.
        inner = max(32, inner)
        kernel[(triton.cdiv(R, rows), triton.cdiv(num_out, columns))](
            x_RI, weight_OI, scale_O, scale_O if bias is None else bias, out, R, num_in, num_out,
            BIAS=bias is not None,
            PRECISION="ieee" if x_RI.dtype == torch.float32 else "tf32",
            ROWS=rows, COLUMNS=columns, INNER=inner, num_warps=4, num_stages=3,
        )  # fmt: skip
    return out


def launch_quantiser(weight_OI: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the 8-bit numbers (O, I) and the scale of each output (O,)."""
    num_out, num_in = weight_OI.shape
    out = torch.empty(num_out, num_in, dtype=torch.int8, device=weight_OI.device)
    scale = torch.ones(num_out, dtype=torch.float32, device=weight_OI.device)
    if out.numel():
        block = min(1024, triton.next_power_of_2(num_in))
        quantiser_kernel[(num_out,)](weight_OI, out, scale, num_in, BLOCK=block, num_warps=4)
    return out, scale
