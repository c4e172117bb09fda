"""Kernels of `swiglu`: a program takes a run of hidden channels, whichever rows they are of."""

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 1024


@triton.jit
def forward_kernel(gate_up_ptr, out_ptr, total, H, BLOCK: tl.constexpr):
    """Writes silu(gate) · up of BLOCK hidden channels."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < total
    gate_at = at + (at // H) * H
    gate = tl.load(gate_up_ptr + gate_at, mask=inside, other=0.0).to(tl.float32)
    up = tl.load(gate_up_ptr + gate_at + H, mask=inside, other=0.0).to(tl.float32)
    out = gate * tl.sigmoid(gate) * up
    tl.store(out_ptr + at, out.to(out_ptr.dtype.element_ty), mask=inside)


@triton.jit
def backward_kernel(grad_ptr, gate_up_ptr, out_ptr, total, H, BLOCK: tl.constexpr):
    """Writes the gradients of gate and up of BLOCK hidden channels."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < total
    gate_at = at + (at // H) * H
    grad = tl.load(grad_ptr + at, mask=inside, other=0.0).to(tl.float32)
    gate = tl.load(gate_up_ptr + gate_at, mask=inside, other=0.0).to(tl.float32)
    up = tl.load(gate_up_ptr + gate_at + H, mask=inside, other=0.0).to(tl.float32)
    sigmoid = tl.sigmoid(gate)
    grad_gate = grad * up * sigmoid * (1.0 + gate * (1.0 - sigmoid))
    grad_up = grad * gate * sigmoid
    tl.store(out_ptr + gate_at, grad_gate.to(out_ptr.dtype.element_ty), mask=inside)
    tl.store(out_ptr + gate_at + H, grad_up.to(out_ptr.dtype.element_ty), mask=inside)


def launch_forward(gate_up_RE: Tensor) -> Tensor:
    """Returns the product, shape (R, H)."""
    R, E = gate_up_RE.shape
    out = gate_up_RE.new_empty(R, E // 2)
    if out.numel():
        grid = (triton.cdiv(out.numel(), BLOCK),)
        forward_kernel[grid](gate_up_RE, out, out.numel(), E // 2, BLOCK=BLOCK, num_warps=4)
    return out


def launch_backward(grad_RH: Tensor, gate_up_RE: Tensor) -> Tensor:
    """Returns the gradient of the packed projection."""
    out = torch.empty_like(gate_up_RE)
    if out.numel():
        total = grad_RH.numel()
        grid = (triton.cdiv(total, BLOCK),)
        backward_kernel[grid](
            grad_RH, gate_up_RE, out, total, grad_RH.shape[1], BLOCK=BLOCK, num_warps=4
        )
    return out
