"""How an environment reaches its world: a server, a session with it, and the town that is open."""

from dataclasses import replace

from dreamdrive.envs.carla.session import Session, SessionConfig
from dreamdrive.envs.carla.supervisor import ServerSupervisor
from dreamdrive.envs.carla.town_map import TownMap
from dreamdrive.errors import ServerError


class Connection:
    """A session that is opened again after its server was lost.

    Args:
        config: Where the server is; the port of a supervised one is the supervisor's.
        supervisor: Starts and restarts a server of our own; None for somebody else's.
    """

    def __init__(self, config: SessionConfig, supervisor: ServerSupervisor | None) -> None:
        self.supervisor = supervisor
        self._config = config
        self._session: Session | None = None
        self._map: TownMap | None = None

    @property
    def session(self) -> Session:
        """The session with the server.

        Raises:
            ServerError: If the last server was lost and none has been reached since.
        """
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
        if self._map is None:
            self._map = TownMap(session.world, session.map)
        return self._map

    def ensure(self) -> None:
        """Opens a session unless there is one, with a fresh server where the last one died.

        Raises:
            ServerError: If no server can be reached or started.
        """
        if self._session is not None:
            return
        port = self._config.port if self.supervisor is None else self.supervisor.ensure_ready()
        self._session = Session(replace(self._config, port=port))

    def open_town(self, town: str) -> None:
        """Opens a town; a server of our own is replaced by one that begins with it.

        Loading a world makes the client restart every Traffic Manager of the process, which waits
        for ever for one whose server has died and crashes beside one that is at work.

        Raises:
            ServerError: If the server does not have the town, or stops answering.
        """
        if town == self.session.town:
            return
        self._map = None
        if self.supervisor is not None:
            self.session.map_of(town)
            self._close_session()
            self.supervisor.town = town
            self.supervisor.restart()
            self.ensure()
        self.session.open_town(town)

    def lose(self) -> None:
        """Drops a server that no longer answers, without talking to it."""
        session, self._session = self._session, None
        self._map = None
        if session is not None:
            session.abandon()
        if self.supervisor is not None:
            self.supervisor.mark_dead()

    def close(self) -> None:
        """Leaves the server clean, and stops it if it is our own."""
        self._close_session()
        if self.supervisor is not None:
            self.supervisor.stop()

    def _close_session(self) -> None:
        session, self._session = self._session, None
        self._map = None
        if session is not None:
            session.close()
