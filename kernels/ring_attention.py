"""Attention of one new frame to the last W frames of a ring cache, the step of a rollout.

A ring holds the keys and values of the last W frames; frame number c is in slot c % W. The new
frame, number count - 1, is already in it, so a slot s holds the frame of age
(count - 1 - s) mod W, and is valid where s < count. Keys may be kept before their rotation: they
are then turned by -age · frequency as they are read, which gives the same products as any absolute
positions would, never leaves the range of angles that was trained, however long the rollout, and
makes a row's reset a matter of setting its count to 0.

Shapes: B batch, N tokens a frame, M query heads, G key heads, W slots, P head size.

Reference:
    Su et al. 2021, arXiv:2104.09864 (products depend on distance alone); Ainslie et al. 2023 (GQA),
    arXiv:2305.13245; Dai et al. 2019, arXiv:1901.02860 (recurrence over cached keys).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from dreamdrive.errors import KernelError
from dreamdrive.kernels.dispatch import Backend, choose_backend
from dreamdrive.kernels.qk_rope import rotate

LARGEST_HEAD = 256
MOST_QUERIES = 16


def reference(
    query: Tensor, keys: Tensor, values: Tensor, count_B: Tensor, frequency: Tensor | None = None
) -> Tensor:
    """Returns what each query head reads, in plain torch; arguments as `ring_attention`."""
    B, N, M, P = query.shape
    G, W = keys.shape[2:4]
    slot_W = torch.arange(W, device=keys.device)
    if frequency is not None:
        age_BW = (count_B[:, None] - 1 - slot_W) % W
        angle = -age_BW[..., None] * frequency
        keys = rotate(keys, angle[:, None, None])
    # The query heads of a group are queries to its one key head: nothing is repeated.
    out = F.scaled_dot_product_attention(
        query.reshape(B, N * G, M // G, P),
        keys.flatten(1, 2).to(query.dtype),
        values.flatten(1, 2).to(query.dtype),
        attn_mask=(slot_W < count_B[:, None])[:, None, None],
    )
    return out.reshape(B, N, M, P)


def ring_attention(
    query: Tensor,
    keys: Tensor,
    values: Tensor,
    count_B: Tensor,
    frequency: Tensor | None = None,
    *,
    backend: Backend = "auto",
) -> Tensor:
    """Returns what each query head reads, shape (B, N, M, P).

    Args:
        query: Queries of the newest frame, shape (B, N, M, P).
        keys: Shape (B, N, G, W, P), the newest frame's included; the batch may be strided.
        values: Likewise.
        count_B: Frames written to each row's ring, the newest included: at least 1, int64.
        frequency: Radians a frame of each channel pair, shape (P/2,), where keys and queries come
            before their rotation; None where they are rotated already.
        backend: "auto", "torch" or "triton"; see `dispatch`. The kernel has no gradient.

    Raises:
        KernelError: If M is no multiple of G or the shapes do not agree; with Triton by name, if a
            gradient is asked for, or the kernel does not take the shape or run on the device.
        MissingExtraError: With Triton by name, if it is not installed.
    """
    B, N, M, P = query.shape
    G, W = keys.shape[2:4]
    if keys.shape != (B, N, G, W, P) or values.shape != keys.shape or G < 1 or M % G:
        raise KernelError(
            f"Queries {tuple(query.shape)}, keys {tuple(keys.shape)} and values "
            f"{tuple(values.shape)} do not belong together"
        )
    problem = ""
    if P > LARGEST_HEAD or M // G > MOST_QUERIES:
        problem = (
            f"The kernel takes heads of up to {LARGEST_HEAD} and up to {MOST_QUERIES} query heads "
            f"a key head, got {P} and {M // G}"
        )
    elif torch.is_grad_enabled() and any(x.requires_grad for x in (query, keys, values)):
        problem = "The ring's kernel is for rollouts and has no gradient"
    if choose_backend(backend, query, problem) == "torch":
        return reference(query, keys, values, count_B, frequency)
    if B and not (keys[0].is_contiguous() and values[0].is_contiguous()):
        keys, values = keys.contiguous(), values.contiguous()
    out: Tensor = ring_attention_op(query.contiguous(), keys, values, count_B, frequency)
    return out


@torch.library.custom_op("dreamdrive::ring_attention", mutates_args=())
def ring_attention_op(
    query_BNMP: Tensor,
    key_BNGWP: Tensor,
    value_BNGWP: Tensor,
    count_B: Tensor,
    frequency: Tensor | None,
) -> Tensor:
    """Returns what each query head reads; all but the batch of keys and values is contiguous."""
    from dreamdrive.kernels.device import ring_attention

    return ring_attention.launch(query_BNMP, key_BNGWP, value_BNGWP, count_B, frequency)


@ring_attention_op.register_fake
def _(
    query_BNMP: Tensor,
    key_BNGWP: Tensor,
    value_BNGWP: Tensor,
    count_B: Tensor,
    frequency: Tensor | None,
) -> Tensor:
    return torch.empty_like(query_BNMP)
