"""Actor and critic for training on a processor: products by oneDNN, a pixel's channels together.

PyTorch hands products in float32 to MKL, which takes AVX2 on processors that are not Intel's, and
convolutions run over channels that lie apart unless told otherwise. Parameters, files and results
stay the same, but for rounding. Where oneDNN is missing nothing changes.
"""

from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from dreamdrive.agents.networks import Actor, Critic
from dreamdrive.worldmodel.packed import has_packed_products

Network = TypeVar("Network", Actor, Critic)


class Product(torch.autograd.Function):
    """x W^T + b by oneDNN, with all three gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Returns the product, (R, out), of x (R, in) and W (out, in)."""
        ctx.save_for_backward(x, weight)
        return _product(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, change: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        """Returns the changes of x, W and b; that of x where it is asked for."""
        x, weight = ctx.saved_tensors
        change = change.contiguous()
        back = _product(change, weight.T) if ctx.needs_input_grad[0] else None
        if not ctx.needs_input_grad[1]:
            return back, None, None
        return back, _product(change.T, x.T), change.sum(0)


class QuickLinear(nn.Linear):
    """A linear layer with another's parameters, by oneDNN."""

    def __init__(self, linear: nn.Linear) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight, self.bias = linear.weight, linear.bias

    def forward(self, x: Tensor) -> Tensor:
        """Returns what the layer does."""
        out: Tensor = Product.apply(x, self.weight, self.bias)  # type: ignore[no-untyped-call]
        return out


def quicken(network: Network) -> Network:
    """Returns the network itself, to be trained on a processor; its parameters stay its own."""
    if not has_packed_products() or next(network.parameters()).device.type != "cpu":
        return network
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if type(child) is nn.Linear:
                setattr(module, name, QuickLinear(child))
    if network.trunk.use_image and not network.trunk.see._forward_pre_hooks:
        network.trunk.see.register_forward_pre_hook(_channels_together)
    return network


def _channels_together(module: nn.Module, given: tuple[Tensor]) -> tuple[Tensor]:
    return (given[0].contiguous(memory_format=torch.channels_last),)


def _product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    out: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return out
