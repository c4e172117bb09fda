"""Backward kernel of `ntm`: a program takes one row, and finds the addresses again.

With u = w̃ + ε, w = u^γ / Σ u^γ and t = w (∂w - Σ w ∂w):  ∂w̃ = γ t / u,  ∂γ = Σ t log u;
∂wᵍ = Cᵀ ∂w̃ with C the circular matrix;  ∂g = Σ ∂wᵍ (wᶜ - w_before);  the softmax and the cosine
as usual.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from dreamdrive.kernels.device.ntm import (
    circle,
    content_of,
    likeness_of,
    load_memory,
    load_row,
    sharpened,
    sizes,
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
def kernel(
    grad_read_ptr, grad_memory_ptr, grad_weight_ptr,
    memory_ptr, before_ptr, key_ptr, strength_ptr, gate_ptr, shift_ptr, sharpness_ptr, erase_ptr,
    add_ptr, memory_out_ptr, before_out_ptr, key_out_ptr, strength_out_ptr, gate_out_ptr,
    shift_out_ptr, sharpness_out_ptr, erase_out_ptr, add_out_ptr, N, C, eps,
    HEADS: tl.constexpr, SLOTS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Writes the gradients of one row."""
    row = tl.program_id(0).to(tl.int64)
    slot = tl.arange(0, SLOTS)
    is_slot = slot < N
    memory, at, inside = load_memory(memory_ptr, row, N, C, SLOTS, BLOCK)
    grad_out, _, _ = load_memory(grad_memory_ptr, row, N, C, SLOTS, BLOCK)
    grad_read = load_row(grad_read_ptr, row, C, BLOCK)
    erase, add = load_row(erase_ptr, row, C, BLOCK), load_row(add_ptr, row, C, BLOCK)
    grad_memory = tl.zeros((SLOTS, BLOCK), tl.float32)
    for head in tl.static_range(HEADS):
        head_at = row * HEADS + head
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

        grad = load_row(grad_weight_ptr, head_at, N, SLOTS)
        if head == 0:
            grad += tl.sum(memory * grad_read[None, :], 1)
            grad_memory += weight[:, None] * grad_read[None, :]
        else:
            grad += tl.sum(grad_out * (add[None, :] - memory * erase[None, :]), 1)
            grad_memory += grad_out * (1.0 - weight[:, None] * erase[None, :])
            of_erase = -tl.sum(grad_out * memory * weight[:, None], 0)
            store_row(erase_out_ptr, row, C, of_erase, BLOCK)
            store_row(add_out_ptr, row, C, tl.sum(grad_out * weight[:, None], 0), BLOCK)

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
        of_key -= key * (tl.sum(grad_like * likeness, 0) / (key_size * key_size))
        store_row(key_out_ptr, head_at, C, of_key, BLOCK)
        grad_memory += (grad_like / both)[:, None] * key[None, :]
        grad_memory -= (grad_like * likeness / (size * size))[:, None] * memory
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
