"""What the weights of a fused rollout learn: sums of their gradients over the frames of a dream.

A gradient that is written out frame by frame adds to these sums, and autograd must have them once,
when the last frame has come back. So every frame reads a number that comes from all weights; the
number is 0, and its gradient is where the sums go.

Shapes: R rows of tokens, D width, E = (M + 2 G) · P, as in `fused`.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from dreamdrive.worldmodel.blocks import Block
from dreamdrive.worldmodel.dynamics import Dynamics


class BlockSums(NamedTuple):
    """Of a block's weights.

    Attributes:
        to_qkv: Of queries, keys and values, (E, D).
        out: (D, D).
        gate_up: (4 D, D).
        down: (D, 2 D).
        bias: Of the modulation, (6 D,).
        scales: Of queries and keys, (2, P).
    """

    to_qkv: Tensor
    out: Tensor
    gate_up: Tensor
    down: Tensor
    bias: Tensor
    scales: Tensor

    @classmethod
    def empty(cls, width: int, qkv: int, head: int) -> "BlockSums":
        """Returns zeros."""
        shapes = (
            (qkv, width), (width, width), (4 * width, width), (width, 2 * width), (6 * width,),
            (2, head),
        )  # fmt: skip
        return cls(*(torch.zeros(shape) for shape in shapes))


class WeightSums:
    """Sums of the gradients of all weights between a network's embedding and its outputs."""

    def __init__(self, network: Dynamics) -> None:
        config, D = network.config, network.config.width
        head = D // config.num_heads
        qkv = D + 2 * config.num_key_heads * head
        self._network = network
        self.place = torch.zeros_like(network.place)
        self.embed_patch, self.to_patch, self.norm = (
            (torch.zeros_like(layer.weight), torch.zeros_like(layer.bias))
            for layer in (network.embed_patch, network.to_patch, network.norm)
        )
        self.blocks = [BlockSums.empty(D, qkv, head) for _ in network.blocks]

    def parameters(self) -> list[nn.Parameter]:
        """Returns the weights, in the order of `gradients`."""
        network = self._network
        layers: list[Any] = [network.embed_patch, network.to_patch, network.norm]
        found = [network.place] + [x for layer in layers for x in (layer.weight, layer.bias)]
        for block in network.blocks:
            assert isinstance(block, Block)
            attention = block.attention
            found += [
                attention.to_query.weight, attention.to_key_value.weight, attention.out.weight,
                block.gate_up.weight, block.down.weight, block.modulation_bias,
                attention.query_scale, attention.key_scale,
            ]  # fmt: skip
        return found

    def gradients(self) -> list[Tensor]:
        """Returns the sums, where they are."""
        D = self._network.config.width
        found = [self.place, *self.embed_patch, *self.to_patch, *self.norm]
        for block in self.blocks:
            to_qkv, out, gate_up, down, bias, scales = block
            found += [to_qkv[:D], to_qkv[D:], out, gate_up, down, bias, scales[0], scales[1]]
        return found

    def zero(self) -> None:
        """Begins anew."""
        singles = [self.place, *self.embed_patch, *self.to_patch, *self.norm]
        for tensor in (*singles, *(x for block in self.blocks for x in block)):
            tensor.zero_()


def add_product(total: tuple[Tensor, Tensor], change_RO: Tensor, given_RI: Tensor) -> None:
    """Adds the gradients of a layer's weight (O, I) and bias (O,) from what came in and out."""
    total[0].addmm_(change_RO.T, given_RI)
    total[1].add_(change_RO.sum(0))


class Gather(torch.autograd.Function):
    """A 0 of all weights, whose gradient in them is what the sums of all threads hold by then."""

    @staticmethod
    def forward(ctx: Any, sums: Sequence[WeightSums], *parameters: Tensor) -> Tensor:
        """Returns the 0, and begins the sums anew."""
        for one in sums:
            one.zero()
        ctx.sums = sums
        return torch.zeros(())

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        """Returns the sums."""
        each = zip(*(one.gradients() for one in ctx.sums), strict=True)
        return None, *(torch.stack(x).sum(0) for x in each)
