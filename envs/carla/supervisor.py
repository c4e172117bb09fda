"""Servers as child processes: started, awaited, watched, restarted, and stopped by their group."""

import contextlib
import enum
import os
import queue
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from dreamdrive.envs.carla.greeting import CLIENT_VERSION, server_version, wrong_version
from dreamdrive.envs.carla.ports import leased_ports
from dreamdrive.envs.carla.process_group import group_memory_mib, signal_group
from dreamdrive.envs.carla.server_kinds import SupervisorConfig
from dreamdrive.errors import ServerError, ServerVersionError

LOG_LINES = 40
ASK_EVERY_S = 0.2
WATCH_EVERY_S = 1.0
DYING_S = 0.5
"""How long a process may still be seen after its sockets were closed."""


class ServerPhase(enum.Enum):
    """Where a supervised server stands."""

    ABSENT = "absent"
    STARTING = "starting"
    READY = "ready"
    DEAD = "dead"


class ServerSupervisor:
    """One server process on leased ports; a context manager that leaves nothing behind.

    A thread watches what memory it holds and ends it above the limit. Only the process group that
    was started here is ever signalled.

    Args:
        town: The town that the server opens with, where it can be told.
        config: How it is started and stopped.
        pause: Waits for some seconds between failed starts.
    """

    def __init__(
        self,
        town: str,
        config: SupervisorConfig | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.town = town
        self.config = config or SupervisorConfig()
        self.num_starts = 0
        self.peak_mib = 0.0
        self._pause = pause
        self._phase = ServerPhase.ABSENT
        self._process: subprocess.Popen[str] | None = None
        self._lease = contextlib.ExitStack()
        self._port = 0
        self._log: deque[str] = deque(maxlen=LOG_LINES)
        self._num_failures = 0
        self._ready_since = 0.0
        self._reason = ""
        self._watched = threading.Event()
        self._watcher: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The RPC port; the stream port is the next one."""
        return self._port

    @property
    def pid(self) -> int | None:
        """The process id of the server, which is also its group's, if one was started."""
        return self._process.pid if self._process else None

    @property
    def phase(self) -> ServerPhase:
        """Where the server stands now; a process that ended by itself is DEAD."""
        if self._phase is ServerPhase.READY and self._process and self._process.poll() is not None:
            self.mark_dead()
        return self._phase

    def log_tail(self) -> str:
        """Returns the last lines that the server printed."""
        return "\n".join(self._log)

    def verdict(self) -> str:
        """Returns what is known of why the server no longer answers, as a sentence."""
        process = self._process
        if process is None:
            return "The server is not running."
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(DYING_S)
        if self._reason:
            return self._reason
        if process.returncode is None:
            return "The server's process is alive."
        words = f"; its last words: {self.log_tail()}" if self._log else ""
        return f"The server's process ended with exit code {process.returncode}{words}."

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
            ServerVersionError: If it is of a version that the client does not speak.
        """
        for attempt in range(1, self.config.start_attempts + 1):
            self.stop()
            self._back_off()
            try:
                self._start()
                return
            except ServerError as error:
                self.stop()
                self._num_failures += 1
                if attempt == self.config.start_attempts or isinstance(error, ServerVersionError):
                    raise

    def _back_off(self) -> None:
        """Waits before a start that follows several failures, each time twice as long."""
        if self._num_failures > 1:
            wanted = self.config.backoff_s * 2.0 ** (self._num_failures - 2)
            self._pause(min(self.config.backoff_cap_s, wanted))

    def mark_dead(self) -> None:
        """Notes that the server no longer answers, so that the next use gets a fresh one."""
        if self._phase is ServerPhase.READY:
            steady = time.monotonic() - self._ready_since >= self.config.steady_s
            self._num_failures = 1 if steady else self._num_failures + 1
        self._phase = ServerPhase.DEAD

    def stop(self) -> None:
        """Ends the server's process group: asked first, killed after the deadline."""
        self._watched.set()
        if self._watcher is not None:
            self._watcher.join()
            self._watcher = None
        process, self._process = self._process, None
        if process is not None:
            signal_group(process.pid, signal.SIGTERM)
            try:
                process.wait(self.config.stop_deadline_s)
            except subprocess.TimeoutExpired:
                signal_group(process.pid, signal.SIGKILL)
                process.wait()
            signal_group(process.pid, signal.SIGKILL)
            for pipe in (process.stdin, process.stdout):
                if pipe:
                    pipe.close()
        self._lease.close()
        self._phase = ServerPhase.ABSENT

    def _start(self) -> None:
        self._phase, self._reason = ServerPhase.STARTING, ""
        first = self._port = self._lease.enter_context(leased_ports(self.config.num_ports))
        self._log.clear()
        filled = {
            "port": first, "next_port": first + 1, "last_port": first + 2, "town": self.town
        }  # fmt: skip
        command = [part.format(**filled) for part in self.config.command]
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
        self._watch(process)
        lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=_read_lines, args=(process, lines, self._log), daemon=True).start()
        if self.config.says_ready:
            self._await_word(lines, command)
        else:
            self._await_answer(process, command)
        self._phase, self._ready_since = ServerPhase.READY, time.monotonic()

    def _watch(self, process: "subprocess.Popen[str]") -> None:
        """Ends a server that holds too much memory, from a thread of its own."""
        limit = self.config.memory_limit_mib
        watched = self._watched = threading.Event()

        def watch() -> None:
            while process.poll() is None:
                held = group_memory_mib(process.pid)
                self.peak_mib = max(self.peak_mib, held)
                if 0.0 < limit < held:
                    self._reason = (
                        f"The server was ended: it held {held:,.0f} MiB, and may hold {limit:,.0f}."
                    )
                    signal_group(process.pid, signal.SIGKILL)
                    return
                if watched.wait(WATCH_EVERY_S):
                    return

        self._watcher = threading.Thread(target=watch, daemon=True, name="server-watch")
        self._watcher.start()

    def _await_word(self, lines: "queue.Queue[str | None]", command: Sequence[str]) -> None:
        deadline = time.monotonic() + self.config.start_deadline_s
        while True:
            try:
                line = lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise self._too_late(command) from None
            if line is None:
                assert self._process is not None
                raise self._ended(self._process.wait(), command)
            if line.startswith("ready"):
                return

    def _await_answer(self, process: "subprocess.Popen[str]", command: Sequence[str]) -> None:
        deadline = time.monotonic() + self.config.start_deadline_s
        while (left := deadline - time.monotonic()) > 0.0:
            with contextlib.suppress(OSError):
                version = server_version("127.0.0.1", self._port, left)
                if version == CLIENT_VERSION:
                    return
                raise wrong_version(version, " ".join(command))
            with contextlib.suppress(subprocess.TimeoutExpired):
                raise self._ended(process.wait(min(left, ASK_EVERY_S)), command)
        raise self._too_late(command)

    def _too_late(self, command: Sequence[str]) -> ServerError:
        return ServerError(
            f"The server was not ready within {self.config.start_deadline_s:g} s; "
            f"its last words: {self.log_tail() or 'none'}",
            where=" ".join(command),
            do="Give it more time, or start it by hand to see what it does.",
        )  # fmt: skip

    def _ended(self, code: int, command: Sequence[str]) -> ServerError:
        return ServerError(
            f"The server ended with exit code {code} before it was ready; "
            + (self._reason or f"its last words: {self.log_tail() or 'none'}"),
            where=" ".join(command), do="Start it by hand to see what it does.",
        )  # fmt: skip

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
