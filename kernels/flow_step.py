"""One Euler step of flow matching, from a prediction of the data or of the velocity.

From a prediction x̂ of the data ("x"), the noise that the current z implies is
ε̂ = (z - τ x̂) / (1 - τ), and z goes to (1 - τ') ε̂ + τ' x̂ at τ' = τ + Δ, which is the step
z + Δ (x̂ - z) / (1 - τ). Keeping the first noise instead would be wrong from the second step on.
From a prediction of the velocity ("v"), z goes to z + Δ v.

Shapes: B rows, each with its own flow time, of any number of values.

Reference:
    Lipman et al. 2023, "Flow Matching for Generative Modeling", arXiv:2210.02747, equation 23.
    Liu et al. 2023, "Flow Straight and Fast", arXiv:2209.03003.
"""

from typing import Any, Literal

import torch
from torch import Tensor

from dreamdrive.errors import KernelError
from dreamdrive.kernels.dispatch import Backend, choose_backend

Form = Literal["x", "v"]


def reference(prediction: Tensor, z: Tensor, tau: Tensor, step: float, form: Form = "x") -> Tensor:
    """Returns z at τ + step in plain torch; arguments as `flow_step`."""
    if form == "v":
        return z + step * prediction
    return z + step * ((prediction - z) / (1.0 - tau))


def flow_step(
    prediction: Tensor,
    z: Tensor,
    tau: Tensor,
    step: float,
    *,
    form: Form = "x",
    backend: Backend = "auto",
) -> Tensor:
    """Returns z at τ + step, of the shape of `z`.

    Args:
        prediction: Of the data or of the velocity, of the shape of `z`.
        z: The value at τ, shape (B, ...).
        tau: Flow time below 1: a scalar, or (B, 1, ..., 1) with a time for each row. Not
            differentiated by the kernel.
        step: Δτ.
        form: What the prediction is of, "x" or "v".
        backend: "auto", "torch" or "triton"; see `dispatch`.

    Raises:
        KernelError: If the shapes differ or there is no such form; with Triton by name, if τ has
            another shape, asks for a gradient, or the device cannot run it.
        MissingExtraError: With Triton by name, if it is not installed.
    """
    if prediction.shape != z.shape:
        raise KernelError(f"A prediction of {tuple(prediction.shape)} for {tuple(z.shape)}")
    if form not in ("x", "v"):
        raise KernelError(f"form must be 'x' or 'v', got {form!r}")
    problem = ""
    if tau.numel() != 1 and tau.shape != (len(z), *[1] * (z.dim() - 1)):
        problem = f"The kernel takes one flow time or one a row, got {tuple(tau.shape)}"
    elif tau.requires_grad and torch.is_grad_enabled():
        problem = "The kernel has no gradient in the flow time"
    if choose_backend(backend, z, problem) == "torch":
        return reference(prediction, z, tau, step, form)
    out: Tensor = flow_step_op(
        prediction.contiguous(), z.contiguous(), tau.reshape(-1).contiguous(), step, form == "x"
    )
    return out


@torch.library.custom_op("dreamdrive::flow_step", mutates_args=())
def flow_step_op(prediction: Tensor, z: Tensor, tau: Tensor, step: float, of_data: bool) -> Tensor:
    """Returns z at τ + step."""
    from dreamdrive.kernels.device import flow_step

    return flow_step.launch_forward(prediction, z, tau, step, of_data)


@flow_step_op.register_fake
def _(prediction: Tensor, z: Tensor, tau: Tensor, step: float, of_data: bool) -> Tensor:
    return torch.empty_like(z)


@torch.library.custom_op("dreamdrive::flow_step_backward", mutates_args=())
def flow_step_backward_op(
    grad: Tensor, tau: Tensor, step: float, of_data: bool
) -> tuple[Tensor, Tensor]:
    """Returns the gradients of prediction and z."""
    from dreamdrive.kernels.device import flow_step

    return flow_step.launch_backward(grad, tau, step, of_data)


@flow_step_backward_op.register_fake
def _(grad: Tensor, tau: Tensor, step: float, of_data: bool) -> tuple[Tensor, Tensor]:
    return torch.empty_like(grad), torch.empty_like(grad)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    prediction, _, tau, ctx.step, ctx.of_data = inputs
    ctx.save_for_backward(tau)
    ctx.dtype = prediction.dtype


def _gradients(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
    (tau,) = ctx.saved_tensors
    of_prediction, of_z = flow_step_backward_op(grad.contiguous(), tau, ctx.step, ctx.of_data)
    return of_prediction.to(ctx.dtype), of_z, None, None, None


flow_step_op.register_autograd(_gradients, setup_context=_keep)
