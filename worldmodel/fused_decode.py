"""A frame's decoding on a processor: convolutions with packed weights, one pass for all between.

The channels of a pixel lie next to each other, as oneDNN likes; weights are packed once, and what
stands between two convolutions is `kernels.processor`. The result is the model's own picture
but for rounding.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dreamdrive.kernels import processor, processor_layout
from dreamdrive.worldmodel.model import WorldModel
from dreamdrive.worldmodel.packed import Precision, pack, product
from dreamdrive.worldmodel.state import RolloutState
from dreamdrive.worldmodel.tokenizer import ChannelNorm

EPSILON = np.float32(1e-6)
"""Of `ChannelNorm`."""


class FusedDecode:
    """`WorldModel.decode_step` for B dreams on a processor; without gradients.

    Args:
        model: On the CPU.
        batch_size: B.
        precision: Of the convolutions.

    Raises:
        KernelError: If this PyTorch cannot pack weights, or the model is not on the CPU.
    """

    def __init__(
        self, model: WorldModel, batch_size: int, precision: Precision = "float32"
    ) -> None:
        self._model = model
        tokenizer: Any = model.tokenizer
        size, W, D = tokenizer.config.latent_size, tokenizer.config.width, len(
            tokenizer.from_latent.weight
        )  # fmt: skip
        rows, fine = batch_size * size * size, batch_size * 4 * size * size

        def conv(layer: nn.Conv2d, size: int, order: Tensor | None = None) -> "PackedConv":
            return PackedConv(layer, batch_size, size, precision, order)

        def blocks(chain: Any, size: int) -> list[Any]:
            return [
                [(_scale(block.norm1), conv(block.conv1, size)),
                 (_scale(block.norm2), conv(block.conv2, size))]
                for block in chain
            ]  # fmt: skip

        self._from_latent = conv(tokenizer.from_latent, size)
        mix = tokenizer.time_out.mix
        self._mix = pack(mix.weight, mix.bias, precision, rows, both_ways=False)
        # Places come before channels, so that a pixel's channels are copied as one run.
        up, order = tokenizer.up, _places_first(W, 2)
        self._up = pack(
            up.weight.flatten(1)[order], up.bias[order], precision, rows, both_ways=False
        )
        self._coarse = blocks(tokenizer.coarse_out, size)
        self._fine = blocks(tokenizer.fine_out, 2 * size)
        self._head = conv(tokenizer.head, 2 * size, _places_first(3, 4))
        self._taps = torch.zeros(rows, mix.in_features)
        self._wide, self._high = torch.zeros(rows, D), torch.zeros(fine, W)

    def __call__(self, state: RolloutState) -> tuple[Tensor, RolloutState]:
        """Returns what `WorldModel.decode_step` returns, but for rounding."""
        with torch.no_grad():
            latent = self._model.unnormalise_latent(state.latent_BCHW)
            x = self._from_latent(latent.permute(0, 2, 3, 1).contiguous())
            cache = state.decoder_cache.contiguous()
            kept = torch.empty_like(cache)
            processor_layout.taps(_rows(x), cache.numpy(), self._taps.numpy(), kept.numpy())
            processor.add_silu(_rows(x), product(self._taps, self._mix).numpy())
            x = _through(self._coarse, x, self._wide)
            B, H, W, _ = x.shape
            up = product(x.flatten(0, 2), self._up)
            x = torch.empty(B, 2 * H, 2 * W, self._high.shape[1])
            processor_layout.spread(up.numpy(), 2, x.numpy())
            x = self._head(_through(self._fine, x, self._high))
            image_BHWC = torch.empty(B, 8 * H, 8 * W, 3)
            processor_layout.picture(_rows(x), 4, image_BHWC.numpy())
        return image_BHWC.permute(0, 3, 1, 2), state._replace(decoder_cache=kept)


class PackedConv:
    """A convolution of (B, H, W, C) that keeps the size, with its weight packed once.

    Args:
        layer: The convolution, of stride 1.
        batch_size: B that it is packed for.
        size: H and W, likewise.
        precision: Of its products.
        order: Order of the channels that come out; their own by default.
    """

    def __init__(
        self, layer: nn.Conv2d, batch_size: int, size: int, precision: Precision,
        order: Tensor | None = None,
    ) -> None:  # fmt: skip
        assert layer.bias is not None
        weight, bias = layer.weight.detach(), layer.bias.detach()
        if order is not None:
            weight, bias = weight[order], bias[order]
        self._dtype = getattr(torch, precision)
        self._padding = list(layer.padding)
        self._weight = torch.ops.mkldnn._reorder_convolution_weight(
            weight.to(self._dtype), self._padding, [1, 1], [1, 1], 1,
            [batch_size, layer.in_channels, size, size],
        )  # fmt: skip
        self._bias = bias.to(self._dtype)

    def __call__(self, x_BHWC: Tensor) -> Tensor:
        """Returns what the convolution gives, float32 (B, H, W, C')."""
        out: Tensor = torch.ops.mkldnn._convolution_pointwise(
            x_BHWC.to(self._dtype).permute(0, 3, 1, 2), self._weight, self._bias, self._padding,
            [1, 1], [1, 1], 1, "none", [], "",
        )  # fmt: skip
        return out.permute(0, 2, 3, 1).float().contiguous()


def _through(blocks: list[Any], x_BHWC: Tensor, scratch_RC: Tensor) -> Tensor:
    """Returns what residual blocks make of pixels, which they write to."""
    for parts in blocks:
        branch = x_BHWC
        for scale, conv in parts:
            processor.unit_silu(_rows(branch), scale, EPSILON, scratch_RC.numpy())
            branch = conv(scratch_RC.view(x_BHWC.shape))
        x_BHWC.add_(branch)
    return x_BHWC


def _rows(x_BHWC: Tensor) -> Any:
    """Returns pixels as an array of rows of channels, (B · H · W, C), which shares their memory."""
    return x_BHWC.flatten(0, 2).numpy()


def _scale(norm: ChannelNorm) -> Any:
    return norm.scale.detach().contiguous().numpy()


def _places_first(channels: int, factor: int) -> Tensor:
    """Returns the order in which `pixel_shuffle` finds a place's channels next to each other."""
    return torch.arange(channels * factor**2).view(channels, -1).T.flatten()
