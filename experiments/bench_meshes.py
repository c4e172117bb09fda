"""How long a client waits for a town's navigation mesh, and what another sees of it."""

import socket
import tempfile
import threading
import time
from typing import Self

import msgpack

from dreamdrive.experiments.bench import BenchConfig
from dreamdrive.experiments.bench_rows import Row, row_of


class Caller:
    """Calls a server as CARLA's client does, and waits for each answer."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._unpacker = msgpack.Unpacker()

    def __enter__(self) -> Self:
        """Returns itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Hangs up."""
        self._socket.close()

    def took_s(self, method: str) -> float:
        """Returns how long the answer to a call took to come."""
        began = time.perf_counter()
        self._socket.sendall(msgpack.packb([0, 0, method, [[False]]]))
        while True:
            self._unpacker.feed(self._socket.recv(1 << 16))
            for _ in self._unpacker:
                return time.perf_counter() - began


def mesh_rows(config: BenchConfig, cores: int) -> list[Row]:
    """Returns how long the mesh takes on a machine that never had it, and on one that has.

    Each time the server has just begun to make it, and another client ticks all the while.
    """
    from dreamdrive.envs.carla.server_kinds import SupervisorConfig
    from dreamdrive.envs.carla.supervisor import ServerSupervisor

    new, kept, ticks = [], [], []
    for _ in range(config.repeats):
        with tempfile.TemporaryDirectory() as folder:
            command = ("env", f"XDG_CACHE_HOME={folder}", *SupervisorConfig().command)
            supervisor = SupervisorConfig(command=command)
            with ServerSupervisor(config.town, supervisor) as server:
                wait_s, tick_s = _waited(server.ensure_ready())
            new.append(wait_s)
            ticks.append(1000.0 * tick_s)
            with ServerSupervisor(config.town, supervisor) as server:
                kept.append(_waited(server.ensure_ready())[0])
    return [
        row_of("navigation mesh, new", "s", cores, new),
        row_of("the same, kept on the machine", "s", cores, kept),
        row_of("longest tick of another client meanwhile", "ms", cores, ticks),
    ]


def _waited(port: int) -> tuple[float, float]:
    """Returns how long a mesh took to come, and the longest tick meanwhile."""
    took: list[float] = []
    is_done = threading.Event()

    def tick() -> None:
        with Caller(port) as other:
            took.append(other.took_s("tick_cue"))
            while not is_done.wait(0.002):
                took.append(other.took_s("tick_cue"))

    with Caller(port) as new:
        ticking = threading.Thread(target=tick)
        ticking.start()
        try:
            wait_s = new.took_s("get_navigation_mesh")
        finally:
            is_done.set()
            ticking.join()
    return wait_s, max(took)
