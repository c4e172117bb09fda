"""Servers as child processes: started, awaited, watched, restarted, and stopped by their group."""

import contextlib
import enum
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from dreamdrive.envs.carla.ports import leased_ports
from dreamdrive.errors import ServerError

LOG_LINES = 40


class ServerPhase(enum.Enum):
    """Where a supervised server stands."""

    ABSENT = "absent"
    STARTING = "starting"
    READY = "ready"
    DEAD = "dead"


@dataclass(frozen=True, kw_only=True, slots=True)
class SupervisorConfig:
    """How a server is started and given up on.

    Attributes:
        command: Program and arguments, with `{port}` and `{town}` filled in; it must print a line
            that starts with `ready` once it answers. Its standard input closes when this process
            ends, however it ends, upon which the embedded server, the default, ends as well.
        start_deadline_s: How long it may take until it is ready.
        stop_deadline_s: How long it may take to end when asked, before it is killed.
        start_attempts: How often a start is tried, each on other ports.
    """

    command: tuple[str, ...] = (
        sys.executable, "-m", "dreamdrive.envs.embedded",
        "--port", "{port}", "--town", "{town}", "--sync", "--until-stdin-closes",
    )  # fmt: skip
    start_deadline_s: float = 60.0
    stop_deadline_s: float = 3.0
    start_attempts: int = 3

    @classmethod
    def with_sensors(cls) -> Self:
        """Returns how an embedded server is started that can draw from its first tick on.

        On a new machine it compiles for longer than a tick may take.
        """
        return cls(command=(*cls().command, "--sensors"))

    def with_maps(self, paths: Sequence[Path]) -> Self:
        """Returns how a server is started that also has towns from OpenDRIVE files."""
        if not paths:
            return self
        maps = ("--maps", *(str(Path(path).resolve()) for path in paths))
        return replace(self, command=(*self.command, *maps))


class ServerSupervisor:
    """One server process on leased ports; a context manager that leaves nothing behind.

    Only the process group that was started here is ever signalled.

    Args:
        town: The town that the server opens with.
        config: How it is started and stopped.
    """

    def __init__(self, town: str, config: SupervisorConfig | None = None) -> None:
        self.town = town
        self.config = config or SupervisorConfig()
        self.num_starts = 0
        self._phase = ServerPhase.ABSENT
        self._process: subprocess.Popen[str] | None = None
        self._lease = contextlib.ExitStack()
        self._port = 0
        self._log: deque[str] = deque(maxlen=LOG_LINES)

    @property
    def port(self) -> int:
        """The RPC port; the stream port is the next one."""
        return self._port

    @property
    def pid(self) -> int | None:
        """The process id of the server, if one was started."""
        return self._process.pid if self._process else None

    @property
    def phase(self) -> ServerPhase:
        """Where the server stands now; a process that ended by itself is DEAD."""
        if self._phase is ServerPhase.READY and self._process and self._process.poll() is not None:
            self._phase = ServerPhase.DEAD
        return self._phase

    def log_tail(self) -> str:
        """Returns the last lines that the server printed."""
        return "\n".join(self._log)

    def ensure_ready(self) -> int:
        """Returns the port of a server that is ready; starts or restarts one where needed.

        Raises:
            ServerError: If no start succeeds within its deadline.
        """
        if self.phase is not ServerPhase.READY:
            self.restart()
        return self._port

    def restart(self) -> None:
        """Stops the server, if there is one, and starts a fresh one on fresh ports.

        Raises:
            ServerError: If no start succeeds within its deadline.
        """
        for attempt in range(1, self.config.start_attempts + 1):
            self.stop()
            try:
                self._start()
                return
            except ServerError:
                self.stop()
                if attempt == self.config.start_attempts:
                    raise

    def mark_dead(self) -> None:
        """Notes that the server no longer answers, so that the next use gets a fresh one."""
        self._phase = ServerPhase.DEAD

    def stop(self) -> None:
        """Ends the server's process group: asked first, killed after the deadline."""
        process, self._process = self._process, None
        if process is not None:
            _signal_group(process, signal.SIGTERM)
            try:
                process.wait(self.config.stop_deadline_s)
            except subprocess.TimeoutExpired:
                _signal_group(process, signal.SIGKILL)
                process.wait()
            _signal_group(process, signal.SIGKILL)
            for pipe in (process.stdin, process.stdout):
                if pipe:
                    pipe.close()
        self._lease.close()
        self._phase = ServerPhase.ABSENT

    def _start(self) -> None:
        self._phase = ServerPhase.STARTING
        self._port = self._lease.enter_context(leased_ports(2))
        self._log.clear()
        command = [part.format(port=self._port, town=self.town) for part in self.config.command]
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
                env=_environment(),
            )
        except OSError as error:
            raise ServerError(
                f"The server could not be started: {error.strerror}", where=command[0],
                do="Check the command of the server.",
            ) from error  # fmt: skip
        self._process = process
        self.num_starts += 1
        lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=_read_lines, args=(process, lines, self._log), daemon=True).start()
        self._await_ready(lines, command)
        self._phase = ServerPhase.READY

    def _await_ready(self, lines: "queue.Queue[str | None]", command: Sequence[str]) -> None:
        deadline = time.monotonic() + self.config.start_deadline_s
        while True:
            try:
                line = lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty as error:
                raise ServerError(
                    f"The server was not ready within {self.config.start_deadline_s:g} s; "
                    f"its last words: {self.log_tail() or 'none'}",
                    where=" ".join(command),
                    do="Give it more time, or start it by hand to see what it does.",
                ) from error
            if line is None:
                assert self._process is not None
                code = self._process.wait()
                raise ServerError(
                    f"The server ended with exit code {code} before it was ready; "
                    f"its last words: {self.log_tail() or 'none'}",
                    where=" ".join(command),
                    do="Start it by hand to see what it does.",
                )
            if line.startswith("ready"):
                return

    def __enter__(self) -> Self:
        """Starts the server."""
        self.ensure_ready()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stops the server."""
        self.stop()


def _environment() -> dict[str, str]:
    """Returns the environment of a server: it shares the machine with what learns from it."""
    return {**os.environ, "PYTHONUNBUFFERED": "1"}


def _signal_group(process: subprocess.Popen[str], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _read_lines(
    process: "subprocess.Popen[str]", lines: "queue.Queue[str | None]", log: "deque[str]"
) -> None:
    """Passes the server's words on, and keeps reading so that its pipe never fills."""
    assert process.stdout is not None
    with contextlib.suppress(ValueError, OSError):
        for line in process.stdout:
            log.append(line.rstrip())
            lines.put(line)
    lines.put(None)
