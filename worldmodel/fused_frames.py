"""The frames of some dreams on one thread of a processor, forth and back.

A step is `fused.FusedStep`'s, and its gradient is written out: products with packed transposes,
`kernels.processor_back` between them. Keys and values lie in lines with a place for every frame of
the dream (`fused_lines`). Weights are frozen, or learn too (`fused_weights`).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from dreamdrive.kernels import processor, processor_back, processor_layout
from dreamdrive.kernels.processor_space import Heads, Turning, attend, attend_back
from dreamdrive.worldmodel.fused import NORM, UNIT, FusedStep, array
from dreamdrive.worldmodel.fused_lines import TimeLines
from dreamdrive.worldmodel.fused_weights import BlockSums, WeightSums, add_product
from dreamdrive.worldmodel.model import WorldModel
from dreamdrive.worldmodel.packed import Precision, product


class Kept(NamedTuple):
    """What a block's gradient needs of its way forth, as arrays; `read` where weights learn."""

    before: Any
    qkv: Any
    weights: Any
    read: Any
    attended: Any
    between: Any
    gate_up: Any
    branch: Any


class Way(NamedTuple):
    """What the gradient of a frame needs of its way forth; `patches` where weights learn."""

    blocks: list[Kept]
    last: Any
    patches: Tensor | None


class FusedFrames(FusedStep):
    """The transformer's blocks over the frames of B dreams of at most T decisions, both ways.

    Args:
        model: A model of the kind `transformer`, on the CPU.
        batch_size: B.
        horizon: T.
        precision: Of the products.
        learns: Whether the weights learn.

    Raises:
        KernelError: If this PyTorch cannot pack weights, or the model is not on the CPU.
    """

    def __init__(
        self, model: WorldModel, batch_size: int, horizon: int, precision: Precision, *,
        learns: bool,
    ) -> None:  # fmt: skip
        super().__init__(model, batch_size, precision, both_ways=True)
        config, network = self.network.config, self.network
        self.sums = WeightSums(network) if learns else None
        """What the weights learn, if they do."""
        self._learned: Sequence[BlockSums | None] = [None] * config.num_layers
        if self.sums is not None:
            self._learned, self.heads = self.sums.blocks, model.heads
        B, N, D = batch_size, network.num_tokens, config.width
        G, M, P = config.num_key_heads, config.num_heads, D // config.num_heads
        self.lines = TimeLines(network, B, horizon, self._frequency, UNIT)
        """Keys and values."""
        rows = B * N

        def scratch(*shape: int) -> Any:
            return np.zeros(shape, np.float32)

        self._back_x, self._back_D = torch.zeros(B, N, D), torch.zeros(rows, D)
        self._back_hidden = torch.zeros(rows, 2 * D), torch.zeros(rows, 4 * D)
        self._back_qkv = torch.zeros(rows, D + 2 * G * P)
        self._back_normal = torch.zeros(B, N, D)
        self._row = [scratch(D), scratch(D)]
        self._total, self._unlearned = scratch(2, D), torch.zeros(2, P)
        self._changed = Heads.empty(B, N, G, M // G, P)

    def share_weights(self, other: "FusedFrames") -> None:
        """Takes what another has packed."""
        self._embed_patch, self._to_patch = other._embed_patch, other._to_patch
        self._blocks = other._blocks

    def time(self, tau: float, step: float) -> Tensor:
        """Returns the embedding of a flow time and the size of the step; anew where it learns."""
        if self.sums is not None:
            self._times.clear()
        return super().time(tau, step)

    def forth(
        self, latent: Tensor, extra: Tensor, modulation: Tensor, z: Tensor, step: int
    ) -> tuple[tuple[Tensor, Tensor, Tensor], Way]:
        """Returns latent, the vector's token and the agent's, and what gradients need."""
        network, (D, _) = self.network, self._sizes
        B, N, p = self.batch_size, network.num_tokens, network.config.patch
        (wide, wide_), (hidden, hidden_) = self._wide, self._hidden
        patches, patches_ = self._patches
        latent_, modulation_ = array(latent), array(modulation)
        processor_layout.patchify(array(z), latent_, p, patches_)
        x_ = np.empty((B, N, D), np.float32)
        processor_layout.assemble(
            product(patches, self._embed_patch).numpy(), array(extra), self._place, x_
        )
        layer, kept = 0, []
        for over_time, to_qkv, out, gate_up, down, bias, *scales in self._blocks:
            processor.modulate(x_, modulation_, bias, 0, NORM, *self._small, wide_)
            qkv, read = product(wide, to_qkv).numpy(), wide
            if self.sums is not None:
                read = torch.empty_like(wide)
            if over_time:
                qkv, weights = self.lines.attend(layer, step, qkv, scales, read.numpy())
                layer += 1
            else:
                weights = np.empty_like(self._weights)
                turning = Turning(scales[0], scales[1], *self._space, UNIT)
                attend(qkv, turning, self._frame_heads, weights, read.numpy())
            attended = product(read, out).numpy()
            between_ = np.empty_like(x_)
            processor_back.gated(x_, attended, modulation_, bias, 2, self._row[0], between_)
            processor.modulate(between_, modulation_, bias, 3, NORM, *self._small, wide_)
            inside = product(wide, gate_up).numpy()
            processor.gated_unit(inside, hidden_)
            branch = product(hidden, down).numpy()
            kept.append(Kept(x_, qkv, weights, read, attended, between_, inside, branch))
            x_ = np.empty_like(x_)
            processor_back.gated(between_, branch, modulation_, bias, 5, self._row[0], x_)
        normal, normal_ = self._normal
        processor.affine_norm(x_, *self._norm, np.float32(network.norm.eps), normal_)
        change = product(normal[:, : network.num_patches].reshape(-1, D), self._to_patch)
        new = torch.empty_like(latent, memory_format=torch.contiguous_format)
        processor_layout.unpatchify(change.numpy(), latent_, p, new.numpy())
        way = Way(kept, x_, patches.clone() if self.sums is not None else None)
        return (new, normal[:, -2].clone(), normal[:, -1].clone()), way

    def back(
        self, changes: tuple[Tensor, Tensor, Tensor], modulation: Tensor, way: Way, step: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the changes of latent, extra tokens and modulation from those of `forth`."""
        network, (D, _) = self.network, self._sizes
        count = network.num_patches
        new_change, told_change, token_change = changes
        rows = _to_rows(new_change, network.config.patch)
        normal, x = self._back_normal.zero_(), self._back_x.zero_()
        patched = product(rows, self._to_patch, back=True)
        normal[:, :count] = patched.view(self.batch_size, count, D)
        normal[:, -2], normal[:, -1] = told_change, token_change
        processor_back.affine_norm_back(
            way.last, self._norm[0], np.float32(network.norm.eps), normal.numpy(), self._row[0],
            x.numpy(),
        )  # fmt: skip
        total, layer = torch.zeros_like(modulation), network.config.num_time_layers
        for number in reversed(range(len(way.blocks))):
            layer -= self._blocks[number][0]
            total += self._back_block(number, way.blocks[number], array(modulation), layer, step)
        pair = product(x[:, :count].reshape(-1, D), self._embed_patch, back=True)
        beside = _from_rows(pair[:, pair.shape[1] // 2 :], new_change.shape, network.config.patch)
        if self.sums is not None:
            self._learn_ends(self.sums, way, rows)
        return new_change + beside, x[:, count:].clone(), total

    def _back_block(
        self, number: int, found: Kept, modulation_: Any, layer: int, step: int
    ) -> Tensor:
        """Takes the change of a block's tokens back through it; returns that of the modulation."""
        over_time, to_qkv, out, gate_up, down, bias, *scales = self._blocks[number]
        learned = self._learned[number]
        x_, change, change_ = self._back_x.numpy(), self._back_D, self._back_D.numpy()
        total = torch.zeros(modulation_.shape)
        given, sums = (modulation_, bias), (*self._row, self._total, x_, total.numpy())
        _, inside = self._back_hidden
        processor_back.gated_back(x_, found.branch, *given, 5, *self._row, change_, total.numpy())
        hidden = product(change, down, back=True).numpy()
        processor.gated_unit_back(found.gate_up, hidden, inside.numpy())
        if learned is not None:
            (again, again_), (wide, wide_) = self._hidden, self._wide
            processor.gated_unit(found.gate_up, again_)
            learned.down.addmm_(change.T, again)
            processor.modulate(found.between, *given, 3, NORM, *self._small, wide_)
            learned.gate_up.addmm_(inside.T, wide)
        told = product(inside, gate_up, back=True).numpy()
        processor_back.modulate_back(found.between, *given, 3, NORM, told, *sums)
        processor_back.gated_back(x_, found.attended, *given, 2, *self._row, change_, total.numpy())
        if learned is not None:
            learned.out.addmm_(change.T, found.read)
        read, qkv = product(change, out, back=True).numpy(), self._back_qkv.numpy()
        scale_sums = (self._unlearned if learned is None else learned.scales).numpy()
        if over_time:
            reads = found.qkv, found.weights
            self.lines.attend_back(layer, step, reads, scales, read, scale_sums, qkv)
        else:
            turning = Turning(scales[0], scales[1], *self._space, UNIT)
            attend_back(
                found.qkv, turning, self._frame_heads, self._changed, found.weights, read,
                self._weights, scale_sums, qkv,
            )  # fmt: skip
        if learned is not None:
            processor.modulate(found.before, *given, 0, NORM, *self._small, wide_)
            learned.to_qkv.addmm_(self._back_qkv.T, wide)
        told = product(self._back_qkv, to_qkv, back=True).numpy()
        processor_back.modulate_back(found.before, *given, 0, NORM, told, *sums)
        if learned is not None:
            learned.bias.add_(total.sum(0))
        return total

    def _learn_ends(self, sums: WeightSums, way: Way, rows: Tensor) -> None:
        """Adds what the weights before and after the blocks learn from a frame.

        Args:
            sums: Added to.
            way: The frame's way forth.
            rows: The change of the patches that came out.
        """
        (D, _), norm, count = self._sizes, self.network.norm, self.network.num_patches
        assert way.patches is not None
        plain = nn.functional.layer_norm(torch.from_numpy(way.last), (D,), eps=norm.eps)
        sums.norm[0].add_((self._back_normal * plain).sum((0, 1)))
        sums.norm[1].add_(self._back_normal.sum((0, 1)))
        tokens = (plain * norm.weight + norm.bias)[:, :count].reshape(-1, D)
        add_product(sums.to_patch, rows, tokens)
        add_product(sums.embed_patch, self._back_x[:, :count].reshape(-1, D), way.patches)
        sums.place.add_(self._back_x.sum(0))


def _to_rows(x_BCHW: Tensor, p: int) -> Tensor:
    """Returns patches (B · N', C p²)."""
    rows = nn.functional.unfold(x_BCHW, p, stride=p)
    return rows.transpose(1, 2).flatten(0, 1)


def _from_rows(rows: Tensor, shape: torch.Size, p: int) -> Tensor:
    """Returns latents of a shape (B, C, H, W) from their patches (B · N', C p²)."""
    columns = rows.unflatten(0, (shape[0], -1)).transpose(1, 2)
    return nn.functional.fold(columns, shape[2:], p, stride=p)
