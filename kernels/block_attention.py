"""Block-causal attention of a window of frames, the training counterpart of `ring_attention`.

Token i of a sequence belongs to frame i // n. It reads the tokens of its own frame and of the
window - 1 frames before. The last `num_private` tokens of a frame read like all others and are read
by none but their own kind: the agent token, which must not change what it watches. One frame of n
tokens is attention over space; n = 1 is causal attention over time.

The kernel never holds more than a tile of the scores (Dao), turns queries and keys by their angles
as it reads them, skips tiles that nobody may read, and keeps the logarithm of each row's sum for
the backward pass, which computes the scores again.

Shapes: R sequences, S tokens, M query heads, G key heads, P head size.

Reference:
    Dao 2023, "FlashAttention-2", arXiv:2307.08691, algorithms 1 and 2; Chen et al. 2024,
    arXiv:2407.01392 (block-causal windows); Ainslie et al. 2023 (GQA), arXiv:2305.13245.
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from dreamdrive.errors import KernelError
from dreamdrive.kernels.dispatch import Backend, choose_backend
from dreamdrive.kernels.qk_rope import rotate

LARGEST_HEAD = 256


class Frames(NamedTuple):
    """Who may read whom.

    Attributes:
        tokens: Tokens of a frame, n.
        window: Frames that a token reads, its own included.
        num_private: Last tokens of a frame that only the tokens of their own place read.
    """

    tokens: int
    window: int
    num_private: int = 0


def visible(num_tokens: int, frames: Frames, device: torch.device | None = None) -> Tensor:
    """Returns True where a token (row) may read another (column), shape (S, S)."""
    index = torch.arange(num_tokens, device=device)
    frame, place = index // frames.tokens, index % frames.tokens
    distance = frame[:, None] - frame
    public = place < frames.tokens - frames.num_private
    return (
        (distance >= 0) & (distance < frames.window) & (public | (place[:, None] == place))
    )  # fmt: skip


def reference(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    frames: Frames,
    angle: Tensor | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """Returns what each query reads, in plain torch.

    Args:
        query: As `block_attention`.
        key: Likewise.
        value: Likewise.
        frames: Likewise.
        angle: Likewise.
        mask: What `visible` returns for these sizes, where the caller keeps it.
    """
    if angle is not None:
        query, key = rotate(query, angle[:, None]), rotate(key, angle[:, None])
    if mask is None:
        mask = visible(query.shape[1], frames, query.device)
    repeat = query.shape[2] // key.shape[2]
    key, value = key.transpose(1, 2), value.transpose(1, 2)
    key = key.repeat_interleave(repeat, 1)
    value = value.repeat_interleave(repeat, 1)
    out = F.scaled_dot_product_attention(query.transpose(1, 2), key, value, attn_mask=mask)
    return out.transpose(1, 2)


def check(query: Tensor, key: Tensor, value: Tensor, frames: Frames) -> None:
    """Raises a KernelError where the arguments of `block_attention` do not belong together."""
    R, S, M, P = query.shape
    G = key.shape[2]
    if key.shape != (R, S, G, P) or value.shape != key.shape or G < 1 or M % G:
        raise KernelError(
            f"Queries {tuple(query.shape)}, keys {tuple(key.shape)} and values "
            f"{tuple(value.shape)} do not belong together"
        )
    if frames.tokens < 1 or frames.window < 1 or not 0 <= frames.num_private <= frames.tokens:
        raise KernelError(f"There are no frames such as {frames}")


def problem_of(query: Tensor, angle: Tensor | None) -> str:
    """Returns why the kernel cannot take these arguments, or nothing."""
    P = query.shape[-1]
    if P > LARGEST_HEAD or P % 2:
        return f"The kernel takes even head sizes up to {LARGEST_HEAD}, got {P}"
    if angle is not None and angle.shape != (query.shape[1], P // 2):
        return f"The kernel takes angles of shape (S, P/2), got {tuple(angle.shape)}"
    return ""


def block_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    frames: Frames,
    angle: Tensor | None = None,
    *,
    backend: Backend = "auto",
) -> Tensor:
    """Returns what each query reads, shape (R, S, M, P).

    Args:
        query: Shape (R, S, M, P), scaled by P^-½ here.
        key: Shape (R, S, G, P); query head m reads key head m // (M / G).
        value: Likewise.
        frames: Who may read whom; the last frame may be cut short.
        angle: Radians by which tokens are turned, (S, P/2); None where they are turned already.
        backend: "auto", "torch" or "triton"; see `dispatch`.

    Raises:
        KernelError: If the shapes do not agree; with Triton by name, if P is odd or above 256, or
            the device cannot run it.
        MissingExtraError: With Triton by name, if it is not installed.
    """
    check(query, key, value, frames)
    if choose_backend(backend, query, problem_of(query, angle)) == "torch":
        return reference(query, key, value, frames, angle)
    query, key, value = query.contiguous(), key.contiguous(), value.contiguous()
    out: Tensor = block_attention_op(query, key, value, angle, *frames)[0]
    return out


@torch.library.custom_op("dreamdrive::block_attention", mutates_args=())
def block_attention_op(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    angle: Tensor | None,
    tokens: int,
    window: int,
    num_private: int,
) -> tuple[Tensor, Tensor]:
    """Returns what each query reads, and the binary logarithms of its sums, (R, M, S)."""
    from dreamdrive.kernels.device import block_attention

    return block_attention.launch_forward(
        query, key, value, angle, Frames(tokens, window, num_private)
    )


@block_attention_op.register_fake
def _(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    angle: Tensor | None,
    tokens: int,
    window: int,
    num_private: int,
) -> tuple[Tensor, Tensor]:
    R, S, M, _ = query.shape
    return torch.empty_like(query), query.new_empty(R, M, S, dtype=torch.float32)


@torch.library.custom_op("dreamdrive::block_attention_backward", mutates_args=())
def block_attention_backward_op(
    grad: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    angle: Tensor | None,
    out: Tensor,
    log_sum: Tensor,
    tokens: int,
    window: int,
    num_private: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the gradients of queries, keys and values."""
    from dreamdrive.kernels.device import block_attention_backward

    return block_attention_backward.launch(
        grad, query, key, value, angle, out, log_sum, Frames(tokens, window, num_private)
    )


@block_attention_backward_op.register_fake
def _(
    grad: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    angle: Tensor | None,
    out: Tensor,
    log_sum: Tensor,
    tokens: int,
    window: int,
    num_private: int,
) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(query), torch.empty_like(key), torch.empty_like(value)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    query, key, value, angle, *ctx.frames = inputs
    ctx.save_for_backward(query, key, value, angle, *output)
    ctx.mark_non_differentiable(output[1])


def _gradients(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    grads = block_attention_backward_op(grad.contiguous(), *ctx.saved_tensors, *ctx.frames)
    return (*grads, None, None, None, None)


block_attention_op.register_autograd(_gradients, setup_context=_keep)
