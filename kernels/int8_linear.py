"""Linear layers whose weights are 8-bit numbers with a scale for each output.

y = (x · Qᵀ) · s + b. A weight row is divided by its largest magnitude over the format's and rounded
("int8": -127 to 127, "fp8": the 4-bit exponent and 3-bit mantissa of e4m3). Activations keep their
precision: what is saved is the memory that weights take and the time to read them.

Shapes: R rows, I inputs, O outputs.

Reference:
    Dettmers et al. 2022, "LLM.int8()", arXiv:2208.07339, section 2.1 (absmax quantisation, here by
    row and of the weights alone); Micikevicius et al. 2022, arXiv:2209.05433 (e4m3).
"""

from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from dreamdrive.errors import KernelError
from dreamdrive.kernels.dispatch import Backend, choose_backend
from dreamdrive.kernels.rows import as_rows

LARGEST = {torch.int8: 127.0, torch.float8_e4m3fn: 448.0}
FORMATS = {"int8": torch.int8, "fp8": torch.float8_e4m3fn}
FP8_CAPABILITY = (8, 9)
"""The first compute capability that converts e4m3 in hardware."""

Format = Literal["int8", "fp8"]


class Quantised(NamedTuple):
    """8-bit weights (O, I) and the scale of each output (O,), in float32."""

    weight: Tensor
    scale: Tensor


def quantise_reference(weight: Tensor, kind: Format = "int8") -> Quantised:
    """Returns 8-bit weights in plain torch; arguments as `quantise`."""
    dtype = FORMATS[kind]
    scale = weight.float().abs().amax(1) / LARGEST[dtype] if weight.shape[1] else None
    if scale is None:
        scale = weight.new_zeros(len(weight), dtype=torch.float32)
    # A row of zeros stays one, whatever its scale.
    scale = torch.where(scale > 0.0, scale, 1.0)
    scaled = weight.float() / scale[:, None]
    if dtype == torch.int8:
        scaled = scaled.round()
    return Quantised(scaled.to(dtype), scale)


def quantise(weight: Tensor, kind: Format = "int8", *, backend: Backend = "auto") -> Quantised:
    """Returns 8-bit weights with a scale for each output; halves go to the even number.

    Args:
        weight: Shape (O, I).
        kind: "int8" or "fp8".
        backend: "auto", "torch" or "triton"; see `dispatch`. The kernel makes "int8".

    Raises:
        KernelError: If there is no such kind; with Triton by name, if it is "fp8", or the device
            cannot run it.
        MissingExtraError: With Triton by name, if it is not installed.
    """
    if kind not in FORMATS:
        raise KernelError(f"Weights become 'int8' or 'fp8', got {kind!r}")
    problem = "" if kind == "int8" else "The quantiser's kernel makes int8"
    if choose_backend(backend, weight, problem) == "torch":
        return quantise_reference(weight, kind)
    from dreamdrive.kernels.device import int8_linear

    return Quantised(*int8_linear.launch_quantiser(weight.detach().contiguous()))


def reference(x: Tensor, weight: Tensor, scale: Tensor, bias: Tensor | None = None) -> Tensor:
    """Returns (x · Qᵀ) · s + b in plain torch; arguments as `int8_linear`."""
    out = F.linear(x, weight.to(x.dtype)) * scale.to(x.dtype)
    return out if bias is None else out + bias


def int8_linear(
    x: Tensor, quantised: Quantised, bias: Tensor | None = None, *, backend: Backend = "auto"
) -> Tensor:
    """Returns (x · Qᵀ) · s + b, shape (..., O).

    Args:
        x: Shape (..., I).
        quantised: What `quantise` returned; not differentiated.
        bias: Shape (O,).
        backend: "auto", "torch" or "triton"; see `dispatch`.

    Raises:
        KernelError: If the shapes do not agree; with Triton by name, if the GPU has no 8-bit floats
            that the weights are, or cannot run it.
        MissingExtraError: With Triton by name, if it is not installed.
    """
    weight, scale = quantised
    if x.shape[-1] != weight.shape[1]:
        raise KernelError(f"{x.shape[-1]} inputs for weights of {tuple(weight.shape)}")
    problem = ""
    if weight.dtype == torch.float8_e4m3fn and x.is_cuda:
        found = torch.cuda.get_device_properties(x.device)
        if (found.major, found.minor) < FP8_CAPABILITY:
            problem = f"fp8 weights need compute capability 8.9, and {found.name} is older"
    if choose_backend(backend, x, problem) == "torch":
        return reference(x, weight, scale, bias)
    out: Tensor = int8_linear_op(as_rows(x), weight.contiguous(), scale, bias)
    return out.view(*x.shape[:-1], len(weight))


@torch.library.custom_op("dreamdrive::int8_linear", mutates_args=())
def int8_linear_op(x_RI: Tensor, weight_OI: Tensor, scale_O: Tensor, bias: Tensor | None) -> Tensor:
    """Returns (x · Qᵀ) · s + b, shape (R, O)."""
    from dreamdrive.kernels.device import int8_linear

    return int8_linear.launch(x_RI, weight_OI, scale_O, bias)


@int8_linear_op.register_fake
def _(x_RI: Tensor, weight_OI: Tensor, scale_O: Tensor, bias: Tensor | None) -> Tensor:
    return x_RI.new_empty(x_RI.shape[0], weight_OI.shape[0])


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, weight_OI, scale_O, bias = inputs
    ctx.save_for_backward(weight_OI, scale_O)
    ctx.bias_dtype = None if bias is None else bias.dtype


def _gradients(ctx: Any, grad_RO: Tensor) -> tuple[Tensor, None, None, Tensor | None]:
    weight_OI, scale_O = ctx.saved_tensors
    scaled = grad_RO.float() * scale_O
    grad_x = (scaled @ weight_OI.float()).to(grad_RO.dtype)
    grad_bias = None if ctx.bias_dtype is None else grad_RO.float().sum(0).to(ctx.bias_dtype)
    return grad_x, None, None, grad_bias


int8_linear_op.register_autograd(_gradients, setup_context=_keep)
