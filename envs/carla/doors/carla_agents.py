"""CARLA's own BasicAgent and BehaviorAgent as policies, from a CARLA that the user has.

Their code is in the folder `PythonAPI/carla` of an unpacked CARLA and in no package.
"""

import importlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dreamdrive.driving.actions import PHYSICS_DT_S
from dreamdrive.envs.carla.client import carla
from dreamdrive.envs.carla.doors.foreign_agent import checked_control
from dreamdrive.envs.carla.doors.plan import on_lanes, option_names, road_options
from dreamdrive.envs.carla.server_kinds import UNREAL_ROOT
from dreamdrive.errors import ConfigError

if TYPE_CHECKING:
    from dreamdrive.envs.carla.env import CarlaDriveEnv

BASIC, BEHAVIOR = "basic-agent", "behavior-agent"
STYLES = ("cautious", "normal", "aggressive")
"""How a BehaviorAgent drives; `normal` by default."""

API = Path("PythonAPI/carla")
PLAN_EVERY = 2
"""Their planner's waypoints are 2 m apart, those of a route 1 m."""


def find_agents(folder: Path | None) -> Path | None:
    """Returns the folder that holds `agents`; None where it can be imported as it is.

    Args:
        folder: `PythonAPI/carla`, or the CARLA that it is in; None for that of `CARLA_ROOT`.

    Raises:
        ConfigError: If there are none.
    """
    roots = [folder] if folder is not None else []
    if folder is None and os.environ.get(UNREAL_ROOT):
        roots = [Path(os.environ[UNREAL_ROOT])]
    for root in roots:
        for place in (root.expanduser(), root.expanduser() / API):
            if (place / "agents/navigation/basic_agent.py").is_file():
                return place.resolve()
    if not roots and "agents.navigation.basic_agent" in sys.modules:
        return None
    raise ConfigError(
        "CARLA's own agents are neither shipped here nor in its Python package",
        where=roots[0] if roots else "",
        do=f"Unpack a CARLA 0.9.16 and set {UNREAL_ROOT} to its folder, or give {BASIC}:FOLDER "
        f"with its {API}.",
    )


def load_agents(folder: Path | None) -> tuple[Any, Any]:
    """Returns the classes BasicAgent and BehaviorAgent.

    Raises:
        ConfigError: If they are not there, or what they import is not.
    """
    place = find_agents(folder)
    if place is not None:
        _forget_others(place)
        if str(place) not in sys.path:
            sys.path.insert(0, str(place))
    try:
        basic = importlib.import_module("agents.navigation.basic_agent")
        behavior = importlib.import_module("agents.navigation.behavior_agent")
    except ImportError as error:
        raise ConfigError(
            f"CARLA's agents cannot be imported: {error}", where=place or "",
            do="Install what they import: pip install networkx shapely",
        ) from error  # fmt: skip
    return basic.BasicAgent, behavior.BehaviorAgent


def _forget_others(place: Path) -> None:
    """Drops another package of the name `agents`, of which Python keeps one."""
    loaded = sys.modules.get("agents")
    homes = [Path(home).resolve() for home in getattr(loaded, "__path__", [])]
    if loaded is not None and place / "agents" not in homes:
        for name in [n for n in sys.modules if n.split(".")[0] == "agents"]:
            del sys.modules[name]


class CarlaAgent:
    """One of them on one drive; it looks at the world itself and controls each tick.

    Args:
        made: The class.
        style: One of `STYLES` for a BehaviorAgent; None for a BasicAgent.

    Raises:
        ConfigError: If there is no such style.
    """

    def __init__(self, made: Any, style: str | None) -> None:
        if style is not None and style not in STYLES:
            raise ConfigError(
                f"A BehaviorAgent cannot be {style!r}", do=f"It is one of: {', '.join(STYLES)}."
            )
        self._class, self._style = made, style
        self._agent: Any = None
        self._first: Any = None

    def attach(self, env: "CarlaDriveEnv") -> None:
        """Makes the agent for the ego and gives it the route."""
        assert env.route is not None, "the episode has begun"
        options = {"dt": PHYSICS_DT_S}
        if self._style is None:
            self._agent = self._class(env.ego, opt_dict=options, map_inst=env.session.map)
            self._agent.follow_speed_limits(True)
        else:
            self._agent = self._class(
                env.ego, behavior=self._style, opt_dict=options, map_inst=env.session.map
            )
        self._agent.set_global_plan(plan_of(env.route, env.session.map))

    def reset(self) -> None:
        """Does nothing: one agent drives one drive."""

    def act(self, observation: Any) -> NDArray[np.float32]:
        """Returns the agent's control for the next tick as an action, shape (2,)."""
        self._first = control = checked_control(self._agent.run_step())
        action = [-control.steer, control.throttle - control.brake]
        return np.clip(np.asarray(action, np.float32), -1.0, 1.0)

    def control(self, tick: int) -> Any:
        """Returns the `carla.VehicleControl` for a tick of the decision, 0 being the first."""
        return self._first if tick == 0 else checked_control(self._agent.run_step())

    def close(self) -> None:
        """Forgets the agent."""
        self._agent = None


def plan_of(route: Any, carla_map: Any) -> list[tuple[Any, Any]]:
    """Returns a route as these agents take it: waypoints 2 m apart, each with its option."""
    options = road_options()
    poses = [
        (carla.Transform(carla.Location(float(x), -float(y), float(z))), options[name])
        for (x, y), z, name in zip(route.xy, route.z, option_names(route), strict=True)
    ]
    dense = on_lanes(carla_map, poses)
    return [*dense[:-1:PLAN_EVERY], dense[-1]]


def make_carla_agent(spec: str) -> CarlaAgent:
    """Returns the agent of `basic-agent[:FOLDER]` or `behavior-agent[:STYLE][:FOLDER]`.

    Raises:
        ConfigError: If it cannot be had.
    """
    kind, _, rest = spec.partition(":")
    style = None
    if kind == BEHAVIOR:
        first, _, after = rest.partition(":")
        is_style = bool(first) and "/" not in first
        style, rest = (first, after) if is_style else ("normal", rest)
    basic, behavior = load_agents(Path(rest) if rest else None)
    return CarlaAgent(basic if style is None else behavior, style)
