"""LayerNorm or RMSNorm, and the modulation of AdaLN, in one pass over memory.

y = norm(x) · (1 + scale) + shift, with norm(x) = (x - mean(x)) · rsqrt(var(x) + ε) or, for "rms",
x · rsqrt(mean(x²) + ε). The backward pass recomputes the statistics from `x`, which is cheaper than
keeping them, and sums the gradients of shift and scale over the tokens of a group as it goes.

Shapes: R rows, G groups of N consecutive rows, D channels.

Reference:
    Peebles & Xie 2023, arXiv:2212.09748, figure 3; Ba et al. 2016, arXiv:1607.06450;
    Zhang & Sennrich 2019, arXiv:1910.07467.
"""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from dreamdrive.kernels.dispatch import Backend, choose_backend
from dreamdrive.kernels.rows import as_rows, group_rows, one_row_a_group

EPSILON = 1e-6
LARGEST_WIDTH = 16_384

Norm = Literal["layer", "rms"]


def reference(x: Tensor, shift: Tensor, scale: Tensor, norm: Norm = "layer") -> Tensor:
    """Returns norm(x) · (1 + scale) + shift in plain torch; arguments as `adaln_modulate`."""
    if norm == "layer":
        normal = F.layer_norm(x, x.shape[-1:], eps=EPSILON)
    else:
        normal = F.rms_norm(x, x.shape[-1:], eps=EPSILON)
    return normal * (1.0 + scale) + shift


def adaln_modulate(
    x: Tensor, shift: Tensor, scale: Tensor, *, norm: Norm = "layer", backend: Backend = "auto"
) -> Tensor:
    """Returns norm(x) · (1 + scale) + shift, with no affine parameters of its own.

    Args:
        x: Tokens, shape (..., N, D).
        shift: Shape (..., 1, D), one row for the N tokens of a group, or broadcastable to it.
        scale: Likewise.
        norm: "layer" or "rms".
        backend: "auto", "torch" or "triton"; see `dispatch`.

    Raises:
        KernelError: With Triton by name, if shift or scale differ between the tokens of a group, if
            D is above 16,384, or if the device cannot run it.
        MissingExtraError: With Triton by name, if it is not installed.
    """
    problem = one_row_a_group(x, shift=shift, scale=scale)
    if x.shape[-1] > LARGEST_WIDTH:
        problem = f"The kernel takes up to {LARGEST_WIDTH} channels, got {x.shape[-1]}"
    if choose_backend(backend, x, problem) == "torch":
        return reference(x, shift, scale, norm)
    shift_GD, scale_GD = group_rows(x, shift), group_rows(x, scale)
    assert shift_GD is not None
    assert scale_GD is not None
    out: Tensor = adaln_op(as_rows(x), shift_GD, scale_GD, x.shape[-2], norm == "rms")
    return out.view(x.shape)


@torch.library.custom_op("dreamdrive::adaln", mutates_args=())
def adaln_op(
    x_RD: Tensor, shift_GD: Tensor, scale_GD: Tensor, num_tokens: int, rms: bool
) -> Tensor:
    """Returns the modulated rows; row r belongs to group r // num_tokens."""
    from dreamdrive.kernels.device import adaln

    return adaln.launch_forward(x_RD, shift_GD, scale_GD, num_tokens, rms)


@adaln_op.register_fake
def _(x_RD: Tensor, shift_GD: Tensor, scale_GD: Tensor, num_tokens: int, rms: bool) -> Tensor:
    return torch.empty_like(x_RD)


@torch.library.custom_op("dreamdrive::adaln_backward", mutates_args=())
def adaln_backward_op(
    grad_RD: Tensor, x_RD: Tensor, scale_GD: Tensor, num_tokens: int, rms: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the gradients of the rows, of shift and of scale."""
    from dreamdrive.kernels.device import adaln

    return adaln.launch_backward(grad_RD, x_RD, scale_GD, num_tokens, rms)


@adaln_backward_op.register_fake
def _(
    grad_RD: Tensor, x_RD: Tensor, scale_GD: Tensor, num_tokens: int, rms: bool
) -> tuple[Tensor, Tensor, Tensor]:
    group = torch.empty(scale_GD.shape, dtype=scale_GD.dtype, device=scale_GD.device)
    return torch.empty_like(x_RD), group, torch.empty_like(group)


def _keep(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor, int, bool], output: Tensor) -> None:
    x_RD, _, scale_GD, ctx.num_tokens, ctx.rms = inputs
    ctx.save_for_backward(x_RD, scale_GD)


def _gradients(ctx: Any, grad_RD: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
    x_RD, scale_GD = ctx.saved_tensors
    grads = adaln_backward_op(grad_RD.contiguous(), x_RD, scale_GD, ctx.num_tokens, ctx.rms)
    return (*grads, None, None)


adaln_op.register_autograd(_gradients, setup_context=_keep)
