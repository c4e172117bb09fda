"""A connection to one CARLA server: synchronous time, one town, and the actors it owns."""

import contextlib
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from dreamdrive.driving.actions import PHYSICS_DT_S
from dreamdrive.envs.carla.client import carla
from dreamdrive.envs.carla.greeting import CLIENT_VERSION, server_version, wrong_version
from dreamdrive.envs.carla.ports import any_free_port
from dreamdrive.envs.carla.routes import town_name
from dreamdrive.envs.carla.thread_guard import guard_threads
from dreamdrive.envs.carla.tick_watchdog import TickWatchdog
from dreamdrive.envs.manager_port import switch_synchronous
from dreamdrive.errors import ServerError, TownError

CONNECT_DEADLINE_S = 3.0
WORKER_THREADS = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionConfig:
    """Where a server is, and how long it may take.

    Attributes:
        host: Name or address of the server's machine.
        port: Its RPC port.
        tick_deadline_s: A call or tick that takes longer means that the server is dead.
        load_deadline_s: The same for loading a town.
    """

    host: str = "127.0.0.1"
    port: int = 2000
    tick_deadline_s: float = 10.0
    load_deadline_s: float = 120.0


class Session:
    """A client of one server in synchronous mode, with a Traffic Manager of its own.

    Args:
        config: Where the server is.

    Raises:
        ServerError: If nothing answers there.
        ServerVersionError: If a server of another version answers, or something else does.
    """

    def __init__(self, config: SessionConfig) -> None:
        self.config = config
        self._owned: list[int] = []
        self._sensors: list[Any] = []
        self._traffic_manager: Any = None
        self._manager_port = 0
        self._watchdog = TickWatchdog(lambda: server_version(config.host, config.port))
        self._frame = 0
        _check_version(config)
        self.client = carla.Client(config.host, config.port, WORKER_THREADS)
        self.client.set_timeout(config.tick_deadline_s)
        self.world = self._call(self.client.get_world)
        self._original_settings = self._call(self.world.get_settings)
        self.map = self._call(self.world.get_map)
        self._set_synchronous()
        self._line = _open_line(config.host, config.port)

    @property
    def town(self) -> str:
        """The town that is open, without its folder."""
        return town_name(self.map)

    @property
    def traffic_manager(self) -> Any:
        """The Traffic Manager of this session, started on first use."""
        if self._traffic_manager is None:
            guard_threads()
            self._manager_port = any_free_port()
            self._traffic_manager = self._call(self.client.get_trafficmanager, self._manager_port)
            self._traffic_manager.set_synchronous_mode(True)
        return self._traffic_manager

    def open_town(self, town: str) -> None:
        """Loads a town unless it is open already.

        Raises:
            TownError: If the server does not have it.
            ServerError: If it stops answering.
        """
        if town == self.town:
            return
        name = self.map_of(town)
        self.destroy_all()
        self._stop_traffic_manager()
        self.client.set_timeout(self.config.load_deadline_s)
        try:
            self.world = self._call(self.client.load_world, name)
            self.map = self._call(self.world.get_map)
        finally:
            self.client.set_timeout(self.config.tick_deadline_s)
        self._set_synchronous()

    def map_of(self, town: str) -> str:
        """Returns the server's name for a town.

        Raises:
            TownError: If the server does not have it.
            ServerError: If it stops answering.
        """
        available = {name.rsplit("/", 1)[-1]: name for name in self._call(self._available)}
        if town not in available:
            raise TownError(
                f"The server has no town {town!r}", where=f"{self.config.host}:{self.config.port}",
                do=f"It has: {', '.join(sorted(available))}.",
            )  # fmt: skip
        return available[town]

    def check_answers(self) -> None:
        """Asks the server for its version.

        Raises:
            ServerError: If it does not answer within the tick deadline.
        """
        _check_version(self.config)

    def _available(self) -> list[str]:
        return list(self.client.get_available_maps())

    def _set_synchronous(self) -> None:
        settings = self._call(self.world.get_settings)
        settings.synchronous_mode = True
        settings.fixed_delta_seconds = PHYSICS_DT_S
        settings.deterministic_ragdolls = True
        self._call(self.world.apply_settings, settings)

    @property
    def num_lost_ticks(self) -> int:
        """How many ticks the Traffic Manager has lost; its vehicles may drive otherwise then."""
        return self._watchdog.num_lost

    def tick(self) -> Any:
        """Advances the world by one physics step and returns its snapshot.

        Raises:
            ServerError: If the server does not answer within the tick deadline.
        """
        self._check_alive()
        if self._traffic_manager is not None:
            self._watchdog.begin(self.world, self._manager_port, self._frame)
        try:
            self._call(self.world.tick, self.config.tick_deadline_s)
        finally:
            self._watchdog.end()
        snapshot = self.world.get_snapshot()
        self._frame = snapshot.frame
        return snapshot

    def _check_alive(self) -> None:
        """Raises a ServerError if the server has closed the idle connection to it.

        The Traffic Manager's thread calls the server on its own, and is lost with the first call
        that fails: it must not be woken for a server that is gone.
        """
        try:
            if self._line.recv(1):
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        raise ServerError(
            "The CARLA server has closed the connection",
            where=f"{self.config.host}:{self.config.port}",
            do="See the server's own log; if it has died, start it again.",
        )

    def spawn(self, blueprint: Any, transform: Any, attach_to: Any = None) -> Any:
        """Returns a new actor that this session owns.

        Raises:
            ServerError: If the place is taken, or the server stops answering.
        """
        actor = self._call(self.world.spawn_actor, blueprint, transform, attach_to)
        if actor.type_id.startswith("sensor."):
            self._sensors.append(actor)
        self._owned.append(actor.id)
        return actor

    def try_spawn(self, blueprint: Any, transform: Any) -> Any | None:
        """Returns a new actor that this session owns, or None where there is no room for it.

        Raises:
            ServerError: If the server stops answering.
        """
        actor = self._call(self.world.try_spawn_actor, blueprint, transform)
        if actor is not None:
            self._owned.append(actor.id)
        return actor

    def destroy(self, actors: Sequence[int]) -> None:
        """Destroys some of the actors that this session spawned; unknown ones are passed over.

        Raises:
            ServerError: If the server stops answering.
        """
        gone = [actor for actor in actors if actor in self._owned]
        if gone:
            self._owned = [actor for actor in self._owned if actor not in gone]
            commands = [carla.command.DestroyActor(actor) for actor in gone]
            self._call(self.client.apply_batch_sync, commands, False)

    def apply(self, commands: Sequence[Any]) -> list[int]:
        """Applies a batch and returns the ids of the actors that it spawned, which it owns."""
        if not commands:
            return []
        responses = self._call(self.client.apply_batch_sync, list(commands), False)
        ids = [r.actor_id for r in responses if not r.has_error()]
        self._owned += ids
        return ids

    def send(self, commands: Iterable[Any]) -> None:
        """Applies a batch of controls without waiting for the answer."""
        batch = list(commands)
        if batch:
            self._call(self.client.apply_batch, batch)

    def destroy_all(self) -> None:
        """Destroys every actor that this session spawned, sensors first stopped."""
        sensors, self._sensors = self._sensors, []
        owned, self._owned = self._owned, []
        for sensor in sensors:
            with contextlib.suppress(RuntimeError):
                sensor.stop()
        if owned:
            commands = [carla.command.DestroyActor(actor_id) for actor_id in reversed(owned)]
            self._call(self.client.apply_batch_sync, commands, False)

    def close(self) -> None:
        """Leaves the server as it was found; a dead server is no error here."""
        with contextlib.suppress(ServerError, RuntimeError):
            self.destroy_all()
            self._stop_traffic_manager()
            self._call(self.world.apply_settings, self._original_settings)
        self._line.close()

    def abandon(self) -> None:
        """Drops everything without talking to the server, which no longer answers.

        The Traffic Manager is not shut down, since it would call the server. It stays behind in
        asynchronous mode, in which no tick of a later session waits for it.
        """
        self._sensors, self._owned = [], []
        self._watchdog.close()
        manager, self._traffic_manager = self._traffic_manager, None
        if manager is not None:
            with contextlib.suppress(OSError):
                switch_synchronous(self._manager_port, False)
        self._line.close()

    def _stop_traffic_manager(self) -> None:
        self._watchdog.close()
        manager, self._traffic_manager = self._traffic_manager, None
        if manager is not None:
            with contextlib.suppress(RuntimeError):
                manager.shut_down()

    def _call(self, function: Any, *args: Any) -> Any:
        try:
            return function(*args)
        except RuntimeError as error:
            raise ServerError(
                f"The CARLA server did not do what it was asked: {str(error).strip()}",
                where=f"{self.config.host}:{self.config.port}",
                do="See the server's own log; if it has died, start it again.",
            ) from error


def _check_version(config: SessionConfig) -> None:
    """Raises a ServerError unless a server of the client's version answers."""
    where = f"{config.host}:{config.port}"
    _open_line(config.host, config.port).close()
    try:
        version = server_version(config.host, config.port, config.tick_deadline_s)
    except OSError as error:
        raise ServerError(
            f"The CARLA server does not answer: {error}", where=where,
            do="See the server's own log; if it hangs, start it again.",
        ) from error  # fmt: skip
    if version != CLIENT_VERSION:
        raise wrong_version(version, where)


def _open_line(host: str, port: int) -> socket.socket:
    """Returns an idle connection, or raises a ServerError within seconds where nobody listens."""
    try:
        line = socket.create_connection((host, port), timeout=CONNECT_DEADLINE_S)
    except OSError as error:
        raise ServerError(
            "No CARLA server answers", where=f"{host}:{port}",
            do=f"Start one with: dreamdrive serve --port {port}; or leave the port out, and the "
            "environment starts its own.",
        ) from error  # fmt: skip
    line.setblocking(False)
    return line
