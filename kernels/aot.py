"""Every kernel compiled to machine code for GPUs that are not here, and what it takes of them.

The launchers run on tensors in main memory; instead of a launch, what would have been launched is
written down, compiled by Triton for a GPU's architecture, and asked for its registers, its stack
(where registers spill to) and its shared memory by the assembler's own tool. So what is compiled is
what the operations launch, for the shapes of `cases`, and no GPU is needed.

Run as a program, `python -m dreamdrive.kernels.aot`, it writes the table as JSON: Triton decides
when it is imported whether kernels are compiled or interpreted, so this needs a process of its own.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import torch
from torch import Tensor

from dreamdrive.errors import KernelError, MissingExtraError
from dreamdrive.kernels.cases import Case, Sizes, cases
from dreamdrive.kernels.dispatch import TRITON_INSTALLED

TARGETS = (80, 90, 100)
"""Compute capabilities: A100, H100 and H200, B200."""

TYPES = {
    torch.float64: "fp64", torch.float32: "fp32", torch.float16: "fp16", torch.bfloat16: "bf16",
    torch.int64: "i64", torch.int32: "i32", torch.int8: "i8", torch.bool: "i1",
}  # fmt: skip
ALIGNMENT = 16
"""Pointers and sizes that are multiples of this are compiled as such, as a launch does."""

BATCH = 64
"""Rows that are enough to see what is launched: how many there are changes no kernel."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """What a kernel takes of a GPU.

    Attributes:
        kernel: Operation, direction and name.
        capability: Compute capability without its point.
        registers: Registers of a thread.
        stack_bytes: Memory of a thread that registers spill to.
        shared_bytes: Shared memory of a program.
        num_warps: Warps of a program.
    """

    kernel: str
    capability: int
    registers: int
    stack_bytes: int
    shared_bytes: int
    num_warps: int


class Launch(NamedTuple):
    """A kernel as it would be launched: its function, its arguments and its options."""

    name: str
    function: Any
    arguments: dict[str, Any]
    options: dict[str, int]


def launches(
    sizes: Sizes, names: Sequence[str] = (), dtype: torch.dtype = torch.bfloat16
) -> Iterator[Launch]:
    """Yields what the operations launch, forward and backward, on tensors of `sizes`.

    Args:
        sizes: Of the model.
        names: Only the cases of these names; all by default.
        dtype: Of the tensors; kernels of float32 have it in their name.

    Raises:
        KernelError: If kernels are interpreted in this process.
        MissingExtraError: If Triton is not installed.
    """
    if not TRITON_INSTALLED:
        raise MissingExtraError("triton", "triton")
    from triton.runtime.jit import JITFunction, knobs

    if knobs.runtime.interpret:
        raise KernelError(
            "Kernels are interpreted in this process and cannot be compiled",
            do="Start a process without TRITON_INTERPRET",
        )
    suffix = ", float32" if dtype == torch.float32 else ""
    for case in cases(replace(sizes, batch=min(sizes.batch, BATCH)), dtype, "cpu"):
        if names and case.name not in names:
            continue
        seen: list[Launch] = []

        def record(function: Any, *values: Any, **options: Any) -> None:
            options.pop("grid"), options.pop("warmup")
            bound = dict(zip(function.arg_names, values, strict=False))
            bound |= {k: options.pop(k) for k in list(options) if k in function.arg_names}
            name = f"{function.fn.__module__.rpartition('.')[2]}.{function.fn.__name__}"
            seen.append(Launch(f"{case.name}: {name}{suffix}", function, bound, options))  # noqa: B023

        with mock.patch.object(JITFunction, "run", record):
            _run(case)
        yield from seen


def _run(case: Case) -> None:
    """Runs a case forward, and backward where it has a gradient, with Triton by name."""
    # Nothing is launched, so it does not matter where the tensors are.
    with mock.patch("dreamdrive.kernels.dispatch.INTERPRETED", True):
        inputs = [
            x.clone().requires_grad_(i < case.num_differentiated) for i, x in enumerate(case.inputs)
        ]
        out = case.call(*inputs, backend="triton")
        outs = [out] if isinstance(out, Tensor) else list(out)
        if case.num_differentiated:
            torch.autograd.backward(outs, [torch.empty_like(x) for x in outs])


def compiled(launch: Launch, capability: int) -> Usage:
    """Returns what a launch takes of a GPU of a compute capability."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    signature, constants, attributes = {}, {}, {}
    for i, parameter in enumerate(launch.function.params):
        value = launch.arguments[parameter.name]
        name = parameter.name
        if parameter.is_constexpr or value is None or (isinstance(value, int) and value == 1):
            signature[name], constants[(i,)] = "constexpr", value
        elif isinstance(value, Tensor):
            signature[name] = f"*{TYPES[value.dtype]}"
            attributes[(i,)] = [["tt.divisibility", ALIGNMENT]]
        elif isinstance(value, int):
            signature[name] = "i32" if -(2**31) <= value < 2**31 else "i64"
            if value % ALIGNMENT == 0:
                attributes[(i,)] = [["tt.divisibility", ALIGNMENT]]
        else:
            signature[name] = "fp32"
    source = ASTSource(launch.function, signature, constants, attributes)
    target = GPUTarget("cuda", capability, 32)
    done = triton.compile(source, target=target, options=launch.options)
    return Usage(
        kernel=launch.name, capability=capability, shared_bytes=done.metadata.shared,
        num_warps=done.metadata.num_warps, **resources(done.asm["cubin"]),
    )  # fmt: skip


def resources(cubin: bytes) -> dict[str, int]:
    """Returns registers and stack of a thread of a compiled kernel."""
    from triton import knobs

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.cubin"
        path.write_bytes(cubin)
        command = [knobs.nvidia.cuobjdump.path, "--dump-resource-usage", str(path)]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = {name: int(n) for name, n in re.findall(r"\b(REG|STACK|LOCAL):(\d+)", text)}
    return {"registers": found["REG"], "stack_bytes": found["STACK"] + found.get("LOCAL", 0)}


def table(
    names: Sequence[str] = (), targets: Sequence[int] = TARGETS, sizes: Sizes | None = None
) -> list[Usage]:
    """Returns what every kernel takes, compiled in a process of its own.

    Args:
        names: Only the cases of these names; all by default.
        targets: Compute capabilities.
        sizes: Of the model; those of the preset `cpu` by default.

    Raises:
        KernelError: If a kernel does not compile.
        MissingExtraError: If Triton is not installed.
    """
    if not TRITON_INSTALLED:
        raise MissingExtraError("triton", "triton")
    asked = {"names": list(names), "targets": list(targets), "sizes": asdict(sizes or Sizes())}
    done = subprocess.run(
        [sys.executable, "-m", "dreamdrive.kernels.aot", json.dumps(asked)],
        env=os.environ | {"TRITON_INTERPRET": "0"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise KernelError(f"A kernel does not compile: {done.stderr.strip()[-2000:]}")
    return [Usage(**row) for row in json.loads(done.stdout)]


OTHER_VERSION = 1.25
"""How much more than the budget a kernel may take that another version of Triton compiled."""


def over_budget(rows: Sequence[Usage], budget: Mapping[str, Any], version: str) -> list[str]:
    """Returns what takes more of a GPU than it may, as sentences; nothing if all is well.

    Args:
        rows: What kernels take.
        budget: The committed table, `docs/results/kernels.toml`.
        version: Of Triton, which compiled them.
    """
    slack = 1.0 if version == budget["triton"] else OTHER_VERSION
    found = []
    for row in rows:
        allowed = [x for x in budget.get(row.kernel, []) if x["capability"] == row.capability]
        if not allowed:
            found.append(f"{row.kernel}, sm_{row.capability}: has no budget")
            continue
        for name in ("registers", "stack_bytes", "shared_bytes"):
            takes, may = getattr(row, name), allowed[0][name]
            if takes > slack * may:
                found.append(f"{row.kernel}, sm_{row.capability}: {name} {takes}, allowed {may}")
    return found


def main() -> None:
    """Writes the table that the first argument asks for, as JSON."""
    asked = json.loads(sys.argv[1])
    asked["sizes"]["latent"] = tuple(asked["sizes"]["latent"])
    rows = [
        asdict(compiled(launch, capability))
        for dtype in (torch.bfloat16, torch.float32)
        for launch in launches(Sizes(**asked["sizes"]), asked["names"], dtype)
        for capability in asked["targets"]
    ]
    sys.stdout.write(json.dumps(rows))


if __name__ == "__main__":
    main()
