"""`dreamdrive bench`: how fast the server, the environment and the dream are, beside their floors.

Every measurement runs in a process of its own, on one core where it says so, and is the median of
several repetitions. Each subject has a file of its own: `bench_server`, `bench_meshes`,
`bench_scaling`, `bench_world`, `bench_envs` and `bench_evaluate`.
"""

import json
import multiprocessing
import os
import platform
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from rich.table import Table

from dreamdrive.checkpoint import git_commit
from dreamdrive.errors import ConfigError, DreamdriveError
from dreamdrive.experiments.bench_rows import Row
from dreamdrive.experiments.run import begin_run, console, installed_versions
from dreamdrive.files import write_atomically

MEASURES = (
    "server", "server-scaling", "server-crowd", "server-growth", "server-sensors", "server-start",
    "server-mesh", "carla", "carla-unpinned", "dream", "dream-16", "dream-16-latent", "memory",
    "evaluate",
)  # fmt: skip
UNPINNED = frozenset({
    "server", "server-scaling", "server-start", "server-mesh", "carla-unpinned", "evaluate",
})  # fmt: skip
"""Measures in which client and server, or a server and what it starts, run side by side."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchConfig:
    """What is measured, and for how long.

    Attributes:
        out: Folder that `bench.json` is written to.
        measures: Which of `MEASURES`; all by default.
        repeats: Repetitions of which the median is taken.
        seconds: Length of a repetition.
        num_server_vehicles: Moving vehicles on the server.
        crowd: Vehicles and walkers of a server that is full.
        growth: Numbers of vehicles at which the cost of one is compared, growing.
        num_vehicles: Traffic of `CarlaDrive-v0`.
        town: Town that is opened.
        model: Checkpoint of the dream, by name or folder.
        memory_steps: Steps over which the dream's memory must stay flat.
        num_evaluate_vehicles: Traffic of the evaluation.
        evaluate_town: Where it drives.
        num_drives: Drives of one of its repetitions, which last as long as they do.
    """

    out: Path = Path("runs/bench")
    measures: tuple[str, ...] = MEASURES
    repeats: int = 5
    seconds: float = 2.0
    num_server_vehicles: int = 20
    crowd: tuple[int, int] = (200, 100)
    growth: tuple[int, ...] = (10, 100, 1000)
    num_vehicles: int = 10
    town: str = "Dream01"
    model: str = "dreamdrive-cpu"
    memory_steps: int = 10_000
    num_evaluate_vehicles: int = 20
    evaluate_town: str = "Dream07"
    num_drives: int = 6

    def __post_init__(self) -> None:
        """Raises a ConfigError where a value is impossible."""
        unknown = sorted(set(self.measures) - set(MEASURES))
        if unknown:
            raise ConfigError(
                f"There is no measure {unknown[0]!r}", do=f"Known: {', '.join(MEASURES)}."
            )
        counts = (self.repeats, self.memory_steps, self.num_drives)
        if min(counts) < 1 or not self.seconds > 0.0:
            raise ConfigError("Repetitions, seconds, steps and drives must be positive")
        if len(self.growth) < 2 or any(a >= b for a, b in pairwise((0, *self.growth))):
            raise ConfigError("`growth` must be two or more numbers of vehicles that grow")


def bench(config: BenchConfig) -> Path:
    """Measures, prints a table, writes `bench.json` and returns its path.

    Raises:
        StorageError: If the file could not be written.
    """
    begin_run(config.out, config)
    rows: list[Row] = []
    for measure in config.measures:
        console.print(f"measuring {measure} …")
        rows += _apart(measure, config)
    console.print(table(rows))
    path = config.out / "bench.json"
    write_atomically(path, (json.dumps(as_json(rows), indent=2) + "\n").encode())
    console.print(f"written to {path}")
    return path


def as_json(rows: list[Row]) -> dict[str, Any]:
    """Returns the rows with what a reader must know of them: machine, date, commit, versions."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": git_commit(),
        "command": "dreamdrive bench",
        "machine": machine(),
        "versions": installed_versions(
            ("dreamdrive", "torch", "numpy", "numba", "carla", "gymnasium")
        ),
        "rows": [asdict(row) | {"holds": row.holds} for row in rows],
    }


def machine() -> dict[str, Any]:
    """Returns the processor's name, its cores, those that this process may use, and the memory."""
    name = platform.processor() or platform.machine()
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    for line in lines:
        if line.startswith("model name"):
            name = line.partition(":")[2].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": name, "cores": os.cpu_count(), "usable_cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory, 1), "load": [round(value, 2) for value in os.getloadavg()],
        "python": platform.python_version(), "system": platform.platform(),
    }  # fmt: skip


def table(rows: list[Row]) -> Table:
    """Returns the rows as a table with their floors."""
    shown = Table(title="dreamdrive bench")
    for name in ("what", "cores", "median", "spread", "floor", ""):
        shown.add_column(name, justify="left" if name == "what" else "right")
    marks = {None: "", True: "ok", False: "short"}
    for row in rows:
        if row.value is None:
            shown.add_row(row.name, str(row.cores), "-", "", "", _shortened(row.note))
            continue
        spread = f"{min(row.samples):,.4g} … {max(row.samples):,.4g}" if row.samples else ""
        sign = "≤" if row.is_ceiling else "≥"
        floor = "" if row.floor is None else f"{sign} {row.floor:,.4g}"
        value = f"{row.value:,.4g} {row.unit}"
        shown.add_row(row.name, str(row.cores), value, spread, floor, marks[row.holds])
    return shown


def _shortened(text: str) -> str:
    """Returns a note without where and what to do, which `bench.json` keeps."""
    return text.partition(" (")[0].partition(". ")[0]


def _apart(measure: str, config: BenchConfig) -> list[Row]:
    """Returns the rows of a measure, taken in a process of its own."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=spawn) as pool:
        try:
            return pool.submit(run_measure, measure, config).result()
        except DreamdriveError as error:
            note = str(error).splitlines()[0]
        except (ImportError, BrokenProcessPool) as error:
            note = f"{type(error).__name__}: {error}"
    return [Row(name=measure, unit="", cores=1, value=None, note=f"skipped: {note}")]


def run_measure(measure: str, config: BenchConfig) -> list[Row]:
    """Returns the rows of a measure; pins this process where the measure is of one core."""
    if measure not in UNPINNED:
        # Before torch and the client start their threads, which inherit it.
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    cores = len(os.sched_getaffinity(0))
    # Each subject loads what it measures, and nothing else may be loaded beside it.
    from dreamdrive.experiments import (
        bench_envs,
        bench_evaluate,
        bench_meshes,
        bench_scaling,
        bench_server,
        bench_world,
    )

    match measure:
        case "evaluate":
            return bench_evaluate.evaluate_rows(config, cores)
        case "server":
            return bench_server.server_rows(config, cores)
        case "server-scaling":
            return bench_scaling.scaling_rows(config)
        case "server-start":
            return bench_server.start_rows(config, cores)
        case "server-mesh":
            return bench_meshes.mesh_rows(config, cores)
        case "server-crowd":
            return [bench_world.crowd_row(config, cores)]
        case "server-growth":
            return bench_world.growth_rows(config, cores)
        case "server-sensors":
            return bench_world.sensor_rows(config, cores)
        case "carla" | "carla-unpinned":
            return [bench_envs.carla_row(config, cores)]
        case "memory":
            return bench_envs.memory_rows(config, cores)
    return [bench_envs.dream_row(measure, config, cores)]
