"""Anybody's leaderboard agent as a policy: it looks through its sensors and controls each tick."""

import contextlib
import hashlib
import importlib.util
import inspect
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dreamdrive.driving.actions import PHYSICS_DT_S
from dreamdrive.envs.carla.client import carla
from dreamdrive.envs.carla.doors.agent_base import offer_base
from dreamdrive.envs.carla.doors.plan import plans
from dreamdrive.envs.carla.doors.sensor_suite import SensorSuite, check_suite
from dreamdrive.errors import ActionError, ConfigError

if TYPE_CHECKING:
    from dreamdrive.envs.carla.env import CarlaDriveEnv

BOARD_ON_PATH = (
    "Put on PYTHONPATH what the agent imports: its own folder is there already; the leaderboard, "
    "scenario_runner and CARLA's PythonAPI/carla are not shipped here."
)
PROVIDER, CLOCK = "srunner.scenariomanager.carla_data_provider", "srunner.scenariomanager.timer"
"""Modules of scenario_runner through which agents look at world and time, if they import them."""


def load_agent_class(file: Path) -> type:
    """Returns the class that an agent's file names as its entry point.

    Raises:
        ConfigError: If the file is missing, cannot be imported, or names no agent.
    """
    file = file.expanduser().resolve()
    if not file.is_file():
        raise ConfigError(
            "There is no such file of an agent", where=file,
            do="Give leaderboard:PATH.py, or leaderboard:PATH.py:CONFIG.",
        )  # fmt: skip
    module = _module(file)
    entry = getattr(module, "get_entry_point", None)
    if not callable(entry):
        raise ConfigError(
            "The agent's file has no function get_entry_point()", where=file,
            do="Add one that returns the name of the agent's class.",
        )  # fmt: skip
    name = entry()
    found = getattr(module, name, None) if isinstance(name, str) else None
    missing = [m for m in ("setup", "sensors", "run_step") if not hasattr(found, m)]
    if not isinstance(found, type) or missing:
        raise ConfigError(
            f"get_entry_point() names {name!r}, which is no class of an agent", where=file,
            do="An agent has setup(path), sensors() and run_step(input_data, timestamp).",
        )  # fmt: skip
    if int(getattr(found, "get_ros_version", lambda: -1)()) > 0:
        raise ConfigError(
            f"{name} is an agent for ROS, of which there is none here", where=file,
            do="Run it under the leaderboard's own evaluator.",
        )  # fmt: skip
    return found


def _module(file: Path) -> Any:
    """Returns a file's module, under a name of its own, so that two `agent.py` do not mix."""
    digest = hashlib.blake2b(bytes(file), digest_size=6).hexdigest()
    name = f"{file.stem}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    if str(file.parent) not in sys.path:
        sys.path.insert(0, str(file.parent))
    offer_base()
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ConfigError(
            "An agent's file is Python", where=file, do="Give leaderboard:PATH.py[:CONFIG]."
        )
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise ConfigError(
            f"The agent cannot be imported: {type(error).__name__}: {error}", where=file,
            do=BOARD_ON_PATH,
        ) from error  # fmt: skip
    return module


class ForeignAgent:
    """One agent on one drive.

    It controls each tick of 0.05 s through `control`, as under the leaderboard, where other
    policies hold an action for a decision of two.

    Args:
        agent_class: Its class.
        config: What its `setup` is given.
    """

    def __init__(self, agent_class: type, config: str = "") -> None:
        self._class, self._config = agent_class, config
        self._agent: Any = None
        self._env: CarlaDriveEnv | None = None
        self._suite: SensorSuite | None = None
        self._first: Any = None
        self._start_frame = 0

    def attach(self, env: "CarlaDriveEnv") -> None:
        """Makes the agent, tells it the route and mounts its sensors.

        Raises:
            ConfigError: If it declares sensors that the leaderboard would refuse.
            ServerError: If they cannot be mounted or send nothing.
        """
        assert env.route is not None, "the episode has begun"
        self._env = env
        session = env.session
        self._tell_board(env.ego)
        gps, world = plans(env.route, session.map)
        if _fits(self._class, "host", 0, False):
            self._agent = self._class(session.config.host, session.config.port, False)
            self._agent.set_global_plan(gps, world)
            self._agent.setup(self._config)
        else:
            # As in the leaderboard 1.0, whose agents set themselves up when they are made.
            self._agent = self._class(self._config)
            self._agent.set_global_plan(gps, world)
        specs = list(self._agent.sensors())
        track = str(getattr(getattr(self._agent, "track", None), "value", "SENSORS"))
        check_suite(specs, may_have_map=track.startswith("MAP"))
        env.ego.apply_control(carla.VehicleControl(brake=1.0))
        self._suite = SensorSuite(session, env.ego, specs)
        self._suite.open()
        self._start_frame = session.world.get_snapshot().frame

    def reset(self) -> None:
        """Does nothing: one agent drives one drive."""

    def act(self, observation: Any) -> NDArray[np.float32]:
        """Returns the agent's control for the next tick as an action, shape (2,)."""
        self._first = control = self._step()
        action = [-control.steer, control.throttle - control.brake]
        return np.clip(np.asarray(action, np.float32), -1.0, 1.0)

    def control(self, tick: int) -> Any:
        """Returns the `carla.VehicleControl` for a tick of the decision, 0 being the first."""
        return self._first if tick == 0 else self._step()

    def close(self) -> None:
        """Lets the agent free what it holds."""
        agent, self._agent = self._agent, None
        if agent is not None and hasattr(agent, "destroy"):
            agent.destroy()

    def _step(self) -> Any:
        assert self._env is not None
        assert self._suite is not None
        snapshot = self._env.session.world.get_snapshot()
        self._tick_board(snapshot.timestamp)
        time_s = (snapshot.frame - self._start_frame) * PHYSICS_DT_S
        return checked_control(self._agent.run_step(self._suite.read(snapshot.frame), time_s))

    def _tell_board(self, ego: Any) -> None:
        """Tells scenario_runner's store of the world about it, for agents that look there."""
        assert self._env is not None
        store, clock = sys.modules.get(PROVIDER), sys.modules.get(CLOCK)
        session = self._env.session
        if clock is not None:
            clock.GameTime.restart()
        if store is None:
            return
        provider = store.CarlaDataProvider
        with contextlib.suppress(AttributeError):
            provider._carla_actor_pool = {}
        provider.cleanup()
        provider.set_client(session.client)
        provider.set_world(session.world)
        provider.register_actor(ego)
        provider._carla_actor_pool = {ego.id: ego}

    def _tick_board(self, timestamp: Any) -> None:
        if CLOCK in sys.modules:
            sys.modules[CLOCK].GameTime.on_carla_tick(timestamp)
        if PROVIDER in sys.modules:
            sys.modules[PROVIDER].CarlaDataProvider.on_carla_tick()


def _fits(made: type, *arguments: object) -> bool:
    try:
        inspect.signature(made).bind(*arguments)
    except TypeError:
        return False
    return True


def checked_control(control: Any) -> Any:
    """Returns a control that a vehicle can take.

    Raises:
        ActionError: If it is no `carla.VehicleControl`, or holds what is not finite.
    """
    if not isinstance(control, carla.VehicleControl):
        raise ActionError(
            f"run_step returned a {type(control).__name__}", do="Return a carla.VehicleControl."
        )
    values = (control.throttle, control.steer, control.brake)
    if not all(map(math.isfinite, values)):
        raise ActionError(
            f"The control is not finite: throttle, steer and brake are {values}",
            do="Check the agent for a division by zero or a diverged network.",
        )
    control.manual_gear_shift = False
    return control
