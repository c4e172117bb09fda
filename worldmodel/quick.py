"""Products by oneDNN in training, where weights change at every step and packing does not pay.

PyTorch hands products in float32 to MKL, which takes AVX2 on processors that are not Intel's; with
AVX-512, oneDNN is about twice as fast there, forth and back. Parameters, files and results stay the
same, but for rounding.
"""

import torch
from torch import Tensor, nn


@torch.library.custom_op("dreamdrive::quick_product", mutates_args=())
def quick_product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Returns x W^T + b, (..., out), of x (..., in) and W (out, in), with all its gradients."""
    out: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return out


@quick_product.register_fake
def _(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return x.new_empty((*x.shape[:-1], len(weight)))


def _keep(ctx, inputs, output) -> None:
    ctx.save_for_backward(*inputs[:2])


def _backward(ctx, change: Tensor):
    x, weight = ctx.saved_tensors
    change = change.contiguous()
    back = quick_product(change, weight.T, None) if ctx.needs_input_grad[0] else None
    if not ctx.needs_input_grad[1]:
        return back, None, None
    rows = change.flatten(0, -2)
    total = rows.sum(0) if ctx.needs_input_grad[2] else None
    return back, quick_product(rows.T, x.flatten(0, -2).T, None), total


quick_product.register_autograd(_backward, setup_context=_keep)


class QuickLinear(nn.Linear):
    """A linear layer with another's parameters, by oneDNN."""

    def __init__(self, linear: nn.Linear) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight, self.bias = linear.weight, linear.bias

    def forward(self, x: Tensor) -> Tensor:
        """Returns what the layer does."""
        out: Tensor = quick_product(x, self.weight, self.bias)
        return out


def quicken_products(module: nn.Module) -> None:
    """Has a module's linear layers multiply by oneDNN; their parameters stay their own."""
    for part in list(module.modules()):
        for name, child in list(part.named_children()):
            if type(child) is nn.Linear:
                setattr(part, name, QuickLinear(child))
