"""Dreams of a fixed length on a processor that an agent learns through: fused both ways.

A step is `fused.FusedStep`'s, with frozen weights, and its gradient is written out: products with
packed transposes, `kernels.processor_back` between them. Keys and values lie in lines with a place
for every frame of the dream (`fused_lines`). Around the blocks, where tensors are small, PyTorch's
own autograd works.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from dreamdrive.errors import ConfigError
from dreamdrive.kernels import processor, processor_back, processor_layout
from dreamdrive.kernels.processor_space import Heads, Turning, attend, attend_back
from dreamdrive.worldmodel.blocks import Ring
from dreamdrive.worldmodel.fused import NORM, UNIT, FusedStep, Given, array
from dreamdrive.worldmodel.fused_lines import TimeLines
from dreamdrive.worldmodel.model import WorldModel
from dreamdrive.worldmodel.packed import Precision, product
from dreamdrive.worldmodel.state import Imagined, RolloutState
from dreamdrive.worldmodel.transformer import Remembered


class Written(NamedTuple):
    """Where a dream stands in its lines: so many frames after its start, in which dream."""

    step: int
    number: int


class Kept(NamedTuple):
    """What a block's gradient needs of its way forth, as arrays."""

    before: Any
    qkv: Any
    weights: Any
    attended: Any
    between: Any
    gate_up: Any
    branch: Any


class FusedRollout(FusedStep):
    """`imagine_step` for B dreams of at most T decisions, differentiable in states and actions.

    `begin` takes start states, `end` gives the last ones back; between them the state's memory says
    only where the dream stands. One dream at a time: the next one's start writes over the last.

    Args:
        model: A model of the kind `transformer`, on the CPU.
        batch_size: B.
        horizon: T.
        precision: Of the products.

    Raises:
        KernelError: If this PyTorch cannot pack weights, or the model is not on the CPU.
    """

    def __init__(
        self, model: WorldModel, batch_size: int, horizon: int, precision: Precision = "float32"
    ) -> None:
        super().__init__(model, batch_size, precision, both_ways=True)
        config, network = self._network.config, self._network
        self.horizon, self._number = horizon, 0
        B, N, D = batch_size, network.num_tokens, config.width
        G, M, P = config.num_key_heads, config.num_heads, D // config.num_heads
        self._lines = TimeLines(network, B, horizon, self._frequency, UNIT)
        rows = B * N

        def scratch(*shape: int) -> Any:
            return np.zeros(shape, np.float32)

        self._back_x, self._back_D = torch.zeros(B, N, D), torch.zeros(rows, D)
        self._back_hidden = torch.zeros(rows, 2 * D), torch.zeros(rows, 4 * D)
        self._back_qkv = torch.zeros(rows, D + 2 * G * P)
        self._back_normal = torch.zeros(B, N, D)
        self._row = [scratch(D), scratch(D)]
        self._total = scratch(2, D)
        self._changed = Heads.empty(B, N, G, M // G, P)

    # --- start and end ---------------------------------------------------------------------------

    def begin(self, start: RolloutState) -> RolloutState:
        """Returns the states that a dream goes on from, whose past is written to the lines.

        Raises:
            ConfigError: If the batch is of another size, or gradients are asked for in the past.
        """
        memory: Any = start.memory
        external = None
        if isinstance(memory, Remembered):
            memory, external = memory.ring, memory.external
        if not isinstance(memory, Ring) or len(memory.count_B) != self.batch_size:
            raise ConfigError(f"A dream begins at {self.batch_size} states that are no branches")
        if memory.key_BLNGWP.requires_grad or memory.value_BLNGWP.requires_grad:
            raise ConfigError("No gradient goes back before a dream's start", do="Detach it first.")
        self._number += 1
        self._lines.begin(memory)
        return start._replace(memory=(Written(0, self._number), external))

    def end(self, state: RolloutState) -> RolloutState:
        """Returns the last states with rings of their own; no gradient goes through those."""
        (written, _), external = state.memory
        memory: Any = self._lines.end(written)
        return state._replace(memory=memory if external is None else Remembered(memory, external))

    # --- a step ----------------------------------------------------------------------------------

    def __call__(
        self, state: RolloutState, action_BA: Tensor, *, noise: tuple[Tensor, Tensor],
        num_steps: int = 1, in_place: bool = False,
    ) -> tuple[RolloutState, Imagined]:  # fmt: skip
        """Returns what `WorldModel.imagine_step` returns, but for rounding; arguments as there.

        Raises:
            ConfigError: If the dream is at its end, or more than one sampling step is asked for:
                each of them would be a frame in the lines.
        """
        (written, number), external = state.memory
        if num_steps != 1:
            raise ConfigError("Gradients of the fused way go through one sampling step")
        if number != self._number or written >= self.horizon:
            raise ConfigError(f"A dream of {self.horizon} decisions is over or was begun anew")
        model, network = self.model, self._network
        before, recalled = model.normalise_vector(state.vector_BK), None
        if external is not None:
            remembered = Remembered(None, external)  # type: ignore[arg-type]
            recalled, external = self._recall(remembered, state.latent_BCHW, before, action_BA)
        embedded = network._action(action_BA[:, None])[:, 0]
        z, u = (x.contiguous() for x in noise)
        given = Given(before, None, recalled, external, embedded)
        extra, modulation = self._asked(given, u, 0.0, 1.0)
        latent, told, token = Frame.apply(
            state.latent_BCHW, extra, modulation, z, self, written, number
        )  # type: ignore[no-untyped-call]
        predicted = model.unnormalise_vector(before + network.to_vector(told))
        memory = (Written(written + 1, number), external)
        after = state.followed_by(latent)._replace(vector_BK=predicted, memory=memory)
        return after, Imagined(latent, predicted, *self._heads(token))

    def forth(
        self, latent: Tensor, extra: Tensor, modulation: Tensor, z: Tensor, step: int
    ) -> tuple[tuple[Tensor, Tensor, Tensor], list[Kept], Any]:
        """Returns latent, the vector's token and the agent's; what gradients need; the last x."""
        network, (D, _) = self._network, self._sizes
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
            qkv = product(wide, to_qkv).numpy()
            if over_time:
                qkv, weights = self._lines.attend(layer, step, qkv, scales, wide_)
                layer += 1
            else:
                weights = np.empty_like(self._weights)
                turning = Turning(scales[0], scales[1], *self._space, UNIT)
                attend(qkv, turning, self._frame_heads, weights, wide_)
            attended = product(wide, out).numpy()
            between_ = np.empty_like(x_)
            processor_back.gated(x_, attended, modulation_, bias, 2, self._row[0], between_)
            processor.modulate(between_, modulation_, bias, 3, NORM, *self._small, wide_)
            inside = product(wide, gate_up).numpy()
            processor.gated_unit(inside, hidden_)
            branch = product(hidden, down).numpy()
            kept.append(Kept(x_, qkv, weights, attended, between_, inside, branch))
            x_ = np.empty_like(x_)
            processor_back.gated(between_, branch, modulation_, bias, 5, self._row[0], x_)
        normal, normal_ = self._normal
        processor.affine_norm(x_, *self._norm, np.float32(network.norm.eps), normal_)
        change = product(normal[:, : network.num_patches].reshape(-1, D), self._to_patch)
        new = torch.empty_like(latent, memory_format=torch.contiguous_format)
        processor_layout.unpatchify(change.numpy(), latent_, p, new.numpy())
        return (new, normal[:, -2].clone(), normal[:, -1].clone()), kept, x_

    def back(
        self, changes: tuple[Tensor, Tensor, Tensor], modulation: Tensor, kept: list[Kept],
        last: Any, step: int,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        """Returns the changes of latent, extra tokens and modulation from those of `forth`."""
        network, (D, _) = self._network, self._sizes
        count = network.num_patches
        new_change, told_change, token_change = changes
        normal, x = self._back_normal, self._back_x.zero_()
        patched = product(_to_rows(new_change, network.config.patch), self._to_patch, back=True)
        normal.zero_()
        normal[:, :count] = patched.view(self.batch_size, count, D)
        normal[:, -2], normal[:, -1] = told_change, token_change
        x_, change_ = x.numpy(), self._back_D.numpy()
        processor_back.affine_norm_back(
            last, self._norm[0], np.float32(network.norm.eps), normal.numpy(), self._row[0], x_
        )
        modulation_, total = array(modulation), torch.zeros_like(modulation)
        layer = network.config.num_time_layers
        _, inside = self._back_hidden
        for block, found in zip(reversed(self._blocks), reversed(kept), strict=True):
            over_time, to_qkv, out, gate_up, down, bias, *scales = block
            rows = modulation_, bias
            sums = *self._row, self._total, x_, total.numpy()
            processor_back.gated_back(
                x_, found.branch, *rows, 5, *self._row, change_, total.numpy()
            )
            hidden = product(self._back_D, down, back=True).numpy()
            processor.gated_unit_back(found.gate_up, hidden, inside.numpy())
            wide = product(inside, gate_up, back=True).numpy()
            processor_back.modulate_back(found.between, *rows, 3, NORM, wide, *sums)
            processor_back.gated_back(
                x_, found.attended, *rows, 2, *self._row, change_, total.numpy()
            )
            read = product(self._back_D, out, back=True).numpy()
            qkv = self._back_qkv.numpy()
            if over_time:
                layer -= 1
                reads = found.qkv, found.weights
                self._lines.attend_back(layer, step, reads, scales, read, qkv)
            else:
                turning = Turning(scales[0], scales[1], *self._space, UNIT)
                attend_back(
                    found.qkv, turning, self._frame_heads, self._changed, found.weights, read,
                    self._weights, qkv,
                )  # fmt: skip
            wide = product(self._back_qkv, to_qkv, back=True).numpy()
            processor_back.modulate_back(found.before, *rows, 0, NORM, wide, *sums)
        shape = new_change.shape
        pair = product(x[:, :count].reshape(-1, D), self._embed_patch, back=True)
        beside = _from_rows(pair[:, pair.shape[1] // 2 :], shape, network.config.patch)
        return new_change + beside, x[:, count:].clone(), total


class Frame(torch.autograd.Function):
    """One pass of the blocks of a `FusedRollout`, and its gradient."""

    @staticmethod
    def forward(
        ctx: Any, latent: Tensor, extra: Tensor, modulation: Tensor, z: Tensor,
        rollout: FusedRollout, step: int, number: int,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        """Returns `FusedRollout.forth`'s three tensors."""
        out, kept, last = rollout.forth(latent, extra, modulation, z, step)
        if any(ctx.needs_input_grad[:3]):
            ctx.save_for_backward(modulation)
            ctx.told = rollout, kept, last, step, number
        return out

    @staticmethod
    def backward(ctx: Any, *changes: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        """Returns the changes of latent, extra tokens and modulation.

        Raises:
            ConfigError: If another dream was begun meanwhile, whose frames are in the lines now.
        """
        rollout, kept, last, step, number = ctx.told
        if number != rollout._number:
            raise ConfigError("Another dream was begun before this one's gradient was taken")
        (modulation,) = ctx.saved_tensors
        found = rollout.back(changes, modulation, kept, last, step)
        return *found, None, None, None, None


def _to_rows(x_BCHW: Tensor, p: int) -> Tensor:
    """Returns patches (B · N', C p²)."""
    rows = nn.functional.unfold(x_BCHW, p, stride=p)
    return rows.transpose(1, 2).flatten(0, 1)


def _from_rows(rows: Tensor, shape: torch.Size, p: int) -> Tensor:
    """Returns latents of a shape (B, C, H, W) from their patches (B · N', C p²)."""
    columns = rows.unflatten(0, (shape[0], -1)).transpose(1, 2)
    return nn.functional.fold(columns, shape[2:], p, stride=p)
