"""Processes that drive: each with a server of its own, and replaced when it dies or hangs."""

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import time
import traceback
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dreamdrive.errors import DreamdriveError
from dreamdrive.experiments.drives import DriveResult
from dreamdrive.experiments.driving import (
    DriveJob,
    DriverSettings,
    RouteDriver,
    blank_result,
)

POLL_S = 1.0
LEAVE_S = 15.0
"""How long a worker may take to put its server away."""


@dataclass
class _Worker:
    """The parent's side of one process."""

    process: Any
    connection: Any
    job: DriveJob | None = None
    server_pid: int | None = None
    last_sign: float = field(default_factory=time.monotonic)


class DrivePool:
    """Drives jobs in several processes.

    A process whose server died, that ends by itself, or that shows no sign of life for `silence_s`
    is replaced, together with its server; its drive is repeated and in the end is a `sim_error`,
    never the policy's failure. A process is not used again after a death, since threads of the
    CARLA client outlive the server that they belong to.

    Args:
        settings: Where and how drives are made.
        workers: Number of processes; 0 drives in this one.
        silence_s: Longest time without a sign of life.
    """

    def __init__(self, settings: DriverSettings, workers: int, silence_s: float = 180.0) -> None:
        self.settings, self.workers, self.silence_s = settings, workers, silence_s
        self._context = multiprocessing.get_context("spawn")
        self._crew: list[_Worker] = []
        self._lost: dict[DriveJob, list[str]] = {}

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
            for _ in range(min(self.workers, len(waiting))):
                self._crew.append(self._start())
            while waiting or any(worker.job is not None for worker in self._crew):
                for worker in self._crew:
                    if worker.job is None and waiting:
                        self._give(worker, waiting.popleft())
                yield from self._listen(waiting)
        finally:
            self._dismiss()

    def _start(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_work, args=(theirs, self.settings), daemon=True)
        process.start()
        theirs.close()
        return _Worker(process, ours)

    def _give(self, worker: _Worker, job: DriveJob) -> None:
        worker.job, worker.last_sign = job, time.monotonic()
        with contextlib.suppress(OSError):
            worker.connection.send(job)

    def _listen(self, waiting: "deque[DriveJob]") -> Iterator[DriveResult]:
        busy = [worker for worker in self._crew if worker.job is not None]
        ready = multiprocessing.connection.wait([w.connection for w in busy], POLL_S)
        for worker in busy:
            if worker.connection in ready:
                try:
                    kind, content = worker.connection.recv()
                except (EOFError, OSError):
                    yield from self._replace(worker, ["its process ended"], waiting)
                    continue
                worker.last_sign = time.monotonic()
                if kind == "server":
                    worker.server_pid = content
                elif kind == "error":
                    raise content
                elif kind == "result" and not content.is_valid:
                    yield from self._replace(worker, list(content.sim_errors), waiting)
                elif kind == "result":
                    job, worker.job = worker.job, None
                    assert job is not None
                    lost = tuple(self._lost.pop(job, ()))
                    yield replace(content, sim_errors=lost + content.sim_errors)
            elif time.monotonic() - worker.last_sign > self.silence_s:
                reason = f"no sign of life for {self.silence_s:g} s"
                yield from self._replace(worker, [reason], waiting)

    def _replace(
        self, worker: _Worker, reasons: list[str], waiting: "deque[DriveJob]"
    ) -> Iterator[DriveResult]:
        """Puts a fresh process in a lost one's place; its drive is repeated or given up."""
        job = worker.job
        assert job is not None
        _end(worker)
        self._crew[self._crew.index(worker)] = self._start()
        errors = self._lost.setdefault(job, [])
        errors += reasons
        if len(errors) > self.settings.retries:
            yield blank_result(job, self.settings, self._lost.pop(job))
        else:
            waiting.appendleft(job)

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
        with contextlib.suppress(ProcessLookupError):
            os.killpg(worker.server_pid, signal.SIGKILL)


def _work(connection: Any, settings: DriverSettings) -> None:
    """Drives what comes through the pipe until it closes; the body of a process."""
    known: list[int | None] = [None]

    def alive() -> None:
        known[0] = driver.server_pid
        connection.send(("server", known[0]))

    driver = RouteDriver(replace(settings, retries=0), alive)
    with contextlib.suppress(EOFError, OSError, KeyboardInterrupt), driver:
        while (job := connection.recv()) is not None:
            try:
                result = driver.drive(job)
            except DreamdriveError as error:
                connection.send(("error", error))
            except (BrokenPipeError, EOFError):
                raise
            except Exception:
                connection.send(("error", RuntimeError(traceback.format_exc())))
            else:
                connection.send(("server", driver.server_pid))
                connection.send(("result", result))
