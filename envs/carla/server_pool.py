"""Several servers at once: started together, lent one by one, replaced when they die."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

from dreamdrive.envs.carla.server_kinds import SupervisorConfig
from dreamdrive.envs.carla.supervisor import ServerPhase, ServerSupervisor
from dreamdrive.errors import ServerError


class ServerPool:
    """Servers of one kind, each in a process group of its own; a context manager.

    A server belongs to one borrower at a time. It is watched while it is lent: one that holds too
    much memory is ended, and `ensure_ready` of the borrower replaces one that has died, after a
    pause where it keeps dying. How long a tick may take is the borrower's to say, since a server
    that is frozen looks from outside like one that waits: it calls `mark_dead`.

    Args:
        size: How many servers there are at most; none is started before it is asked for.
        config: How each is started and given up on; the embedded server by default.
    """

    def __init__(self, size: int = 1, config: SupervisorConfig | None = None) -> None:
        assert size >= 1
        self.config = config or SupervisorConfig()
        self._servers = [ServerSupervisor("", self.config) for _ in range(size)]
        self._lent: set[int] = set()

    @property
    def servers(self) -> tuple[ServerSupervisor, ...]:
        """All servers, lent or not."""
        return tuple(self._servers)

    @property
    def num_starts(self) -> int:
        """How many processes were started so far."""
        return sum(server.num_starts for server in self._servers)

    def start(self, towns: Sequence[str]) -> None:
        """Starts a server for each town at the same time; those that run already are left alone.

        Raises:
            ServerError: If there are more towns than servers, or a start fails; those that
                succeeded run on.
        """
        if len(towns) > len(self._servers):
            raise ServerError(f"There are {len(self._servers)} servers for {len(towns)} towns")
        idle = [server for server in self._servers if server.phase is not ServerPhase.READY]
        with ThreadPoolExecutor(max(1, len(idle))) as starters:
            starts = []
            for server, town in zip(idle, towns, strict=False):
                server.town = town
                starts.append(starters.submit(server.ensure_ready))
        for start in starts:
            start.result()

    def borrow(self, town: str) -> ServerSupervisor:
        """Returns a server for the caller alone: one that runs with that town before all others.

        It need not be ready: that is what its `ensure_ready` is for.

        Raises:
            ServerError: If all servers are lent.
        """
        free = [server for server in self._servers if id(server) not in self._lent]
        if not free:
            raise ServerError(
                f"All {len(self._servers)} servers are lent",
                do="Give one back, or make a larger pool.",
            )  # fmt: skip
        fit = [server for server in free if server.phase is ServerPhase.READY]
        fit.sort(key=lambda server: server.town != town)
        server = fit[0] if fit else free[0]
        if server.phase is not ServerPhase.READY:
            server.town = town
        self._lent.add(id(server))
        return server

    def give_back(self, server: ServerSupervisor) -> None:
        """Takes a server back, which goes on running."""
        self._lent.discard(id(server))

    def close(self) -> None:
        """Stops all servers, together."""
        with ThreadPoolExecutor(len(self._servers)) as stoppers:
            list(stoppers.map(ServerSupervisor.stop, self._servers))
        self._lent.clear()

    def __enter__(self) -> Self:
        """Starts nothing yet."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stops all servers."""
        self.close()
