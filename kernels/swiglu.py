"""SwiGLU without its matrices: silu(gate) · up of a packed projection, in one pass over memory.

Shapes: R rows, H hidden channels; the projection has 2 H, the gate first.

Reference:
    Shazeer 2020, "GLU Variants Improve Transformer", arXiv:2002.05202, equation 6.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dreamdrive.errors import KernelError
from dreamdrive.kernels.dispatch import Backend, choose_backend
from dreamdrive.kernels.rows import as_rows


def reference(gate_up: Tensor) -> Tensor:
    """Returns silu(gate) · up in plain torch; arguments as `swiglu`."""
    gate, up = gate_up.chunk(2, -1)
    return F.silu(gate) * up


def swiglu(gate_up: Tensor, *, backend: Backend = "auto") -> Tensor:
    """Returns silu(gate) · up, shape (..., H).

    Args:
        gate_up: Gate and up projection next to each other, shape (..., 2 H).
        backend: "auto", "torch" or "triton"; see `dispatch`.

    Raises:
        KernelError: If the number of channels is odd; with Triton by name, if the device cannot run
            it.
        MissingExtraError: With Triton by name, if it is not installed.
    """
    if gate_up.shape[-1] % 2:
        raise KernelError(f"Gate and up must be equally wide, got {gate_up.shape[-1]} channels")
    if choose_backend(backend, gate_up) == "torch":
        return reference(gate_up)
    hidden = gate_up.shape[-1] // 2
    out: Tensor = swiglu_op(as_rows(gate_up))
    return out.view(*gate_up.shape[:-1], hidden)


@torch.library.custom_op("dreamdrive::swiglu", mutates_args=())
def swiglu_op(gate_up_RE: Tensor) -> Tensor:
    """Returns the product, shape (R, H)."""
    from dreamdrive.kernels.device import swiglu

    return swiglu.launch_forward(gate_up_RE)


@swiglu_op.register_fake
def _(gate_up_RE: Tensor) -> Tensor:
    return gate_up_RE.new_empty(gate_up_RE.shape[0], gate_up_RE.shape[1] // 2)


@torch.library.custom_op("dreamdrive::swiglu_backward", mutates_args=())
def swiglu_backward_op(grad_RH: Tensor, gate_up_RE: Tensor) -> Tensor:
    """Returns the gradient of the packed projection."""
    from dreamdrive.kernels.device import swiglu

    return swiglu.launch_backward(grad_RH, gate_up_RE)


@swiglu_backward_op.register_fake
def _(grad_RH: Tensor, gate_up_RE: Tensor) -> Tensor:
    return torch.empty_like(gate_up_RE)


def _keep(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
    ctx.save_for_backward(inputs[0])


def _gradients(ctx: Any, grad_RH: Tensor) -> Tensor:
    (gate_up_RE,) = ctx.saved_tensors
    grad: Tensor = swiglu_backward_op(grad_RH.contiguous(), gate_up_RE)
    return grad


swiglu_op.register_autograd(_gradients, setup_context=_keep)
