"""Which implementation of block-causal attention runs: one function chooses, and says why.

Four compute the same (`block_attention.reference` is what they mean):

* "sdpa", PyTorch's scaled_dot_product_attention with a mask: everywhere, every shape;
* "flash-attn", where that package is installed: one token a frame or one frame, half precision;
* "flex", PyTorch's FlexAttention, compiled: CUDA, skips tiles that nobody reads;
* "triton", this package's kernel, which also turns queries and keys.
"""

import functools
import importlib.util
from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from dreamdrive.errors import KernelError, MissingExtraError
from dreamdrive.kernels import block_attention
from dreamdrive.kernels.block_attention import Frames
from dreamdrive.kernels.dispatch import choose_backend
from dreamdrive.kernels.qk_rope import rotate

Method = Literal["auto", "sdpa", "flash-attn", "flex", "triton"]
METHODS = ("auto", "sdpa", "flash-attn", "flex", "triton")

FLASH_INSTALLED = importlib.util.find_spec("flash_attn") is not None

SHORT = 128
"""Sequences up to here are a tile or two of the Triton kernel; libraries pad them to 128."""


class Choice(NamedTuple):
    """A method and, in one sentence, why it and no other."""

    method: Literal["sdpa", "flash-attn", "flex", "triton"]
    reason: str


def choose_attention(
    query: Tensor, frames: Frames, angle: Tensor | None = None, method: Method = "auto"
) -> Choice:
    """Returns which implementation attention over these tensors takes, and why.

    Args:
        query: Queries, shape (R, S, M, P).
        frames: Who may read whom.
        angle: Angles where queries and keys are not turned yet.
        method: "auto", or a method by name, which is taken or refused but never replaced.

    Raises:
        KernelError: If a method was asked for by name that cannot do it, or does not exist.
        MissingExtraError: If one was asked for by name that is not installed.
    """
    if method not in METHODS:
        raise KernelError(f"Attention must be one of {', '.join(METHODS)}, got {method!r}")
    if method == "triton":
        choose_backend("triton", query, block_attention.problem_of(query, angle))
    if method == "flash-attn":
        if not FLASH_INSTALLED:
            raise MissingExtraError("flash-attn", "flash")
        if problem := _flash_problem(query, frames):
            raise KernelError(problem, do="Ask for 'flex', 'triton' or 'sdpa'")
    if method == "flex" and not query.is_cuda:
        raise KernelError(
            f"FlexAttention is used on CUDA tensors, and this one is on {query.device}",
            do="Ask for 'sdpa'",
        )
    if method != "auto":
        return Choice(method, "it was asked for by name")
    if not query.is_cuda:
        return Choice("sdpa", "the tensors are on a CPU, where PyTorch's own is the fastest")
    triton = choose_backend("auto", query, block_attention.problem_of(query, angle)) == "triton"
    S = query.shape[1]
    if triton and S <= SHORT:
        return Choice("triton", f"{S} tokens fit a tile or two, and libraries would pad them")
    if FLASH_INSTALLED and not (problem := _flash_problem(query, frames)):
        return Choice("flash-attn", f"it is installed and takes the mask of {S} tokens")
    if triton:
        return Choice("triton", f"{S} tokens with a block-causal mask, which it skips by tiles")
    return Choice("sdpa", "the Triton kernel cannot run on this device or shape")


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    frames: Frames,
    angle: Tensor | None = None,
    *,
    mask: Tensor | None = None,
    method: Method = "auto",
) -> Tensor:
    """Returns what each query reads, shape (R, S, M, P), by the method that is chosen.

    Args:
        query: Shape (R, S, M, P).
        key: Shape (R, S, G, P).
        value: Likewise.
        frames: Who may read whom.
        angle: Radians by which tokens are turned, (S, P/2); None where they are turned already.
        mask: What `block_attention.visible` returns for these sizes, where the caller keeps it;
            only "sdpa" needs one.
        method: "auto", "sdpa", "flash-attn", "flex" or "triton"; see `choose_attention`.

    Raises:
        KernelError: If the shapes do not agree, or a method that was asked for cannot take them.
        MissingExtraError: If a method that was asked for is not installed.
    """
    block_attention.check(query, key, value, frames)
    chosen = choose_attention(query, frames, angle, method).method
    if chosen == "sdpa":
        return block_attention.reference(query, key, value, frames, angle, mask)
    if chosen == "triton":
        return block_attention.block_attention(query, key, value, frames, angle, backend="triton")
    if angle is not None:
        query, key = rotate(query, angle[:, None]), rotate(key, angle[:, None])
    if chosen == "flex":
        return _flex(query, key, value, frames)
    return _flash(query, key, value, frames)


def _flash_problem(query: Tensor, frames: Frames) -> str:
    """Returns why flash-attn cannot do it, or nothing."""
    _, S, _, P = query.shape
    if query.dtype not in (torch.float16, torch.bfloat16):
        return f"flash-attn takes 16-bit floats, got {query.dtype}"
    if P % 8 or P > 256:
        return f"flash-attn takes heads of a multiple of 8 up to 256, got {P}"
    if frames.num_private or frames.tokens not in (1, S):
        return f"flash-attn has no mask for {frames} over {S} tokens"
    if not query.is_cuda:
        return f"flash-attn runs on CUDA tensors, and this one is on {query.device}"
    return ""


def _flash(query: Tensor, key: Tensor, value: Tensor, frames: Frames) -> Tensor:
    from flash_attn import flash_attn_func

    if frames.tokens > 1:
        whole: Tensor = flash_attn_func(query, key, value, causal=False)
        return whole
    window = (frames.window - 1, 0)
    out: Tensor = flash_attn_func(query, key, value, causal=True, window_size=window)
    return out


def _flex(query: Tensor, key: Tensor, value: Tensor, frames: Frames) -> Tensor:
    mask = _flex_mask(query.shape[1], frames, query.device)
    out = _compiled_flex()(
        query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2), block_mask=mask,
        enable_gqa=query.shape[2] != key.shape[2],
    )  # fmt: skip
    return out.transpose(1, 2)


@functools.cache
def _compiled_flex() -> Callable[..., Tensor]:
    from torch.nn.attention.flex_attention import flex_attention

    compiled: Callable[..., Tensor] = torch.compile(flex_attention)
    return compiled


@functools.lru_cache(maxsize=64)
def _flex_mask(num_tokens: int, frames: Frames, device: torch.device) -> object:
    from torch.nn.attention.flex_attention import create_block_mask

    n, window, private = frames

    def may_read(_: Tensor, __: Tensor, query: Tensor, key: Tensor) -> Tensor:
        distance = query // n - key // n
        public = (key % n < n - private) | (query % n == key % n)
        return (distance >= 0) & (distance < window) & public

    return create_block_mask(may_read, None, None, num_tokens, num_tokens, device=str(device))
