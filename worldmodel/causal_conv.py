"""Convolution that never looks ahead in time, whole or one frame at a time.

Reference:
    van den Oord et al. 2016, "WaveNet", arXiv:1609.03499: padding of kernel - 1 on the left.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dreamdrive.kernels.conv3d_step import conv3d_step
from dreamdrive.kernels.dispatch import Backend


class CausalTimeConv(nn.Module):
    """Convolution over time alone: (kernel, 1, 1), padded by kernel - 1 frames on the left.

    Frames before the first are zero. `forward` with a cache of the last kernel - 1 inputs gives
    exactly what the whole clip would have given.
    """

    def __init__(self, channels: int, kernel: int = 3) -> None:
        super().__init__()
        self.kernel = kernel
        self.mix = nn.Linear(kernel * channels, channels)

    def init_cache(self, batch_size: int, height: int, width: int, like: Tensor) -> Tensor:
        """Returns the cache before the first frame, shape (B, kernel - 1, C, H, W)."""
        channels = self.mix.out_features
        return like.new_zeros(batch_size, self.kernel - 1, channels, height, width)

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
        taps = torch.cat([padded[:, i : i + T] for i in range(self.kernel)], 2)
        weight = self.mix.weight[:, :, None, None]
        out = F.conv2d(taps.flatten(0, 1), weight, self.mix.bias)
        return out.unflatten(0, x_BTCHW.shape[:2]), padded[:, T:]

    def step(
        self, x_BCHW: Tensor, cache_BTCHW: Tensor, *, backend: Backend = "auto"
    ) -> tuple[Tensor, Tensor]:
        """Returns what `forward` does for one frame, (B, C, H, W), without unfolding it in memory.

        Args:
            x_BCHW: The frame.
            cache_BTCHW: The kernel - 1 frames before.
            backend: As in `kernels.conv3d_step`.
        """
        weight_OKC = self.mix.weight.unflatten(1, (self.kernel, -1))
        weight_OCKIJ = weight_OKC.transpose(1, 2)[..., None, None]
        cache_BTCHW = cache_BTCHW.to(x_BCHW.dtype)
        return conv3d_step(x_BCHW, cache_BTCHW, weight_OCKIJ, self.mix.bias, backend=backend)
