"""Products with frozen weights that are packed once for oneDNN; they let gradients through to x.

PyTorch hands products in float32 to MKL, which takes AVX2 on processors that are not Intel's; with
AVX-512, oneDNN is about twice as fast there, and in bfloat16 four times. Weights that nobody
trains, such as those of a world model that an agent dreams in, need packing only once.
"""

import copy
import itertools
from dataclasses import dataclass
from typing import Literal
from weakref import WeakValueDictionary

import torch
from torch import Tensor, nn

from dreamdrive.errors import KernelError
from dreamdrive.worldmodel.model import WorldModel

Precision = Literal["float32", "bfloat16"]
ROWS = 1024
"""Rows that a weight is packed for where nothing else is known; any number can be multiplied."""


@dataclass(frozen=True, eq=False)
class Packed:
    """A weight in oneDNN's layout, and its transpose, which takes gradients back.

    Attributes:
        forth: Of W (out, in).
        back: Of W^T; None where no gradient is asked for.
        bias: (out,), or None.
        dtype: Of the products; sums are in float32.
    """

    forth: Tensor
    back: Tensor | None
    bias: Tensor | None
    dtype: torch.dtype

    def __deepcopy__(self, memo: object) -> "Packed":
        """Returns itself: nobody changes it, and oneDNN's layouts cannot be copied."""
        return self


_KEPT: WeakValueDictionary[int, Packed] = WeakValueDictionary()
"""Packed weights by number, as an operator of a compiled graph can name them; layers own them."""
_NUMBERS = itertools.count()


def has_packed_products() -> bool:
    """Returns whether this PyTorch can pack weights for oneDNN."""
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def pack(
    weight: Tensor, bias: Tensor | None, precision: Precision, rows: int, *, both_ways: bool
) -> Packed:
    """Returns a packed weight.

    Args:
        weight: (out, in), on the CPU.
        bias: (out,), or None.
        precision: Of the products.
        rows: Rows that it is packed for.
        both_ways: Pack the transpose too.

    Raises:
        KernelError: If this PyTorch cannot pack, or the weight is not on the CPU.
    """
    if not has_packed_products() or weight.device.type != "cpu":
        raise KernelError(
            f"Weights on {weight.device} cannot be packed for oneDNN", do="Use engine='eager'"
        )
    dtype = getattr(torch, precision)
    weight = weight.detach().to(dtype)
    reorder = torch.ops.mkldnn._reorder_linear_weight
    back = reorder(weight.T.contiguous(), rows) if both_ways else None
    kept = None if bias is None else bias.detach().to(dtype)
    return Packed(reorder(weight.contiguous(), rows), back, kept, dtype)


def product(x_RI: Tensor, packed: Packed, *, back: bool = False) -> Tensor:
    """Returns x W^T + b, or x W on the way back, float32 (..., out); without a gradient."""
    weight = packed.back if back else packed.forth
    assert weight is not None
    bias = None if back else packed.bias
    out: Tensor = torch.ops.mkldnn._linear_pointwise(
        x_RI.to(packed.dtype), weight, bias, "none", [], ""
    )
    return out.float()


class PackedLinear(nn.Module):
    """A frozen linear layer whose weight is packed once; differentiable in its input.

    Args:
        linear: The layer.
        precision: Of the products.
        rows: Rows that it is packed for.
    """

    def __init__(
        self, linear: nn.Linear, precision: Precision = "float32", rows: int = ROWS
    ) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.key = next(_NUMBERS)
        self.packed = pack(linear.weight, linear.bias, precision, rows, both_ways=True)
        _KEPT[self.key] = self.packed

    def forward(self, x: Tensor) -> Tensor:
        """Returns what the layer does, float32."""
        out: Tensor = packed_linear_op(x, self.key, self.out_features, self.in_features, False)
        return out


@torch.library.custom_op("dreamdrive::packed_linear", mutates_args=())
def packed_linear_op(x: Tensor, key: int, num_out: int, num_in: int, back: bool) -> Tensor:
    """Returns x W^T + b, or x W on the way back, of the weight that was packed under a number."""
    return product(x, _KEPT[key], back=back)


@packed_linear_op.register_fake
def _(x: Tensor, key: int, num_out: int, num_in: int, back: bool) -> Tensor:
    shape = (*x.shape[:-1], num_in if back else num_out)
    return x.new_empty(shape, dtype=torch.float32)


def _keep(ctx, inputs, output) -> None:
    ctx.sizes = inputs[1:4]


def _backward(ctx, grad: Tensor):
    key, num_out, num_in = ctx.sizes
    return packed_linear_op(grad, key, num_out, num_in, True), None, None, None, None


packed_linear_op.register_autograd(_backward, setup_context=_keep)


def packed(model: WorldModel, precision: Precision = "float32") -> WorldModel:
    """Returns a copy of a model that dreams with packed weights, for agents that train in it.

    It imagines as the model does, but for rounding, and gradients pass through to states and
    actions. Its weights are frozen as they are now.

    Args:
        model: On the CPU.
        precision: Of the products.

    Raises:
        KernelError: If this PyTorch cannot pack, or the model is on another device.
    """
    made = copy.deepcopy(model).requires_grad_(False)
    for module in list(made.dynamics.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Linear):
                setattr(module, name, PackedLinear(child, precision))
    return made
