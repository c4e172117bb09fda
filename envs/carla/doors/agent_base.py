"""What leaderboard agents derive from, for where the leaderboard itself is not installed.

Written from the interface that the leaderboard documents (2.x): the members that agents call and
override, under the name by which they import them. Where the leaderboard is on the path, its own
classes are used and nothing of this.
"""

import enum
import importlib.util
import sys
import types
from collections.abc import Sequence
from typing import Any

from dreamdrive.envs.carla.client import carla
from dreamdrive.envs.carla.doors.plan import sparse

NAME = "leaderboard.autoagents.autonomous_agent"
"""What agents import."""


class Track(enum.Enum):
    """What an agent may use: sensors, or the map too."""

    SENSORS = "SENSORS"
    MAP = "MAP"
    SENSORS_QUALIFIER = "SENSORS_QUALIFIER"
    MAP_QUALIFIER = "MAP_QUALIFIER"


class AutonomousAgent:
    """Base of agents.

    Args:
        carla_host: Where the server is.
        carla_port: Its RPC port.
        debug: Whether the agent may draw.
    """

    def __init__(self, carla_host: str, carla_port: int, debug: bool = False) -> None:
        self.track = Track.SENSORS
        self._global_plan: list[Any] | None = None
        self._global_plan_world_coord: list[Any] | None = None

    def setup(self, path_to_conf_file: str) -> None:
        """Prepares the agent, and sets its track."""

    def sensors(self) -> list[dict[str, Any]]:
        """Returns the sensors that it wants."""
        return []

    def run_step(self, input_data: dict[str, Any], timestamp: float) -> Any:
        """Returns the control for one tick."""
        return carla.VehicleControl()

    def destroy(self) -> None:
        """Frees what the agent holds."""

    @staticmethod
    def get_ros_version() -> int:
        """Returns the version of ROS that it speaks; -1 for none."""
        return -1

    def set_global_plan(
        self, global_plan_gps: Sequence[Any], global_plan_world_coord: Sequence[Any]
    ) -> None:
        """Takes the route, and keeps as much of it as the leaderboard lets agents know."""
        kept = sparse(global_plan_world_coord)
        self._global_plan = [global_plan_gps[i] for i in kept]
        self._global_plan_world_coord = [global_plan_world_coord[i] for i in kept]


def offer_base() -> bool:
    """Makes `NAME` importable, and returns whether it is the one above."""
    loaded = sys.modules.get(NAME)
    if loaded is not None:
        return getattr(loaded, "AutonomousAgent", None) is AutonomousAgent
    try:
        if importlib.util.find_spec(NAME) is not None:
            return False
    except ModuleNotFoundError:
        pass
    above: types.ModuleType | None = None
    parts = NAME.split(".")
    for i, part in enumerate(parts):
        name = ".".join(parts[: i + 1])
        module = types.ModuleType(name, "Stands in for the leaderboard, which is not installed.")
        if i < len(parts) - 1:
            module.__path__ = []
        else:
            vars(module).update(AutonomousAgent=AutonomousAgent, Track=Track)
        sys.modules[name] = module
        if above is not None:
            setattr(above, part, module)
        above = module
    return True
