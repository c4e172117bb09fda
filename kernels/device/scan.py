"""Kernels of `scan`: a program takes some rows, one a lane, and walks through time."""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

MOST_ROWS = 128


@triton.jit
def load(ptr, at, inside):
    """Returns one value a row in float32."""
    return tl.load(ptr + at, mask=inside, other=0.0).to(tl.float32)


@triton.jit
def kept(truncated_ptr, at, inside, lambda_, CUT: tl.constexpr):
    """Returns λ of each row, which is 0 where its episode was cut off."""
    keep = tl.zeros(at.shape, tl.float32) + lambda_
    if CUT:
        keep = tl.where(tl.load(truncated_ptr + at, mask=inside, other=0) != 0, 0.0, keep)
    return keep


@triton.jit
def forward_kernel(
    reward_ptr, value_ptr, goes_on_ptr, truncated_ptr, out_ptr, B, T, discount, lambda_,
    CUT: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """Writes the returns of ROWS rows."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    inside = row < B
    after = load(value_ptr, row * T + T - 1, inside)
    for back in range(T):
        at = row * T + T - 1 - back
        keep = kept(truncated_ptr, at, inside, lambda_, CUT)
        ahead = (1.0 - keep) * load(value_ptr, at, inside) + keep * after
        after = load(reward_ptr, at, inside) + discount * load(goes_on_ptr, at, inside) * ahead
        tl.store(out_ptr + at, after.to(out_ptr.dtype.element_ty), mask=inside)


@triton.jit
def backward_kernel(
    grad_ptr, return_ptr, value_ptr, goes_on_ptr, truncated_ptr,
    grad_reward_ptr, grad_value_ptr, grad_goes_on_ptr, B, T, discount, lambda_,
    CUT: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """Writes the gradients of ROWS rows."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    inside = row < B
    element = grad_reward_ptr.dtype.element_ty
    carried = tl.zeros((ROWS,), tl.float32)
    for t in range(T):
        at = row * T + t
        worth = load(grad_ptr, at, inside) + carried
        keep = kept(truncated_ptr, at, inside, lambda_, CUT)
        goes_on, value = load(goes_on_ptr, at, inside), load(value_ptr, at, inside)
        is_last = t == T - 1
        # Behind the last decision stands the value itself, whatever λ.
        following = load(return_ptr, at + 1, inside & (at + 1 < row * T + T))
        following = tl.where(is_last, value, following)
        ahead = (1.0 - keep) * value + keep * following
        carried = worth * discount * goes_on * keep
        of_value = worth * discount * goes_on * (1.0 - keep) + tl.where(is_last, carried, 0.0)
        tl.store(grad_reward_ptr + at, worth.to(element), mask=inside)
        tl.store(grad_value_ptr + at, of_value.to(element), mask=inside)
        tl.store(grad_goes_on_ptr + at, (worth * discount * ahead).to(element), mask=inside)


def launch_forward(
    reward_BT: Tensor, next_value_BT: Tensor, continuation_BT: Tensor,
    truncated_BT: Tensor | None, discount: float, lambda_: float,
) -> Tensor:  # fmt: skip
    """Returns the λ-returns, in the dtype of the rewards."""
    out = torch.empty_like(reward_BT)
    if out.numel():
        cut = reward_BT if truncated_BT is None else truncated_BT
        grid, sizes = _cut(out, truncated_BT)
        forward_kernel[grid](
            reward_BT, next_value_BT, continuation_BT, cut, out, *out.shape, discount, lambda_,
            **sizes,
        )  # fmt: skip
    return out


def launch_backward(
    grad_BT: Tensor, return_BT: Tensor, next_value_BT: Tensor, continuation_BT: Tensor,
    truncated_BT: Tensor | None, discount: float, lambda_: float,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Returns the gradients of rewards, values and continuations."""
    grads = torch.empty_like(grad_BT), torch.empty_like(grad_BT), torch.empty_like(grad_BT)
    if grad_BT.numel():
        cut = grad_BT if truncated_BT is None else truncated_BT
        grid, sizes = _cut(grad_BT, truncated_BT)
        backward_kernel[grid](
            grad_BT, return_BT, next_value_BT, continuation_BT, cut, *grads, *grad_BT.shape,
            discount, lambda_, **sizes,
        )  # fmt: skip
    return grads


def _cut(x_BT: Tensor, truncated_BT: Tensor | None) -> tuple[tuple[int], dict[str, Any]]:
    """Returns the grid, and how many rows a program takes."""
    rows = min(MOST_ROWS, max(32, triton.next_power_of_2(len(x_BT))))
    sizes = {"CUT": truncated_BT is not None, "ROWS": rows, "num_warps": max(1, rows // 32)}
    return (triton.cdiv(len(x_BT), rows),), sizes
