"""Today's dreams and updates beside those of an earlier version, in one run, the ways in turn."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from rich.table import Table

import dreamdrive

ROOT = Path(dreamdrive.__file__).resolve().parents[1]
PROGRAM = Path(__file__).with_name("bench_work.py")
TIMEOUT_S = 240
ROUNDS = 2
"""How often the ways take turns; the least time of each counts."""
WAYS: dict[str, tuple[str, ...]] = {
    "dreams": (
        "eager",
        "fused",
        "fused, bfloat16",
        "onnxruntime",
        "openvino",
        "openvino, bfloat16",
    ),
    "agent": ("eager", "packed", "packed, compiled", "fused", "fused, bfloat16"),
    "model": ("eager", "quick", "eager, compiled", "quick, compiled"),
    "rollouts": ("eager", "fused", "fused, bfloat16"),
}
EARLIER: dict[str, tuple[str, ...]] = {
    "dreams": ("eager",),
    "agent": ("eager", "eager, compiled"),
    "model": ("eager", "eager, compiled"),
    "rollouts": ("eager",),
}


def beside_earlier(
    earlier: Path,
    seconds: float,
    works: tuple[str, ...] = tuple(WAYS),
    chosen: tuple[str, ...] = (),
) -> list[dict[str, Any]]:
    """Returns rows: what, in which version and way, frames a second, and times the earliest's.

    Args:
        earlier: A checkout of an earlier version.
        seconds: For each way and round.
        works: What is measured, of `WAYS`.
        chosen: Which ways, beside the earlier version's eager one; all where none is named.
    """
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    for _ in range(ROUNDS):
        for work in works:
            for version, root, ways in (("earlier", earlier, EARLIER), ("now", ROOT, WAYS)):
                for way in ways[work]:
                    is_base = version == "earlier" and way == "eager"
                    if chosen and way not in chosen and not is_base:
                        continue
                    for row in _apart(root, way, seconds, work):
                        key = row["what"], version, way
                        known = found.get(key)
                        if known is None or (row["seconds"] or 0.0) < (known["seconds"] or 0.0):
                            found[key] = row
    rows = []
    for (what, version, way), row in found.items():
        first = found.get((what, "earlier", "eager"), {}).get("seconds")
        taken, told = row["seconds"], row.get("told")
        rows.append(
            {
                "what": what, "version": version, "way": way, "told": told, "why": row.get("why"),
                "frames_per_s": row["frames"] / taken if taken else None,
                "times": first / taken if first and taken else None,
            }
        )  # fmt: skip
    return rows


def _apart(root: Path, way: str, seconds: float, work: str) -> list[dict[str, Any]]:
    """Returns rows of `bench_work` in a process of its own, or one that says why there are none."""
    command = [sys.executable, str(PROGRAM), way, str(seconds), work]
    why = f"took more than {TIMEOUT_S} s"
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=TIMEOUT_S, cwd=root,
            env=os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        if done.returncode == 0:
            rows: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
            return rows
        why = (done.stderr.strip().splitlines() or ["it ended without a word"])[-1]
    except subprocess.TimeoutExpired:
        pass
    return [{"what": work, "frames": 0, "seconds": None, "why": why}]


def table(rows: list[dict[str, Any]]) -> Table:
    """Returns the rows as a table."""
    shown = Table(title="Beside an earlier version, one thread, the processor's time")
    for name in ("what", "version", "way", "frames/s", "times", "told"):
        shown.add_column(name, justify="right" if name in ("frames/s", "times", "told") else "left")
    for row in rows:
        start = row["what"], row["version"], row["way"]
        if row["frames_per_s"] is None:
            shown.add_row(*start, "-", "-", row["why"])
            continue
        told = "" if row["told"] is None else f"{row['told']:.6f}"
        times = "-" if row["times"] is None else f"{row['times']:.2f}"
        shown.add_row(*start, f"{row['frames_per_s']:,.0f}", times, told)
    return shown
