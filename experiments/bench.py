"""`dreamdrive bench`: how fast the server, the environment and the dream are, beside their floors.

Every measurement runs in a process of its own, on one core where it says so, and is the median of
several repetitions. The embedded server is measured beside the same server that answers without
simulating, which is as fast as the client itself can be, in turns in the same process.
"""

import json
import multiprocessing
import os
import platform
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.table import Table

from dreamdrive.checkpoint import git_commit
from dreamdrive.errors import ConfigError, DreamdriveError
from dreamdrive.experiments.run import begin_run, console, installed_versions
from dreamdrive.files import write_atomically

MEASURES = ("server", "carla", "carla-unpinned", "dream", "dream-16", "dream-16-latent", "memory")
CIRCLE_MPS = 2.0
WARM_UP_CALLS = 20
EPISODE_SEEDS = 8
NUM_DREAMS = 16
FLAT_MIB = 8.0
"""Growth of memory that allocators and caches may show without an episode growing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchConfig:
    """What is measured, and for how long.

    Attributes:
        out: Folder that `bench.json` is written to.
        measures: Which of `MEASURES`; all by default.
        repeats: Repetitions of which the median is taken.
        seconds: Length of a repetition.
        num_server_vehicles: Moving vehicles on the server.
        num_vehicles: Traffic of `CarlaDrive-v0`.
        town: Town that is opened.
        model: Checkpoint of the dream, by name or folder.
        memory_steps: Steps over which the dream's memory must stay flat.
    """

    out: Path = Path("runs/bench")
    measures: tuple[str, ...] = MEASURES
    repeats: int = 5
    seconds: float = 2.0
    num_server_vehicles: int = 20
    num_vehicles: int = 10
    town: str = "Dream01"
    model: str = "dreamdrive-cpu"
    memory_steps: int = 10_000

    def __post_init__(self) -> None:
        """Raises a ConfigError where a value is impossible."""
        unknown = sorted(set(self.measures) - set(MEASURES))
        if unknown:
            raise ConfigError(
                f"There is no measure {unknown[0]!r}", do=f"Known: {', '.join(MEASURES)}."
            )
        if self.repeats < 1 or not self.seconds > 0.0 or self.memory_steps < 1:
            raise ConfigError("Repetitions, seconds and steps must be positive")


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One line of the table.

    Attributes:
        name: What was measured.
        unit: Of the value.
        cores: How many cores it ran on.
        value: The median; None where it could not be measured.
        samples: The repetitions.
        floor: What the value must reach; None where nothing is asked.
        is_ceiling: Whether the value must stay below `floor` instead.
        note: Why there is no value, or what it was measured with.
    """

    name: str
    unit: str
    cores: int
    value: float | None
    samples: tuple[float, ...] = ()
    floor: float | None = None
    is_ceiling: bool = False
    note: str = ""

    @property
    def holds(self) -> bool | None:
        """Whether the floor is reached; None where there is no value or no floor."""
        if self.value is None or self.floor is None:
            return None
        return self.value <= self.floor if self.is_ceiling else self.value >= self.floor


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
    if measure not in ("server", "carla-unpinned"):
        # Before torch and the client start their threads, which inherit it.
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    cores = len(os.sched_getaffinity(0))
    if measure == "server":
        return server_rows(config, cores)
    if measure.startswith("carla"):
        return [carla_row(config, cores)]
    if measure == "memory":
        return [memory_row(config, cores)]
    return [dream_row(measure, config, cores)]


def server_rows(config: BenchConfig, cores: int) -> list[Row]:
    """Returns ticks a second of the server, of one that only answers, and their ratio."""
    from dreamdrive.envs.carla.session import Session, SessionConfig
    from dreamdrive.envs.carla.supervisor import ServerSupervisor, SupervisorConfig

    plain = SupervisorConfig()
    answering = SupervisorConfig(command=(*plain.command, "--only-answer"))
    samples: dict[str, list[float]] = {"simulates": [], "answers": []}
    with ExitStack() as stack:
        sessions = {}
        for name, supervisor in (("simulates", plain), ("answers", answering)):
            server = stack.enter_context(ServerSupervisor(config.town, supervisor))
            session = Session(SessionConfig(port=server.ensure_ready()))
            stack.callback(session.close)
            _circling(session, config.num_server_vehicles)
            sessions[name] = session
        for _ in range(config.repeats):
            for name, session in sessions.items():
                samples[name].append(per_second(session.tick, config.seconds))
    ratios = [a / b for a, b in zip(samples["simulates"], samples["answers"], strict=True)]
    what = f"{config.num_server_vehicles} moving vehicles"
    return [
        _row(f"server, {what}", "ticks/s", cores, samples["simulates"]),
        _row("server that only answers", "ticks/s", cores, samples["answers"]),
        _row("ratio of the two", "", cores, ratios, floor=0.5),
    ]


def _circling(session: Any, count: int) -> None:
    """Spawns vehicles that drive in small circles for ever, each in its own place."""
    from dreamdrive.envs.carla.client import carla

    library = session.world.get_blueprint_library()
    blueprint = library.find("vehicle.mini.cooper_s")
    places: list[Any] = []
    for point in session.map.get_spawn_points():
        if all(point.location.distance(other.location) > 9.0 for other in places):
            places.append(point)
    for place in places[:count]:
        car = session.spawn(blueprint, place)
        car.apply_control(carla.VehicleControl(throttle=0.3, steer=1.0))
        car.enable_constant_velocity(carla.Vector3D(CIRCLE_MPS, 0.0, 0.0))


def carla_row(config: BenchConfig, cores: int) -> Row:
    """Returns decisions a second of `CarlaDrive-v0` with its own server, driven by its expert."""
    from dreamdrive.envs.carla.env import CarlaDriveEnv

    with CarlaDriveEnv(num_vehicles=config.num_vehicles, town=config.town) as env:
        seeds = iter(range(10**9))
        env.reset(seed=next(seeds))
        samples = []
        for _ in range(config.repeats):
            count, spent = 0, 0.0
            while spent < config.seconds:
                action = env.expert_action()
                began = time.perf_counter()
                _, _, terminated, truncated, _ = env.step(action)
                spent += time.perf_counter() - began
                count += 1
                if terminated or truncated:
                    env.reset(seed=next(seeds) % EPISODE_SEEDS)
            samples.append(count / spent)
    name = f"CarlaDrive-v0, {config.num_vehicles} vehicles, with its server"
    return _row(name, "decisions/s", cores, samples, floor=100.0 if cores == 1 else None)


def dream_row(measure: str, config: BenchConfig, cores: int) -> Row:
    """Returns environment steps a second of the dream."""
    num_dreams = 1 if measure == "dream" else NUM_DREAMS
    is_latent = measure.endswith("latent")
    floor = {"dream": 100.0, "dream-16": 400.0, "dream-16-latent": 1200.0}[measure]
    with ExitStack() as stack:
        step = _dreaming(stack, config, num_dreams, is_latent)
        for _ in range(WARM_UP_CALLS):
            step()
        samples = [num_dreams * per_second(step, config.seconds) for _ in range(config.repeats)]
    what = "latent" if is_latent else "pixels"
    name = f"WorldModelDream-v0, {num_dreams} environment{'s' * (num_dreams > 1)}, {what}"
    return _row(name, "steps/s", cores, samples, floor=floor, note=config.model)


def memory_row(config: BenchConfig, cores: int) -> Row:
    """Returns by how much the resident memory grows over steps of one dream, after a warm-up."""
    with ExitStack() as stack:
        step = _dreaming(stack, config, 1, True)
        for _ in range(max(WARM_UP_CALLS, config.memory_steps // 10)):
            step()
        before = resident_mib()
        for _ in range(config.memory_steps):
            step()
        grown = resident_mib() - before
    name = f"WorldModelDream-v0, growth of memory over {config.memory_steps:,} steps"
    return _row(name, "MiB", cores, [grown], floor=FLAT_MIB, is_ceiling=True, note=config.model)


def _dreaming(
    stack: ExitStack, config: BenchConfig, num_dreams: int, is_latent: bool
) -> Callable[[], None]:
    """Returns a function that takes one step of a dream, over the ends of its episodes."""
    import gymnasium as gym
    import numpy as np
    import torch

    from dreamdrive.envs.registration import register_envs

    register_envs()
    torch.set_num_threads(1)
    how: dict[str, Any] = {"model": config.model, "max_steps": 2 * config.memory_steps}
    if is_latent:
        how["observations"] = "latent"
    if num_dreams == 1:
        env = gym.make("WorldModelDream-v0", disable_env_checker=True, **how)
        stack.callback(env.close)
        env.reset(seed=0)

        def step_one() -> None:
            _, _, terminated, truncated, _ = env.step(np.array([0.0, 0.2], np.float32))
            if terminated or truncated:
                env.reset()

        return step_one
    vector = gym.make_vec(
        "WorldModelDream-v0", num_envs=num_dreams, vectorization_mode="vector_entry_point", **how
    )  # fmt: skip
    stack.callback(vector.close)
    vector.reset(seed=0)
    actions = np.tile(np.array([0.0, 0.2], np.float32), (num_dreams, 1))
    return lambda: vector.step(actions) and None


def per_second(call: Callable[[], object], seconds: float) -> float:
    """Returns how often something can be done a second, measured for at least so long."""
    for _ in range(WARM_UP_CALLS):
        call()
    count, began = 0, time.perf_counter()
    while (passed := time.perf_counter() - began) < seconds:
        call()
        count += 1
    return count / passed


def resident_mib() -> float:
    """Returns the memory that this process holds."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _row(name: str, unit: str, cores: int, samples: list[float], **values: Any) -> Row:
    median = statistics.median(samples)
    return Row(name=name, unit=unit, cores=cores, value=median, samples=tuple(samples), **values)
