"""The gated residual of AdaLN-Zero: x + gate · y in one pass over memory.

Shapes: R rows, G groups of N consecutive rows that share a gate, D channels.

Reference:
    Peebles & Xie 2023, arXiv:2212.09748, figure 3.
"""

from typing import Any

import torch
from torch import Tensor

from dreamdrive.kernels.dispatch import Backend, choose_backend
from dreamdrive.kernels.rows import as_rows, group_rows, one_row_a_group


def reference(x: Tensor, gate: Tensor, y: Tensor) -> Tensor:
    """Returns x + gate · y in plain torch; arguments as `gated_residual`."""
    return x + gate * y


def gated_residual(x: Tensor, gate: Tensor, y: Tensor, *, backend: Backend = "auto") -> Tensor:
    """Returns x + gate · y.

    Args:
        x: Tokens, shape (..., N, D).
        gate: Shape (..., 1, D), one row for the N tokens of a group, or broadcastable to it.
        y: What a branch adds, of the shape of `x`.
        backend: "auto", "torch" or "triton"; see `dispatch`.

    Raises:
        KernelError: With Triton by name, if the gate differs between the tokens of a group or the
            device cannot run it.
        MissingExtraError: With Triton by name, if it is not installed.
    """
    if choose_backend(backend, x, one_row_a_group(x, gate=gate)) == "torch":
        return reference(x, gate, y)
    gate_GD = group_rows(x, gate)
    assert gate_GD is not None
    out: Tensor = gated_residual_op(as_rows(x), gate_GD, as_rows(y), x.shape[-2])
    return out.view(x.shape)


@torch.library.custom_op("dreamdrive::gated_residual", mutates_args=())
def gated_residual_op(x_RD: Tensor, gate_GD: Tensor, y_RD: Tensor, num_tokens: int) -> Tensor:
    """Returns the sum; row r belongs to group r // num_tokens."""
    from dreamdrive.kernels.device import gated_residual

    return gated_residual.launch_forward(x_RD, gate_GD, y_RD, num_tokens)


@gated_residual_op.register_fake
def _(x_RD: Tensor, gate_GD: Tensor, y_RD: Tensor, num_tokens: int) -> Tensor:
    return torch.empty_like(x_RD)


@torch.library.custom_op("dreamdrive::gated_residual_backward", mutates_args=())
def gated_residual_backward_op(
    grad_RD: Tensor, gate_GD: Tensor, y_RD: Tensor, num_tokens: int
) -> tuple[Tensor, Tensor]:
    """Returns the gradients of gate and y; that of x is `grad_RD` itself."""
    from dreamdrive.kernels.device import gated_residual

    return gated_residual.launch_backward(grad_RD, gate_GD, y_RD, num_tokens)


@gated_residual_backward_op.register_fake
def _(grad_RD: Tensor, gate_GD: Tensor, y_RD: Tensor, num_tokens: int) -> tuple[Tensor, Tensor]:
    gate = torch.empty(gate_GD.shape, dtype=gate_GD.dtype, device=gate_GD.device)
    return gate, torch.empty_like(y_RD)


def _keep(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor, int], output: Tensor) -> None:
    _, gate_GD, y_RD, ctx.num_tokens = inputs
    ctx.save_for_backward(gate_GD, y_RD)


def _gradients(ctx: Any, grad_RD: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
    gate_GD, y_RD = ctx.saved_tensors
    grad_gate, grad_y = gated_residual_backward_op(
        grad_RD.contiguous(), gate_GD, y_RD, ctx.num_tokens
    )
    return grad_RD, grad_gate, grad_y, None


gated_residual_op.register_autograd(_gradients, setup_context=_keep)
