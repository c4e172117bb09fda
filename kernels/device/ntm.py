"""Forward kernel of `ntm`: a program takes one row, whose memory it reads once and writes once.

The memory of a row, (slots, channels), stays in registers. A shift over slots is a product with the
matrix of the circular convolution, which is built where it is needed: lanes cannot read each other
by an index of their own.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from dreamdrive.kernels.ntm import EPSILON, HEADS, Controls


@triton.jit
def load_row(ptr, at, size, BLOCK: tl.constexpr):
    """Returns one row of values in float32, zero beyond its size."""
    column = tl.arange(0, BLOCK)
    return tl.load(ptr + at * size + column, mask=column < size, other=0.0).to(tl.float32)


@triton.jit
def load_memory(memory_ptr, row, N, C, SLOTS: tl.constexpr, BLOCK: tl.constexpr):
    """Returns a row's memory (slots, channels) in float32, its offsets and the mask."""
    slot, column = tl.arange(0, SLOTS), tl.arange(0, BLOCK)
    at = row * N * C + slot[:, None] * C + column[None, :]
    inside = (slot < N)[:, None] & (column < C)[None, :]
    return tl.load(memory_ptr + at, mask=inside, other=0.0).to(tl.float32), at, inside


@triton.jit
def circle(shift_ptr, head_at, N, SLOTS: tl.constexpr):
    """Returns the matrix that shifts: slot i (row) takes slot j (column) times its entry."""
    to, off = tl.arange(0, SLOTS)[:, None], tl.arange(0, SLOTS)[None, :]
    inside = (to < N) & (off < N)
    moved = (to - off + N) % N
    back = tl.load(shift_ptr + head_at * 3).to(tl.float32)
    stay = tl.load(shift_ptr + head_at * 3 + 1).to(tl.float32)
    forth = tl.load(shift_ptr + head_at * 3 + 2).to(tl.float32)
    # Of one or two slots, several shifts may lead to the same: all of them count.
    matrix = tl.where(moved == 0, stay, 0.0)
    matrix += tl.where(moved == 1 % N, forth, 0.0)
    matrix += tl.where(moved == (N - 1 + N) % N, back, 0.0)
    return tl.where(inside, matrix, 0.0)


@triton.jit
def likeness_of(memory, key, eps):
    """Returns the cosines of slots and key, and the sizes of both, none below the least."""
    size = tl.maximum(tl.sqrt(tl.sum(memory * memory, 1)), eps)
    key_size = tl.maximum(tl.sqrt(tl.sum(key * key, 0)), eps)
    return tl.sum(memory * key[None, :], 1) / (size * key_size), size, key_size


@triton.jit
def content_of(likeness, strength, is_slot):
    """Returns the softmax over slots of strength times likeness."""
    score = tl.where(is_slot, likeness * strength, -1.0e30)
    weight = tl.where(is_slot, tl.exp(score - tl.max(score, 0)), 0.0)
    return weight / tl.sum(weight, 0)


@triton.jit
def sharpened(shifted, sharpness, is_slot, eps):
    """Returns the sharpened weights."""
    power = tl.where(is_slot, sharpness * tl.log(shifted + eps), -1.0e30)
    # Divided by the largest first: the quotient is the same, and nothing underflows together.
    sharp = tl.where(is_slot, tl.exp(power - tl.max(power, 0)), 0.0)
    return sharp / tl.sum(sharp, 0)


@triton.jit
def addressed(
    memory, before_ptr, key_ptr, strength_ptr, gate_ptr, shift_ptr, sharpness_ptr, head_at,
    N, C, eps, SLOTS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Returns the weights of one head over the slots of a memory."""
    is_slot = tl.arange(0, SLOTS) < N
    key = load_row(key_ptr, head_at, C, BLOCK)
    likeness, _, _ = likeness_of(memory, key, eps)
    content = content_of(likeness, tl.load(strength_ptr + head_at).to(tl.float32), is_slot)
    gate = tl.load(gate_ptr + head_at).to(tl.float32)
    held = gate * content + (1.0 - gate) * load_row(before_ptr, head_at, N, SLOTS)
    shifted = tl.sum(circle(shift_ptr, head_at, N, SLOTS) * held[None, :], 1)
    return sharpened(shifted, tl.load(sharpness_ptr + head_at).to(tl.float32), is_slot, eps)


@triton.jit
def written_to(memory, weight, erase, add):
    """Returns a memory after a head has erased and added."""
    return memory * (1.0 - weight[:, None] * erase[None, :]) + weight[:, None] * add[None, :]


@triton.jit
def forward_kernel(
    memory_ptr, before_ptr, key_ptr, strength_ptr, gate_ptr, shift_ptr, sharpness_ptr, erase_ptr,
    add_ptr, read_ptr, memory_out_ptr, weight_ptr, N, C, eps,
    HEADS: tl.constexpr, SLOTS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Writes the step of one row."""
    row = tl.program_id(0).to(tl.int64)
    slot, column = tl.arange(0, SLOTS), tl.arange(0, BLOCK)
    memory, at, inside = load_memory(memory_ptr, row, N, C, SLOTS, BLOCK)
    element = weight_ptr.dtype.element_ty
    for head in tl.static_range(HEADS):
        head_at = row * HEADS + head
        weight = addressed(
            memory, before_ptr, key_ptr, strength_ptr, gate_ptr, shift_ptr, sharpness_ptr, head_at,
            N, C, eps, SLOTS, BLOCK,
        )  # fmt: skip
        tl.store(weight_ptr + head_at * N + slot, weight.to(element), mask=slot < N)
        if head == 0:
            erase, add = load_row(erase_ptr, row, C, BLOCK), load_row(add_ptr, row, C, BLOCK)
            memory = written_to(memory, weight, erase, add)
            tl.store(memory_out_ptr + at, memory.to(memory_out_ptr.dtype.element_ty), mask=inside)
        else:
            read = tl.sum(memory * weight[:, None], 0)
            tl.store(read_ptr + row * C + column, read.to(element), mask=column < C)


def sizes(memory: Tensor) -> dict[str, int]:
    """Returns the sizes of a program, as arguments of a launch."""
    slots, block = (triton.next_power_of_2(max(1, x)) for x in memory.shape[1:])
    values = max(slots * block, slots * slots)
    return {
        "HEADS": HEADS, "SLOTS": slots, "BLOCK": block,
        "num_warps": max(1, min(8, values // 512)),
    }  # fmt: skip


def launch_forward(
    memory: Tensor, before: Tensor, controls: Controls
) -> tuple[Tensor, Tensor, Tensor]:
    """Returns reading, memory and weights, each in its input's dtype."""
    B, N, C = memory.shape
    read = torch.zeros_like(controls.erase_BC)
    memory_out, weight = torch.empty_like(memory), torch.empty_like(before)
    if B and N and C:
        forward_kernel[(B,)](
            memory, before, *controls, read, memory_out, weight, N, C, EPSILON, **sizes(memory)
        )
    return read, memory_out, weight
