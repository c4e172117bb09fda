"""A step of the transformer on a processor: packed products, and one pass for all between them.

The products go to oneDNN with weights that are packed once; everything between them is
`kernels.processor`. Buffers are made once for a batch size. The result is the model's own step but
for the order of sums.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dreamdrive.errors import ConfigError
from dreamdrive.kernels import processor, processor_layout
from dreamdrive.kernels.adaln import EPSILON as NORM_EPSILON
from dreamdrive.kernels.processor_space import Heads, Turning, attend
from dreamdrive.kernels.qk_rope import EPSILON as UNIT_EPSILON
from dreamdrive.worldmodel.blocks import TIME_BASE, Block, Branch, Ring
from dreamdrive.worldmodel.dynamics import _fourier
from dreamdrive.worldmodel.heads import NUM_BINS, NUM_MEMBERS, Outcome, OutcomeHeads
from dreamdrive.worldmodel.memory import MemoryState
from dreamdrive.worldmodel.model import WorldModel
from dreamdrive.worldmodel.packed import Packed, Precision, pack, product
from dreamdrive.worldmodel.path import euler_step
from dreamdrive.worldmodel.shortcut import NUM_STEPS
from dreamdrive.worldmodel.state import Imagined, RolloutState
from dreamdrive.worldmodel.transformer import Remembered, TransformerDynamics

NORM, UNIT = np.float32(NORM_EPSILON), np.float32(UNIT_EPSILON)
"""Of the norms of tokens, and of queries and keys."""


class FusedStep:
    """`WorldModel.imagine_step` for B dreams on a processor; without gradients.

    Args:
        model: A model of the kind `transformer`, on the CPU.
        batch_size: B.
        precision: Of the products.
        both_ways: Pack weights for gradients too.

    Raises:
        KernelError: If this PyTorch cannot pack weights, or the model is not on the CPU.
    """

    def __init__(
        self, model: WorldModel, batch_size: int, precision: Precision = "float32", *,
        both_ways: bool = False,
    ) -> None:  # fmt: skip
        dynamics = model.dynamics
        assert isinstance(dynamics, TransformerDynamics), "see engine.why_not"
        self.model, self.batch_size, self.precision = model, batch_size, precision
        self._dynamics, self.network = dynamics, dynamics.network
        network, config = dynamics.network, dynamics.network.config
        B, N, D = batch_size, network.num_tokens, config.width
        G, P = config.num_key_heads, config.width // config.num_heads
        self._sizes, self._is_both_ways = (D, G), both_ways
        rows, patches = B * N, B * network.num_patches
        self.pack_weights()
        self._place = array(network.place)
        self._norm = array(network.norm.weight), array(network.norm.bias)
        angle = network.space_angle
        self._space = array(angle.cos()), array(angle.sin())
        self._frequency = TIME_BASE ** (-torch.arange(P // 2).double() / (P // 2))
        self.heads: Callable[[Tensor], Outcome] = FusedHeads(model.heads)
        self._times: dict[tuple[float, float], Tensor] = {}

        def scratch(*shape: int) -> tuple[Tensor, Any]:
            made = torch.zeros(shape)
            return made, made.numpy()

        self._x = scratch(B, N, D)
        self._wide = scratch(rows, D)
        self._hidden = scratch(rows, 2 * D)
        self._normal = scratch(B, N, D)
        self._patches = scratch(patches, network.embed_patch.in_features)
        self._small = [np.zeros(D, np.float32), np.zeros(D, np.float32)]
        self._own, self._none = torch.arange(B), torch.zeros(B, dtype=torch.long)
        self._head = np.zeros(P, np.float32)
        heads = config.num_heads // G
        self._frame_heads = Heads.empty(B, N, G, heads, P)
        self._weights = np.zeros((B, G, heads * N, N), np.float32)
        self._score = np.zeros(config.window, np.float32)
        self._is_past = np.zeros(config.window, np.bool_)

    def pack_weights(self) -> None:
        """Packs the weights as they are now; the vectors among them are read where they are."""
        network = self.network
        rows, patches = (self.batch_size * x for x in (network.num_tokens, network.num_patches))
        self.products: list[tuple[int, int, int, Packed]] = []
        """Of a step: rows, entries in and out, and weight."""

        def packed(*linears: nn.Linear, rows: int = rows) -> Packed:
            bias = None if linears[0].bias is None else torch.cat([x.bias for x in linears])
            weight = torch.cat([x.weight for x in linears])
            made = pack(weight, bias, self.precision, rows, both_ways=self._is_both_ways)
            self.products.append((rows, weight.shape[1], len(weight), made))
            return made

        self._embed_patch = packed(network.embed_patch, rows=patches)
        self._to_patch = packed(network.to_patch, rows=patches)
        self._blocks = []
        for block in network.blocks:
            assert isinstance(block, Block)
            attention = block.attention
            self._blocks.append(
                (
                    block.reads_past, packed(attention.to_query, attention.to_key_value),
                    packed(attention.out), packed(block.gate_up), packed(block.down),
                    array(block.modulation_bias), array(attention.query_scale),
                    array(attention.key_scale),
                )
            )  # fmt: skip

    def __call__(
        self,
        state: RolloutState,
        action_BA: Tensor,
        *,
        noise: tuple[Tensor, Tensor],
        num_steps: int = 1,
        in_place: bool = False,
    ) -> tuple[RolloutState, Imagined]:
        """Returns what `WorldModel.imagine_step` returns, but for rounding; arguments as there.

        Raises:
            ConfigError: If the batch is not of the size that the step was made for, or the model
                cannot take so many steps.
        """
        if len(action_BA) != self.batch_size:
            raise ConfigError(
                f"The step was made for {self.batch_size} dreams, not for {len(action_BA)}"
            )
        with torch.no_grad():
            return self._step(state, action_BA, noise, num_steps, in_place)

    def _step(
        self, state: RolloutState, action_BA: Tensor, noise: tuple[Tensor, Tensor], num_steps: int,
        in_place: bool,
    ) -> tuple[RolloutState, Imagined]:  # fmt: skip
        model, config = self.model, self.network.config
        if config.has_step_size and num_steps not in NUM_STEPS:
            raise ConfigError(f"This model learned to dream in {NUM_STEPS} steps, not {num_steps}")
        given = self._given(state, action_BA)
        ring = given.ring
        if not in_place:
            ring = ring._replace(
                key_BLNGWP=ring.key_BLNGWP.clone(), value_BLNGWP=ring.value_BLNGWP.clone()
            )
            given = given._replace(ring=ring)
        z, u = (x.contiguous() for x in noise)
        for i in range(num_steps):
            tau = i / num_steps
            asked = self.asked(given, u, tau, 1.0 / num_steps)
            told = self._pass(z, state.latent_BCHW, *asked, ring)
            assert told is not None
            latent, change, token = told
            predicted = given.before_BK + change
            if i + 1 < num_steps:
                now = torch.full((), tau)
                z = euler_step(latent, z, now, 1.0 / num_steps)
                u = euler_step(predicted, u, now, 1.0 / num_steps)
        vector = model.unnormalise_vector(predicted)
        after = state.followed_by(latent)._replace(vector_BK=vector, memory=given.kept())
        return after, Imagined(latent, vector, *self.heads(token))

    def observe(self, state: RolloutState, action_BA: Tensor) -> Any:
        """Returns the memory after a real frame, written in place.

        What the model expects the frame to be is not computed to its end.
        """
        with torch.no_grad():
            given = self._given(state, action_BA)
            asked = self.asked(given, torch.zeros_like(given.before_BK), 0.0, 1.0)
            z = torch.zeros_like(state.latent_BCHW, memory_format=torch.contiguous_format)
            self._pass(z, state.latent_BCHW, *asked, given.ring, shows=False)
            return given.kept()

    def _given(self, state: RolloutState, action_BA: Tensor) -> "Given":
        before, memory = self.model.normalise_vector(state.vector_BK), state.memory
        recalled = external = None
        if isinstance(memory, Remembered):
            recalled, external = self.recall(memory, state.latent_BCHW, before, action_BA)
            memory = memory.ring
        embedded = self.network._action(action_BA[:, None])[:, 0]
        return Given(before, memory, recalled, external, embedded)

    def asked(self, given: "Given", u: Tensor, tau: float, size: float) -> tuple[Tensor, Tensor]:
        """Returns the tokens beside the patches, and the modulation, of a pass of the blocks."""
        network = self.network
        vector = network.embed_vector(torch.cat([u, given.before_BK], -1))
        between = [] if given.recalled is None else [network.embed_recalled(given.recalled)]
        extra = torch.stack([*between, vector, network.agent_action(given.embedded_BD)], 1)
        return extra, network.modulation(given.embedded_BD + self.time(tau, size))

    def recall(
        self, memory: Remembered, latent: Tensor, before: Tensor, action_BA: Tensor
    ) -> tuple[Tensor, MemoryState]:
        """Returns what an external memory recalls of a frame, and that memory after it."""
        dynamics = self._dynamics
        assert dynamics.external is not None
        found, external = dynamics.external(
            memory.external, latent, before, dynamics._known(action_BA)
        )
        return (torch.zeros_like(found) if dynamics.is_muted else found), external

    def time(self, tau: float, step: float) -> Tensor:
        """Returns the embedding of a flow time and the size of the step, (1, D)."""
        if (tau, step) in self._times:
            return self._times[tau, step]
        network = self.network
        embedded: Tensor = network.embed_tau(_fourier(torch.full((1,), tau)))
        if network.config.has_step_size:
            embedded = embedded + network.embed_step(_fourier(torch.full((1,), step)))
        self._times[tau, step] = embedded.detach()
        return embedded

    def _past(self, ring: Ring | Branch) -> tuple[Ring, Tensor, Tensor]:
        """Returns the ring that branches began in, at which rows, and after how many frames."""
        if isinstance(ring, Branch):
            return ring.past, ring.row_B, ring.start_B
        return ring, self._own, self._none

    def _pass(
        self, z: Tensor, latent: Tensor, extra: Tensor, modulation: Tensor, ring: Ring | Branch,
        *, shows: bool = True,
    ) -> tuple[Tensor, Tensor, Tensor] | None:  # fmt: skip
        """Returns the latent, the change of the vector and the agent token; writes to the ring.

        Without `shows` it ends where the last layer over time has been written.
        """
        network, (D, _) = self.network, self._sizes
        p = network.config.patch
        x_, (wide, wide_), (hidden, hidden_) = self._x[1], self._wide, self._hidden
        patches, patches_ = self._patches
        before_ = array(latent)
        processor_layout.patchify(z.numpy(), before_, p, patches_)
        embedded = product(patches, self._embed_patch)
        processor_layout.assemble(embedded.numpy(), extra.numpy(), self._place, x_)
        rows, modulation_ = self._small, modulation.numpy()
        angle = ring.count_B[:, None] * self._frequency
        cos, sin = angle.cos().float().numpy(), angle.sin().float().numpy()
        past, row, start = self._past(ring)
        rings = [
            ring.count_B, ring.key_BLNGWP, ring.value_BLNGWP, past.key_BLNGWP, past.value_BLNGWP,
            row, start,
        ]  # fmt: skip
        shared = [x.numpy() for x in rings]
        layer = 0
        for block in self._blocks:
            over_time, to_qkv, out, gate_up, down, bias, query_scale, key_scale = block
            processor.modulate(x_, modulation_, bias, 0, NORM, *rows, wide_)
            qkv = product(wide, to_qkv).numpy()
            if over_time:
                processor.attend_ring(
                    qkv, query_scale, key_scale, cos, sin, UNIT, *shared, layer, self._head,
                    self._score, self._is_past, wide_,
                )  # fmt: skip
                layer += 1
                if not shows and layer == network.config.num_time_layers:
                    return None
            else:
                turning = Turning(query_scale, key_scale, *self._space, UNIT)
                attend(qkv, turning, self._frame_heads, self._weights, wide_)
            processor.add_gated(x_, product(wide, out).numpy(), modulation_, bias, 2)
            processor.modulate(x_, modulation_, bias, 3, NORM, *rows, wide_)
            processor.gated_unit(product(wide, gate_up).numpy(), hidden_)
            processor.add_gated(x_, product(hidden, down).numpy(), modulation_, bias, 5)
        normal, normal_ = self._normal
        processor.affine_norm(x_, *self._norm, np.float32(network.norm.eps), normal_)
        tokens = normal[:, : network.num_patches].reshape(-1, D)
        change = product(tokens, self._to_patch)
        new = torch.empty_like(latent)
        processor_layout.unpatchify(change.numpy(), before_, p, new.numpy())
        return new, network.to_vector(normal[:, -2]), normal[:, -1].clone()


class Given(NamedTuple):
    """What a step begins with.

    Attributes:
        before_BK: The normalised vector.
        ring: The past, where it is one.
        recalled: What an external memory returned, and `external`, that memory after it.
        embedded_BD: The action.
    """

    before_BK: Tensor
    ring: Any
    recalled: Tensor | None
    external: MemoryState | None
    embedded_BD: Tensor

    def kept(self) -> Any:
        """Returns the memory after the frame, which its ring holds by then."""
        ring: Any = self.ring._replace(count_B=self.ring.count_B + 1)
        return ring if self.external is None else Remembered(ring, self.external)


class FusedHeads:
    """`OutcomeHeads` with the products of its members next to each other."""

    def __init__(self, heads: OutcomeHeads) -> None:
        self._heads = heads
        members: list[Any] = list(heads.members)
        norms, first, last = ([member[i] for member in members] for i in (0, 1, 3))
        self._width, self._bins = norms[0].normalized_shape, heads.bins
        self._epsilon = norms[0].eps
        # A norm's own weight and bias are part of the product that follows it.
        self._first = torch.cat([f.weight * n.weight for n, f in zip(norms, first, strict=True)])
        self._first_bias = torch.cat(
            [f.bias + f.weight @ n.bias for n, f in zip(norms, first, strict=True)]
        )
        self._last = torch.stack([x.weight.T for x in last])
        self._last_bias = torch.stack([x.bias for x in last])[:, None]

    def __call__(self, agent_BD: Tensor) -> Outcome:
        """Returns what the heads do."""
        normal = F.layer_norm(agent_BD, self._width, eps=self._epsilon)
        hidden = F.silu(F.linear(normal, self._first, self._first_bias))
        parts = hidden.unflatten(1, (NUM_MEMBERS, -1)).transpose(0, 1)
        out = torch.baddbmm(self._last_bias, parts, self._last)
        reward = out[..., :NUM_BINS].softmax(-1) @ self._bins
        cause = out[..., NUM_BINS:].softmax(-1)
        uncertainty = (1.0 - cause[..., 0]).std(0) + reward.std(0)
        beside = self._heads.beside(agent_BD, uncertainty)
        return Outcome(reward.mean(0), cause[..., 1:].mean(0), uncertainty, *beside)


def array(x: Tensor) -> Any:
    """Returns a tensor as a contiguous array, which shares its memory where it is contiguous."""
    return x.detach().contiguous().numpy()
