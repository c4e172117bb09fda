"""LayerNorm and AdaLN modulation in one pass over memory.

y = (x - mean(x)) · rsqrt(var(x) + ε) · (1 + scale) + shift, one row of D channels a program. The
operation is registered with `torch.library`, so `torch.compile` traces through it; the backward
pass recomputes mean and variance from `x`, which is cheaper than keeping them.

Reference:
    Peebles & Xie 2023, arXiv:2212.09748, figure 3; Ba et al. 2016, arXiv:1607.06450 (backward).
"""

from typing import Any

import torch
from torch import Tensor

from dreamdrive.kernels import reference
from dreamdrive.kernels.dispatch import Backend, choose_backend


def adaln_modulate(x: Tensor, shift: Tensor, scale: Tensor, *, backend: Backend = "auto") -> Tensor:
    """Returns LayerNorm(x) · (1 + scale) + shift.

    Args:
        x: Tokens, shape (..., N, D).
        shift: Shape (..., 1, D), one row for the N tokens of a group, or broadcastable to it.
        scale: Likewise.
        backend: "auto" takes Triton for CUDA tensors and torch elsewhere.

    Raises:
        MissingExtraError: If `backend` is "triton" and Triton is not installed.
        ValueError: With Triton, if shift or scale differ between the tokens of a group.
    """
    if choose_backend(backend, x) == "torch":
        return reference.adaln_modulate(x, shift, scale)
    N, D = x.shape[-2:]
    group_shape = (*x.shape[:-2], 1, D)
    for name, value in (("shift", shift), ("scale", scale)):
        if value.dim() >= 2 and value.shape[-2] != 1:
            raise ValueError(f"{name} must have one row per group, got shape {tuple(value.shape)}")
    rows = x.reshape(-1, D).contiguous()
    groups = [v.expand(group_shape).reshape(-1, D).contiguous() for v in (shift, scale)]
    out: Tensor = _adaln(rows, *groups, N)
    return out.view(x.shape)


@torch.library.custom_op("dreamdrive::adaln", mutates_args=())
def _adaln(x_RD: Tensor, shift_GD: Tensor, scale_GD: Tensor, num_tokens: int) -> Tensor:
    """Returns the modulated rows; row r belongs to group r // num_tokens."""
    from dreamdrive.kernels.adaln_triton import launch_forward

    return launch_forward(x_RD, shift_GD, scale_GD, num_tokens)


@_adaln.register_fake
def _(x_RD: Tensor, shift_GD: Tensor, scale_GD: Tensor, num_tokens: int) -> Tensor:
    return torch.empty_like(x_RD)


@torch.library.custom_op("dreamdrive::adaln_backward", mutates_args=())
def _adaln_backward(
    grad_RD: Tensor, x_RD: Tensor, scale_GD: Tensor, num_tokens: int
) -> tuple[Tensor, Tensor]:
    """Returns the gradient of the rows and that of the scale of each row."""
    from dreamdrive.kernels.adaln_triton import launch_backward

    return launch_backward(grad_RD, x_RD, scale_GD, num_tokens)


@_adaln_backward.register_fake
def _(grad_RD: Tensor, x_RD: Tensor, scale_GD: Tensor, num_tokens: int) -> tuple[Tensor, Tensor]:
    return torch.empty_like(x_RD), torch.empty_like(x_RD, dtype=torch.float32)


def _keep(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor, int], output: Tensor) -> None:
    x_RD, shift_GD, scale_GD, num_tokens = inputs
    ctx.save_for_backward(x_RD, scale_GD)
    ctx.num_tokens, ctx.shift_dtype = num_tokens, shift_GD.dtype


def _gradients(ctx: Any, grad_RD: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
    x_RD, scale_GD = ctx.saved_tensors
    grad_x, row_scale = _adaln_backward(grad_RD.contiguous(), x_RD, scale_GD, ctx.num_tokens)
    shape = (-1, ctx.num_tokens, x_RD.shape[1])
    grad_shift = grad_RD.float().reshape(shape).sum(1).to(ctx.shift_dtype)
    return grad_x, grad_shift, row_scale.reshape(shape).sum(1).to(scale_GD.dtype), None


_adaln.register_autograd(_gradients, setup_context=_keep)
