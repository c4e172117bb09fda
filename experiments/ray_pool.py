"""Drives on the machines of a Ray cluster, with the code that drives on this one.

What Ray is used for is little: it places actors on machines and says when one is lost. Results and
logs come back through it, and only the evaluation itself writes into its folder.
"""

import logging
import math
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dreamdrive.errors import ConfigError, DreamdriveError, MissingExtraError, WorkerError
from dreamdrive.experiments.drive_jobs import DriveJob, DriverSettings, blank_result
from dreamdrive.experiments.drives import DriveResult
from dreamdrive.experiments.live_table import UnderWay
from dreamdrive.experiments.log_writer import unfinished
from dreamdrive.experiments.policies import NamedPolicy
from dreamdrive.experiments.ray_driver import Delivery, RayDriver, ingredients
from dreamdrive.files import write_atomically

LOCAL = "local"
"""The address of a cluster that is started on this machine and ends with the evaluation."""

POLL_S = 1.0
PATIENCE_S = 30.0
"""After so long without a worker, a word is said about what the cluster has."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RayConfig:
    """Where the cluster is and what a worker takes of it.

    Attributes:
        address: `auto` for the cluster that this machine belongs to, `local` for one that is
            started here, or HOST:PORT.
        cpus: What one worker, that is a process and its server, counts for.
        gpus: The same of GPUs.
    """

    address: str
    cpus: float = 1.0
    gpus: float = 0.0

    def __post_init__(self) -> None:
        """Raises a ConfigError where a value is impossible."""
        if not self.cpus > 0.0 or self.gpus < 0.0:
            raise ConfigError("A Ray worker takes more than 0 CPUs, and no fewer than 0 GPUs")


@dataclass
class _Worker:
    """An actor, what it is doing, and for which drive; without one it is still to greet."""

    actor: Any
    pending: Any
    has_greeted: bool = False
    job: DriveJob | None = None
    began: float = 0.0


@dataclass
class RayPool:
    """Drives jobs in Ray actors.

    An actor that is lost, with its process or with its whole machine, costs the attempt that it was
    at: a fresh one takes its place, and in the end the drive is a `sim_error`. What a lost one may
    still come to is never looked at, so that nothing counts twice.

    Attributes:
        settings: Where and how drives are made.
        workers: How many actors there are at most.
        config: Where the cluster is.
        policies: All that will drive.
        say: Takes a line for the user.
    """

    settings: DriverSettings
    workers: int
    config: RayConfig
    policies: Sequence[NamedPolicy]
    say: Callable[[str], None] = print
    _lost: dict[DriveJob, list[str]] = field(default_factory=dict)
    _false_starts: list[str] = field(default_factory=list)
    _crew: list[_Worker] = field(default_factory=list)

    def drive(self, jobs: Sequence[DriveJob]) -> Iterator[DriveResult]:
        """Yields results as they come; log and film of each then stand where its job wants them.

        Raises:
            MissingExtraError: If Ray is not installed.
            ConfigError: If there is no such cluster, or a machine has other files or versions.
            WorkerError: If actors end before they can drive.
            DreamdriveError: What a drive raised; the results before it were yielded.
        """
        waiting = deque(jobs)
        if not waiting:
            return
        with _cluster(self.config, min(self.workers, len(waiting))) as ray:
            here = ingredients(self.settings, self.policies)
            # The actors' class is made here: Ray is not there when this module is imported.
            kind = ray.remote(
                num_cpus=self.config.cpus, num_gpus=self.config.gpus, max_restarts=0,
                scheduling_strategy="SPREAD",
            )(RayDriver)  # fmt: skip

            def start() -> _Worker:
                actor = kind.remote(self.settings, os.getcwd(), tuple(sys.path))
                return _Worker(actor, actor.greet.remote(self.policies))

            self._crew = [start() for _ in range(min(self.workers, len(waiting)))]
            quiet_since = time.monotonic()
            try:
                while waiting or any(worker.job for worker in self._crew):
                    for worker in self._crew:
                        if worker.has_greeted and worker.job is None and waiting:
                            worker.job, worker.began = waiting.popleft(), time.monotonic()
                            worker.pending = worker.actor.drive.remote(worker.job)
                    busy = [w for w in self._crew if w.job or not w.has_greeted]
                    ready, _ = ray.wait([w.pending for w in busy], num_returns=1, timeout=POLL_S)
                    for worker in [w for w in busy if w.pending in ready]:
                        yield from self._hear(ray, worker, here, waiting, start)
                    quiet_since = self._explain(ray, quiet_since)
            finally:
                crew, self._crew = self._crew, []
                for worker in crew:
                    ray.kill(worker.actor)

    def under_way(self) -> list[UnderWay]:
        """Returns what is being driven at the moment."""
        return [
            UnderWay(worker.job.policy.name, "-".join(map(str, worker.job.key)), worker.began)
            for worker in self._crew
            if worker.job is not None
        ]

    def _hear(
        self, ray: Any, worker: _Worker, here: dict[str, str], waiting: "deque[DriveJob]",
        start: Callable[[], _Worker],
    ) -> Iterator[DriveResult]:  # fmt: skip
        """Takes what a worker says, or that it is gone."""
        try:
            said = ray.get(worker.pending)
        except ray.exceptions.RayError as error:
            reason = f"its Ray worker was lost: {str(error).strip()}"
            ray.kill(worker.actor)
            self._crew[self._crew.index(worker)] = start()
            yield from self._repeated(worker.job, reason, waiting)
            return
        if worker.job is None:
            _check_same(here, said)
            worker.has_greeted, worker.pending = True, None
            self._false_starts.clear()
            return
        job, worker.job, worker.pending = worker.job, None, None
        if isinstance(said, DreamdriveError):
            raise said
        _unpack(job, said)
        lost = (*self._lost.pop(job, []), *said.result.sim_errors)
        yield replace(said.result, sim_errors=lost)

    def _repeated(
        self, job: DriveJob | None, reason: str, waiting: "deque[DriveJob]"
    ) -> Iterator[DriveResult]:
        """Puts a lost drive back, or gives it up.

        Raises:
            WorkerError: If no worker comes so far that it could drive.
        """
        if job is None:
            self._false_starts.append(reason)
            if len(self._false_starts) > self.settings.retries + self.workers:
                raise WorkerError(
                    "Ray's workers end before they can drive", where=self.config.address,
                    do=f"dreamdrive must be installed on every machine. The last said: {reason}",
                )  # fmt: skip
            return
        errors = self._lost.setdefault(job, [])
        errors.append(reason)
        if len(errors) > self.settings.retries:
            yield blank_result(job, self.settings, self._lost.pop(job))
        else:
            waiting.appendleft(job)

    def _explain(self, ray: Any, quiet_since: float) -> float:
        """Says what the cluster has where no worker comes; returns since when nothing was said."""
        if any(worker.has_greeted for worker in self._crew):
            return time.monotonic()
        if time.monotonic() - quiet_since < PATIENCE_S:
            return quiet_since
        has, free = ray.cluster_resources(), ray.available_resources()
        told = ", ".join(
            f"{each:g} {name} of {has.get(name, 0.0):g} in the cluster, "
            f"{free.get(name, 0.0):g} free"
            for name, each in (("CPU", self.config.cpus), ("GPU", self.config.gpus))
            if each
        )
        self.say(f"No worker of Ray's drives yet. Each takes {told}. What was taken is starting.")
        return time.monotonic()


@contextmanager
def _cluster(config: RayConfig, workers: int) -> Iterator[Any]:
    """Connects to a cluster, or starts one; one that was connected to before is left so.

    Raises:
        MissingExtraError: If Ray is not installed.
        ConfigError: If there is no such cluster.
    """
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError("ray", "ray") from error
    if ray.is_initialized():
        yield ray
        return
    how: dict[str, Any] = {"address": config.address}
    if config.address == LOCAL:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        how |= {
            "num_cpus": math.ceil(workers * config.cpus), "include_dashboard": False,
            "num_gpus": math.ceil(workers * config.gpus) or None,
        }  # fmt: skip
    # Ray would otherwise warn of a future version in which it hides no GPU from such workers.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        ray.init(**how, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ConfigError(
            f"There is no Ray cluster: {str(error).strip().splitlines()[0]}", where=config.address,
            do=f"Start one with: ray start --head; or use --ray {LOCAL}.",
        ) from error  # fmt: skip
    try:
        yield ray
    finally:
        ray.shutdown()


def _check_same(here: dict[str, str], there: dict[str, str]) -> None:
    """Raises a ConfigError where a machine would drive with something else than this one."""
    other = [name for name in here if here[name] != there.get(name)]
    if other:
        raise ConfigError(
            f"A machine of the cluster has not the same as this one: {', '.join(other)}",
            do="Install the same version everywhere, and let files that are named by path stand "
            "at the same path on every machine.",
        )


def _unpack(job: DriveJob, delivery: Delivery) -> None:
    """Puts log and film where the job wants them.

    Raises:
        StorageError: If they could not be written.
    """
    if job.log is not None and delivery.log is not None:
        write_atomically(unfinished(Path(job.log)), delivery.log)
    if job.video is not None and delivery.film is not None:
        write_atomically(Path(job.video), delivery.film)
