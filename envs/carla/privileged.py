"""What experts, planners and judges may look at in an environment, beyond its observations."""

from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym

from dreamdrive.envs.carla.connection import Connection
from dreamdrive.envs.carla.episode import Drive
from dreamdrive.envs.carla.play import Play
from dreamdrive.envs.carla.routes import Route
from dreamdrive.envs.carla.scenarios.scenario import Detour, Priority
from dreamdrive.envs.carla.scene import Scene
from dreamdrive.envs.carla.session import Session
from dreamdrive.envs.carla.supervisor import ServerSupervisor
from dreamdrive.envs.carla.town_map import TownMap


class PrivilegedView:
    """The server and the episode behind an environment; the expert's `Surroundings`.

    Args:
        connection: How the environment reaches its server.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._play: Play | None = None
        self._steer_limit_rad = 0.0

    @property
    def session(self) -> Session:
        """The connection to the server, which is started by the first who asks.

        Raises:
            ServerError: If the last server died and no reset has been made since.
        """
        return self._connection.session

    @property
    def supervisor(self) -> ServerSupervisor | None:
        """The server that was started or borrowed; None where a port was given."""
        return self._connection.supervisor

    @property
    def server_pid(self) -> int | None:
        """The process id of that server, if one was started; `VectorEnv.get_attr` gives all."""
        return None if self.supervisor is None else self.supervisor.pid

    @property
    def town_map(self) -> TownMap:
        """The town that is open."""
        return self._connection.town_map

    @property
    def playing(self) -> Play:
        """The episode as it is played.

        Raises:
            gymnasium.error.ResetNeeded: Before the first reset.
        """
        if self._play is None:
            raise gym.error.ResetNeeded("There is no scene yet: call reset() first.")
        return self._play

    @property
    def ego(self) -> Any:
        """The vehicle that is driven, a `carla.Vehicle`.

        Raises:
            gymnasium.error.ResetNeeded: Before the first reset.
        """
        return self.playing.ego

    def hand_wheel(self, wheel: Callable[[int], Any]) -> None:
        """Lets somebody control each physics step of this episode instead of the actions.

        Args:
            wheel: Given the number of the step in its decision, it returns a
                `carla.VehicleControl`. What it raises, `step` does, but for a RuntimeError.

        Raises:
            gymnasium.error.ResetNeeded: Before the first reset.
        """
        self.playing.wheel = wheel

    def privileged(self) -> Scene:
        """Returns the ego and all others around it, for planners and experts.

        Raises:
            gymnasium.error.ResetNeeded: Before the first reset.
        """
        return self.playing.scene

    @property
    def route(self) -> Route | None:
        """The route of the episode; None before the first reset."""
        return None if self._play is None else self._play.setup.route

    @property
    def drive(self) -> Drive | None:
        """The judge of the episode; None before the first reset."""
        return None if self._play is None else self._play.drive

    @property
    def scene(self) -> Scene | None:
        """The present scene; None before the first reset."""
        return None if self._play is None else self._play.scene

    @property
    def speed_limit_mps(self) -> float:
        """The speed limit at the ego."""
        return self.playing.speed_limit_mps

    @property
    def steer_limit_rad(self) -> float:
        """The angle of the front wheels at full steer."""
        self._steer_limit_rad = self._steer_limit_rad or self.playing.steer_limit_rad()
        return self._steer_limit_rad

    @property
    def detours(self) -> Sequence[Detour]:
        """What an expert is told of scenarios that ask it to leave its lane."""
        director = self.playing.director
        return () if director is None else director.detours

    @property
    def priorities(self) -> Sequence[Priority]:
        """What an expert is told of scenarios in which others go first."""
        director = self.playing.director
        return () if director is None else director.priorities
