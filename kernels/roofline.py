"""How long an operation must take at least: its bytes and its FLOPs against what a machine can do.

time = max(bytes / bandwidth, FLOPs / peak) + launch, where the peak is that of the tensor cores for
matrix products in 16 bits and that of the ordinary units in float32 for everything else. It is a
bound that no implementation beats, not a measurement: caches, tails of the last wave of programs
and instructions that are neither arithmetic nor memory all cost more.

The peaks are the vendors' data sheets, dense (without structured sparsity):
NVIDIA A100 80GB SXM (2021), H100 SXM5 (2023), H200 SXM (2024), B200 (HGX B200, 2024).

Reference:
    Williams, Waterman & Patterson 2009, "Roofline", doi:10.1145/1498765.1498785.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from dreamdrive.kernels.cases import Case


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """What a machine can do.

    Attributes:
        name: Of the machine.
        bytes_per_s: From and to its main memory.
        matrix_flops_per_s: Of matrix products, in 16 bits with sums in float32.
        vector_flops_per_s: Of everything else, in float32.
        launch_s: Between two kernels of a captured graph; 0 where nothing is launched.
        measured: Whether the figures were measured, not taken from a data sheet.
    """

    name: str
    bytes_per_s: float
    matrix_flops_per_s: float
    vector_flops_per_s: float
    launch_s: float
    measured: bool = False


GRAPH_LAUNCH_S = 1.5e-6
"""Assumed between the kernels of a CUDA graph; a launch from Python takes three to ten times it."""

GPUS = {
    machine.name: machine
    for machine in (
        Machine(
            name="A100", bytes_per_s=2.039e12, matrix_flops_per_s=312e12,
            vector_flops_per_s=19.5e12, launch_s=GRAPH_LAUNCH_S,
        ),
        Machine(
            name="H100", bytes_per_s=3.35e12, matrix_flops_per_s=989e12,
            vector_flops_per_s=67e12, launch_s=GRAPH_LAUNCH_S,
        ),
        Machine(
            name="H200", bytes_per_s=4.8e12, matrix_flops_per_s=989e12,
            vector_flops_per_s=67e12, launch_s=GRAPH_LAUNCH_S,
        ),
        Machine(
            name="B200", bytes_per_s=8.0e12, matrix_flops_per_s=2250e12,
            vector_flops_per_s=75e12, launch_s=GRAPH_LAUNCH_S,
        ),
    )
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Bound:
    """The least time of an operation, and what sets it."""

    seconds: float
    limit: str
    """"memory", "arithmetic" or "launch"."""


def bound(machine: Machine, num_bytes: float, num_flops: float, *, matrix: bool) -> Bound:
    """Returns the least time of work that is launched once.

    Args:
        machine: Where.
        num_bytes: Read and written.
        num_flops: Computed.
        matrix: Whether they are matrix products.
    """
    peak = machine.matrix_flops_per_s if matrix else machine.vector_flops_per_s
    parts = {
        "memory": num_bytes / machine.bytes_per_s,
        "arithmetic": num_flops / peak,
        "launch": machine.launch_s,
    }
    work = max(parts["memory"], parts["arithmetic"])
    return Bound(seconds=work + machine.launch_s, limit=max(parts, key=lambda name: parts[name]))


def bound_of(machine: Machine, case: Case, *, backward: bool = False) -> Bound:
    """Returns the least time of a case, forward or backward."""
    if backward:
        return bound(machine, case.backward_bytes, case.backward_flops, matrix=case.matrix)
    return bound(machine, case.num_bytes, case.num_flops, matrix=case.matrix)


def measure_this_machine(seconds: float = 0.5) -> Machine:
    """Returns what this machine's processor can do, measured with the threads that torch uses.

    Bandwidth is that of a copy of 256 MiB, matrix FLOPs those of a product of 1024² in float32,
    vector FLOPs those of a multiplication and addition over 64 KiB, which stay in the cache.

    Args:
        seconds: For each of the three.
    """
    from_, to = torch.ones(2, 2**25).unbind(0)
    a, b, small = torch.ones(1024, 1024), torch.ones(1024, 1024), torch.ones(2**14)
    out = torch.empty(1024, 1024)
    copied = _per_second(lambda: to.copy_(from_), seconds) * 2 * from_.numel() * 4
    matrix = _per_second(lambda: torch.mm(a, b, out=out), seconds) * 2 * 1024**3
    vector = _per_second(lambda: small.addcmul_(small, small, value=0.0), seconds)
    return Machine(
        name=f"this machine, {torch.get_num_threads()} threads", bytes_per_s=copied,
        matrix_flops_per_s=matrix, vector_flops_per_s=vector * 3 * small.numel(), launch_s=0.0,
        measured=True,
    )  # fmt: skip


def _per_second(call: Callable[[], object], seconds: float) -> float:
    return 1.0 / fastest(call, seconds)


def fastest(call: Callable[[], object], seconds: float) -> float:
    """Returns the least time that a call took, in seconds, of as many as there was time for."""
    call()
    best, deadline = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < deadline:
        began = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - began)
    return best
