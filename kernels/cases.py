"""Each operation as a model of some size calls it: inputs, what it moves and what it computes.

One table for three uses: compiling every kernel ahead of time for the shapes that it will meet,
predicting how long it must take at least, and measuring how long it does take.

Bytes count each tensor that is read or written once, as a kernel that fuses the operation moves
them. FLOPs count multiplications and additions of the operation, with 10 for a transcendental.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dreamdrive.kernels import (
    adaln,
    block_attention,
    conv3d_step,
    flow_step,
    gated_residual,
    int8_linear,
    masked_rows,
    ntm,
    qk_rope,
    ring_attention,
    scan,
    swiglu,
)
from dreamdrive.kernels.block_attention import Frames
from dreamdrive.kernels.dispatch import Backend

TRANSCENDENTAL = 10
"""FLOPs that an exponential, a sine or a root counts for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """Sizes of a model and of the batch that it steps.

    The defaults are those of the preset `cpu`.
    """

    batch: int = 1024
    tokens: int = 18
    """Tokens of a frame."""
    width: int = 128
    num_heads: int = 4
    num_key_heads: int = 2
    window: int = 10
    """Frames that a time layer sees."""
    latent: tuple[int, int, int] = (8, 8, 8)
    """Channels, height and width of a latent."""
    coarse_width: int = 64
    """Channels that the tokenizer mixes over time."""
    slots: int = 32
    slot_width: int = 64
    """Slots of an external memory and channels of each."""
    horizon: int = 15
    """Decisions of an imagined rollout."""

    @property
    def head(self) -> int:
        """Channels of a head."""
        return self.width // self.num_heads

    @property
    def hidden(self) -> int:
        """Hidden channels of the SwiGLU."""
        return 2 * self.width


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One operation with inputs.

    Attributes:
        name: Of the operation, and of what it is used for where there are two.
        call: The public function, of `inputs` and `backend=`.
        inputs: Its tensors, those that are differentiated first.
        num_differentiated: How many of the tensors have a gradient; 0 for operations of rollouts.
        num_bytes: Bytes that it moves at least.
        num_flops: FLOPs of its forward pass.
        matrix: Whether most of them are matrix products, which tensor cores do.
        backward_bytes: Bytes of its backward pass.
        backward_flops: FLOPs of its backward pass.
    """

    name: str
    call: Callable[..., Any]
    inputs: tuple[Tensor, ...]
    num_differentiated: int
    num_bytes: int
    num_flops: int
    matrix: bool = False
    backward_bytes: int = 0
    backward_flops: int = 0


def size_of(*tensors: Tensor) -> int:
    """Returns the bytes of tensors."""
    return sum(x.numel() * x.element_size() for x in tensors)


def cases(
    sizes: Sizes, dtype: torch.dtype = torch.bfloat16, device: str | torch.device = "meta"
) -> list[Case]:
    """Returns every operation as a model of these sizes calls it; inputs on `meta` hold no data."""

    def new(*shape: int, kind: torch.dtype = dtype) -> Tensor:
        if str(device) == "meta":
            return torch.empty(shape, dtype=kind, device=device)
        return torch.randn(shape, device=device).to(kind)

    s = sizes
    B, N, D, M, G, W, P = (
        s.batch, s.tokens, s.width, s.num_heads, s.num_key_heads, s.window, s.head,
    )  # fmt: skip
    x, row = new(B, N, D), new(B, 1, D)
    query, key = new(B, N, M, P), new(B, N, G, P)
    angle = new(N, P // 2, kind=torch.float32)
    made = [
        Case(
            name="adaln", call=adaln.adaln_modulate, inputs=(x, row, row),
            num_differentiated=3, num_bytes=2 * size_of(x) + 2 * size_of(row),
            num_flops=9 * x.numel(),
            backward_bytes=3 * size_of(x) + 3 * size_of(row), backward_flops=18 * x.numel(),
        ),
        Case(
            name="gated_residual", call=gated_residual.gated_residual, inputs=(x, row, x),
            num_differentiated=3, num_bytes=3 * size_of(x) + size_of(row),
            num_flops=2 * x.numel(),
            backward_bytes=3 * size_of(x) + 2 * size_of(row), backward_flops=3 * x.numel(),
        ),
        Case(
            name="qk_rope", call=qk_rope.qk_norm_rope,
            inputs=(query, key, new(P), new(P), angle), num_differentiated=4,
            num_bytes=2 * size_of(query, key) + size_of(angle),
            num_flops=9 * (query.numel() + key.numel()) + 2 * TRANSCENDENTAL * angle.numel(),
            backward_bytes=3 * size_of(query, key),
            backward_flops=20 * (query.numel() + key.numel()),
        ),
        _swiglu(new(B, N, 2 * s.hidden)),
        _ring(query, new(B, N, G, W, P), new(B, N, G, W, P), _counts(B, W, device)),
        _attention("block_attention, space", query, key, Frames(N, 1, 1), None),
        _attention(
            "block_attention, time", new(max(1, B // 16), 16, M, P), new(max(1, B // 16), 16, G, P),
            Frames(1, W), new(16, P // 2, kind=torch.float32),
        ),
        _flow(new(B, *s.latent), new(B, *s.latent), device),
        _int8(new(B * N, D), 4 * D, device),
        _quantiser(new(4 * D, D)),
        _conv(new(B, s.coarse_width, *s.latent[1:]), new),
        _ntm(B, s.slots, s.slot_width, new),
        _scan(new(B, s.horizon, kind=torch.float32)),
        _reset(new(B, N, G, W, P), device),
    ]  # fmt: skip
    return made


def _counts(batch: int, window: int, device: str | torch.device) -> Tensor:
    return torch.arange(batch, device=device) + window


def _swiglu(gate_up: Tensor) -> Case:
    out = gate_up.numel() // 2
    return Case(
        name="swiglu", call=swiglu.swiglu, inputs=(gate_up,), num_differentiated=1,
        num_bytes=size_of(gate_up) * 3 // 2, num_flops=(4 + TRANSCENDENTAL) * out,
        backward_bytes=size_of(gate_up) * 5 // 2, backward_flops=(10 + TRANSCENDENTAL) * out,
    )  # fmt: skip


def _ring(query: Tensor, keys: Tensor, values: Tensor, count: Tensor) -> Case:
    half, W = query.shape[-1] // 2, keys.shape[3]
    frequency = torch.ones(half, device=query.device)
    scores = query.numel() // query.shape[-1] * W

    def call(
        query: Tensor, keys: Tensor, values: Tensor, count: Tensor, *, backend: Backend
    ) -> Any:
        return ring_attention.ring_attention(query, keys, values, count, frequency, backend=backend)

    return Case(
        name="ring_attention", call=call, inputs=(query, keys, values, count),
        num_differentiated=0, num_bytes=2 * size_of(query) + size_of(keys, values),
        num_flops=scores * (4 * query.shape[-1] + TRANSCENDENTAL)
        + keys.numel() * (3 + TRANSCENDENTAL),
    )  # fmt: skip


def _attention(name: str, query: Tensor, key: Tensor, frames: Frames, angle: Tensor | None) -> Case:
    R, S, M, P = query.shape
    visible = int(block_attention.visible(S, frames).sum())
    scores = R * M * visible

    def call(query: Tensor, key: Tensor, value: Tensor, *, backend: Backend) -> Any:
        return block_attention.block_attention(query, key, value, frames, angle, backend=backend)

    return Case(
        name=name, call=call, inputs=(query, key, key.clone()), num_differentiated=3,
        num_bytes=2 * size_of(query) + 2 * size_of(key),
        num_flops=scores * (4 * P + TRANSCENDENTAL), matrix=True,
        backward_bytes=4 * size_of(query) + 4 * size_of(key),
        backward_flops=scores * (10 * P + TRANSCENDENTAL),
    )  # fmt: skip


def _flow(data: Tensor, z: Tensor, device: str | torch.device) -> Case:
    tau = torch.zeros((), device=device)

    def call(data: Tensor, z: Tensor, *, backend: Backend) -> Any:
        return flow_step.flow_step(data, z, tau, 0.25, backend=backend)

    return Case(
        name="flow_step", call=call, inputs=(data, z), num_differentiated=2,
        num_bytes=3 * size_of(z), num_flops=4 * z.numel(),
        backward_bytes=3 * size_of(z), backward_flops=3 * z.numel(),
    )  # fmt: skip


def _int8(x: Tensor, num_out: int, device: str | torch.device) -> Case:
    num_in = x.shape[1]
    quantised = int8_linear.Quantised(
        torch.zeros(num_out, num_in, dtype=torch.int8, device=device),
        torch.ones(num_out, device=device),
    )

    def call(x: Tensor, *, backend: Backend) -> Any:
        return int8_linear.int8_linear(x, quantised, backend=backend)

    out_bytes = len(x) * num_out * x.element_size()
    return Case(
        name="int8_linear", call=call, inputs=(x,), num_differentiated=0,
        num_bytes=size_of(x, *quantised) + out_bytes, num_flops=2 * len(x) * num_in * num_out,
        matrix=True,
    )  # fmt: skip


def _quantiser(weight: Tensor) -> Case:
    def call(weight: Tensor, *, backend: Backend) -> Any:
        return tuple(int8_linear.quantise(weight, backend=backend))

    values, num_out = weight.numel(), len(weight)
    return Case(
        name="int8_linear, quantiser", call=call, inputs=(weight,), num_differentiated=0,
        num_bytes=size_of(weight) + values + 4 * num_out, num_flops=4 * values,
    )  # fmt: skip


def _conv(x: Tensor, new: Callable[..., Tensor]) -> Case:
    B, C, H, W = x.shape
    cache, weight, bias = new(B, 2, C, H, W), new(C, C, 3, 1, 1), new(C)

    def call(x: Tensor, cache: Tensor, *, backend: Backend) -> Any:
        return conv3d_step.conv3d_step(x, cache, weight, bias, backend=backend)

    return Case(
        name="conv3d_step", call=call, inputs=(x, cache), num_differentiated=0,
        num_bytes=2 * size_of(x) + size_of(cache, weight), num_flops=6 * C * x.numel(), matrix=True,
    )  # fmt: skip


def _ntm(batch: int, slots: int, width: int, new: Callable[..., Tensor]) -> Case:
    heads = (batch, ntm.HEADS)
    tensors = (
        new(batch, slots, width), new(*heads, slots).softmax(-1), new(*heads, width),
        new(*heads).abs() + 1.0, new(*heads).sigmoid(), new(*heads, 3).softmax(-1),
        new(*heads).abs() + 1.0, new(batch, width).sigmoid(), new(batch, width),
    )  # fmt: skip

    def call(memory: Tensor, before: Tensor, *controls: Tensor, backend: Backend) -> Any:
        return tuple(ntm.ntm_step(memory, before, ntm.Controls(*controls), backend=backend))

    memory = tensors[0]
    flops = memory.numel() * 14 + batch * ntm.HEADS * slots * (12 + 3 * TRANSCENDENTAL)
    return Case(
        name="ntm", call=call, inputs=tensors, num_differentiated=9,
        num_bytes=size_of(*tensors) + size_of(memory, tensors[1], tensors[8]),
        num_flops=flops, backward_bytes=2 * size_of(*tensors) + size_of(memory),
        backward_flops=3 * flops,
    )  # fmt: skip


def _scan(reward: Tensor) -> Case:
    def call(reward: Tensor, value: Tensor, goes_on: Tensor, *, backend: Backend) -> Any:
        return scan.lambda_return(
            reward, value, goes_on, discount=0.99, lambda_=0.95, backend=backend
        )

    return Case(
        name="lambda_return", call=call, inputs=(reward, reward.clone(), reward.clone()),
        num_differentiated=3, num_bytes=4 * size_of(reward), num_flops=6 * reward.numel(),
        backward_bytes=7 * size_of(reward), backward_flops=10 * reward.numel(),
    )  # fmt: skip


def _reset(source: Tensor, device: str | torch.device) -> Case:
    rows = len(source)
    target = source.clone()
    mask = torch.ones(rows, dtype=torch.bool, device=device)
    index = torch.zeros(rows, dtype=torch.long, device=device)

    def call(source: Tensor, mask: Tensor, index: Tensor, *, backend: Backend) -> Any:
        masked_rows.masked_rows_([target], mask, [source], index, backend=backend)
        return target

    return Case(
        name="masked_rows", call=call, inputs=(source, mask, index), num_differentiated=0,
        num_bytes=2 * size_of(source), num_flops=0,
    )  # fmt: skip
