"""Policies for any Gymnasium environment: by chance, trained in a dream, or anybody's own."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from dreamdrive.envs.spaces import driving_action_space, driving_observation_space
from dreamdrive.errors import CheckpointError, ConfigError
from dreamdrive.experiments.policies import is_policy, load_baselines, made_by, make_policy
from dreamdrive.worldmodel.interface import Interface

POSSIBLE = (
    "Possible are: random, held (random actions, each held for some steps), a trained policy's "
    "folder or a shipped one's name, standing and straight where actions are steer and pedal, a "
    "Stable-Baselines3 .zip, or module:factory; NAME= before it gives it a name."
)
LONGEST_HOLD = 12
"""Decisions for which `held` repeats an action at most."""


class Seen(NamedTuple):
    """One frame of an environment, as it is and as a world model reads it.

    Attributes:
        observation: The environment's own.
        image: uint8 (S, S, 3).
        vector: float32 (K,).
    """

    observation: Any
    image: NDArray[np.uint8]
    vector: NDArray[np.float32]


class EnvPolicy(Protocol):
    """Chooses actions of an environment."""

    def reset(self, rng: np.random.Generator) -> None:
        """Begins an episode, with the chance that it may use."""

    def act(self, seen: Seen) -> Any:
        """Returns an action of the environment."""


class RandomActions:
    """Draws from the action space, each draw held for up to `longest` decisions.

    Evenly drawn actions that change with every step hardly move what has inertia; held ones do.
    """

    def __init__(self, space: gym.Space[Any], longest: int) -> None:
        self._space, self._longest = space, longest

    def reset(self, rng: np.random.Generator) -> None:
        """Begins an episode."""
        self._rng, self._left = rng, 0
        self._space.seed(int(rng.integers(2**31)))

    def act(self, seen: Seen) -> Any:
        """Returns the action that is held, or a new one."""
        if self._left == 0:
            self._action = self._space.sample()
            self._left = int(self._rng.integers(1, self._longest + 1))
        self._left -= 1
        return self._action


class Interrupted:
    """Another policy, whose place a random action takes now and then for up to `LONGEST_HOLD`.

    What it does to come back is what a world model would not see otherwise.

    Args:
        policy: The other one.
        space: The action space.
        chance: Of an interruption at a decision at which there is none.
    """

    def __init__(self, policy: EnvPolicy, space: gym.Space[Any], chance: float) -> None:
        self._policy, self._space, self._chance = policy, space, chance

    def reset(self, rng: np.random.Generator) -> None:
        """Begins an episode."""
        self._policy.reset(rng)
        self._space.seed(int(rng.integers(2**31)))
        self._rng, self._left = rng, 0

    def act(self, seen: Seen) -> Any:
        """Returns the policy's action, or the random one."""
        chosen = self._policy.act(seen)
        if self._left == 0 and self._rng.random() < self._chance:
            self._left = int(self._rng.integers(1, LONGEST_HOLD + 1))
            self._held = self._space.sample()
        if self._left == 0:
            return chosen
        self._left -= 1
        return self._held


class TrainedPolicy:
    """An actor that was trained in a dream of the environment.

    Args:
        folder: What `dreamdrive train agent` wrote.
        interface: Of the environment that it acts in.
        image_size: Height and width of the pictures that it will see.
        explores: Draw actions instead of taking the mode.

    Raises:
        CheckpointError: If it is missing or damaged.
        ConfigError: If it was trained for other spaces, pictures of another size, or actions that
            are held for longer or shorter.
    """

    def __init__(
        self, folder: str | Path, interface: Interface, *, image_size: int, explores: bool = False
    ) -> None:
        from dreamdrive.agents.artefact import load_policy

        self._parts, self._explores = load_policy(folder), explores
        self._interface = interface
        config = self._parts[1].config
        learned = config.interface
        if learned is None or not same_spaces(learned, interface):
            whose = "CarlaDrive-v0" if learned is None else learned.env_id
            raise ConfigError(
                f"This policy was trained in a dream of {whose}, whose spaces differ from those "
                f"of {interface.env_id}", where=folder,
                do="Give one that was trained on episodes of this environment.",
            )  # fmt: skip
        if learned.action_repeat != interface.action_repeat:
            raise ConfigError(
                f"This policy learned with --action-repeat {learned.action_repeat}, and here it is "
                f"{interface.action_repeat}", where=folder,
                do=f"Give --action-repeat {learned.action_repeat}.",
            )  # fmt: skip
        if config.image_size != image_size:
            raise ConfigError(
                f"This policy learned from pictures of {config.image_size} pixels, and here they "
                f"have {image_size}", where=folder, do=f"Give --image-size {config.image_size}.",
            )  # fmt: skip

    def reset(self, rng: np.random.Generator) -> None:
        """Begins an episode."""
        from dreamdrive.agents.artefact import DreamPolicy

        seed = int(rng.integers(2**31))
        self._policy = DreamPolicy(*self._parts, deterministic=not self._explores, seed=seed)
        self._policy.reset()

    def act(self, seen: Seen) -> Any:
        """Returns the action that the actor chooses."""
        unit = self._policy.act({"image": seen.image, "state": seen.vector})
        return self._interface.from_unit(unit[None])[0]


class DrivingPolicy:
    """A policy of `CarlaDrive-v0` in another environment with its spaces.

    Args:
        make: Returns a fresh one for a seed.
    """

    def __init__(self, make: Callable[[int], Any]) -> None:
        self._make = make

    def reset(self, rng: np.random.Generator) -> None:
        """Begins an episode."""
        self._policy = self._make(int(rng.integers(2**31)))
        self._policy.reset()

    def act(self, seen: Seen) -> Any:
        """Returns the action (steer, acceleration) for the observation as it is."""
        return self._policy.act(seen.observation)


def is_driving(interface: Interface) -> bool:
    """Returns whether an environment has the spaces of `CarlaDrive-v0`."""
    observed, acted = driving_observation_space(), driving_action_space()
    image = interface.image
    return (
        image is not None and (image.name, image.shape) == ("image", observed["image"].shape)
        and [(part.name, part.shape) for part in interface.vectors]
        == [("state", observed["state"].shape)]
        and (interface.action, interface.action_shape) == ("box", acted.shape)
        and (set(interface.action_low), set(interface.action_high)) == ({-1.0}, {1.0})
    )  # fmt: skip


class OwnPolicy:
    """Anything with `reset()` and `act(observation)`, or `predict(observation)`."""

    def __init__(self, policy: Any) -> None:
        self._policy = policy

    def reset(self, rng: np.random.Generator) -> None:
        """Begins an episode."""
        if callable(getattr(self._policy, "reset", None)):
            self._policy.reset()

    def act(self, seen: Seen) -> Any:
        """Returns what it chooses for the observation."""
        if callable(getattr(self._policy, "act", None)):
            return self._policy.act(seen.observation)
        return self._policy.predict(seen.observation, deterministic=True)[0]


def same_spaces(one: Interface, other: Interface) -> bool:
    """Returns whether what was learned through one interface can be used through another."""

    def shape(interface: Interface) -> tuple[Any, ...]:
        return (
            interface.image, [(part.name, part.shape) for part in interface.vectors],
            interface.pictures, interface.action, interface.action_shape, interface.action_low,
            interface.action_high, interface.num_actions, interface.first_action,
        )  # fmt: skip

    return shape(one) == shape(other)


def parse_name(text: str) -> tuple[str, str]:
    """Returns name and policy of `NAME=POLICY`, or the policy twice."""
    name, equals, spec = text.partition("=")
    if not equals:
        name = spec = text
    return name.strip("/").replace("/", "-"), spec


def make_env_policy(
    spec: str,
    space: gym.Space[Any],
    interface: Interface,
    *,
    image_size: int,
    explores: bool = False,
) -> EnvPolicy:
    """Returns a policy by its name.

    Args:
        spec: One of `POSSIBLE`, without a name before it.
        space: The action space of the environment.
        interface: Of the environment.
        image_size: Height and width of the pictures that it will see.
        explores: Whether a trained policy draws its actions.

    Raises:
        CheckpointError: If a file is missing or damaged.
        ConfigError: If there is no such policy, or it does not fit the environment.
    """
    if spec == "random":
        return RandomActions(space, 1)
    if spec == "held":
        return RandomActions(space, LONGEST_HOLD)
    if spec.endswith(".zip"):
        return OwnPolicy(load_baselines(Path(spec), "cpu"))
    if spec in ("standing", "straight") and is_driving(interface):
        return DrivingPolicy(lambda seed: make_policy(spec, seed=seed))
    if is_policy(spec) and is_driving(interface) and _is_of_carla(spec):
        loaded: dict[str, Any] = {}
        return DrivingPolicy(lambda seed: make_policy(spec, seed=seed, loaded=loaded))
    if is_policy(spec):
        return TrainedPolicy(spec, interface, image_size=image_size, explores=explores)
    module, _, factory = spec.partition(":")
    if factory and "/" not in module:
        return OwnPolicy(_acting(module, factory))
    if "/" in spec:
        raise CheckpointError("There is no trained policy here", where=spec, do=POSSIBLE)
    raise ConfigError(f"There is no policy {spec!r}", do=POSSIBLE)


def _is_of_carla(spec: str) -> bool:
    """Returns whether a trained policy is of `CarlaDrive-v0`, of which none names an interface."""
    from dreamdrive.agents.artefact import find_worldmodel
    from dreamdrive.worldmodel.model import WorldModel

    return WorldModel.from_pretrained(find_worldmodel(spec)).config.interface is None


def _acting(module: str, factory: str) -> Any:
    made = made_by(module, factory)
    if not any(callable(getattr(made, name, None)) for name in ("act", "predict")):
        raise ConfigError(
            f"{module}:{factory} made a {type(made).__name__}, which has no act() or predict()",
            do="A policy has act(observation) -> action, and reset() if it remembers anything.",
        )
    return made


def parse_options(text: str) -> dict[str, Any]:
    """Returns the keyword arguments of an environment from JSON.

    Raises:
        ConfigError: If it is no JSON object.
    """
    try:
        options = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(
            f"These are no options of an environment: {error}", where=text,
            do="""Give a JSON object, such as '{"continuous": false}'.""",
        ) from error  # fmt: skip
    if not isinstance(options, Mapping):
        raise ConfigError(
            "Options of an environment are a JSON object", where=text,
            do="""Such as '{"continuous": false}'.""",
        )  # fmt: skip
    return dict(options)
