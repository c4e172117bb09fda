"""Kernels of `flow_step`: a program takes a run of values, whichever rows they are of."""

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 1024


@triton.jit
def shares(tau_ptr, at, inside, E, tau_stride, step, OF_DATA: tl.constexpr):
    """Returns by how much the prediction, and by how much less z, counts at each place."""
    prediction = tl.zeros(at.shape, tl.float32) + step
    z = tl.zeros(at.shape, tl.float32)
    if OF_DATA:
        tau = tl.load(tau_ptr + (at // E) * tau_stride, mask=inside, other=0.0).to(tl.float32)
        prediction = step / (1.0 - tau)
        z = prediction
    return prediction, z


@triton.jit
def forward_kernel(
    prediction_ptr, z_ptr, tau_ptr, out_ptr, total, E, tau_stride, step,
    OF_DATA: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Writes BLOCK values of z at τ + step."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < total
    forth, back = shares(tau_ptr, at, inside, E, tau_stride, step, OF_DATA)
    prediction = tl.load(prediction_ptr + at, mask=inside, other=0.0).to(tl.float32)
    z = tl.load(z_ptr + at, mask=inside, other=0.0).to(tl.float32)
    out = z + (forth * prediction - back * z)
    tl.store(out_ptr + at, out.to(out_ptr.dtype.element_ty), mask=inside)


@triton.jit
def backward_kernel(
    grad_ptr, tau_ptr, grad_prediction_ptr, grad_z_ptr, total, E, tau_stride, step,
    OF_DATA: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Writes BLOCK values of both gradients."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < total
    forth, back = shares(tau_ptr, at, inside, E, tau_stride, step, OF_DATA)
    grad = tl.load(grad_ptr + at, mask=inside, other=0.0).to(tl.float32)
    element = grad_z_ptr.dtype.element_ty
    tl.store(grad_prediction_ptr + at, (grad * forth).to(element), mask=inside)
    tl.store(grad_z_ptr + at, (grad - grad * back).to(element), mask=inside)


def launch_forward(
    prediction: Tensor, z: Tensor, tau: Tensor, step: float, of_data: bool
) -> Tensor:
    """Returns z at τ + step, in the dtype of `z`."""
    out = torch.empty_like(z)
    if total := z.numel():
        forward_kernel[(triton.cdiv(total, BLOCK),)](
            prediction, z, tau, out, total, total // max(1, len(tau)), int(len(tau) > 1), step,
            OF_DATA=of_data, BLOCK=BLOCK, num_warps=4,
        )  # fmt: skip
    return out


def launch_backward(grad: Tensor, tau: Tensor, step: float, of_data: bool) -> tuple[Tensor, Tensor]:
    """Returns the gradients of prediction and z, in the dtype of `grad`."""
    grads = torch.empty_like(grad), torch.empty_like(grad)
    if total := grad.numel():
        backward_kernel[(triton.cdiv(total, BLOCK),)](
            grad, tau, *grads, total, total // max(1, len(tau)), int(len(tau) > 1), step,
            OF_DATA=of_data, BLOCK=BLOCK, num_warps=4,
        )  # fmt: skip
    return grads
