"""Dreams of a fixed length on a processor that agents and models learn through: fused both ways.

What costs most, the transformer's blocks, is `fused_frames`: each thread takes some of the dreams,
which have nothing to do with each other. Around the blocks, where tensors are small, PyTorch's own
autograd works.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from dreamdrive.errors import ConfigError
from dreamdrive.worldmodel.blocks import Ring
from dreamdrive.worldmodel.fused import Given
from dreamdrive.worldmodel.fused_frames import FusedFrames, Way
from dreamdrive.worldmodel.fused_weights import Gather
from dreamdrive.worldmodel.model import WorldModel
from dreamdrive.worldmodel.packed import Precision
from dreamdrive.worldmodel.state import Imagined, RolloutState
from dreamdrive.worldmodel.transformer import Remembered, Step


class Written(NamedTuple):
    """Where a dream stands in its lines: so many frames after its start, in which dream."""

    step: int
    number: int


class FusedRollout:
    """`imagine_step` for B dreams of at most T decisions, differentiable in states and actions.

    `begin` takes start states, `end` gives the last ones back; between them the state's memory says
    only where the dream stands. One dream at a time: the next one's start writes over the last.
    `step` is that of the dynamics, between `open` and `close`, which do the same for the memory.

    Args:
        model: A model of the kind `transformer`, on the CPU.
        batch_size: B.
        horizon: T.
        precision: Of the products.
        learns: Whether the weights learn: a dream has those that hold when it begins, and is
            differentiable in them.
        threads: Among which the dreams are shared out; as many as PyTorch has by default.

    Raises:
        KernelError: If this PyTorch cannot pack weights, or the model is not on the CPU.
    """

    def __init__(
        self, model: WorldModel, batch_size: int, horizon: int, precision: Precision = "float32",
        *, learns: bool = False, threads: int | None = None,
    ) -> None:  # fmt: skip
        self.model, self.batch_size, self.horizon = model, batch_size, horizon
        count = min(batch_size, torch.get_num_threads() if threads is None else threads)
        self._sizes = [len(rows) for rows in torch.arange(batch_size).tensor_split(count)]
        self.parts = [
            FusedFrames(model, size, horizon, precision, learns=learns) for size in self._sizes
        ]
        self._pool = None if count == 1 else _pool(count)
        self._number = 0
        self._packed: list[int] = []
        """How often each weight had changed when they were packed, if they learn."""
        self._told = torch.zeros(())
        """By what sums become gradients, if weights learn."""

    @property
    def number(self) -> int:
        """Which dream is in the lines."""
        return self._number

    # --- start and end ---------------------------------------------------------------------------

    def begin(self, start: RolloutState) -> RolloutState:
        """Returns the states that a dream goes on from, whose past is written to the lines.

        Raises:
            ConfigError: If the batch is of another size, or gradients are asked for in the past.
        """
        return start._replace(memory=self.open(start.memory))

    def end(self, state: RolloutState) -> RolloutState:
        """Returns the last states with rings of their own; no gradient goes through those."""
        return state._replace(memory=self.close(state.memory))

    def open(self, memory: Any) -> Any:
        """Returns what stands for the memory of a dream that begins; as `begin`."""
        external = None
        if isinstance(memory, Remembered):
            memory, external = memory.ring, memory.external
        if not isinstance(memory, Ring) or len(memory.count_B) != self.batch_size:
            raise ConfigError(f"A dream begins at {self.batch_size} states that are no branches")
        if memory.key_BLNGWP.requires_grad or memory.value_BLNGWP.requires_grad:
            raise ConfigError("No gradient goes back before a dream's start", do="Detach it first.")
        self._number += 1
        for part, *shares in zip(self.parts, *(self._shared(x) for x in memory), strict=True):
            part.lines.begin(Ring(*shares))
        sums = [part.sums for part in self.parts if part.sums is not None]
        if sums:
            self._pack(sums[0].parameters())
            self._told = Gather.apply(sums, *sums[0].parameters())  # type: ignore[no-untyped-call]
        return Written(0, self._number), external

    def _pack(self, weights: list[nn.Parameter]) -> None:
        """Packs the weights anew if one has changed."""
        versions = [weight._version for weight in weights]
        if versions != self._packed:
            self._packed = versions
            self.parts[0].pack_weights()
            for part in self.parts[1:]:
                part.share_weights(self.parts[0])

    def close(self, memory: Any) -> Any:
        """Returns the memory after the last frame; as `end`."""
        (written, _), external = memory
        rings = [part.lines.end(written) for part in self.parts]
        ring: Any = Ring(*(torch.cat(x) for x in zip(*rings, strict=True)))
        return ring if external is None else Remembered(ring, external)

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
        if num_steps != 1:
            raise ConfigError("Gradients of the fused way go through one sampling step")
        model = self.model
        before = model.normalise_vector(state.vector_BK)
        told = self.step(state.latent_BCHW, before, action_BA, state.memory, noise)
        predicted = model.unnormalise_vector(told.vector)
        memory: Any = told.memory
        after = state.followed_by(told.latent)._replace(vector_BK=predicted, memory=memory)
        return after, Imagined(told.latent, predicted, *self.parts[0].heads(told.agent))

    def step(
        self, latent: Tensor, vector: Tensor, action: Tensor, memory: Any,
        noise: tuple[Tensor, Tensor],
    ) -> Step:  # fmt: skip
        """Returns what `TransformerDynamics.step` returns, but for rounding; arguments as there.

        Raises:
            ConfigError: If the dream is at its end.
        """
        (written, number), external = memory
        if number != self._number or written >= self.horizon:
            raise ConfigError(f"A dream of {self.horizon} decisions is over or was begun anew")
        any_part, recalled = self.parts[0], None
        network = any_part.network
        if external is not None:
            remembered = Remembered(None, external)  # type: ignore[arg-type]
            recalled, external = any_part.recall(remembered, latent, vector, action)
        embedded = network._action(action[:, None])[:, 0]
        z, u = (x.contiguous() for x in noise)
        asked = any_part.asked(Given(vector, None, recalled, external, embedded), u, 0.0, 1.0)
        new, told, token = Frame.apply(
            latent, *(x.float() for x in asked), z, self._told, self, written, number
        )  # type: ignore[no-untyped-call]
        followed = Written(written + 1, number), external
        return Step(new, vector + network.to_vector(told), token, followed)  # type: ignore[arg-type]

    def forth(self, step: int, *given: Tensor) -> tuple[tuple[Tensor, ...], list[Way]]:
        """Returns what `FusedFrames.forth` does of what it is given, and a way forth a part."""

        def one(
            part: FusedFrames, latent: Tensor, extra: Tensor, modulation: Tensor, z: Tensor
        ) -> tuple[tuple[Tensor, ...], Way]:
            return part.forth(latent, extra, modulation, z, step)

        found = self._each(one, *(self._shared(x) for x in given))
        shown = zip(*(told for told, _ in found), strict=True)
        return tuple(torch.cat(x) for x in shown), [way for _, way in found]

    def back(
        self, step: int, ways: list[Way], modulation: Tensor, *changes: Tensor
    ) -> tuple[Tensor, ...]:
        """Returns what `FusedFrames.back` does of changes."""

        def one(
            part: FusedFrames, way: Way, told: Tensor, latent: Tensor, vector: Tensor, agent: Tensor
        ) -> tuple[Tensor, ...]:
            return part.back((latent, vector, agent), told, way, step)

        found = self._each(one, ways, *(self._shared(x) for x in (modulation, *changes)))
        return tuple(torch.cat(x) for x in zip(*found, strict=True))

    def _shared(self, x: Tensor) -> list[Tensor]:
        """Returns the part of each thread of something that has B rows."""
        return list(x.split(self._sizes))

    def _each(self, call: Callable[..., Any], *shares: Any) -> list[Any]:
        """Returns what a call finds for each part, on a thread of its own where there are many."""
        if self._pool is None:
            return [call(self.parts[0], *(x[0] for x in shares))]
        return list(self._pool.map(torch.no_grad()(call), self.parts, *shares))


class Frame(torch.autograd.Function):
    """One pass of the blocks of a `FusedRollout`, and its gradient."""

    @staticmethod
    def forward(
        ctx: Any, latent: Tensor, extra: Tensor, modulation: Tensor, z: Tensor, told: Tensor,
        rollout: FusedRollout, step: int, number: int,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        """Returns `FusedFrames.forth`'s three tensors; `told` is what weights learn by."""
        out, ways = rollout.forth(step, latent, extra, modulation, z)
        if any(ctx.needs_input_grad):
            ctx.save_for_backward(modulation)
            ctx.told = rollout, ways, step, number
        return out

    @staticmethod
    def backward(ctx: Any, *changes: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        """Returns the changes of latent, extra tokens and modulation; the weights' are summed.

        Raises:
            ConfigError: If another dream was begun meanwhile, whose frames are in the lines now.
        """
        rollout, ways, step, number = ctx.told
        if number != rollout.number:
            raise ConfigError("Another dream was begun before this one's gradient was taken")
        (modulation,) = ctx.saved_tensors
        found = rollout.back(step, ways, modulation, *changes)
        return *found, None, torch.zeros(()), None, None, None


def _pool(count: int) -> ThreadPoolExecutor:
    """Returns threads that compute alone: a product of one does not wait for another's."""
    threads, all_there = torch.get_num_threads(), Barrier(count)

    def begin() -> None:
        torch.set_num_threads(1)
        all_there.wait()

    pool = ThreadPoolExecutor(count, "dreams", begin)
    list(pool.map(lambda _: None, range(count)))
    torch.set_num_threads(threads)  # What a thread sets would hold for those to come, too.
    return pool
