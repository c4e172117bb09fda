"""`dreamdrive bench engines`: what a step of the dream costs each way, and what others' cost.

Rows of one table, taken in one run on one core: for each preset, batch size and engine the time,
the share of the processor's own peak for matrix products, and the memory of a dream; the time until
a dream can be stepped; and the environments of others (`bench_peers`). What was measured for the
given model is kept, for `engine="auto"`.
"""

import json
import multiprocessing
import os
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from rich.table import Table

import dreamdrive
from dreamdrive.checkpoint import git_commit
from dreamdrive.envs.dream.vector import DreamVectorEnv
from dreamdrive.errors import ConfigError
from dreamdrive.experiments.bench import machine
from dreamdrive.experiments.bench_envs import resident_mib
from dreamdrive.experiments.bench_peers import PEERS, QUOTED
from dreamdrive.experiments.bench_versions import WAYS, beside_earlier
from dreamdrive.experiments.bench_versions import table as versions_table
from dreamdrive.experiments.run import begin_run, console, installed_versions
from dreamdrive.files import write_atomically
from dreamdrive.kernels.roofline import fastest
from dreamdrive.worldmodel.engine import IN_16_BITS, Engine, measure_engines, remember, why_not
from dreamdrive.worldmodel.fused import FusedStep
from dreamdrive.worldmodel.model import DEFAULT, WorldModel, WorldModelConfig
from dreamdrive.worldmodel.packed import has_packed_products, pack, product
from dreamdrive.worldmodel.presets import PRESETS

SHIPPED = "cpu"
"""The preset that the given model stands for; others are untrained, which costs the same."""
PEER_TIMEOUT_S = 150
AT_THE_START = 500
"""Steps of a long dream after which memory is looked at first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchEnginesConfig:
    """What is measured.

    Attributes:
        out: Folder that `engines.json` is written to.
        model: A shipped model's name, or a checkpoint's folder.
        presets: "cpu", the given model, and others, untrained.
        batches: Dreams that are stepped together.
        engines: Which ways.
        bfloat16: Also measure the ways that have products in 16 bits so.
        peers: Environments of others, NAME or NAME=PATH[:PATH], where PATH is put before Python's
            own; `diamond` is the folder `src` of a checkout, the others are installed packages.
        peer_python: The interpreter that peers run in, where their packages need others than this.
        seconds: For each way and peer.
        earlier: A checkout of an earlier version, to measure dreams and updates of both in one run.
        work: What of both: steps of environments, updates of an agent, and of a world model, by
            flow matching and by rollouts.
        ways: Which ways of that work, beside the earlier version's eager one; all by default.
        long_steps: Steps of one dream, whose last ones are measured against its first; 0 for none.
    """

    out: Path = Path("runs/bench-engines")
    model: str = DEFAULT
    presets: tuple[str, ...] = ("cpu", "nano")
    batches: tuple[int, ...] = (1, 16, 64)
    engines: tuple[Engine, ...] = ("eager", "fused", "onnxruntime", "openvino")
    bfloat16: bool = True
    peers: tuple[str, ...] = ()
    peer_python: Path = Path(sys.executable)
    seconds: float = 2.0
    earlier: Path | None = None
    work: tuple[str, ...] = ("dreams", "agent", "model", "rollouts")
    ways: tuple[str, ...] = ()
    long_steps: int = 10_000

    def __post_init__(self) -> None:
        """Raises a ConfigError where a value is impossible."""
        if not self.seconds > 0.0 or min(self.batches, default=0) < 1:
            raise ConfigError("Seconds and batch sizes must be positive")
        for name, known in (
            *((name, tuple(PRESETS)) for name in self.presets),
            *((name.partition("=")[0], tuple(PEERS)) for name in self.peers),
            *((name, tuple(WAYS)) for name in self.work),
            *(
                (name, tuple(sorted({way for x in WAYS.values() for way in x})))
                for name in self.ways
            ),
        ):
            if name not in known:
                raise ConfigError(f"There is no {name!r}", do=f"Known: {', '.join(known)}.")


def bench_engines(config: BenchEnginesConfig) -> Path:
    """Measures, prints tables, writes `engines.json` and returns its path.

    Raises:
        CheckpointError: If the model is missing or damaged.
        StorageError: If the file could not be written.
    """
    begin_run(config.out, config)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    facts: dict[str, Any] = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"), "commit": git_commit(),
        "command": "dreamdrive bench engines", "machine": machine(),
        "versions": installed_versions(("torch", "numba", "gymnasium")),
        "peak_gflops": peaks(config.seconds / 4.0), "start_s": start_seconds(config.model),
        "steps": [], "matrix": [], "peers": [], "quoted": QUOTED,
    }  # fmt: skip
    for preset in config.presets:
        model = model_of(preset, config.model)
        for batch in config.batches:
            facts["steps"] += step_rows(preset, model, batch, config, facts["peak_gflops"])
            if "fused" in config.engines and not why_not(model, "fused"):
                peak = max(v for name, v in facts["peak_gflops"].items() if "float32" in name)
                share = matrix_share(model, batch, config.seconds / 2.0, peak)
                facts["matrix"].append({"preset": preset, "batch": batch, "share_of_peak": share})
    if config.long_steps:
        facts["long"] = long_dream(config.model, config.long_steps)
    if config.earlier is not None:
        facts["beside"] = beside_earlier(config.earlier, config.seconds, config.work, config.ways)
    for peer in config.peers:
        console.print(f"measuring {peer.partition('=')[0]} …")
        facts["peers"] += _apart(peer, config)
    path = config.out / "engines.json"
    write_atomically(path, (json.dumps(facts, indent=2) + "\n").encode())
    for shown in tables(facts):
        console.print(shown)
    console.print(f"written to {path}")
    return path


def peaks(seconds: float) -> dict[str, float]:
    """Returns GFLOP/s of a product of 1024² on one thread, PyTorch's own and packed."""
    a = torch.randn(1024, 1024)
    found = {"torch, float32": 2.0 * 1024**3 / fastest(lambda: a @ a, seconds) / 1e9}
    if has_packed_products():
        for precision in ("float32", "bfloat16"):
            packed = pack(a, None, precision, 1024, both_ways=False)  # type: ignore[arg-type]
            x = a.to(packed.dtype)
            # Without the change of type that `product` makes of float32.
            took = fastest(lambda: product(x, packed), seconds)  # noqa: B023
            found[f"packed, {precision}"] = 2.0 * 1024**3 / took / 1e9
    return found


def start_seconds(model: str) -> float:
    """Returns the seconds from nothing to the first step of a dream, in a process of its own."""
    began = time.perf_counter()
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        pool.submit(_first_step, model).result()
    return time.perf_counter() - began


def _first_step(model: str) -> None:
    from dreamdrive.envs.dream.env import DreamEnv

    torch.set_num_threads(1)
    env = DreamEnv(model=model)
    env.reset(seed=0)
    env.step(env.action_space.sample())


def model_of(preset: str, given: str) -> WorldModel:
    """Returns the given model for `cpu`, an untrained one of the preset's sizes for others."""
    model = WorldModel.from_pretrained(given)
    if preset == SHIPPED:
        return model
    sizes, known = PRESETS[preset], model.config
    config = WorldModelConfig(
        vector_names=known.vector_names, causes=known.causes,
        tokenizer=sizes.tokenizer, transformer=sizes.transformer,
    )  # fmt: skip
    return WorldModel(config).eval().requires_grad_(False)


def step_rows(
    preset: str, model: WorldModel, batch: int, config: BenchEnginesConfig, peak: dict[str, float]
) -> list[dict[str, Any]]:
    """Returns a row for each way of computing a step of B dreams."""
    from torch.utils.flop_counter import FlopCounterMode

    state, action = model.init_state(batch), torch.zeros(batch, model.config.action_size)
    noise = (torch.zeros_like(state.latent_BCHW), torch.zeros_like(state.vector_BK))
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.imagine_step(state, action, noise=noise)
    flops = counter.get_total_flops()
    num_bytes = sum(x.numel() * x.element_size() for x in state.leaves())
    times = measure_engines(model, batch, config.engines, seconds=config.seconds)
    remember(model, batch, times)
    if config.bfloat16:
        narrow = tuple(name for name in config.engines if name in IN_16_BITS)
        more = measure_engines(model, batch, narrow, "bfloat16", seconds=config.seconds)
        remember(model, batch, more, "bfloat16")
        times |= {f"{name}, bfloat16": taken for name, taken in more.items()}
    best = max(peak[name] for name in peak if name.endswith("float32"))
    rows = []
    for name, taken in times.items():
        row: dict[str, Any] = {
            "preset": preset, "batch": batch, "engine": name, "mflop": flops / batch / 1e6,
            "bytes_a_dream": num_bytes / batch,
        }  # fmt: skip
        if isinstance(taken, str):
            rows.append(row | {"step_ms": None, "why": taken})
            continue
        top = peak.get("packed, bfloat16", best) if "bfloat16" in name else best
        rows.append(
            row
            | {
                "step_ms": 1e3 * taken, "steps_per_s": batch / taken,
                "share_of_peak": flops / taken / 1e9 / top,
            }
        )  # fmt: skip
    return rows


def matrix_share(model: WorldModel, batch: int, seconds: float, peak_gflops: float) -> float:
    """Returns what the products of a fused step reach of the peak of a product, in float32.

    Each takes its turn on an input of its own, as in a step, but nothing stands between them.
    """
    products = FusedStep(model, batch).products
    given = [(torch.randn(rows, num_in), weight) for rows, num_in, _, weight in products]
    flops = sum(2.0 * rows * num_in * num_out for rows, num_in, num_out, _ in products)

    def all_of_them() -> None:
        for x, weight in given:
            product(x, weight)

    return flops / fastest(all_of_them, seconds) / 1e9 / peak_gflops


def long_dream(model: str, num_steps: int) -> dict[str, float]:
    """Returns what a step of one dream takes at its beginning and end, and how memory grows."""
    env = DreamVectorEnv(1, model, observations="latent", engine="fused", max_steps=num_steps + 1)
    env.reset(seed=0)
    action, taken = env.action_space.sample() * 0.0, []
    resident_before = 0.0
    for step in range(num_steps):
        if step == AT_THE_START:
            resident_before = resident_mib()
        began = time.process_time()
        env.step(action)
        taken.append(time.process_time() - began)
    first, last = (sorted(part)[len(part) // 2] for part in (taken[10:110], taken[-100:]))
    return {
        "steps": num_steps, "first_ms": 1e3 * first, "last_ms": 1e3 * last,
        "grown_mib": resident_mib() - resident_before,
    }  # fmt: skip


def _apart(peer: str, config: BenchEnginesConfig) -> list[dict[str, Any]]:
    """Returns a peer's rows, taken in a process of its own; why there are none, if it fails."""
    root = str(Path(dreamdrive.__file__).resolve().parents[1])
    command = [str(config.peer_python), "-m", "dreamdrive.experiments.bench_peers", peer]
    try:
        done = subprocess.run(
            [*command, str(config.seconds)], capture_output=True, text=True, check=False,
            timeout=PEER_TIMEOUT_S, env=os.environ | {"PYTHONPATH": root},
        )  # fmt: skip
        if done.returncode == 0:
            rows: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
            return rows
        why = (done.stderr.strip().splitlines() or ["it ended without a word"])[-1]
    except subprocess.TimeoutExpired:
        why = f"took more than {PEER_TIMEOUT_S} s"
    except OSError as error:
        why = str(error)
    return [{"peer": peer.partition("=")[0], "steps_per_s": None, "why": why}]


def tables(facts: dict[str, Any]) -> list[Table]:
    """Returns what was measured as tables."""
    steps = Table(title="A step of the dream, latent observations, one thread")
    for name in ("preset", "dreams", "engine", "ms", "steps/s", "MFLOP", "of peak", "KiB a dream"):
        steps.add_column(name, justify="left" if name in ("preset", "engine") else "right")
    for row in facts["steps"]:
        start = (row["preset"], str(row["batch"]), row["engine"])
        if row["step_ms"] is None:
            steps.add_row(*start, row["why"])
            continue
        steps.add_row(
            *start, f"{row['step_ms']:.2f}", f"{row['steps_per_s']:,.0f}", f"{row['mflop']:.1f}",
            f"{row['share_of_peak']:.0%}", f"{row['bytes_a_dream'] / 1024:.0f}",
        )  # fmt: skip
    peak = ", ".join(f"{name} {value:,.0f}" for name, value in facts["peak_gflops"].items())
    steps.caption = f"GFLOP/s at most: {peak}. First step after {facts['start_s']:.1f} s."
    alone = ", ".join(
        f"{row['preset']} x {row['batch']} {row['share_of_peak']:.0%}" for row in facts["matrix"]
    )
    steps.caption += f"\nProducts of a fused step alone, of the peak in float32: {alone}."
    if long := facts.get("long"):
        steps.caption += (
            f"\nStep 10 of a dream takes {long['first_ms']:.2f} ms, step {long['steps']:,} "
            f"{long['last_ms']:.2f}; memory grew by {long['grown_mib']:.1f} MiB."
        )
    others = Table(title="Others, one thread")
    for name in ("what", "environments", "steps/s", ""):
        others.add_column(name, justify="left" if name in ("what", "") else "right")
    for row in facts["peers"]:
        rate = "-" if row["steps_per_s"] is None else f"{row['steps_per_s']:,.1f}"
        others.add_row(row["peer"], str(row.get("batch", "")), rate, row["why"])
    for row in facts["quoted"]:
        others.add_row(row["peer"], "", f"{row['steps_per_s']} (quoted)", row["why"])
    return [steps, others, *([versions_table(facts["beside"])] if "beside" in facts else [])]
