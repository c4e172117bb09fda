"""One step of a Neural Turing Machine's memory: a head erases and adds, then another reads.

Each head finds its weights over the slots from what it looks for and where it was (Graves,
equations 5 to 9); the one that reads looks at the memory that the other has written:

    content      wᶜ = softmax(β · cos(k, M_n))
    interpolate  wᵍ = g wᶜ + (1 - g) w_before
    shift        w̃_i = Σ_d s_d wᵍ_{(i - d) mod N},  d = -1, 0, 1
    sharpen      w_i = (w̃_i + ε)^γ / Σ_j (w̃_j + ε)^γ
    write        M_n ← M_n + w_n a - w_n e ⊙ M_n
    read         r = Σ_n w_n M_n

Shapes: B rows, H = 2 heads, the one that writes first, N slots, C channels of a slot.

Reference:
    Graves et al. 2014, "Neural Turing Machines", arXiv:1410.5401, equations 2 to 9.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from dreamdrive.errors import KernelError
from dreamdrive.kernels.dispatch import Backend, choose_backend

EPSILON = 1e-8
"""Least size that a slot or key counts as having, and what is added to weights that are raised."""
MOST_SLOTS, MOST_VALUES = 64, 8_192
HEADS = 2


class Controls(NamedTuple):
    """What a controller tells the two heads, the one that writes and the one that reads.

    Attributes:
        key_BHC: What each looks for.
        strength_BH: β, above 0: how much the likeness counts.
        gate_BH: g, in [0, 1]: 0 stays where it was.
        shift_BH3: s, summing to 1, of one slot back, none and one forth.
        sharpness_BH: γ, at least 1.
        erase_BC: e, in [0, 1], of the head that writes.
        add_BC: a, likewise.
    """

    key_BHC: Tensor
    strength_BH: Tensor
    gate_BH: Tensor
    shift_BH3: Tensor
    sharpness_BH: Tensor
    erase_BC: Tensor
    add_BC: Tensor


class Stepped(NamedTuple):
    """What was read (B, C), the memory after the step (B, N, C), and the weights (B, H, N)."""

    read_BC: Tensor
    memory_BNC: Tensor
    weight_BHN: Tensor


def attend(address: Sequence[Tensor], memory_BNC: Tensor, before_BN: Tensor) -> Tensor:
    """Returns one head's weights over the slots, in plain torch, shape (B, N) (eq. 5-9).

    Args:
        address: The first five of `Controls`, of one head: (B, C), (B,), (B,), (B, 3) and (B,).
        memory_BNC: The memory that it looks at.
        before_BN: Its weights at the step before.
    """
    key, strength, gate, shift, sharpness = address
    likeness = F.cosine_similarity(key[:, None], memory_BNC, dim=-1, eps=EPSILON)
    content = (strength[:, None] * likeness).softmax(-1)
    held = gate[:, None] * content + (1.0 - gate[:, None]) * before_BN
    moved = torch.stack([held.roll(move, -1) for move in (-1, 0, 1)], -1)
    sharp = ((moved * shift[:, None]).sum(-1) + EPSILON) ** sharpness[:, None]
    return sharp / sharp.sum(-1, keepdim=True)


def write(memory_BNC: Tensor, weight_BN: Tensor, erase_BC: Tensor, add_BC: Tensor) -> Tensor:
    """Returns the memory after M ← M + w ⊗ a - (w ⊗ e) ⊙ M, in plain torch (eq. 3-4)."""
    weight = weight_BN[..., None]
    return memory_BNC + weight * add_BC[:, None] - weight * erase_BC[:, None] * memory_BNC


def read(memory_BNC: Tensor, weight_BN: Tensor) -> Tensor:
    """Returns wᵀ M in plain torch, shape (B, C) (eq. 2)."""
    return torch.einsum("bn,bnc->bc", weight_BN, memory_BNC)


def reference(memory_BNC: Tensor, before_BHN: Tensor, controls: Controls) -> Stepped:
    """Returns the step in plain torch; arguments as `ntm_step`."""
    looks = [[x[:, head] for x in controls[:5]] for head in range(HEADS)]
    written = attend(looks[0], memory_BNC, before_BHN[:, 0])
    memory = write(memory_BNC, written, controls.erase_BC, controls.add_BC)
    looked = attend(looks[1], memory, before_BHN[:, 1])
    return Stepped(read(memory, looked), memory, torch.stack([written, looked], 1))


def ntm_step(
    memory_BNC: Tensor, before_BHN: Tensor, controls: Controls, *, backend: Backend = "auto"
) -> Stepped:
    """Returns what was read, the memory after the step and the heads' weights.

    Args:
        memory_BNC: The memory.
        before_BHN: Both heads' weights at the step before, each summing to 1.
        controls: What the controller tells the heads.
        backend: "auto", "torch" or "triton"; see `dispatch`.

    Raises:
        KernelError: If the shapes do not agree; with Triton by name, if the memory has more than
            64 slots or 8,192 values, or the device cannot run it.
        MissingExtraError: With Triton by name, if it is not installed.
    """
    B, N, C = memory_BNC.shape
    shapes = [(B, HEADS, C), (B, HEADS), (B, HEADS), (B, HEADS, 3), (B, HEADS), (B, C), (B, C)]
    found = [tuple(x.shape) for x in (before_BHN, *controls)]
    if found != [(B, HEADS, N), *shapes]:
        raise KernelError(f"A memory of {(B, N, C)} does not belong to controls of {found}")
    problem = ""
    if N > MOST_SLOTS or N * C > MOST_VALUES:
        problem = (
            f"The kernel takes up to {MOST_SLOTS} slots and {MOST_VALUES} values, got {N} and "
            f"{N * C}"
        )
    if choose_backend(backend, memory_BNC, problem) == "torch":
        return reference(memory_BNC, before_BHN, controls)
    tensors = [x.contiguous() for x in (memory_BNC, before_BHN, *controls)]
    return Stepped(*ntm_op(*tensors))


@torch.library.custom_op("dreamdrive::ntm", mutates_args=())
def ntm_op(
    memory: Tensor, before: Tensor, key: Tensor, strength: Tensor, gate: Tensor, shift: Tensor,
    sharpness: Tensor, erase: Tensor, add: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Returns reading, memory and weights."""
    from dreamdrive.kernels.device import ntm

    controls = Controls(key, strength, gate, shift, sharpness, erase, add)
    return ntm.launch_forward(memory, before, controls)


@ntm_op.register_fake
def _(
    memory: Tensor, before: Tensor, key: Tensor, strength: Tensor, gate: Tensor, shift: Tensor,
    sharpness: Tensor, erase: Tensor, add: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    return torch.empty_like(erase), torch.empty_like(memory), torch.empty_like(before)


@torch.library.custom_op("dreamdrive::ntm_backward", mutates_args=())
def ntm_backward_op(
    grads: list[Tensor], memory: Tensor, before: Tensor, key: Tensor, strength: Tensor,
    gate: Tensor, shift: Tensor, sharpness: Tensor, erase: Tensor, add: Tensor,
) -> list[Tensor]:  # fmt: skip
    """Returns the gradients of everything, in the order of `ntm_op`'s arguments."""
    from dreamdrive.kernels.device import ntm_backward

    controls = Controls(key, strength, gate, shift, sharpness, erase, add)
    return ntm_backward.launch(grads, memory, before, controls)


@ntm_backward_op.register_fake
def _(
    grads: list[Tensor], memory: Tensor, before: Tensor, key: Tensor, strength: Tensor,
    gate: Tensor, shift: Tensor, sharpness: Tensor, erase: Tensor, add: Tensor,
) -> list[Tensor]:  # fmt: skip
    inputs = (memory, before, key, strength, gate, shift, sharpness, erase, add)
    return [torch.empty_like(x) for x in inputs]


def _keep(ctx: Any, inputs: tuple[Tensor, ...], output: Any) -> None:
    ctx.save_for_backward(*inputs)


def _gradients(ctx: Any, *grads: Tensor) -> tuple[Tensor, ...]:
    return tuple(ntm_backward_op([g.contiguous() for g in grads], *ctx.saved_tensors))


ntm_op.register_autograd(_gradients, setup_context=_keep)
