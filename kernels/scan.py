"""λ-returns: a scan backwards in time over imagined or recorded decisions.

G_t = r_t + γ c_t [(1 - λ_t) V_{t+1} + λ_t G_{t+1}], with G_T = V_T behind the last decision and
λ_t = 0 at a truncation. The gradient is a scan forwards in time: with a_t the sum of what G_t is
worth, a_t = ∂G_t + γ c_{t-1} λ_{t-1} a_{t-1}.

Shapes: B rows, T decisions.

Reference:
    Sutton & Barto 2018, eq. 12.18, with a continuation of its own for each decision.
"""

from typing import Any

import torch
from torch import Tensor

from dreamdrive.kernels.dispatch import Backend, choose_backend


def reference(
    reward_BT: Tensor,
    next_value_BT: Tensor,
    continuation_BT: Tensor,
    discount: float,
    lambda_: float,
    truncated_BT: Tensor | None = None,
) -> Tensor:
    """Returns the λ-returns in plain torch; arguments as `lambda_return`."""
    T = reward_BT.shape[1]
    if T == 0:
        return reward_BT.clone()
    keep = torch.full_like(reward_BT, lambda_)
    if truncated_BT is not None:
        keep = torch.where(truncated_BT, 0.0, keep)
    after = next_value_BT[:, -1]
    returns: list[Tensor] = []
    for t in reversed(range(T)):
        ahead = (1.0 - keep[:, t]) * next_value_BT[:, t] + keep[:, t] * after
        after = reward_BT[:, t] + discount * continuation_BT[:, t] * ahead
        returns.append(after)
    return torch.stack(returns[::-1], 1)


def lambda_return(
    reward_BT: Tensor,
    next_value_BT: Tensor,
    continuation_BT: Tensor,
    *,
    discount: float,
    lambda_: float,
    truncated_BT: Tensor | None = None,
    backend: Backend = "auto",
) -> Tensor:
    """Returns G_t = r_t + γ c_t [(1-λ) V_{t+1} + λ G_{t+1}], shape (B, T).

    Entry t belongs to the decision taken on frame t, which leads to frame t+1: its reward, the
    value of frame t+1, and the probability that the episode is not terminated there. At a
    truncation and at the last decision λ is 0: the return goes on with the value alone.

    Args:
        reward_BT: Reward of each decision.
        next_value_BT: Value of the frame that each decision leads to.
        continuation_BT: 1 less the probability of termination; 0 or 1 for recorded decisions.
        discount: γ, in [0, 1].
        lambda_: λ, in [0, 1].
        truncated_BT: Bool: the episode was cut off after the decision, though it was not over.
            What follows belongs to another episode.
        backend: "auto", "torch" or "triton"; see `dispatch`.

    Raises:
        KernelError: With Triton by name, if the tensors differ in shape or dtype, or the device
            cannot run it.
        MissingExtraError: With Triton by name, if it is not installed.
    """
    problem = ""
    for name, other in (("next_value_BT", next_value_BT), ("continuation_BT", continuation_BT)):
        if (other.shape, other.dtype) != (reward_BT.shape, reward_BT.dtype):
            problem = f"{name} must be as reward_BT, got {other.dtype} {tuple(other.shape)}"
    if choose_backend(backend, reward_BT, problem) == "torch":
        return reference(reward_BT, next_value_BT, continuation_BT, discount, lambda_, truncated_BT)
    tensors = (x.contiguous() for x in (reward_BT, next_value_BT, continuation_BT))
    cut = None if truncated_BT is None else truncated_BT.contiguous()
    out: Tensor = lambda_return_op(*tensors, cut, discount, lambda_)
    return out


@torch.library.custom_op("dreamdrive::lambda_return", mutates_args=())
def lambda_return_op(
    reward_BT: Tensor,
    next_value_BT: Tensor,
    continuation_BT: Tensor,
    truncated_BT: Tensor | None,
    discount: float,
    lambda_: float,
) -> Tensor:
    """Returns the λ-returns."""
    from dreamdrive.kernels.device import scan

    return scan.launch_forward(
        reward_BT, next_value_BT, continuation_BT, truncated_BT, discount, lambda_
    )


@lambda_return_op.register_fake
def _(
    reward_BT: Tensor,
    next_value_BT: Tensor,
    continuation_BT: Tensor,
    truncated_BT: Tensor | None,
    discount: float,
    lambda_: float,
) -> Tensor:
    return torch.empty_like(reward_BT)


@torch.library.custom_op("dreamdrive::lambda_return_backward", mutates_args=())
def lambda_return_backward_op(
    grad_BT: Tensor,
    return_BT: Tensor,
    next_value_BT: Tensor,
    continuation_BT: Tensor,
    truncated_BT: Tensor | None,
    discount: float,
    lambda_: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the gradients of rewards, values and continuations."""
    from dreamdrive.kernels.device import scan

    return scan.launch_backward(
        grad_BT, return_BT, next_value_BT, continuation_BT, truncated_BT, discount, lambda_
    )


@lambda_return_backward_op.register_fake
def _(
    grad_BT: Tensor,
    return_BT: Tensor,
    next_value_BT: Tensor,
    continuation_BT: Tensor,
    truncated_BT: Tensor | None,
    discount: float,
    lambda_: float,
) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(grad_BT), torch.empty_like(grad_BT), torch.empty_like(grad_BT)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, next_value_BT, continuation_BT, truncated_BT, ctx.discount, ctx.lambda_ = inputs
    ctx.save_for_backward(output, next_value_BT, continuation_BT, truncated_BT)


def _gradients(ctx: Any, grad_BT: Tensor) -> tuple[Tensor | None, ...]:
    grads = lambda_return_backward_op(
        grad_BT.contiguous(), *ctx.saved_tensors, ctx.discount, ctx.lambda_
    )
    return (*grads, None, None, None)


lambda_return_op.register_autograd(_gradients, setup_context=_keep)
