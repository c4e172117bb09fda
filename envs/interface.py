"""Reads a Gymnasium environment's spaces into an `Interface`, and makes them from it again."""

import inspect
import math
from collections.abc import Mapping
from typing import Any, Literal

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from dreamdrive.envs.repeat import RepeatedAction
from dreamdrive.errors import ConfigError
from dreamdrive.worldmodel.interface import WHOLE, ImagePart, Interface, VectorPart

Pictures = Literal["auto", "observation", "render", "none"]
LARGEST = float(np.finfo(np.float32).max)
SMALLEST_IMAGE = 8
"""Least height and width of a uint8 box that is taken for a picture."""


def make_env(env_id: str, options: Mapping[str, Any], *, render: bool) -> gym.Env[Any, Any]:
    """Returns an environment by its id.

    Args:
        env_id: What `gymnasium.make` takes, `module:id` included.
        options: Keyword arguments.
        render: Whether `render()` shall return pictures.

    Raises:
        ConfigError: If it is not registered, lacks a package, or refuses the options.
    """
    more: dict[str, Any] = {"render_mode": "rgb_array"} if render else {}
    try:
        return gym.make(env_id, **options, **more)
    except (gym.error.Error, ImportError, TypeError, ValueError) as error:
        text = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise ConfigError(
            f"The environment cannot be made: {text.rstrip('.')}", where=env_id,
            do="Check the id (module:id imports a module first), its packages and --env-options.",
        ) from error  # fmt: skip


def can_render(env_id: str) -> bool:
    """Returns whether an environment says that it renders `rgb_array`."""
    try:
        spec = gym.spec(env_id)
        point = spec.entry_point
        made = gym.envs.registration.load_env_creator(point) if isinstance(point, str) else point
    except (gym.error.Error, ImportError, AttributeError):
        return False
    metadata: Mapping[str, Any] = getattr(made, "metadata", {}) if inspect.isclass(made) else {}
    return "rgb_array" in metadata.get("render_modes", ())


def open_env(
    env_id: str,
    options: Mapping[str, Any],
    pictures: Pictures = "auto",
    action_repeat: int = 1,
) -> tuple[gym.Env[Any, Any], Interface]:
    """Returns an environment that gives the pictures that its interface names.

    Args:
        env_id: What `gymnasium.make` takes.
        options: Keyword arguments of the environment.
        pictures: Where the model's pictures come from: the observation, `render()`, nowhere, or
            the first of these that there is.
        action_repeat: Steps of the environment for which each action is held.

    Raises:
        ConfigError: If it cannot be made, or if a space is none that a world model can learn.
    """
    render = pictures == "render" or (pictures == "auto" and can_render(env_id))
    env = make_env(env_id, options, render=render)
    interface = read_interface(env, env_id, options, pictures, action_repeat)
    if render and interface.pictures == "observation":
        # Drawing twice would only cost time.
        env.close()
        env = make_env(env_id, options, render=False)
    return (env if action_repeat == 1 else RepeatedAction(env, action_repeat)), interface


def read_interface(
    env: gym.Env[Any, Any],
    env_id: str,
    options: Mapping[str, Any],
    pictures: Pictures = "auto",
    action_repeat: int = 1,
) -> Interface:
    """Returns the interface of an environment whose actions are held for some of its steps.

    Raises:
        ConfigError: If a space is none that a world model can learn.
    """
    image, vectors = _observation_parts(env.observation_space, env_id)
    found: Literal["observation", "render", "none"] = "none"
    if image is not None:
        found = "observation"
    elif env.render_mode == "rgb_array":
        found = "render"
    if pictures == "observation" and image is None:
        raise ConfigError("The observation has no picture", where=env_id, do="Use --pictures auto.")
    if pictures in ("render", "none") and image is not None:
        raise ConfigError(
            "Pictures come from the observation where it has one", where=env_id,
            do="Use --pictures auto.",
        )  # fmt: skip
    limit = None if env.spec is None else env.spec.max_episode_steps
    return Interface(
        env_id=env_id, env_options=dict(options), image=image, vectors=vectors, pictures=found,
        action_repeat=action_repeat,
        max_steps=None if limit is None else math.ceil(limit / action_repeat),
        **_action_fields(env.action_space, env_id),
    )  # fmt: skip


def _observation_parts(
    space: gym.Space[Any], env_id: str
) -> tuple[ImagePart | None, tuple[VectorPart, ...]]:
    named = dict(space.spaces) if isinstance(space, gym.spaces.Dict) else {WHOLE: space}
    image: ImagePart | None = None
    vectors = []
    for name, part in named.items():
        if not isinstance(part, gym.spaces.Box):
            raise ConfigError(
                f"The observation{f' {name!r}' if name else ''} is a {type(part).__name__}",
                where=env_id,
                do="A world model learns boxes and dictionaries of boxes: wrap the environment "
                "with gymnasium.wrappers.FlattenObservation, and register the result.",
            )
        if not _is_image(part):
            vectors.append(
                VectorPart(
                    name=name, shape=tuple(part.shape), low=_bounds(part.low),
                    high=_bounds(part.high), dtype=str(part.dtype),
                )
            )  # fmt: skip
        elif image is None:
            image = ImagePart(name=name, shape=tuple(part.shape))
        else:
            raise ConfigError(
                f"The observation has two pictures, {image.name!r} and {name!r}", where=env_id,
                do="Keep one of them with a wrapper.",
            )  # fmt: skip
    return image, tuple(vectors)


def _is_image(box: gym.spaces.Box) -> bool:
    shape = box.shape
    if box.dtype != np.uint8 or len(shape) not in (2, 3) or min(shape[:2]) < SMALLEST_IMAGE:
        return False
    return len(shape) == 2 or shape[2] in (1, 3)


def _bounds(values: NDArray[Any]) -> tuple[float, ...]:
    finite = np.clip(np.asarray(values, np.float64).ravel(), -LARGEST, LARGEST)
    return tuple(float(value) for value in finite)


def _action_fields(space: gym.Space[Any], env_id: str) -> dict[str, Any]:
    if isinstance(space, gym.spaces.Discrete):
        return {
            "action": "discrete", "num_actions": int(space.n), "first_action": int(space.start),
        }  # fmt: skip
    if not isinstance(space, gym.spaces.Box):
        raise ConfigError(
            f"Actions are a {type(space).__name__}", where=env_id,
            do="A world model learns boxes and discrete actions: wrap the environment.",
        )  # fmt: skip
    if not space.is_bounded():
        raise ConfigError(
            "The actions have no bounds", where=env_id,
            do="Bound them with gymnasium.wrappers.RescaleAction or a wrapper of your own.",
        )  # fmt: skip
    return {
        "action": "box", "action_shape": tuple(space.shape), "action_low": _bounds(space.low),
        "action_high": _bounds(space.high), "action_dtype": str(space.dtype),
    }  # fmt: skip


def observation_space(interface: Interface) -> gym.Space[Any]:
    """Returns the environment's own observation space."""
    parts: dict[str, gym.Space[Any]] = {}
    if interface.image is not None:
        parts[interface.image.name] = gym.spaces.Box(0, 255, interface.image.shape, np.uint8)
    for part in interface.vectors:
        low, high = (
            _unbounded(np.array(x), part.dtype).reshape(part.shape) for x in (part.low, part.high)
        )
        parts[part.name] = gym.spaces.Box(low, high, dtype=np.dtype(part.dtype).type)
    return parts[WHOLE] if WHOLE in parts else gym.spaces.Dict(parts)


def _unbounded(values: NDArray[np.float64], dtype: str) -> NDArray[Any]:
    if np.issubdtype(np.dtype(dtype), np.floating):
        values = np.where(np.abs(values) >= LARGEST, np.copysign(np.inf, values), values)
    return values.astype(dtype)


def action_space(interface: Interface) -> gym.Space[Any]:
    """Returns the environment's own action space."""
    if interface.action == "discrete":
        return gym.spaces.Discrete(interface.num_actions, start=interface.first_action)
    low, high = (
        np.array(x).astype(interface.action_dtype).reshape(interface.action_shape)
        for x in (interface.action_low, interface.action_high)
    )
    return gym.spaces.Box(low, high, dtype=np.dtype(interface.action_dtype).type)
