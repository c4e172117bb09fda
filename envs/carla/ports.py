"""Ports leased to one process at a time, so that two servers never meet on one."""

import contextlib
import fcntl
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

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
    folder = Path(tempfile.gettempdir()) / f"dreamdrive-ports-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    blocks = range(FIRST_PORT, LAST_PORT, PORT_STEP)
    start = os.getpid() % len(blocks)
    for port in [*blocks[start:], *blocks[:start]]:
        lock = (folder / str(port)).open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            continue
        with lock:
            if all(is_port_free(port + i) for i in range(count)):
                yield port
                return
    raise ServerError("No free port was found", where=f"{FIRST_PORT} to {LAST_PORT}")


def any_free_port() -> int:
    """Returns a port that was free on all interfaces a moment ago."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("0.0.0.0", 0))
        return int(probe.getsockname()[1])
