"""The sockets: msgpack-rpc on one port, streams on the next; one thread, no locks.

Bytes that are not the protocol cost their sender the connection and nobody else anything.
"""

import selectors
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

import msgpack

from dreamdrive.envs.embedded import wire
from dreamdrive.envs.embedded.actor_calls import ActorCalls
from dreamdrive.envs.embedded.simulator import CallError, Simulator
from dreamdrive.envs.embedded.world_calls import WorldCalls
from dreamdrive.errors import ServerError

MAX_MESSAGE = 64 << 20
MAX_BACKLOG = 64 << 20
"""A subscriber that is this many bytes behind is dropped."""

VOID_CALLS = frozenset(
    name
    for name in (*vars(ActorCalls), *vars(WorldCalls))
    if name.startswith(("set_", "apply_control", "apply_ack", "apply_phys", "add_actor", "enable_",
                        "disable_", "freeze_", "reset_", "load_", "copy_", "start_", "stop_",
                        "open_", "close_", "show_vehicle"))
) - {"set_episode_settings"}  # fmt: skip
"""Calls whose answer is a `Response<void>`."""


class Connection:
    """A socket with what waits to be read and sent."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.outgoing = bytearray()

    def send(self, data: bytes) -> None:
        """Sends what the socket takes now and keeps the rest."""
        if self.outgoing:
            self.outgoing += data
            return
        try:
            sent = self.sock.send(data)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            self.outgoing += data[sent:]

    def flush(self) -> None:
        """Sends more of what waits."""
        try:
            sent = self.sock.send(self.outgoing)
        except BlockingIOError:
            return
        del self.outgoing[:sent]


class RpcConnection(Connection):
    """A client's calls."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self.unpacker = msgpack.Unpacker(
            raw=False, max_buffer_size=MAX_MESSAGE, strict_map_key=False
        )


class StreamConnection(Connection):
    """A subscriber: its first four bytes say to which stream."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self.incoming = b""
        self.stream: int | None = None


class Server:
    """A CARLA server on two ports.

    Args:
        simulator: What answers.
        host: Address to listen on.
        port: Port of the calls; streams are on the next. 0 takes any two that are free.
    """

    def __init__(self, simulator: Simulator, host: str = "127.0.0.1", port: int = 0) -> None:
        self.sim = simulator
        self.calls: dict[str, Callable[..., Any]] = {}
        for group in (WorldCalls(simulator), ActorCalls(simulator)):
            for name in dir(group):
                if not name.startswith("_") and callable(getattr(group, name)):
                    self.calls[name] = getattr(group, name)
        self.selector = selectors.DefaultSelector()
        self.rpc, self.streaming = _listen(host, port)
        self.port = self.rpc.getsockname()[1]
        simulator.stream_port = self.streaming.getsockname()[1]
        simulator.on_tick = self.broadcast
        self.subscribers: dict[int, list[StreamConnection]] = {}
        self.running = True
        for listener in (self.rpc, self.streaming):
            self.selector.register(listener, selectors.EVENT_READ)

    def serve(self) -> None:
        """Answers until `running` is false."""
        due = time.monotonic()
        while self.running:
            wait = None
            if not self.sim.synchronous:
                wait = max(0.0, due - time.monotonic())
            for key, events in self.selector.select(wait):
                if key.fileobj in (self.rpc, self.streaming):
                    self._accept(key.fileobj)
                    continue
                try:
                    if events & selectors.EVENT_READ:
                        self._read(key.data)
                    if events & selectors.EVENT_WRITE:
                        key.data.flush()
                except (OSError, ValueError, TypeError, msgpack.UnpackException, RecursionError):
                    self._drop(key.data)
                    continue
                self._watch(key.data)
            if not self.sim.synchronous and time.monotonic() >= due:
                self.sim.tick()
                due = max(due, time.monotonic() - 0.5) + (self.sim.dt_s or 0.05)
            elif self.sim.synchronous:
                due = time.monotonic()

    def close(self) -> None:
        """Closes all sockets."""
        for key in list(self.selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self.selector.close()

    # --- connections -----------------------------------------------------------------------------

    def _accept(self, listener: Any) -> None:
        sock, _ = listener.accept()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = RpcConnection(sock) if listener is self.rpc else StreamConnection(sock)
        self.selector.register(sock, selectors.EVENT_READ, connection)

    def _drop(self, connection: Connection) -> None:
        if connection.sock.fileno() < 0:
            return
        self.selector.unregister(connection.sock)
        connection.sock.close()
        if isinstance(connection, StreamConnection) and connection.stream is not None:
            self.subscribers[connection.stream].remove(connection)
        managers = self.sim.traffic_managers
        for port in [p for p, entry in managers.items() if entry[2] == id(connection)]:
            del managers[port]

    def _watch(self, connection: Connection) -> None:
        if connection.sock.fileno() < 0:
            return
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.outgoing else 0)
        if self.selector.get_key(connection.sock).events != wanted:
            self.selector.modify(connection.sock, wanted, connection)

    def _read(self, connection: Connection) -> None:
        try:
            data = connection.sock.recv(1 << 18)
        except BlockingIOError:
            return
        if not data:
            self._drop(connection)
        elif isinstance(connection, RpcConnection):
            connection.unpacker.feed(data)
            for message in connection.unpacker:
                connection.send(self._answer(message, connection))
        elif isinstance(connection, StreamConnection) and connection.stream is None:
            connection.incoming += data
            if len(connection.incoming) >= 4:
                connection.stream = struct.unpack_from("<I", connection.incoming)[0]
                self.subscribers.setdefault(connection.stream, []).append(connection)
                if connection.stream == wire.SNAPSHOT_STREAM:
                    connection.send(wire.framed(self.sim.snapshot()))

    # --- calls and streams -----------------------------------------------------------------------

    def _answer(self, message: Any, connection: RpcConnection) -> bytes:
        kind, number, method, arguments = message
        if kind != 0 or not isinstance(method, str):
            raise ValueError("not a request")
        procedure = self.calls.get(method)
        if procedure is None:
            return wire.pack([1, number, f"no such function: {method}", None])
        self.sim.caller = id(connection)
        try:
            result = procedure(*arguments[1:])
        except CallError as error:
            void = method in VOID_CALLS
            result = wire.failed_void(str(error)) if void else wire.failed(str(error))
        except (TypeError, ValueError, IndexError, KeyError) as error:
            text = f"{method}: broken arguments ({error})"
            result = wire.failed_void(text) if method in VOID_CALLS else wire.failed(text)
        return wire.pack([1, number, None, result])

    def broadcast(self) -> None:
        """Sends the last tick: the snapshot first, then what the sensors saw."""
        self._publish(wire.SNAPSHOT_STREAM, [self.sim.snapshot()])
        world = self.sim.world
        for stream, listeners in self.subscribers.items():
            if stream != wire.SNAPSHOT_STREAM and listeners and stream in world.actors:
                self._publish(stream, self.sim.sensed(stream))

    def _publish(self, stream: int, payloads: list[bytes]) -> None:
        for connection in list(self.subscribers.get(stream, ())):
            try:
                for payload in payloads:
                    connection.send(wire.framed(payload))
                if len(connection.outgoing) > MAX_BACKLOG:
                    raise OSError("the subscriber is too slow")
            except OSError:
                self._drop(connection)
                continue
            self._watch(connection)


def _listen(host: str, port: int) -> tuple[socket.socket, socket.socket]:
    """Returns listening sockets on a port and the next.

    Raises:
        ServerError: If one of them is taken.
    """
    for _ in range(50):
        opened: list[socket.socket] = []
        try:
            for number in (port, port + 1 if port else 0):
                if opened and not port:
                    number = opened[0].getsockname()[1] + 1
                sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
                opened.append(sock)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind((host, number))
                sock.listen(64)
                sock.setblocking(False)
            return opened[0], opened[1]
        except OSError as error:
            for sock in opened:
                sock.close()
            if port:
                raise ServerError(
                    f"Port {number} is taken: {error.strerror}", where=f"{host}:{port}",
                    do="Stop the server that uses it, or choose another with --port.",
                ) from error  # fmt: skip
    raise ServerError("No two neighbouring ports are free", where=host)
