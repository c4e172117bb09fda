"""Convolution that never looks ahead in time, whole or one frame at a time.

Reference:
    van den Oord et al. 2016, "WaveNet", arXiv:1609.03499: padding of kernel - 1 on the left, and
    §2.1, dilated convolutions one above the other.
"""

from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dreamdrive.kernels.conv3d_step import conv3d_step
from dreamdrive.kernels.dispatch import Backend


class CausalTimeConv(nn.Module):
    """Convolution over time alone: (kernel, 1, 1), padded on the left by `history` frames.

    Frames before the first are zero. `forward` with a cache of the last `history` inputs gives
    exactly what the whole clip would have given.

    Args:
        channels: C.
        kernel: Frames that are mixed.
        dilation: From one of them to the next.
    """

    def __init__(self, channels: int, kernel: int = 3, dilation: int = 1) -> None:
        super().__init__()
        self.kernel, self.dilation = kernel, dilation
        self.history = (kernel - 1) * dilation
        """Frames of its own input that it needs from before."""
        self.mix = nn.Linear(kernel * channels, channels)

    def init_cache(self, batch_size: int, height: int, width: int, like: Tensor) -> Tensor:
        """Returns the cache before the first frame, shape (B, history, C, H, W)."""
        channels = self.mix.out_features
        return like.new_zeros(batch_size, self.history, channels, height, width)

    def forward(self, x_BTCHW: Tensor, cache_BTCHW: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Returns the output, shape (B, T, C, H, W), and the cache after the last frame."""
        if cache_BTCHW is None:
            B, _, _, H, W = x_BTCHW.shape
            cache_BTCHW = self.init_cache(B, H, W, x_BTCHW)
        T = x_BTCHW.shape[1]
        if T == 1 and x_BTCHW.is_cuda and not torch.is_grad_enabled():
            out, cache_BTCHW = self.step(x_BTCHW[:, 0], cache_BTCHW)
            return out[:, None], cache_BTCHW
        padded = torch.cat([cache_BTCHW.to(x_BTCHW.dtype), x_BTCHW], 1)
        offsets = range(0, self.history + 1, self.dilation)
        taps = torch.cat([padded[:, i : i + T] for i in offsets], 2)
        weight = self.mix.weight[:, :, None, None]
        out = F.conv2d(taps.flatten(0, 1), weight, self.mix.bias)
        return out.unflatten(0, x_BTCHW.shape[:2]), padded[:, T:]

    def step(
        self, x_BCHW: Tensor, cache_BTCHW: Tensor, *, backend: Backend = "auto"
    ) -> tuple[Tensor, Tensor]:
        """Returns what `forward` does for one frame, (B, C, H, W), without unfolding it in memory.

        Args:
            x_BCHW: The frame.
            cache_BTCHW: The `history` frames before.
            backend: As in `kernels.conv3d_step`.
        """
        weight_OKC = self.mix.weight.unflatten(1, (self.kernel, -1))
        weight_OCKIJ = weight_OKC.transpose(1, 2)[..., None, None]
        cache_BTCHW = cache_BTCHW.to(x_BCHW.dtype)
        taps = cache_BTCHW[:, :: self.dilation]
        out, after = conv3d_step(x_BCHW, taps, weight_OCKIJ, self.mix.bias, backend=backend)
        if self.dilation > 1:
            after = torch.cat([cache_BTCHW[:, 1:], x_BCHW[:, None]], 1)
        return out, after

    def mixed(self, x_BTCHW: Tensor, before_BTCHW: Tensor) -> Tensor:
        """Returns the frames plus what the convolution makes of them and of those before."""
        out, _ = self(x_BTCHW, before_BTCHW)
        return x_BTCHW + F.silu(out)


def through(
    layers: Iterable[Any], x_BTCHW: Tensor, cache_BTCHW: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Returns what layers over time make of frames, one after the other, and their cache.

    Args:
        layers: Each has `history` and `mixed`.
        x_BTCHW: Frames.
        cache_BTCHW: What each layer was given in the frames before, end to end along time, first
            layer first; None for frames that nothing is before.
    """
    B, T = x_BTCHW.shape[:2]
    kept, start = [], 0
    for layer in layers:
        if cache_BTCHW is None:
            before = x_BTCHW.new_zeros(B, layer.history, *x_BTCHW.shape[2:])
        else:
            before = cache_BTCHW[:, start : start + layer.history].to(x_BTCHW.dtype)
            start += layer.history
        kept.append(torch.cat([before, x_BTCHW], 1)[:, T:])
        x_BTCHW = layer.mixed(x_BTCHW, before)
    return x_BTCHW, torch.cat(kept, 1)
