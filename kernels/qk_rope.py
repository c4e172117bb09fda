"""QK-norm and rotary positions of queries and keys, in one pass over both.

out = R(θ) · (x · rsqrt(mean(x²) + ε) · scale), with x one head of a token and R(θ) the rotation of
its channel pairs (i, i + P/2) by the token's angles. The angles come as a table, so that one kernel
serves positions in time, on a grid, or both at once: `angles_3d` makes the table for (t, h, w).

Shapes: R tokens, M query heads, G key heads, P head size, A rows of the table.

Reference:
    Su et al. 2021, "RoFormer", arXiv:2104.09864, equation 34; Dehghani et al. 2023 (QK-norm),
    arXiv:2302.05442. The split of the pairs over (t, h, w) is that of Wan (2025), arXiv:2503.20314:
    height and width take a third each, rounded down, and time what remains.
"""

from typing import Any

import torch
from torch import Tensor

from dreamdrive.errors import KernelError
from dreamdrive.kernels.dispatch import Backend, choose_backend
from dreamdrive.kernels.rows import repeated_rows

EPSILON = 1e-6
LARGEST_HEAD = 512


def unit(x: Tensor) -> Tensor:
    """Returns `x` with unit root mean square over its last axis."""
    return x * torch.rsqrt(x.float().square().mean(-1, keepdim=True) + EPSILON).to(x.dtype)


def rotate(x: Tensor, angle: Tensor) -> Tensor:
    """Returns `x` with its channel pairs (i, i + P/2) rotated by the angles.

    Args:
        x: Shape (..., P) with an even P.
        angle: Broadcastable to (..., P/2), in radians.
    """
    first, second = x.chunk(2, -1)
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    return torch.cat([first * cos - second * sin, first * sin + second * cos], -1)


def angles_3d(position: Tensor, num_pairs: int, base: float = 10_000.0) -> Tensor:
    """Returns the angles of positions (t, h, w), shape (..., num_pairs).

    Args:
        position: Shape (..., 3).
        num_pairs: Channel pairs of a head, at least 3.
        base: Every axis has the frequencies base^(-i/n) of its n pairs.
    """
    third = num_pairs // 3
    parts = []
    for axis, pairs in enumerate((num_pairs - 2 * third, third, third)):
        frequency = base ** (-torch.arange(pairs, device=position.device) / pairs)
        parts.append(position[..., axis, None].float() * frequency)
    return torch.cat(parts, -1)


def reference(
    query: Tensor, key: Tensor, query_scale: Tensor, key_scale: Tensor, angle: Tensor
) -> tuple[Tensor, Tensor]:
    """Returns normalised and rotated queries and keys in plain torch; as `qk_norm_rope`."""
    angle = angle[..., None, :]
    return rotate(unit(query) * query_scale, angle), rotate(unit(key) * key_scale, angle)


def qk_norm_rope(
    query: Tensor,
    key: Tensor,
    query_scale: Tensor,
    key_scale: Tensor,
    angle: Tensor,
    *,
    backend: Backend = "auto",
) -> tuple[Tensor, Tensor]:
    """Returns normalised and rotated queries and keys, of the shapes and dtypes given.

    Args:
        query: Shape (..., M, P) with an even P.
        key: Shape (..., G, P).
        query_scale: Shape (P,).
        key_scale: Shape (P,).
        angle: Radians, broadcastable to (..., P/2): the same for all heads. Not differentiated.
        backend: "auto", "torch" or "triton"; see `dispatch`.

    Raises:
        KernelError: If P is odd; with Triton by name, if P is above 512 or the device cannot run
            it.
        MissingExtraError: With Triton by name, if it is not installed.
    """
    leading, P = query.shape[:-2], query.shape[-1]
    if P % 2:
        raise KernelError(f"Rotary positions need an even head size, got {P}")
    problem = f"The kernel takes heads of up to {LARGEST_HEAD}, got {P}" if P > LARGEST_HEAD else ""
    if choose_backend(backend, query, problem) == "torch":
        return reference(query, key, query_scale, key_scale, angle)
    angle_AE, repeats = repeated_rows(tuple(leading), angle.detach())
    query_RMP, key_RGP = (x.reshape(-1, *x.shape[-2:]).contiguous() for x in (query, key))
    outs = qk_rope_op(query_RMP, key_RGP, query_scale, key_scale, angle_AE, repeats)
    return outs[0].view(query.shape), outs[1].view(key.shape)


@torch.library.custom_op("dreamdrive::qk_rope", mutates_args=())
def qk_rope_op(
    query_RMP: Tensor,
    key_RGP: Tensor,
    query_scale_P: Tensor,
    key_scale_P: Tensor,
    angle_AE: Tensor,
    repeats: int,
) -> tuple[Tensor, Tensor]:
    """Returns both, token r turned by row (r // repeats) % A of the table."""
    from dreamdrive.kernels.device import qk_rope

    return qk_rope.launch_forward(query_RMP, key_RGP, query_scale_P, key_scale_P, angle_AE, repeats)


@qk_rope_op.register_fake
def _(
    query_RMP: Tensor,
    key_RGP: Tensor,
    query_scale_P: Tensor,
    key_scale_P: Tensor,
    angle_AE: Tensor,
    repeats: int,
) -> tuple[Tensor, Tensor]:
    return torch.empty_like(query_RMP), torch.empty_like(key_RGP)


@torch.library.custom_op("dreamdrive::qk_rope_backward", mutates_args=())
def qk_rope_backward_op(
    grad_query: Tensor,
    grad_key: Tensor,
    query_RMP: Tensor,
    key_RGP: Tensor,
    query_scale_P: Tensor,
    key_scale_P: Tensor,
    angle_AE: Tensor,
    repeats: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Returns the gradients of queries, keys and both scales."""
    from dreamdrive.kernels.device import qk_rope

    return qk_rope.launch_backward(
        grad_query, grad_key, query_RMP, key_RGP, query_scale_P, key_scale_P, angle_AE, repeats
    )


@qk_rope_backward_op.register_fake
def _(
    grad_query: Tensor,
    grad_key: Tensor,
    query_RMP: Tensor,
    key_RGP: Tensor,
    query_scale_P: Tensor,
    key_scale_P: Tensor,
    angle_AE: Tensor,
    repeats: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return (
        torch.empty_like(query_RMP), torch.empty_like(key_RGP),
        torch.empty_like(query_scale_P), torch.empty_like(key_scale_P),
    )  # fmt: skip


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    *tensors, ctx.repeats = inputs
    ctx.save_for_backward(*tensors)


def _gradients(ctx: Any, grad_query: Tensor, grad_key: Tensor) -> tuple[Tensor | None, ...]:
    grads = qk_rope_backward_op(
        grad_query.contiguous(), grad_key.contiguous(), *ctx.saved_tensors, ctx.repeats
    )
    return (*grads, None, None)


qk_rope_op.register_autograd(_gradients, setup_context=_keep)
