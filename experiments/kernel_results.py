"""What is committed of `dreamdrive bench kernels`: a page, and a table that a test holds to."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dreamdrive.files import write_atomically
from dreamdrive.kernels.aot import Usage

AIM = 100_000
"""Env steps a second of the preset `cpu` that an H100 is to reach at B = 1,024."""

USAGE_FIELDS = ("registers", "stack_bytes", "shared_bytes", "num_warps")


def write_results(folder: Path, facts: dict[str, Any]) -> None:
    """Writes `kernels.md`, and where kernels were compiled `kernels.toml`, into a folder.

    Raises:
        StorageError: If they could not be written.
    """
    write_atomically(folder / "kernels.md", page(facts).encode())
    if "compiled" in facts:
        rows = [Usage(**row) for row in facts["compiled"]]
        text = budget(rows, facts["versions"]["triton"], facts["commit"], facts["date"])
        write_atomically(folder / "kernels.toml", text.encode())


def budget(rows: Sequence[Usage], triton: str, commit: str, date: str) -> str:
    """Returns what kernels may take of a GPU, as TOML."""
    lines = [
        "# What each kernel takes of a GPU, compiled ahead of time for the preset cpu.",
        "# A test compiles them again: none may take more.",
        "# Command: dreamdrive bench kernels --compile --results docs/results",
        f'triton = "{triton}"', f'commit = "{commit}"', f'date = "{date[:10]}"',
    ]  # fmt: skip
    for row in rows:
        fields = ", ".join(f"{name} = {getattr(row, name)}" for name in USAGE_FIELDS)
        lines.append(f'\n[["{row.kernel}"]]\ncapability = {row.capability}')
        lines += fields.split(", ")
    return "\n".join(lines) + "\n"


def page(facts: dict[str, Any]) -> str:
    """Returns the page: bounds of each kernel, of a step, and what compiling gave."""
    gpus = [name for name, limits in facts["limits"].items() if not limits["measured"]]
    here = next(name for name, limits in facts["limits"].items() if limits["measured"])
    has_gpu = facts["gpu"] is not None
    lines = [
        "# Kernels",
        "",
        f"`{facts['command']} --compile --results docs/results`, preset `{facts['preset']}`, "
        f"B = {facts['batch']}, {facts['machine']['processor']} ({here}, load "
        f"{facts['machine']['load'][0]} on {facts['machine']['cores']} cores), "
        f"{facts['date'][:10]}, commit {facts['commit']}, torch {facts['versions'].get('torch')}, "
        f"triton {facts['versions'].get('triton')}.",
        "",
        f"Measured on {facts['gpu']}."
        if has_gpu
        else "There was no GPU: **no time on this page was measured on one**. The microseconds are "
        "bounds from the vendors' data sheets (`kernels/roofline.py`): the larger of bytes over "
        "bandwidth and FLOPs over peak, and 1.5 µs for a launch within a graph. No implementation "
        "is faster; how near these kernels come, `dreamdrive bench kernels` says on a machine that "
        "has a GPU.",
        "",
        "## Each kernel",
        "",
        f"| kernel | | MB | MFLOP | {' | '.join(f'{n}, µs' for n in (*gpus, here))} | "
        "limited by, H100 |" + (" measured, µs |" if has_gpu else ""),
        "|---" * (6 + len(gpus) + has_gpu) + "|",
    ]
    for row in facts["kernels"]:
        bounds = " | ".join(f"{row['bound_us'][n]:,.1f}" for n in (*gpus, here))
        cells = (
            f"| {row['kernel']} | {row['direction']} | {row['bytes'] / 1e6:.1f} | "
            f"{row['flops'] / 1e6:,.0f} | {bounds} | {row['limit']['H100']} |"
        )
        if has_gpu:
            measured = (row["measured_us"] or {}).items()
            cells += " " + ", ".join(f"{name} {value}" for name, value in measured) + " |"
        lines.append(cells)
    lines += [
        "",
        "## One step of the dream, at most",
        "",
        "Every operation of `imagine_step` with one sampling step and latent observations, each a "
        "launch of its own within one graph. A **prediction**; in place is what dreams, planners "
        "and rollouts without gradients do, copied what keeps the state before a step whole.",
        "",
        "| preset | machine | floats | ring | launches | µs | env steps/s |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in facts["steps"]:
        ring = "in place" if row["ring_in_place"] else "copied"
        lines.append(
            f"| {row['preset']} | {row['machine']} | {row['dtype']} | {ring} | {row['launches']} | "
            f"{row['step_us']:,.0f} | {row['env_steps_per_s']:,.0f} |"
        )
    h100 = next(
        row for row in facts["steps"]
        if (row["preset"], row["machine"], row["ring_in_place"]) == ("cpu", "H100", False)
    )  # fmt: skip
    lines += [
        "",
        f"The aim of {AIM:,} env steps/s on an H100 asks for "
        f"{AIM / h100['env_steps_per_s']:.1%} of the bound with the ring copied. "
        "`dreamdrive bench kernels` on one would test it.",
        "",
        f"The shipped model's step, measured on this {facts['real_step']['device'].upper()}: "
        f"{facts['real_line']}. On a GPU the same command times it there, as one graph.",
    ]
    if "compiled" in facts:
        lines += ["", *_compiled(facts["compiled"])]
    return "\n".join(lines) + "\n"


def _compiled(rows: list[dict[str, Any]]) -> list[str]:
    lines = [
        "## Compiled ahead of time",
        "",
        "Registers and stack of a thread, shared memory and warps of a program, in 16-bit floats "
        "and in single precision. Kernels that turn by angles keep some 30 bytes on the stack for "
        "the slow path of sine and cosine; what is above that is spilled registers. The same in "
        "`kernels.toml`, which a test holds every kernel to.",
        "",
        "| kernel | sm_80 | sm_90 | sm_100 |",
        "|---|---|---|---|",
    ]
    for kernel in dict.fromkeys(row["kernel"] for row in rows):
        cells = [
            f"{row['registers']} reg, {row['stack_bytes']} B, "
            f"{row['shared_bytes'] / 1024:.1f} KiB, {row['num_warps']} w"
            for row in rows
            if row["kernel"] == kernel
        ]
        lines.append(f"| {kernel} | {' | '.join(cells)} |")
    return lines
