"""How fast an evaluation drives, what a second server adds, and what the evaluator itself costs.

The policy is the expert, without a camera, among a route's traffic. A drive is measured from its
reset to its result on disk, on servers that run already.

Two workers make the same drives as one, each of them twice, so that both have something to do until
the end. On two cores each of the two keeps to one of them with its server (`drive_pool`), which the
one does not, so that they can be more than twice as fast.
"""

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from dreamdrive.errors import ServerError
from dreamdrive.experiments.bench import BenchConfig
from dreamdrive.experiments.bench_rows import Row, row_of
from dreamdrive.experiments.drive_jobs import (
    Conditions,
    DriveJob,
    DriverSettings,
    route_name,
)
from dreamdrive.experiments.drive_pool import DrivePool
from dreamdrive.experiments.drives import Trial, log_path, save_drive
from dreamdrive.experiments.driving import RouteDriver
from dreamdrive.experiments.log_writer import finish_log
from dreamdrive.experiments.policies import NamedPolicy
from dreamdrive.experiments.policy_turn import Turn
from dreamdrive.experiments.processor_time import processor_s

REAL_TIME, TWO_SERVERS, OVERHEAD_PCT = 15.0, 1.7, 10.0
EXPERT = NamedPolicy("expert", "expert")


def evaluate_rows(config: BenchConfig, cores: int) -> list[Row]:
    """Returns the speed of one worker and of two, their ratio with its bound, and the overhead.

    One worker and two take turns at the same drives.
    """
    settings = DriverSettings(
        conditions=Conditions(num_vehicles=config.num_evaluate_vehicles),
        num_routes=config.num_drives,
    )
    with ExitStack() as stack:
        out = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        pools = {}
        for workers in (1, 2):
            pool = DrivePool(settings, workers, keep=True)
            stack.callback(pool.close)
            pools[workers] = pool
            # Has each process started, with its server, and everything compiled.
            _drive_all(pool, _jobs(config, out, seed=0)[:1] * workers, out)
        speeds: dict[int, list[float]] = {1: [], 2: []}
        busy: dict[int, list[float]] = {1: [], 2: []}
        for repeat in range(config.repeats):
            jobs = _jobs(config, out, seed=repeat)
            for workers, pool in list(pools.items())[:: -1 if repeat % 2 else 1]:
                used_s, began = processor_s(os.getpid()), time.perf_counter()
                driven_s = _drive_all(pool, _each(jobs, workers, out), out)
                passed_s = time.perf_counter() - began
                speeds[workers].append(driven_s / passed_s)
                busy[workers].append((processor_s(os.getpid()) - used_s) / passed_s)
        for pool in pools.values():
            pool.close()
        overheads = _overheads(config, settings, out)
    what = f"expert, {config.num_evaluate_vehicles} vehicles, no camera"
    note = f"{config.num_drives} drives in {config.evaluate_town}"
    ratios = [two / one for one, two in zip(speeds[1], speeds[2], strict=True)]
    fits = cores >= 2
    kept = "each of the two keeps to a core with its server, the one to none"
    return [
        row_of(f"evaluate, {what}, one server", "x real time", cores, speeds[1], floor=REAL_TIME,
               note=note),
        row_of("evaluate, the same on two servers", "x real time", cores, speeds[2], note=note),
        row_of("ratio of the two", "", cores, ratios, floor=TWO_SERVERS if fits else None,
               note=kept if cores == 2 else note),
        row_of("cores that one server and its client keep busy", "", cores, busy[1], note=note),
        row_of("the same of two servers", "", cores, busy[2], note=note),
        row_of("evaluator and log over the bare environment", "%", cores, overheads,
               floor=OVERHEAD_PCT, is_ceiling=True, note=note),
    ]  # fmt: skip


def _jobs(config: BenchConfig, out: Path, seed: int) -> list[DriveJob]:
    names = [route_name(config.evaluate_town, 1, index) for index in range(config.num_drives)]
    return [
        DriveJob(
            policy=EXPERT, fingerprint="", town=config.evaluate_town, index=index, seed=seed,
            route=name, log=log_path(out, EXPERT.name, (name, Trial(seed))),
        )
        for index, name in enumerate(names)
    ]  # fmt: skip


def _each(jobs: Sequence[DriveJob], times: int, out: Path) -> list[DriveJob]:
    """Returns the drives, each so many times in a row as repetitions of itself."""
    return [
        replace(
            job, repetition=number,
            log=log_path(out, EXPERT.name, (job.route, Trial(job.seed, number))),
        )
        for job in jobs
        for number in range(times)
    ]  # fmt: skip


def _drive_all(pool: DrivePool, jobs: Sequence[DriveJob], out: Path) -> float:
    """Makes drives as an evaluation does and returns how much time passed in the world.

    Raises:
        ServerError: If a server was lost, since what is measured then is its start.
    """
    driven_s = 0.0
    for result in pool.drive(jobs):
        finish_log(log_path(out, result.policy, result.key), result)
        save_drive(out, result)
        if result.sim_errors:
            raise ServerError(f"A server was lost in the measurement: {result.sim_errors[-1]}")
        driven_s += result.time_s
    return driven_s


class _Stopwatch:
    """Sums up the wall time that passes in calls."""

    def __init__(self) -> None:
        self.passed_s = 0.0

    def around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """Returns the call, watched."""

        def watched(*args: Any, **options: Any) -> Any:
            began = time.perf_counter()
            try:
                return call(*args, **options)
            finally:
                self.passed_s += time.perf_counter() - began

        return watched


def _overheads(config: BenchConfig, settings: DriverSettings, out: Path) -> list[float]:
    """Returns by how many percent drives take longer than what they are made of.

    That is the environment's reset and steps and the policy's turns, as they pass within the same
    drive: two drives differ by more than what is looked for. It is no less than what an evaluation
    loses, since the server works while the evaluator does.

    Raises:
        ServerError: If the server was lost.
    """
    found = []
    turn = Turn()
    with RouteDriver(settings, turn=turn) as driver:
        env, watch = driver.environment(config.evaluate_town), _Stopwatch()
        for name in ("reset", "step"):
            setattr(env, name, watch.around(getattr(env, name)))
        for repeat in range(config.repeats + 1):
            job = _jobs(config, out, seed=repeat)[repeat % config.num_drives]
            watch.passed_s, began = 0.0, time.perf_counter()
            _evaluated(driver, job, out)
            passed_s = time.perf_counter() - began
            found.append(100.0 * (passed_s / (watch.passed_s + turn.thought_s) - 1.0))
    return found[1:]


def _evaluated(driver: RouteDriver, job: DriveJob, out: Path) -> None:
    """Drives as an evaluation does, its files included."""
    result = driver.drive(job)
    finish_log(log_path(out, result.policy, result.key), result)
    save_drive(out, result)
    if result.sim_errors:
        raise ServerError(f"A server was lost in the measurement: {result.sim_errors[-1]}")
