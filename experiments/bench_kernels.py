"""`dreamdrive bench kernels`: what each kernel reaches, or its bound where there is no GPU.

With a GPU each kernel is first held to its meaning on the same inputs, then timed against it eager,
against it compiled by `torch.compile`, and against a library that people would use instead. Without
one, nothing is timed: the table is the roofline's bound for GPUs that are not here. Beside it
stands the bound of a whole step of the dream.
"""

import json
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import torch
from rich.table import Table
from torch import Tensor

from dreamdrive.checkpoint import git_commit
from dreamdrive.errors import ConfigError, DreamdriveError
from dreamdrive.experiments.bench import machine
from dreamdrive.experiments.kernel_results import write_results
from dreamdrive.experiments.run import begin_run, console, installed_versions
from dreamdrive.experiments.step_roofline import ACTION_SIZE, kernel_sizes, step_bound, step_work
from dreamdrive.files import write_atomically
from dreamdrive.kernels import aot
from dreamdrive.kernels.cases import Case, cases
from dreamdrive.kernels.peers import peers_of
from dreamdrive.kernels.roofline import GPUS, Machine, bound_of, fastest, measure_this_machine
from dreamdrive.worldmodel.model import WorldModel
from dreamdrive.worldmodel.presets import PRESETS

PREDICTION = "prediction: a bound from data sheets, measured nowhere"
CPU_BATCH = 64
"""Dreams of which a step is timed on a processor, whose rate hardly changes with more."""

LARGEST_ERROR = 2e-2
"""Of a kernel in 16-bit floats, as a share of the largest value of its reference."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchKernelsConfig:
    """What is measured or predicted.

    Attributes:
        out: Folder that `kernels.json` is written to.
        preset: Sizes of the model: "cpu", the shipped one's, or "nano".
        batch: Dreams that are stepped together.
        operations: Names of the operations; all by default.
        json: Print JSON and nothing else.
        compile: Also compile every kernel for GPUs that are not here, and show its registers.
        results: Folder that the committed page and the budget of the kernels are written to.
        seconds: For each of the three measurements of this machine's own limits.
    """

    out: Path = Path("runs/bench-kernels")
    preset: Literal["cpu", "nano"] = "cpu"
    batch: int = 1024
    operations: tuple[str, ...] = ()
    json: bool = False
    compile: bool = False
    results: Path | None = None
    seconds: float = 0.5

    def __post_init__(self) -> None:
        """Raises a ConfigError where a value is impossible."""
        if self.batch < 1 or not self.seconds > 0.0:
            raise ConfigError("Batch and seconds must be positive")
        known = [case.name for case in cases(kernel_sizes(PRESETS["cpu"], 1))]
        for name in self.operations:
            if name not in known:
                raise ConfigError(f"There is no operation {name!r}", do=f"Known: {known}")


def bench_kernels(config: BenchKernelsConfig) -> Path | None:
    """Measures or predicts, prints a table or JSON, and writes `kernels.json`.

    Returns:
        Its path; None where JSON was printed, beside which nothing may stand.

    Raises:
        StorageError: If the file could not be written.
    """
    begin_run(config.out, config)
    facts = gather(config)
    path = config.out / "kernels.json"
    text = json.dumps(facts, indent=2)
    write_atomically(path, (text + "\n").encode())
    if config.results is not None:
        write_results(config.results, facts | {"real_line": real_line(facts["real_step"])})
    if config.json:
        print(text)
        return None
    for shown in tables(facts):
        console.print(shown)
    return path


def gather(config: BenchKernelsConfig) -> dict[str, Any]:
    """Returns everything that the command reports, as JSON values."""
    has_gpu = torch.cuda.is_available()
    here = measure_this_machine(config.seconds)
    facts: dict[str, Any] = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": git_commit(), "command": "dreamdrive bench kernels", "machine": machine(),
        "gpu": torch.cuda.get_device_name() if has_gpu else None,
        "python": platform.python_version(),
        "versions": installed_versions(("torch", "triton", "liger-kernel", "flash-attn")),
        "preset": config.preset, "batch": config.batch,
        "limits": {name: asdict(m) for name, m in (GPUS | {here.name: here}).items()},
        "kernels": [], "steps": steps(config, here),
        "real_step": real_step(
            config.batch if has_gpu else min(config.batch, CPU_BATCH), here, config.seconds
        ),
    }  # fmt: skip
    sizes = kernel_sizes(PRESETS[config.preset], config.batch)
    for case in cases(sizes, torch.bfloat16):
        if config.operations and case.name not in config.operations:
            continue
        facts["kernels"] += kernel_rows(case, here)
    if has_gpu:
        rows = {(row["kernel"], row["direction"]): row for row in facts["kernels"]}
        for case in cases(sizes, torch.bfloat16, "cuda"):
            for direction, measured in measure(case).items():
                if (case.name, direction) in rows:
                    rows[case.name, direction]["measured_us"] = measured
    if config.compile:
        names = config.operations
        facts["compiled"] = [asdict(usage) for usage in aot.table(names, sizes=sizes)]
    return facts


def kernel_rows(case: Case, here: Machine) -> list[dict[str, Any]]:
    """Returns the bounds of one operation, forward and, where it has one, backward."""
    rows = []
    for direction in ("forward", "backward"):
        is_back = direction == "backward"
        if is_back and not case.backward_bytes:
            continue
        bounds = {m.name: bound_of(m, case, backward=is_back) for m in (*GPUS.values(), here)}
        rows.append(
            {
                "kernel": case.name, "direction": direction,
                "bytes": case.backward_bytes if is_back else case.num_bytes,
                "flops": case.backward_flops if is_back else case.num_flops,
                "bound_us": {name: one.seconds * 1e6 for name, one in bounds.items()},
                "limit": {name: one.limit for name, one in bounds.items()},
                "bound_is": PREDICTION, "measured_us": None,
            }
        )  # fmt: skip
    return rows


def steps(config: BenchKernelsConfig, here: Machine) -> list[dict[str, Any]]:
    """Returns the bound of a whole step of each preset: on each GPU in 16 bits, here in 32."""
    rows = []
    for name, preset in PRESETS.items():
        for limits in (*GPUS.values(), here):
            dtype = torch.float32 if limits is here else torch.bfloat16
            for in_place in (True, False):
                work = step_work(preset, config.batch, dtype, ring_in_place=in_place)
                found = step_bound(limits, work, config.batch)
                rows.append(
                    {
                        "preset": name, "machine": limits.name, "ring_in_place": in_place,
                        "dtype": str(dtype).removeprefix("torch."),
                        "step_us": found.seconds * 1e6, "env_steps_per_s": found.steps_per_s,
                        "launches": found.launches, "flops": found.num_flops,
                        "bytes": found.num_bytes, "longest": list(found.shares)[:3],
                        "is": PREDICTION,
                    }
                )  # fmt: skip
    return rows


def real_step(batch: int, here: Machine, seconds: float) -> dict[str, Any]:
    """Returns how long the shipped model's step takes, beside the bound for the same machine.

    On a GPU it is one captured graph, and the bound is left out: its peaks are other GPUs'.

    Args:
        batch: Dreams that are stepped together.
        here: This machine's limits.
        seconds: How long to measure for.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = WorldModel.from_pretrained(device=device)
    state, action = model.init_state(batch), torch.zeros(batch, ACTION_SIZE, device=device)
    noise = (torch.zeros_like(state.latent_BCHW), torch.zeros_like(state.vector_BK))

    def step() -> object:
        return model.imagine_step(state, action, noise=noise)

    with torch.no_grad():
        if device == "cuda":
            from triton.testing import do_bench_cudagraph

            took = do_bench_cudagraph(step) / 1e3
        else:
            took = fastest(step, seconds)
    facts: dict[str, Any] = {
        "device": device, "batch": batch, "dtype": "float32", "measured_us": took * 1e6,
        "env_steps_per_s": batch / took,
    }  # fmt: skip
    if device == "cpu":
        work = step_work(PRESETS["cpu"], batch, torch.float32, ring_in_place=False)
        facts["bound_us"] = step_bound(here, work, batch).seconds * 1e6
    return facts


def measure(case: Case) -> dict[str, dict[str, float | str]]:
    """Returns microseconds by direction and implementation, on the GPU.

    Raises:
        DreamdriveError: If the kernel does not give what its reference gives.
    """
    hold(case)
    reference = torch.compile(lambda *x: case.call(*x, backend="torch"))
    ways: dict[str, Callable[..., Any] | str] = {
        "triton": lambda *x: case.call(*x, backend="triton"),
        "eager": lambda *x: case.call(*x, backend="torch"),
        "compiled": reference, **peers_of(case),
    }  # fmt: skip
    found: dict[str, dict[str, float | str]] = {"forward": {}, "backward": {}}
    for name, way in ways.items():
        if isinstance(way, str):
            found["forward"][name] = way
            continue
        try:
            times = _times(case, way)
        except torch.OutOfMemoryError:
            times = {"forward": "out of GPU memory"}
        for direction, value in times.items():
            found[direction][name] = value
    return found


def hold(case: Case) -> None:
    """Raises a DreamdriveError where the kernel differs from its reference on these inputs."""
    outs = []
    for backend in ("triton", "torch"):
        with torch.no_grad():
            out = case.call(*case.inputs, backend=backend)
        outs.append([out] if isinstance(out, Tensor) else list(out))
    for mine, theirs in zip(*outs, strict=True):
        scale = max(1.0, float(theirs.abs().max()))
        error = float((mine.float() - theirs.float()).abs().max()) / scale
        if not error <= LARGEST_ERROR:
            raise DreamdriveError(f"The kernel {case.name!r} is wrong here, by {error:.2g}")


def _times(case: Case, way: Callable[..., Any]) -> dict[str, float | str]:
    """Returns the median microseconds of a forward and, where there is one, a backward pass."""
    from triton.testing import do_bench

    with torch.no_grad():
        times: dict[str, float | str] = {"forward": 1e3 * do_bench(lambda: way(*case.inputs))}
    if not case.num_differentiated:
        return times
    inputs = [x.detach().requires_grad_(i < case.num_differentiated)
              for i, x in enumerate(case.inputs)]  # fmt: skip
    out = way(*inputs)
    outs = [out] if isinstance(out, Tensor) else list(out)
    grads = [torch.ones_like(x) for x in outs]
    wanted = inputs[: case.num_differentiated]

    def backward() -> None:
        torch.autograd.grad(outs, wanted, grads, retain_graph=True, allow_unused=True)

    return times | {"backward": 1e3 * do_bench(backward)}


def tables(facts: dict[str, Any]) -> list[Table]:
    """Returns the tables that the command prints."""
    names = list(facts["limits"])
    shown = Table(title=f"Kernels, preset {facts['preset']}, B = {facts['batch']}, 16-bit floats")
    for column in ("kernel", "", "MB", "MFLOP", *(f"{n}, least µs" for n in names), "measured µs"):
        shown.add_column(
            column,
            justify="left" if column in ("kernel", "") else "right",
            no_wrap=column in ("kernel", ""),
        )
    for row in facts["kernels"]:
        measured = row["measured_us"]
        times = ", ".join(
            f"{name} {value:.1f}" if isinstance(value, float) else f"{name}: {value}"
            for name, value in (measured or {}).items()
        )
        shown.add_row(
            row["kernel"], row["direction"], f"{row['bytes'] / 1e6:.1f}",
            f"{row['flops'] / 1e6:,.0f}", *(f"{row['bound_us'][n]:,.1f}" for n in names),
            times or "no GPU",
        )  # fmt: skip
    step = Table(title="One step of the dream at least (prediction, not measured)")
    for column in (
        "preset",
        "machine",
        "floats",
        "ring",
        "launches",
        "least µs",
        "env steps/s at most",
    ):
        step.add_column(column, justify="right")
    for row in facts["steps"]:
        step.add_row(
            row["preset"], row["machine"], row["dtype"],
            "in place" if row["ring_in_place"] else "copied",
            str(row["launches"]), f"{row['step_us']:,.0f}", f"{row['env_steps_per_s']:,.0f}",
        )  # fmt: skip
    real = facts["real_step"]
    step.caption = f"The shipped model, measured: {real_line(real)}"
    made = [shown, step]
    if "compiled" in facts:
        made.append(compiled_table(facts["compiled"]))
    return made


def real_line(real: dict[str, Any]) -> str:
    """Returns what a real step takes, in words."""
    text = (
        f"{real['measured_us']:,.0f} µs a step of B = {real['batch']} in {real['dtype']}, "
        f"{real['env_steps_per_s']:,.0f} env steps/s"
    )
    if "bound_us" in real:
        text += (
            f"; the bound for it here is {real['bound_us']:,.0f} µs, "
            f"{real['bound_us'] / real['measured_us']:.0%} of that"
        )
    return text


def compiled_table(rows: list[dict[str, Any]]) -> Table:
    """Returns what each kernel takes of each GPU, as a table."""
    shown = Table(title="Compiled ahead of time")
    for column in ("kernel", "sm", "registers", "stack bytes", "shared bytes", "warps"):
        shown.add_column(column, justify="left" if column == "kernel" else "right")
    for row in rows:
        shown.add_row(
            row["kernel"],
            *(str(row[k]) for k in ("capability", "registers", "stack_bytes", "shared_bytes",
                                    "num_warps")),
        )  # fmt: skip
    return shown
