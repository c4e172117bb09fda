"""Policies by name: yardsticks, trained agents, planners, and anybody's own."""

import hashlib
import importlib
import json
import os
import re
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from dreamdrive.config import to_dict
from dreamdrive.driving.actions import NUM_DISCRETE_ACTIONS, chosen_action
from dreamdrive.errors import CheckpointError, ConfigError, MissingExtraError
from dreamdrive.seeding import numpy_generator

if TYPE_CHECKING:
    from dreamdrive.agents.policy import Observation, Policy
    from dreamdrive.envs.carla.drivers import Driver
    from dreamdrive.envs.carla.env import CarlaDriveEnv
    from dreamdrive.planners.policy import PlannerConfig, PlannerPolicy

POSSIBLE = (
    "Possible are: standing, random, straight, expert, driver:NAME, planner, planner:WHICH "
    "(a world model or a policy; the shipped agent by default), a trained policy's folder or a "
    "shipped one's name, a Stable-Baselines3 .zip, leaderboard:AGENT.py[:CONFIG] (an agent of "
    "CARLA's leaderboard), basic-agent[:FOLDER] or behavior-agent[:STYLE][:FOLDER] (CARLA's own, "
    "of CARLA_ROOT or a folder), or module:factory; NAME= before it gives it a name, and "
    "NAME#0=, NAME#1=, … are runs of one."
)
NAMED = re.compile(r"([A-Za-z0-9][A-Za-z0-9 ._+#-]*)=(.+)")
LEADERBOARD = "leaderboard"
"""What begins the spec of an agent of CARLA's leaderboard."""

CARLA_AGENTS = ("basic-agent", "behavior-agent")
"""What begins the specs of the agents that come with CARLA."""

BASELINES = {"PPO": "n_epochs", "SAC": "target_entropy", "DQN": "exploration_fraction"}
"""Algorithms of Stable-Baselines3 and what each one's archive has that the others' have not."""

PAGE = ".md"
"""Ending of the pages beside a checkpoint."""
UNFIT_FOR_FILES = re.compile(r"[^A-Za-z0-9._+-]+")


@runtime_checkable
class Privileged(Protocol):
    """A policy that may look at the whole environment; told once which, before its resets."""

    def attach(self, env: "CarlaDriveEnv") -> None:
        """Takes the environment that it will drive in."""


@runtime_checkable
class AtTheWheel(Privileged, Protocol):
    """A policy that controls each physics step of the environment that it is attached to."""

    def control(self, tick: int) -> Any:
        """Returns the `carla.VehicleControl` of a step; `act` came before the decision's first."""

    def close(self) -> None:
        """Ends the drive."""


class DriverPolicy:
    """A driver of the mixture, as a policy: it reads the environment, not the observation.

    Args:
        driver: Who drives.
        seed: Fixes its chance, together with the number of the episode.
    """

    def __init__(self, driver: "Driver", seed: int = 0) -> None:
        self._driver, self._seed, self._episode = driver, seed, 0
        self._env: CarlaDriveEnv | None = None

    def attach(self, env: "CarlaDriveEnv") -> None:
        """Takes the environment that the driver looks at."""
        self._env = env

    def reset(self) -> None:
        """Begins an episode."""
        self._episode += 1
        self._driver.reset(numpy_generator(self._seed, "driver", self._episode))

    def act(self, observation: "Observation") -> NDArray[np.float32]:
        """Returns the driver's action, shape (2,), whatever is in the observation."""
        assert self._env is not None, "attach() comes before the first drive"
        return self._driver.act(self._env)


class BaselinesPolicy:
    """The mode of a Stable-Baselines3 algorithm.

    Args:
        algorithm: A loaded algorithm, for example `PPO.load(path)`.
    """

    def __init__(self, algorithm: Any) -> None:
        self.algorithm = algorithm
        self._state: Any = None
        self._is_start = np.ones(1, bool)

    def reset(self) -> None:
        """Forgets the episode before."""
        self._state, self._is_start = None, np.ones(1, bool)

    def act(self, observation: "Observation") -> NDArray[np.float32]:
        """Returns the action (steer, acceleration), shape (2,), in [-1, 1].

        One that learned with discrete actions chooses from `DISCRETE_ACTIONS`.
        """
        action, self._state = self.algorithm.predict(
            observation, state=self._state, episode_start=self._is_start, deterministic=True
        )
        self._is_start = np.zeros(1, bool)
        if getattr(self.algorithm.action_space, "n", None) == NUM_DISCRETE_ACTIONS:
            return chosen_action(action)
        return np.asarray(action, np.float32)


@dataclass(frozen=True, slots=True)
class NamedPolicy:
    """What is evaluated: a display name, which is also a folder's name, and the policy's spec.

    `agent#0`, `agent#1`, … are training runs of one policy, `agent`, and are also scored together.
    """

    name: str
    spec: str

    @property
    def group(self) -> str:
        """The name without the number of the run."""
        return self.name.partition("#")[0].strip()


def parse_policy(text: str) -> NamedPolicy:
    """Returns name and spec of `SPEC` or `NAME=SPEC`; unnamed, a path goes by its last part."""
    match = NAMED.fullmatch(text)
    if match:
        return NamedPolicy(match[1].strip(), match[2])
    kind, _, rest = text.partition(":")
    if kind == LEADERBOARD and rest:
        name = "-".join(Path(part).stem for part in rest.split(":", 1))
    elif kind in CARLA_AGENTS:
        name = "-".join([kind, *(part for part in rest.split(":") if part and "/" not in part)])
    else:
        is_path = "/" in text or text.endswith(".zip")
        name = Path(text).name.removesuffix(".zip") if is_path else text
    return NamedPolicy(UNFIT_FOR_FILES.sub("-", name).strip("-.") or "policy", text)


def mounts_sensors(spec: str) -> bool:
    """Whether a policy may mount cameras, so that the server must be able to draw at once."""
    return parse_policy(spec).spec.startswith(f"{LEADERBOARD}:")


def make_policy(
    spec: str,
    *,
    seed: int = 0,
    device: str = "cpu",
    planner: Path | None = None,
    loaded: dict[str, Any] | None = None,
) -> "Policy":
    """Returns a fresh policy.

    Args:
        spec: Which, as `POSSIBLE` says.
        seed: Fixes its draws.
        device: Where its networks run.
        planner: JSON file of a `PlannerConfig`; the default configuration without it.
        loaded: Networks by file, which the caller keeps so that they are loaded once.

    Raises:
        ConfigError: If no policy of this spec exists.
        CheckpointError: If its files are missing, truncated or do not fit.
        MissingExtraError: If it needs a package that is not installed.
    """
    spec = parse_policy(spec).spec
    loaded = {} if loaded is None else loaded
    kind, _, rest = spec.partition(":")
    if spec in ("standing", "random", "straight"):
        from dreamdrive.agents import policy

        if spec == "random":
            return policy.RandomPolicy(seed)
        return policy.standing() if spec == "standing" else policy.straight()
    if spec == "expert" or (kind == "driver" and rest):
        from dreamdrive.envs.carla.drivers import make_driver

        return DriverPolicy(make_driver(rest or "expert"), seed)
    if kind == "planner":
        return _planner(rest, seed, device, planner, loaded)
    if kind == LEADERBOARD and rest:
        from dreamdrive.envs.carla.doors.foreign_agent import ForeignAgent, load_agent_class

        file, _, config = rest.partition(":")
        return ForeignAgent(load_agent_class(Path(file)), config)
    if kind in CARLA_AGENTS:
        from dreamdrive.envs.carla.doors.carla_agents import make_carla_agent

        return make_carla_agent(spec)
    if spec.endswith(".zip"):
        return BaselinesPolicy(_once(loaded, spec, lambda: load_baselines(Path(spec), device)))
    if is_policy(spec) or (spec and Path(spec).is_dir()):
        from dreamdrive.agents.artefact import DreamPolicy, load_policy

        return DreamPolicy(*_once(loaded, spec, lambda: load_policy(spec, device)), seed=seed)
    if rest and "/" not in spec:
        return _from_factory(kind, rest)
    raise ConfigError(f"There is no policy {spec!r}", do=POSSIBLE)


def fingerprint(spec: str, planner: Path | None = None) -> str:
    """Returns a digest that changes when a policy's files do, so that stale results are noticed.

    Pages for readers do not count: they change nothing that the policy does.
    """
    spec = parse_policy(spec).spec
    kind, _, rest = spec.partition(":")
    digest = hashlib.blake2b(spec.encode(), digest_size=8)
    name = _planned_with(rest) if kind == "planner" else spec
    sources = [Path(name)]
    if kind == LEADERBOARD:
        agent, _, config = rest.partition(":")
        sources = [*sorted(Path(agent).parent.glob("*.py")), *([Path(config)] if config else [])]
    if kind == "planner":
        digest.update(json.dumps(to_dict(_planner_config(name, planner))).encode())
    if is_policy(name):
        from dreamdrive.agents.artefact import find_policy, find_worldmodel

        sources = [find_policy(name), find_worldmodel(name)]
    elif kind == "planner":
        from dreamdrive.worldmodel.model import find_checkpoint

        sources = [find_checkpoint(name)]
    for source in sources:
        for file in [source, *sorted(source.rglob("*"))]:
            if file.is_file() and file.suffix != PAGE:
                digest.update(file.relative_to(source).as_posix().encode())
                digest.update(file.read_bytes())
    return digest.hexdigest()


def _once(loaded: dict[str, Any], key: str, load: Callable[[], Any]) -> Any:
    if key not in loaded:
        loaded[key] = load()
    return loaded[key]


def _planner(
    name: str, seed: int, device: str, file: Path | None, loaded: dict[str, Any]
) -> "PlannerPolicy":
    """Returns a planner; around a trained policy, whose critic can end the plans."""
    from dreamdrive.planners.policy import PlannerPolicy
    from dreamdrive.worldmodel.model import WorldModel

    name = _planned_with(name)
    config = _planner_config(name, file)
    if is_policy(name):
        from dreamdrive.agents.artefact import load_critic, load_policy

        actor, model = _once(loaded, name, lambda: load_policy(name, device))
        value = None
        if config.objective.weights.value > 0.0:
            critic = _once(loaded, f"critic:{name}", lambda: load_critic(name, model))
            value = critic.value
        return PlannerPolicy(
            model, config, seed=seed, base=lambda *seen: actor(*seen).mode, value=value
        )
    model = _once(loaded, f"worldmodel:{name}", lambda: WorldModel.from_pretrained(name, device))
    return PlannerPolicy(model, config, seed=seed)


def _planned_with(name: str) -> str:
    """Returns the policy or world model that a planner plans with: the shipped agent if none."""
    from dreamdrive.agents.artefact import DEFAULT

    return name or DEFAULT


def _planner_config(name: str, file: Path | None) -> "PlannerConfig":
    """Returns a file's configuration; else a narrow search around a policy, or a wide one."""
    from dreamdrive.config import load_json
    from dreamdrive.planners.mppi import MPPIConfig
    from dreamdrive.planners.policy import PlannerConfig
    from dreamdrive.planners.search import WIDE

    if file is not None:
        return load_json(PlannerConfig, file)
    return PlannerConfig() if is_policy(name) else PlannerConfig(mppi=MPPIConfig(search=WIDE))


def is_policy(name: str) -> bool:
    """Whether this is a trained policy's folder or a shipped one's name."""
    from dreamdrive.agents.artefact import KIND, find_policy

    try:
        header = json.loads((find_policy(name) / "config.json").read_text())
        return bool(header["class"] == KIND)
    except (CheckpointError, OSError, ValueError, KeyError, TypeError):
        return False


def load_baselines(path: Path, device: str) -> Any:
    """Returns a Stable-Baselines3 algorithm from its archive, which may run code when loaded.

    Raises:
        CheckpointError: If it is missing, or no archive of one of `BASELINES`.
        MissingExtraError: If Stable-Baselines3 is not installed.
    """
    if not path.is_file():
        raise CheckpointError("There is no such file", where=path)
    try:
        import stable_baselines3
    except ImportError as error:
        raise MissingExtraError("stable-baselines3", "sb3") from error
    try:
        with zipfile.ZipFile(path) as archive:
            fields = json.loads(archive.read("data"))
        kind = next((name for name, field in BASELINES.items() if field in fields), "")
        if not kind:
            raise CheckpointError(
                f"This is none of Stable-Baselines3's {', '.join(BASELINES)}", where=path,
                do="Give it as module:factory instead.",
            )  # fmt: skip
        return getattr(stable_baselines3, kind).load(path, device=device)
    except (zipfile.BadZipFile, KeyError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(
            f"This is no archive of Stable-Baselines3: {error}", where=path
        ) from error


def _from_factory(module: str, factory: str) -> "Policy":
    policy = made_by(module, factory)
    if not callable(getattr(policy, "reset", None)) or not callable(getattr(policy, "act", None)):
        raise ConfigError(
            f"{module}:{factory} made a {type(policy).__name__}, which has no reset() and act()",
            do="A policy has reset() and act(observation) -> action of shape (2,).",
        )
    return cast("Policy", policy)


def made_by(module: str, factory: str) -> Any:
    """Returns what a function of somebody's module makes, the working folder being on the path.

    Raises:
        ConfigError: If there is no such module or function, or it wants arguments.
    """
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        make = getattr(importlib.import_module(module), factory)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"There is no policy {module}:{factory}: {error}", do=POSSIBLE) from error
    try:
        return make()
    except TypeError as error:
        raise ConfigError(
            f"{module}:{factory} cannot be called without arguments: {error}",
            do="Give a function without arguments that returns a policy.",
        ) from error
