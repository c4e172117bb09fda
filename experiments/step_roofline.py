"""The least time of one step of a dream: every operation of `imagine_step`, against a machine.

The list follows `worldmodel.dynamics`: what a fused operation moves and computes comes from the
same table as the kernels' own bounds (`kernels.cases`), a matrix product reads its inputs and
weights and writes its output once. Every operation is a launch of its own. It is a bound: the step
cannot be faster so long as it is made of these operations, and it says nothing of how near a real
one comes.
"""

from dataclasses import dataclass

import torch

from dreamdrive.kernels.cases import Case, Sizes, cases
from dreamdrive.kernels.roofline import Machine, bound
from dreamdrive.worldmodel.heads import NUM_BINS, NUM_MEMBERS
from dreamdrive.worldmodel.presets import Preset

VECTOR_SIZE, ACTION_SIZE, NUM_CAUSES = 14, 2, 7
"""Of the observations and terminations that `CarlaDrive-v0` has."""

EXTRA_TOKENS = 2
"""Tokens of a frame that are not a patch: the vector and the agent."""


def kernel_sizes(preset: Preset, batch: int) -> Sizes:
    """Returns the sizes of a preset's step that the kernels' table asks for."""
    config, latent = preset.transformer, preset.latent_shape
    return Sizes(
        batch=batch, tokens=(latent[1] // config.patch) ** 2 + EXTRA_TOKENS,
        width=config.width, num_heads=config.num_heads, num_key_heads=config.num_key_heads,
        window=config.window, latent=latent,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """One launch: what it is, how often a step has it, what it moves and computes."""

    name: str
    times: int
    num_bytes: float
    num_flops: float
    matrix: bool


def step_work(
    preset: Preset, batch: int, dtype: torch.dtype = torch.bfloat16, *, ring_in_place: bool = True
) -> list[Work]:
    """Returns the launches of one step with one sampling step, latent observations.

    Args:
        preset: Of which model.
        batch: Dreams that are stepped together.
        dtype: Of weights, activations and the ring.
        ring_in_place: Whether the new frame is written into the ring; otherwise the whole ring is
            copied first, as `RingWriter` does so that the state before stays whole.
    """
    config, sizes = preset.transformer, kernel_sizes(preset, batch)
    C, H, W = preset.latent_shape
    B, N, D, L = batch, sizes.tokens, sizes.width, config.num_layers
    G, P = sizes.num_key_heads, sizes.head
    time_layers = config.num_time_layers
    width = dtype.itemsize
    known = {case.name: case for case in cases(sizes, dtype)}
    patches, patch_size = N - EXTRA_TOKENS, C * config.patch**2
    rows = B * N

    def product(name: str, rows: int, num_in: int, num_out: int, times: int = 1) -> Work:
        moved = width * (rows * (num_in + num_out) + num_in * num_out)
        return Work(
            name=name, times=times, num_bytes=moved, num_flops=2.0 * rows * num_in * num_out,
            matrix=True,
        )  # fmt: skip

    def fused(name: str, times: int) -> Work:
        case: Case = known[name]
        return Work(
            name=name, times=times, num_bytes=case.num_bytes, num_flops=case.num_flops,
            matrix=case.matrix,
        )  # fmt: skip

    ring_bytes = 2.0 * width * rows * time_layers * G * config.window * P
    written = 2.0 * width * rows * G * P
    ring = (
        Work(name="ring write", times=time_layers, num_bytes=2 * written, num_flops=0, matrix=False)
        if ring_in_place
        else Work(name="ring copy", times=1, num_bytes=2 * ring_bytes, num_flops=0, matrix=False)
    )
    state = 2.0 * width * B * C * H * W * 6
    heads = NUM_BINS + NUM_CAUSES + 1
    return [
        product("embed patches", B * patches, 2 * patch_size, D),
        product("embed vector", B, 2 * VECTOR_SIZE, D),
        # The action is embedded for the condition and for the agent token, which has one more.
        product("embed action", B, ACTION_SIZE, D, 2),
        product("embed action, again", B, D, D, 3),
        product("embed time", B, 32, D),
        product("embed time, again", B, D, D),
        product("modulation", B, D, 6 * D),
        fused("adaln", 2 * L),
        product("query", rows, D, D, L),
        product("key and value", rows, D, 2 * G * P, L),
        fused("qk_rope", L),
        fused("block_attention, space", L - time_layers),
        fused("ring_attention", time_layers),
        ring,
        product("attention's output", rows, D, D, L),
        fused("gated_residual", 2 * L),
        product("gate and up", rows, D, 4 * D, L),
        fused("swiglu", L),
        product("down", rows, 2 * D, D, L),
        fused("adaln", 1),
        product("to patches", B * patches, D, patch_size),
        product("to vector", B, D, VECTOR_SIZE),
        product("heads", B, D, D, NUM_MEMBERS),
        product("heads, again", B, D, heads, NUM_MEMBERS),
        Work(name="state", times=1, num_bytes=state, num_flops=0, matrix=False),
    ]


@dataclass(frozen=True, kw_only=True, slots=True)
class StepBound:
    """The least time of a step.

    Attributes:
        seconds: Of the whole.
        steps_per_s: Environment steps a second: the batch over the seconds.
        launches: How many kernels it is.
        num_flops: What it computes.
        num_bytes: What it moves.
        shares: Seconds by name, the longest first.
    """

    seconds: float
    steps_per_s: float
    launches: int
    num_flops: float
    num_bytes: float
    shares: dict[str, float]


def step_bound(machine: Machine, work: list[Work], batch: int) -> StepBound:
    """Returns the least time of a step on a machine."""
    shares: dict[str, float] = {}
    for item in work:
        one = bound(machine, item.num_bytes, item.num_flops, matrix=item.matrix).seconds
        shares[item.name] = shares.get(item.name, 0.0) + item.times * one
    seconds = sum(shares.values())
    return StepBound(
        seconds=seconds, steps_per_s=batch / seconds, launches=sum(item.times for item in work),
        num_flops=sum(item.times * item.num_flops for item in work),
        num_bytes=sum(item.times * item.num_bytes for item in work),
        shares=dict(sorted(shares.items(), key=lambda pair: -pair[1])),
    )  # fmt: skip
