"""Kernel of `conv3d_step`: a matrix product whose left side is gathered from frame and cache.

A program takes a tile of pixels and a tile of output channels; it walks over the taps of the kernel
and, in each, over the channels. Nothing is unfolded in memory.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from dreamdrive.kernels.device.tiles import product


@triton.jit
def tap(
    total, frame_ptr, frame_at, weight_ptr, weight_at, inside, out_channel, C, O_SIZE, HW,
    channel_step, PRECISION: tl.constexpr, INNER: tl.constexpr,
):  # fmt: skip
    """Returns the sum with one tap of the kernel added, over all channels."""
    narrow = frame_ptr.dtype.element_ty
    for start in range(0, C, INNER):
        channel = start + tl.arange(0, INNER)
        is_channel = channel < C
        at = frame_at[:, None] + channel[None, :] * HW
        pixels = tl.load(frame_ptr + at, mask=inside[:, None] & is_channel[None, :], other=0.0)
        at = weight_at + (out_channel[None, :] * C + channel[:, None]) * channel_step
        mask = is_channel[:, None] & (out_channel < O_SIZE)[None, :]
        weight = tl.load(weight_ptr + at, mask=mask, other=0.0)
        total += product(pixels, weight.to(narrow), PRECISION)
    return total


@triton.jit
def kernel(
    x_ptr, cache_ptr, weight_ptr, bias_ptr, out_ptr, P, C, O_SIZE, H, W,
    K: tl.constexpr, TALL: tl.constexpr, WIDE: tl.constexpr, BIAS: tl.constexpr,
    PRECISION: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, INNER: tl.constexpr,
):  # fmt: skip
    """Writes a tile of pixels (of the P of all frames) and output channels."""
    pixel = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    out_channel = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    HW = H * W
    frame, place = pixel // HW, pixel % HW
    row, column = place // W, place % W
    total = tl.zeros((ROWS, COLUMNS), tl.float32)
    taps = K * TALL * WIDE
    for i in range(TALL):
        for j in range(WIDE):
            tall, wide = row + i - TALL // 2, column + j - WIDE // 2
            inside = (pixel < P) & (tall >= 0) & (tall < H) & (wide >= 0) & (wide < W)
            there = tall * W + wide
            here = i * WIDE + j
            for k in range(K - 1):
                at = (frame * (K - 1) + k) * C * HW + there
                total = tap(
                    total, cache_ptr, at, weight_ptr, k * TALL * WIDE + here, inside, out_channel,
                    C, O_SIZE, HW, taps, PRECISION, INNER,
                )  # fmt: skip
            total = tap(
                total, x_ptr, frame * C * HW + there, weight_ptr, (K - 1) * TALL * WIDE + here,
                inside, out_channel, C, O_SIZE, HW, taps, PRECISION, INNER,
            )  # fmt: skip
    is_out = out_channel < O_SIZE
    if BIAS:
        bias = tl.load(bias_ptr + out_channel, mask=is_out, other=0.0).to(tl.float32)
        total += bias[None, :]
    at = (frame * O_SIZE)[:, None] * HW + out_channel[None, :] * HW + place[:, None]
    mask = (pixel < P)[:, None] & is_out[None, :]
    tl.store(out_ptr + at, total.to(out_ptr.dtype.element_ty), mask=mask)


def launch(
    x_BCHW: Tensor, cache_BKCHW: Tensor, weight_OCKIJ: Tensor, bias_O: Tensor | None
) -> Tensor:
    """Returns the new frame's output, in the dtype of `x_BCHW`."""
    B, C, H, W = x_BCHW.shape
    num_out, _, *taps = weight_OCKIJ.shape
    out = x_BCHW.new_empty(B, num_out, H, W)
    if out.numel():
        pixels = B * H * W
        # A tile's addresses take twice the registers of its values: small tiles do not spill.
        rows, columns, inner = (
            min(most, max(16, triton.next_power_of_2(size)))
            for most, size in ((32, pixels), (64, num_out), (32, C))
        )
        kernel[(triton.cdiv(pixels, rows), triton.cdiv(num_out, columns))](
            x_BCHW, cache_BKCHW, weight_OCKIJ, weight_OCKIJ if bias_O is None else bias_O, out,
            pixels, C, num_out, H, W, *taps, BIAS=bias_O is not None,
            PRECISION="ieee" if x_BCHW.dtype == torch.float32 else "tf32",
            ROWS=rows, COLUMNS=columns, INNER=inner, num_warps=4, num_stages=2,
        )  # fmt: skip
    return out
