"""Backward kernel of `ntm`: a program takes one row, and goes through its step again and back.

With u = w̃ + ε, w = u^γ / Σ u^γ and t = w (∂w - Σ w ∂w):  ∂w̃ = γ t / u,  ∂γ = Σ t log u;
∂wᵍ = Cᵀ ∂w̃ with C the circular matrix;  ∂g = Σ ∂wᵍ (wᶜ - w_before);  the softmax and the cosine
as usual.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from dreamdrive.kernels.device.ntm import (
    addressed,
    circle,
    content_of,
    likeness_of,
    load_memory,
    load_row,
    sharpened,
    sizes,
    written_to,
)
from dreamdrive.kernels.ntm import EPSILON, Controls


@triton.jit
def store_row(ptr, at, size, value, BLOCK: tl.constexpr):
    """Writes one row of values."""
    column = tl.arange(0, BLOCK)
    tl.store(ptr + at * size + column, value.to(ptr.dtype.element_ty), mask=column < size)


@triton.jit
def store_one(ptr, at, value):
    """Writes one value."""
    tl.store(ptr + at, value.to(ptr.dtype.element_ty))


@triton.jit
def address_backward(
    grad, memory, before_ptr, key_ptr, strength_ptr, gate_ptr, shift_ptr, sharpness_ptr,
    before_out_ptr, key_out_ptr, strength_out_ptr, gate_out_ptr, shift_out_ptr, sharpness_out_ptr,
    head_at, N, C, eps, SLOTS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Writes the gradients of one head's controls and returns that of the memory it looked at."""
    slot = tl.arange(0, SLOTS)
    is_slot = slot < N
    key = load_row(key_ptr, head_at, C, BLOCK)
    strength = tl.load(strength_ptr + head_at).to(tl.float32)
    gate = tl.load(gate_ptr + head_at).to(tl.float32)
    sharpness = tl.load(sharpness_ptr + head_at).to(tl.float32)
    before = load_row(before_ptr, head_at, N, SLOTS)
    likeness, size, key_size = likeness_of(memory, key, eps)
    content = content_of(likeness, strength, is_slot)
    held = gate * content + (1.0 - gate) * before
    matrix = circle(shift_ptr, head_at, N, SLOTS)
    shifted = tl.sum(matrix * held[None, :], 1)
    weight = sharpened(shifted, sharpness, is_slot, eps)

    turned = weight * (grad - tl.sum(weight * grad, 0))
    lifted = tl.where(is_slot, shifted + eps, 1.0)
    store_one(sharpness_out_ptr, head_at, tl.sum(turned * tl.log(lifted), 0))
    grad_shifted = sharpness * turned / lifted
    to, off = slot[:, None], slot[None, :]
    moved = (to - off + N) % N
    pairs = tl.where((to < N) & (off < N), grad_shifted[:, None] * held[None, :], 0.0)
    of_back = tl.sum(tl.sum(tl.where(moved == (N - 1 + N) % N, pairs, 0.0), 1), 0)
    of_stay = tl.sum(tl.sum(tl.where(moved == 0, pairs, 0.0), 1), 0)
    of_forth = tl.sum(tl.sum(tl.where(moved == 1 % N, pairs, 0.0), 1), 0)
    store_one(shift_out_ptr, head_at * 3, of_back)
    store_one(shift_out_ptr, head_at * 3 + 1, of_stay)
    store_one(shift_out_ptr, head_at * 3 + 2, of_forth)
    grad_held = tl.sum(matrix * grad_shifted[:, None], 0)
    store_one(gate_out_ptr, head_at, tl.sum(grad_held * (content - before), 0))
    store_row(before_out_ptr, head_at, N, (1.0 - gate) * grad_held, SLOTS)
    grad_content = gate * grad_held
    grad_score = content * (grad_content - tl.sum(content * grad_content, 0))
    store_one(strength_out_ptr, head_at, tl.sum(grad_score * likeness, 0))
    grad_like = strength * grad_score
    both = size * key_size
    of_key = tl.sum((grad_like / both)[:, None] * memory, 0)
    # What counts as the least size has no gradient of its own.
    along = tl.where(key_size > eps, tl.sum(grad_like * likeness, 0) / (key_size * key_size), 0.0)
    store_row(key_out_ptr, head_at, C, of_key - key * along, BLOCK)
    along_slots = tl.where(size > eps, grad_like * likeness / (size * size), 0.0)
    return (grad_like / both)[:, None] * key[None, :] - along_slots[:, None] * memory


@triton.jit
def kernel(
    grad_read_ptr, grad_memory_ptr, grad_weight_ptr,
    memory_ptr, before_ptr, key_ptr, strength_ptr, gate_ptr, shift_ptr, sharpness_ptr, erase_ptr,
    add_ptr, memory_out_ptr, before_out_ptr, key_out_ptr, strength_out_ptr, gate_out_ptr,
    shift_out_ptr, sharpness_out_ptr, erase_out_ptr, add_out_ptr, N, C, eps,
    HEADS: tl.constexpr, SLOTS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Writes the gradients of one row."""
    row = tl.program_id(0).to(tl.int64)
    writes, reads = row * HEADS, row * HEADS + 1
    memory, at, inside = load_memory(memory_ptr, row, N, C, SLOTS, BLOCK)
    grad_memory, _, _ = load_memory(grad_memory_ptr, row, N, C, SLOTS, BLOCK)
    grad_read = load_row(grad_read_ptr, row, C, BLOCK)
    erase, add = load_row(erase_ptr, row, C, BLOCK), load_row(add_ptr, row, C, BLOCK)
    written = addressed(
        memory, before_ptr, key_ptr, strength_ptr, gate_ptr, shift_ptr, sharpness_ptr, writes,
        N, C, eps, SLOTS, BLOCK,
    )  # fmt: skip
    after = written_to(memory, written, erase, add)
    looked = addressed(
        after, before_ptr, key_ptr, strength_ptr, gate_ptr, shift_ptr, sharpness_ptr, reads,
        N, C, eps, SLOTS, BLOCK,
    )  # fmt: skip

    grad = load_row(grad_weight_ptr, reads, N, SLOTS) + tl.sum(after * grad_read[None, :], 1)
    grad_memory += looked[:, None] * grad_read[None, :]
    grad_memory += address_backward(
        grad, after, before_ptr, key_ptr, strength_ptr, gate_ptr, shift_ptr, sharpness_ptr,
        before_out_ptr, key_out_ptr, strength_out_ptr, gate_out_ptr, shift_out_ptr,
        sharpness_out_ptr, reads, N, C, eps, SLOTS, BLOCK,
    )  # fmt: skip

    of_erase = -tl.sum(grad_memory * memory * written[:, None], 0)
    store_row(erase_out_ptr, row, C, of_erase, BLOCK)
    store_row(add_out_ptr, row, C, tl.sum(grad_memory * written[:, None], 0), BLOCK)
    grad = load_row(grad_weight_ptr, writes, N, SLOTS)
    grad += tl.sum(grad_memory * (add[None, :] - memory * erase[None, :]), 1)
    grad_memory = grad_memory * (1.0 - written[:, None] * erase[None, :])
    grad_memory += address_backward(
        grad, memory, before_ptr, key_ptr, strength_ptr, gate_ptr, shift_ptr, sharpness_ptr,
        before_out_ptr, key_out_ptr, strength_out_ptr, gate_out_ptr, shift_out_ptr,
        sharpness_out_ptr, writes, N, C, eps, SLOTS, BLOCK,
    )  # fmt: skip
    element = memory_out_ptr.dtype.element_ty
    tl.store(memory_out_ptr + at, grad_memory.to(element), mask=inside)


def launch(grads: list[Tensor], memory: Tensor, before: Tensor, controls: Controls) -> list[Tensor]:
    """Returns the gradients of memory, weights before and controls."""
    inputs = (memory, before, *controls)
    outs = [torch.zeros_like(x) for x in inputs]
    B, N, C = memory.shape
    if B and N and C:
        kernel[(B,)](*grads, *inputs, *outs, N, C, EPSILON, **sizes(memory))
    return outs
