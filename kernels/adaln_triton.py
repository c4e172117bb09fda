"""The Triton kernels of `adaln`, and their launchers."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from dreamdrive.kernels.reference import EPSILON


@triton.jit
def forward_kernel(x_ptr, shift_ptr, scale_ptr, out_ptr, N, D, eps, BLOCK: tl.constexpr):
    """Writes one row."""
    row = tl.program_id(0).to(tl.int64)
    group = row // N
    column = tl.arange(0, BLOCK)
    inside = column < D
    x = tl.load(x_ptr + row * D + column, mask=inside, other=0.0).to(tl.float32)
    centred = tl.where(inside, x - tl.sum(x, 0) / D, 0.0)
    inverse = 1.0 / tl.sqrt(tl.sum(centred * centred, 0) / D + eps)
    shift = tl.load(shift_ptr + group * D + column, mask=inside, other=0.0).to(tl.float32)
    scale = tl.load(scale_ptr + group * D + column, mask=inside, other=0.0).to(tl.float32)
    out = centred * inverse * (1.0 + scale) + shift
    tl.store(out_ptr + row * D + column, out.to(out_ptr.dtype.element_ty), mask=inside)


@triton.jit
def backward_kernel(
    grad_ptr, x_ptr, scale_ptr, grad_x_ptr, row_scale_ptr, N, D, eps, BLOCK: tl.constexpr
):
    """Writes the gradient of one row, and its share of the gradient of the scale."""
    row = tl.program_id(0).to(tl.int64)
    group = row // N
    column = tl.arange(0, BLOCK)
    inside = column < D
    x = tl.load(x_ptr + row * D + column, mask=inside, other=0.0).to(tl.float32)
    grad = tl.load(grad_ptr + row * D + column, mask=inside, other=0.0).to(tl.float32)
    scale = tl.load(scale_ptr + group * D + column, mask=inside, other=0.0).to(tl.float32)
    centred = tl.where(inside, x - tl.sum(x, 0) / D, 0.0)
    inverse = 1.0 / tl.sqrt(tl.sum(centred * centred, 0) / D + eps)
    normal = centred * inverse
    inner = tl.where(inside, grad * (1.0 + scale), 0.0)
    along = tl.sum(inner * normal, 0) / D
    grad_x = inverse * (inner - tl.sum(inner, 0) / D - normal * along)
    tl.store(grad_x_ptr + row * D + column, grad_x.to(grad_x_ptr.dtype.element_ty), mask=inside)
    tl.store(row_scale_ptr + row * D + column, grad * normal, mask=inside)


def launch_forward(x_RD: Tensor, shift_GD: Tensor, scale_GD: Tensor, num_tokens: int) -> Tensor:
    """Returns the modulated rows, in the dtype of `x_RD`."""
    out = torch.empty_like(x_RD)
    R, D = x_RD.shape
    if R:
        block = triton.next_power_of_2(D)
        forward_kernel[(R,)](
            x_RD, shift_GD, scale_GD, out, num_tokens, D, EPSILON, BLOCK=block,
            num_warps=_num_warps(block),
        )  # fmt: skip
    return out


def launch_backward(
    grad_RD: Tensor, x_RD: Tensor, scale_GD: Tensor, num_tokens: int
) -> tuple[Tensor, Tensor]:
    """Returns the gradient of the rows, and the gradient of the scale before the sum over rows."""
    grad_x = torch.empty_like(x_RD)
    row_scale = torch.empty_like(x_RD, dtype=torch.float32)
    R, D = x_RD.shape
    if R:
        block = triton.next_power_of_2(D)
        backward_kernel[(R,)](
            grad_RD, x_RD, scale_GD, grad_x, row_scale, num_tokens, D, EPSILON, BLOCK=block,
            num_warps=_num_warps(block),
        )  # fmt: skip
    return grad_x, row_scale


def _num_warps(block: int) -> int:
    return max(1, min(8, block // 256))
