"""Ports leased to one process at a time, so that two servers never meet on one."""

import contextlib
import fcntl
import os
import socket
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

from dreamdrive.errors import ServerError

FIRST_PORT, LAST_PORT, PORT_STEP = 20_000, 32_000, 4


def is_port_free(port: int, host: str = "127.0.0.1") -> bool:
    """Returns whether nothing listens on a TCP port of this machine."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


@contextlib.contextmanager
def leased_ports(count: int = 2) -> Iterator[int]:
    """Yields the first of `count` consecutive free ports, kept from other leases until the exit.

    Raises:
        ServerError: If every port of the range is taken.
    """
    assert count <= PORT_STEP
    blocks = range(FIRST_PORT, LAST_PORT, PORT_STEP)
    start = os.getpid() % len(blocks)
    for port in [*blocks[start:], *blocks[:start]]:
        lock = _lock_of(str(port))
        if lock is None:
            continue
        with lock:
            if all(is_port_free(port + i) for i in range(count)):
                yield port
                return
    raise ServerError("No free port was found", where=f"{FIRST_PORT} to {LAST_PORT}")


class RunningServers:
    """Servers that run already, each lent to one environment of this machine at a time.

    Args:
        host: Their machine.
        ports: Their RPC ports.

    Attributes:
        port: That of the one that is held; None while none is.
    """

    def __init__(self, host: str, ports: Sequence[int]) -> None:
        self._host, self._ports = host, tuple(ports)
        self._lock: TextIO | None = None
        self.port: int | None = None

    def take(self) -> int:
        """Returns the port of the server that is held from now on.

        Raises:
            ServerError: If others hold all of them.
        """
        if self.port is not None:
            return self.port
        for port in self._ports:
            lock = _lock_of(f"{self._host.replace('/', '-')}-{port}")
            if lock is not None:
                self._lock, self.port = lock, port
                return port
        raise ServerError(
            f"All {len(self._ports)} servers are taken", where=f"{self._host}:{self._ports}",
            do="Start more servers, or fewer environments.",
        )  # fmt: skip

    def give_back(self) -> None:
        """Lets another environment have it."""
        lock, self._lock, self.port = self._lock, None, None
        if lock is not None:
            lock.close()


def _lock_of(name: str) -> TextIO | None:
    """Returns a file that is this process's until it is closed; None where another has it."""
    folder = Path(tempfile.gettempdir()) / f"dreamdrive-ports-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    lock = (folder / name).open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        return None
    return lock


def any_free_port() -> int:
    """Returns a port that was free on all interfaces a moment ago."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("0.0.0.0", 0))
        return int(probe.getsockname()[1])
