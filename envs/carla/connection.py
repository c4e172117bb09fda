"""How an environment reaches its world: a server, a session with it, and the town that is open."""

from dataclasses import replace

from dreamdrive.envs.carla.ports import RunningServers
from dreamdrive.envs.carla.server_pool import ServerPool
from dreamdrive.envs.carla.session import Session, SessionConfig
from dreamdrive.envs.carla.supervisor import ServerSupervisor
from dreamdrive.envs.carla.town_map import TownMap
from dreamdrive.errors import ServerError


class Connection:
    """A session that is opened again after its server was lost.

    Args:
        config: Where the server is; the port of a borrowed one is its supervisor's.
        servers: Where a server is borrowed; None for somebody else's, that runs already.
        town: The town that is wanted first.
        running: Servers of somebody else's of which one is used, instead of the port.
    """

    def __init__(
        self, config: SessionConfig, servers: ServerPool | None, town: str,
        running: RunningServers | None = None,
    ) -> None:  # fmt: skip
        self._running = running
        self._servers = servers
        self.supervisor: ServerSupervisor | None = servers.borrow(town) if servers else None
        self._config = config
        self._session: Session | None = None
        self._was_open = False
        self._map: TownMap | None = None

    @property
    def session(self) -> Session:
        """The session with the server, opened when it is asked for the first time.

        Raises:
            ServerError: If no server can be reached, or the last one was lost and none has been
                reached since.
        """
        if not self._was_open:
            self.ensure()
        if self._session is None:
            raise ServerError("There is no connection to a server", do="Call reset() first.")
        return self._session

    @property
    def town_map(self) -> TownMap:
        """The town that is open, drawn once.

        Raises:
            ServerError: As for `session`.
        """
        session = self.session
        if self._map is None or self._map.map is not session.map:
            self._map = TownMap(session.world, session.map)
        return self._map

    def ensure(self) -> None:
        """Opens a session unless there is one, with a fresh server where the last one died.

        Raises:
            ServerError: If no server can be reached or started.
        """
        if self._session is not None:
            return
        self._was_open = True
        port = self._config.port
        if self.supervisor is not None:
            port = self.supervisor.ensure_ready()
        elif self._running is not None:
            port = self._running.take()
        self._session = Session(replace(self._config, port=port))

    def open_town(self, town: str) -> None:
        """Opens a town; a server that can begin with it is replaced by one that does.

        Loading a world makes the client restart every Traffic Manager of the process, which waits
        for ever for one whose server has died and crashes beside one that is at work.

        Raises:
            TownError: If the server does not have the town.
            ServerError: If it stops answering.
        """
        if town == self.session.town:
            return
        self._map = None
        if self.supervisor is not None and self.supervisor.config.opens_town:
            self.session.map_of(town)
            self._close_session()
            self.supervisor.town = town
            self.supervisor.restart()
            self.ensure()
        self.session.open_town(town)

    def lose(self, error: RuntimeError) -> ServerError:
        """Drops a server that no longer answers, without talking to it.

        Args:
            error: What a call raised; the client raises bare RuntimeErrors.

        Returns:
            The error with all that is known of the server's end.
        """
        session, self._session = self._session, None
        self._map = None
        if session is not None:
            session.abandon()
        verdict = ""
        if self.supervisor is not None:
            verdict = self.supervisor.verdict()
            self.supervisor.mark_dead()
        if isinstance(error, ServerError):
            told = f"{verdict} {error.do}".strip()
            return type(error)(error.what, where=error.where, do=told)
        return ServerError(f"The CARLA server failed: {str(error).strip()}", do=verdict)

    def close(self) -> None:
        """Leaves the server clean, and gives it back if it is a borrowed one."""
        self._close_session()
        if self._servers is not None and self.supervisor is not None:
            self._servers.give_back(self.supervisor)
        if self._running is not None:
            self._running.give_back()

    def _close_session(self) -> None:
        session, self._session = self._session, None
        self._map = None
        if session is not None:
            session.close()
