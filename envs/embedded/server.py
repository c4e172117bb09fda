"""The sockets: msgpack-rpc on one port, streams on the next; one thread, no locks.

Bytes that are not the protocol cost their sender the connection and nobody else anything.
"""

import selectors
import socket
import time
from typing import Any

import msgpack

from dreamdrive.envs.embedded import wire
from dreamdrive.envs.embedded.arguments import NotReadyError
from dreamdrive.envs.embedded.awaited import AwaitedStreams
from dreamdrive.envs.embedded.complaints import Complaints
from dreamdrive.envs.embedded.connections import Connection, RpcConnection, StreamConnection
from dreamdrive.envs.embedded.lost_ticks import LOST_AFTER_S, LostTicks
from dreamdrive.envs.embedded.procedures import Procedures
from dreamdrive.envs.embedded.simulator import Simulator
from dreamdrive.errors import ServerError

TICK, TOKEN = "tick_cue", "get_sensor_token"
LAST_PORT = 65535
PAUSED_S = 0.01
"""How often it is looked whether a client that was put off may go on."""
LOAD, HELD_S, MANAGER_HELD_S = "load_new_episode", 0.05, 0.5
"""How long a client waits for the answer to this call, and one with a Traffic Manager. It then
throws away what it knows of the world, and crashes if a thread of its own still looks at it: the
one that takes in snapshots, or the manager's, the calls of whose step are answered meanwhile.
"""


class Server:
    """A CARLA server on two ports.

    Args:
        simulator: What answers.
        host: Address to listen on.
        port: Port of the calls; streams are on the next. 0 takes any two that are free.
        wake_after_s: How long a Traffic Manager may sleep through a tick of its client.
    """

    def __init__(
        self, simulator: Simulator, host: str = "127.0.0.1", port: int = 0,
        wake_after_s: float = LOST_AFTER_S,
    ) -> None:  # fmt: skip
        self.sim = simulator
        self.procedures = Procedures(simulator)
        self.limits = simulator.limits
        self.complaints = Complaints()
        simulator.recordings.say = lambda text: self.complaints.say("recordings", text)
        self.selector = selectors.DefaultSelector()
        self.rpc, self.streaming = _listen(host, port)
        self.port = self.rpc.getsockname()[1]
        simulator.stream_port = self.streaming.getsockname()[1]
        simulator.on_tick = self.broadcast
        self.lost = LostTicks(simulator.traffic_managers, lost_after_s=wake_after_s)
        self.subscribers: dict[int, list[StreamConnection]] = {}
        self.num_connections = 0
        self._held: list[tuple[float, RpcConnection, bytes]] = []
        self.awaited = AwaitedStreams()
        self._paused: dict[RpcConnection, Any] = {}
        self.running = True
        for listener in (self.rpc, self.streaming):
            self.selector.register(listener, selectors.EVENT_READ)

    def serve(self) -> None:
        """Answers until `running` is false."""
        due = time.monotonic()
        while self.running:
            wait = self.lost.wait_s
            if not self.sim.synchronous:
                wait = max(0.0, due - time.monotonic())
            if self._paused or self._held:
                wait = PAUSED_S if wait is None else min(wait, PAUSED_S)
            for key, events in self.selector.select(wait):
                if key.fileobj in (self.rpc, self.streaming):
                    self._accept(key.fileobj)
                    continue
                try:
                    if events & selectors.EVENT_READ:
                        self._read(key.data)
                    if events & selectors.EVENT_WRITE:
                        key.data.flush()
                except (OSError, ValueError, TypeError, msgpack.UnpackException) as error:
                    self._drop(key.data, error)
                    continue
                self._watch(key.data)
            if self._held:
                self._send_held()
            if self._paused:
                self._resume()
            if self.sim.synchronous:
                due = time.monotonic()
                for port in self.lost.free():
                    self.complaints.say(f"Traffic Manager {port}", "slept through a tick: woken")
            elif self._held or self.sim.is_loading:
                due = time.monotonic() + PAUSED_S
            elif time.monotonic() >= due:
                self.sim.tick()
                due = max(due, time.monotonic() - 0.5) + (self.sim.dt_s or 0.05)

    def close(self) -> None:
        """Closes all sockets and the recording."""
        self.sim.recordings.close()
        self.sim.meshes.close()
        for key in list(self.selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self.selector.close()

    # --- connections -----------------------------------------------------------------------------

    def _accept(self, listener: Any) -> None:
        try:
            sock, (host, port, *_) = listener.accept()
        except OSError as error:  # The peer is gone already, or this process has no file left.
            self.complaints.say("a new peer", f"not accepted: {error}")
            return
        peer = f"{host}:{port}"
        if self.num_connections >= self.limits.max_connections:
            self.complaints.say(peer, f"closed: {self.num_connections} connections are open")
            sock.close()
            return
        is_rpc = listener is self.rpc
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:
            sock.close()
            return
        made = RpcConnection if is_rpc else StreamConnection
        self.selector.register(sock, selectors.EVENT_READ, made(sock, peer, self.limits))
        self.num_connections += 1

    def _drop(self, connection: Connection, error: Exception | None = None) -> None:
        if connection.sock.fileno() < 0:
            return
        if error is not None and not isinstance(error, ConnectionError):
            cause = str(error) or type(error).__name__
            self.complaints.say(connection.peer, f"closed after a broken message: {cause}")
        self.selector.unregister(connection.sock)
        connection.sock.close()
        self.num_connections -= 1
        if isinstance(connection, StreamConnection) and connection.stream is not None:
            listeners = self.subscribers[connection.stream]
            listeners.remove(connection)
            if not listeners:
                del self.subscribers[connection.stream]
        managers = self.sim.traffic_managers
        for port in [p for p, entry in managers.items() if entry[2] == id(connection)]:
            del managers[port]
        self.lost.forget(id(connection))
        self.awaited.forget(id(connection))
        if isinstance(connection, RpcConnection):
            self._paused.pop(connection, None)

    def _watch(self, connection: Connection) -> None:
        if connection.sock.fileno() < 0:
            return
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.is_waiting else 0)
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
            self._go_on(connection)
        elif isinstance(connection, StreamConnection) and connection.subscribe(data):
            self._subscribe(connection)

    def _go_on(self, connection: RpcConnection) -> None:
        """Answers a client's calls up to the first that has to wait."""
        if connection in self._paused:
            return
        for message in connection.unpacker:
            if not self._take(message, connection):
                self._paused[connection] = message
                return

    def _take(self, message: Any, connection: RpcConnection) -> bool:
        """Answers a call; returns whether that was possible, or it has to wait.

        A tick waits for the client itself, and a mesh is made while the world goes on.
        """
        if TICK in message and self.awaited.are_for(id(connection)):
            return False
        try:
            answer = self._answer(message, connection)
        except NotReadyError as error:
            connection.again = error.again
            return False
        if message[2] == LOAD:
            self.sim.meshes.begin(self.sim.town_of_caller())
            held_s = MANAGER_HELD_S if self._has_manager(connection) else HELD_S
            self._held.append((time.monotonic() + held_s, connection, answer))
            return True
        try:
            connection.send(answer)
        finally:
            self._finish_tick(connection)
        return True

    def _finish_tick(self, connection: RpcConnection) -> None:
        """Makes the tick whose number a client has just been told."""
        try:
            self.sim.finish_tick()
        except Exception as error:  # Whatever it is, it must not end the server.
            self.complaints.say(connection.peer, f"{TICK} could not be finished: {error}")

    def _resume(self) -> None:
        """Answers the calls that were put off and need wait no longer."""
        for connection, message in list(self._paused.items()):
            try:
                if not self._take(message, connection):
                    continue
                del self._paused[connection]
                self._go_on(connection)
            except (OSError, ValueError, TypeError) as error:
                self._drop(connection, error)
                continue
            self._watch(connection)

    def _has_manager(self, connection: RpcConnection) -> bool:
        managers = self.sim.traffic_managers.values()
        return any(caller == id(connection) for _, _, caller in managers)

    def _send_held(self) -> None:
        """Sends the answers that have been held long enough."""
        for held in [held for held in self._held if time.monotonic() >= held[0]]:
            self._held.remove(held)
            _, connection, answer = held
            if connection.sock.fileno() < 0:
                continue
            try:
                connection.send(answer)
            except OSError as error:
                self._drop(connection, error)
                continue
            self._watch(connection)

    def _subscribe(self, connection: StreamConnection) -> None:
        if sum(map(len, self.subscribers.values())) >= self.limits.max_subscriptions:
            stream, connection.stream = connection.stream, None
            limit = self.limits.max_subscriptions
            raise ValueError(f"no room for stream {stream}: {limit} subscriptions are open")
        stream = connection.stream or 0
        self.subscribers.setdefault(stream, []).append(connection)
        caller = self.awaited.come(stream)
        if stream == wire.SNAPSHOT_STREAM:
            self.sim.note_stream(caller)
            connection.send(wire.framed(self.sim.snapshot()))

    # --- calls and streams -----------------------------------------------------------------------

    def _answer(self, message: Any, connection: RpcConnection) -> bytes:
        kind, number, method, arguments = message
        if kind != 0 or not isinstance(method, str):
            raise ValueError("not a request")
        self.sim.caller = id(connection)
        again, connection.again = connection.again, None
        error, result, cause = self.procedures.answer(method, arguments, again)
        if method == TOKEN and not cause and isinstance(arguments[1], int):
            self.awaited.ask(id(connection), arguments[1])
        self.lost.hear(id(connection), connection.peer.rsplit(":", 1)[0], method)
        if cause and arguments and arguments[0] == [True]:
            self.complaints.say(connection.peer, f"{method}, whose answer nobody reads: {cause}")
        return wire.pack([1, number, error, result])

    def broadcast(self) -> None:
        """Sends the last tick: the snapshot first, then what the sensors saw."""
        self._publish(wire.SNAPSHOT_STREAM, [self.sim.snapshot()])
        world = self.sim.world
        for stream, listeners in list(self.subscribers.items()):
            if stream != wire.SNAPSHOT_STREAM and listeners and stream in world.actors:
                self._publish(stream, self.sim.sensed(stream))

    def _publish(self, stream: int, payloads: list[bytes]) -> None:
        for connection in list(self.subscribers.get(stream, ())):
            try:
                for payload in payloads:
                    connection.send(wire.framed(payload))
            except OSError as error:
                self._drop(connection, error)
                continue
            self._watch(connection)


def _listen(host: str, port: int) -> tuple[socket.socket, socket.socket]:
    """Returns listening sockets on a port and the next.

    Raises:
        ServerError: If one of them is taken, or there are no such ports.
    """
    if not 0 <= port < LAST_PORT:
        raise ServerError(
            f"There is no port {port} with one after it", where=host,
            do=f"Choose one below {LAST_PORT} with --port, or 0 for any that is free.",
        )  # fmt: skip
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
