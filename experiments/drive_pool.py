"""Processes that drive: each with a server of its own, and replaced when it dies or hangs."""

import contextlib
import ctypes
import multiprocessing
import multiprocessing.connection
import os
import signal
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dreamdrive.envs.carla.process_group import memory_mib, signal_group
from dreamdrive.errors import DreamdriveError
from dreamdrive.experiments.drive_jobs import DriveJob, DriverSettings, blank_result
from dreamdrive.experiments.drives import DriveResult
from dreamdrive.experiments.driving import RouteDriver
from dreamdrive.experiments.live_table import UnderWay
from dreamdrive.experiments.log_writer import result_of_unfinished
from dreamdrive.experiments.policy_turn import (
    NOT_FRESH,
    POLICY_LOST,
    POLICY_TIMEOUT,
    Turn,
    is_of_resources,
)
from dreamdrive.experiments.workers import end_with

POLL_S = 1.0
LEAVE_S = 15.0
"""How long a worker may take to put its server away."""


@dataclass
class _Worker:
    """The parent's side of one process."""

    process: Any
    connection: Any
    turn: Any
    place: int
    """Its number among the pool's."""
    job: DriveJob | None = None
    has_driven: bool = False
    began: float = 0.0
    server_pid: int | None = None
    last_sign: float = field(default_factory=time.monotonic)

    @property
    def is_policys_turn(self) -> bool:
        """Whether the policy has the turn, be it that it is being made."""
        return bool(self.turn[0])

    def thinks_for_s(self) -> float:
        """Returns for how long the policy has been looking for an action."""
        since = float(self.turn[0])
        return time.monotonic() - since if since > 0.0 else 0.0


@dataclass
class _Losses:
    """Attempts of one drive that came to nothing, by whose fault it was."""

    of_server: list[str] = field(default_factory=list)
    of_policy: list[str] = field(default_factory=list)
    of_others: list[str] = field(default_factory=list)
    """Of what drove in the same process before, perhaps: such an attempt counts for nobody."""

    @property
    def told(self) -> tuple[str, ...]:
        """What the result says of attempts that were nobody's or the server's fault."""
        return (*self.of_others, *self.of_server)


class DrivePool:
    """Drives jobs in several processes.

    A process whose server died, that ends by itself, or that shows no sign of life for `silence_s`
    is replaced, together with its server; its drive is repeated and in the end is a `sim_error`,
    never the policy's failure. A process is not used again after a death, since threads of the
    CARLA client outlive the server that they belong to.

    A policy that takes too long for an action has failed there and then. One in whose turn the
    process ends, or that lets it grow too large, has a fresh process for each retry, since it may
    have been hit by somebody else's fault; where it comes to that in every attempt, the drive
    counts as far as it came.

    What a policy leaves behind, such as memory, threads and open files, must not cost the next one:
    in a process that has driven before, none of this counts, and the drive is made again in a fresh
    one.

    Where there is a process for each core, each keeps to one of them, with its server: the two hand
    over several times a tick, which takes longer across cores.

    Args:
        settings: Where and how drives are made.
        workers: Number of processes; 0 drives in this one, in which a policy cannot be stopped.
        silence_s: Longest time without a sign of life.
        keep: Whether the processes stay for more jobs; they end with this one in any case.
    """

    def __init__(
        self,
        settings: DriverSettings,
        workers: int,
        silence_s: float = 180.0,
        *,
        keep: bool = False,
    ) -> None:
        self.settings, self.workers, self.silence_s = settings, workers, silence_s
        self._keep = keep
        self._cores = cores_of(workers, settings)
        self._context = multiprocessing.get_context("spawn")
        self._crew: list[_Worker] = []
        self._lost: dict[DriveJob, _Losses] = {}

    def drive(self, jobs: Sequence[DriveJob]) -> Iterator[DriveResult]:
        """Yields results as they come.

        Raises:
            DreamdriveError: What a drive raised; the results before it were yielded.
        """
        if self.workers == 0:
            with RouteDriver(self.settings) as driver:
                yield from map(driver.drive, jobs)
            return
        waiting = deque(jobs)
        try:
            while len(self._crew) < min(self.workers, len(waiting)):
                self._crew.append(self._start(len(self._crew)))
            while waiting or any(worker.job is not None for worker in self._crew):
                for worker in self._crew:
                    if worker.job is None and waiting:
                        self._give(worker, waiting.popleft())
                yield from self._listen()
        except BaseException:
            self._dismiss()
            raise
        if not self._keep:
            self._dismiss()

    def under_way(self) -> list[UnderWay]:
        """Returns what is being driven at the moment."""
        return [
            UnderWay(worker.job.policy.name, "-".join(map(str, worker.job.key)), worker.began)
            for worker in self._crew
            if worker.job is not None
        ]

    def close(self) -> None:
        """Ends the processes that were kept, with their servers."""
        self._dismiss()

    def _start(self, place: int) -> _Worker:
        ours, theirs = self._context.Pipe()
        turn = self._context.RawArray(ctypes.c_double, 1)
        process = self._context.Process(
            target=_work, daemon=True,
            args=(theirs, self.settings, turn, os.getpid(), self._cores and self._cores[place]),
        )  # fmt: skip
        process.start()
        theirs.close()
        return _Worker(process, ours, turn, place)

    def _give(self, worker: _Worker, job: DriveJob) -> None:
        worker.job, worker.last_sign = job, time.monotonic()
        worker.began = worker.last_sign
        with contextlib.suppress(OSError):
            worker.connection.send(job)

    def _listen(self) -> Iterator[DriveResult]:
        busy = [worker for worker in self._crew if worker.job is not None]
        ready = multiprocessing.connection.wait([w.connection for w in busy], POLL_S)
        for worker in busy:
            if worker.connection in ready:
                yield from self._hear(worker)
            else:
                yield from self._look_after(worker)

    def _hear(self, worker: _Worker) -> Iterator[DriveResult]:
        """Takes what a worker says."""
        try:
            kind, content = worker.connection.recv()
        except (EOFError, OSError):
            worker.process.join(POLL_S)
            reason = f"its process ended with exit code {worker.process.exitcode}"
            yield from self._replace(worker, [reason], worker.is_policys_turn)
            return
        worker.last_sign = time.monotonic()
        if kind == "server":
            worker.server_pid = content
        elif kind == "error":
            if not worker.has_driven:
                raise content
            yield from self._replace(worker, [str(content)], True)
        elif not content.is_valid:
            yield from self._replace(worker, list(content.sim_errors), False)
        elif worker.has_driven and is_of_resources(content.policy_fault):
            yield from self._replace(worker, [content.policy_fault], True)
        else:
            job, worker.job, worker.has_driven = worker.job, None, True
            assert job is not None
            lost = self._lost.pop(job, _Losses()).told
            yield replace(content, sim_errors=lost + content.sim_errors)

    def _look_after(self, worker: _Worker) -> Iterator[DriveResult]:
        """Ends a worker that says nothing and does what it must not."""
        settings, held = self.settings, memory_mib(worker.process.pid)
        is_policys = worker.is_policys_turn
        silent_s = 0.0 if worker.thinks_for_s() else time.monotonic() - worker.last_sign
        if 0.0 < settings.worker_memory_mib < held:
            reason = f"its process held {held:,.0f} MiB, above {settings.worker_memory_mib:,.0f}"
            yield from self._replace(worker, [reason], True)
        elif worker.thinks_for_s() > settings.policy_deadline_s:
            reason = f"no action within {settings.policy_deadline_s:g} s"
            job = worker.job
            assert job is not None
            if worker.has_driven:
                yield from self._replace(worker, [reason], True)
                return
            self._put_in_place_of(worker)
            yield self._charged(job, POLICY_TIMEOUT, reason)
        elif silent_s > self.silence_s:
            reason = f"no sign of life for {self.silence_s:g} s"
            yield from self._replace(worker, [reason], is_policys)

    def _replace(
        self, worker: _Worker, reasons: list[str], by_policy: bool
    ) -> Iterator[DriveResult]:
        """Puts a fresh process in a lost one's place; it repeats the drive, or that is given up."""
        job = worker.job
        assert job is not None
        fresh = self._put_in_place_of(worker)
        losses = self._lost.setdefault(job, _Losses())
        if by_policy and worker.has_driven:
            losses.of_others += [f"{NOT_FRESH}: {why}" for why in reasons]
        else:
            (losses.of_policy if by_policy else losses.of_server).extend(reasons)
        if len(losses.of_policy) > self.settings.retries:
            yield self._charged(job, POLICY_LOST, losses.of_policy[-1])
        elif len(losses.of_server) > self.settings.retries:
            yield blank_result(job, self.settings, [*self._lost.pop(job).told])
        else:
            self._give(fresh, job)

    def _charged(self, job: DriveJob, cause: str, reason: str) -> DriveResult:
        """Returns the result of a drive that the policy ended, as far as its log goes."""
        lost = self._lost.pop(job, _Losses()).told
        blank = replace(blank_result(job, self.settings, [*lost]), cause=cause, policy_fault=reason)
        return blank if job.log is None else result_of_unfinished(Path(job.log), blank)

    def _put_in_place_of(self, worker: _Worker) -> _Worker:
        _end(worker)
        fresh = self._start(worker.place)
        self._crew[self._crew.index(worker)] = fresh
        return fresh

    def _dismiss(self) -> None:
        crew, self._crew = self._crew, []
        for worker in crew:
            with contextlib.suppress(OSError):
                worker.connection.send(None)
            worker.connection.close()
        deadline = time.monotonic() + LEAVE_S
        for worker in crew:
            worker.process.join(max(0.0, deadline - time.monotonic()))
            if worker.process.is_alive():
                _end(worker)


def _end(worker: _Worker) -> None:
    """Kills a process, and the server that it started and can no longer put away."""
    worker.connection.close()
    worker.process.kill()
    worker.process.join()
    if worker.server_pid is not None:
        signal_group(worker.server_pid, signal.SIGKILL)


def cores_of(workers: int, settings: DriverSettings) -> list[int] | None:
    """Returns the core of each process, where there are as many as this one may use; else None.

    A server that runs already, or that is Unreal's, is not kept to a core.
    """
    if settings.port is not None or settings.server != "embedded":
        return None
    usable = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    return usable if workers == len(usable) > 1 else None


def _work(
    connection: Any, settings: DriverSettings, since: Any, parent: int, core: int | None
) -> None:
    """Drives what comes through the pipe until it closes; the body of a process."""
    end_with(parent)
    if core is not None:
        os.sched_setaffinity(0, {core})
    known: list[int | None] = [None]

    def alive() -> None:
        known[0] = driver.server_pid
        connection.send(("server", known[0]))

    driver = RouteDriver(replace(settings, retries=0), alive, Turn(since))
    with contextlib.suppress(EOFError, OSError, KeyboardInterrupt), driver:
        while (job := connection.recv()) is not None:
            try:
                result = driver.drive(job)
            except DreamdriveError as error:
                connection.send(("error", error))
            else:
                connection.send(("server", driver.server_pid))
                connection.send(("result", result))
