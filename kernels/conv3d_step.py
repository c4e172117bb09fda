"""One frame through a causal convolution over time, height and width.

With w the weights and b the bias, the output of frame t is
b + Σ w[:, :, k, i, j] · frame_{t-K+1+k} shifted by (i - ⌊I/2⌋, j - ⌊J/2⌋), with zeros outside. The
K - 1 frames before are a cache; frame by frame gives what the whole clip would give.

Shapes: B batch, C channels, O output channels, H W image, K I J kernel (odd in space).

Reference:
    van den Oord et al. 2016, "WaveNet", arXiv:1609.03499 (padding on the left alone); Wan 2025,
    arXiv:2503.20314 (a cache of frames for causal 3D convolutions).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from dreamdrive.errors import KernelError
from dreamdrive.kernels.dispatch import Backend, choose_backend


def reference(
    x_BCHW: Tensor, cache_BKCHW: Tensor, weight_OCKIJ: Tensor, bias_O: Tensor | None = None
) -> Tensor:
    """Returns the new frame's output in plain torch; arguments as `conv3d_step`."""
    clip = torch.cat([cache_BKCHW, x_BCHW[:, None]], 1).transpose(1, 2)
    around = (0, weight_OCKIJ.shape[3] // 2, weight_OCKIJ.shape[4] // 2)
    return F.conv3d(clip, weight_OCKIJ, bias_O, padding=around)[:, :, 0]


def conv3d_step(
    x_BCHW: Tensor,
    cache_BKCHW: Tensor,
    weight_OCKIJ: Tensor,
    bias_O: Tensor | None = None,
    *,
    backend: Backend = "auto",
) -> tuple[Tensor, Tensor]:
    """Returns the new frame's output, shape (B, O, H, W), and the cache for the next.

    Args:
        x_BCHW: The new frame.
        cache_BKCHW: The K - 1 frames before, oldest first; zeros at an episode's start.
        weight_OCKIJ: Shape (O, C, K, I, J) with odd I and J.
        bias_O: Shape (O,).
        backend: "auto", "torch" or "triton"; see `dispatch`. The kernel has no gradient.

    Raises:
        KernelError: If the shapes do not agree or I or J is even; with Triton by name, if a
            gradient is asked for or the device cannot run it.
        MissingExtraError: With Triton by name, if it is not installed.
    """
    B, C, H, W = x_BCHW.shape
    K, I, J = weight_OCKIJ.shape[2:]  # noqa: E741
    if cache_BKCHW.shape != (B, K - 1, C, H, W) or weight_OCKIJ.shape[1] != C:
        raise KernelError(
            f"A frame {tuple(x_BCHW.shape)}, a cache {tuple(cache_BKCHW.shape)} and weights "
            f"{tuple(weight_OCKIJ.shape)} do not belong together"
        )
    if not I % 2 or not J % 2:
        raise KernelError(f"The kernel must be odd in space, got {I}x{J}")
    inputs = (x_BCHW, cache_BKCHW, weight_OCKIJ, *(() if bias_O is None else (bias_O,)))
    problem = ""
    if torch.is_grad_enabled() and any(x.requires_grad for x in inputs):
        problem = "The streaming convolution's kernel is for rollouts and has no gradient"
    if choose_backend(backend, x_BCHW, problem) == "torch":
        out = reference(x_BCHW, cache_BKCHW, weight_OCKIJ, bias_O)
    else:
        tensors = (x.contiguous() for x in (x_BCHW, cache_BKCHW, weight_OCKIJ))
        out = conv3d_step_op(*tensors, bias_O)
    return out, torch.cat([cache_BKCHW, x_BCHW[:, None]], 1)[:, 1:]


@torch.library.custom_op("dreamdrive::conv3d_step", mutates_args=())
def conv3d_step_op(
    x_BCHW: Tensor, cache_BKCHW: Tensor, weight_OCKIJ: Tensor, bias_O: Tensor | None
) -> Tensor:
    """Returns the new frame's output."""
    from dreamdrive.kernels.device import conv3d_step

    return conv3d_step.launch(x_BCHW, cache_BKCHW, weight_OCKIJ, bias_O)


@conv3d_step_op.register_fake
def _(x_BCHW: Tensor, cache_BKCHW: Tensor, weight_OCKIJ: Tensor, bias_O: Tensor | None) -> Tensor:
    B, _, H, W = x_BCHW.shape
    return x_BCHW.new_empty(B, weight_OCKIJ.shape[0], H, W)
