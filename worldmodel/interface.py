"""What a world model's arrays mean in the environment that it was learned from.

A world model reads a square RGB picture, a flat vector and an action in [-1, 1]^A. An `Interface`
says how the observations and actions of one environment become these, and how they are made again
from them, so that a dream has that environment's own spaces. It is plain data, kept in episodes and
checkpoints.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dreamdrive.errors import ActionError, ConfigError

BLANK = "blank"
"""Name of the one vector entry, always 0, of an environment that has none."""
TERMINATED = "terminated"
"""Name of the one cause of termination of an environment that names none."""
WHOLE = ""
"""Name of a part that is the whole observation."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VectorPart:
    """A part of the observation that goes into the vector, flattened."""

    name: str
    """Its key in the observation, or `WHOLE`."""
    shape: tuple[int, ...]
    low: tuple[float, ...]
    """Bounds of its entries; the largest float32 stands for none."""
    high: tuple[float, ...]
    dtype: str = "float32"

    @property
    def size(self) -> int:
        """Number of its entries."""
        return math.prod(self.shape)


@dataclass(frozen=True, kw_only=True, slots=True)
class ImagePart:
    """The part of the observation that is a picture."""

    name: str
    """Its key in the observation, or `WHOLE`."""
    shape: tuple[int, ...]
    """(H, W), (H, W, 1) or (H, W, 3)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Interface:
    """The spaces of an environment, and how its data becomes a world model's."""

    env_id: str
    """What `gymnasium.make` takes."""
    env_options: dict[str, Any] = field(default_factory=dict)
    """Keyword arguments of `gymnasium.make`."""
    image: ImagePart | None = None
    vectors: tuple[VectorPart, ...] = ()
    pictures: Literal["observation", "render", "none"] = "none"
    """Where the model's picture comes from; black where there is none."""
    action: Literal["box", "discrete"] = "box"
    action_shape: tuple[int, ...] = ()
    action_low: tuple[float, ...] = ()
    action_high: tuple[float, ...] = ()
    action_dtype: str = "float32"
    first_action: int = 0
    """Smallest action, where actions are discrete."""
    num_actions: int = 0
    """Number of actions, where they are discrete."""
    action_repeat: int = 1
    """Steps of the environment for which an action is held."""
    max_steps: int | None = None
    """Decisions until the environment's own time limit."""

    def __post_init__(self) -> None:
        """Checks that the parts fit each other.

        Raises:
            ConfigError: If they do not.
        """
        for part in self.vectors:
            if not len(part.low) == len(part.high) == part.size:
                raise ConfigError(f"The bounds of {part.name!r} do not fit its shape {part.shape}")
        if self.image is None and not self.vectors:
            raise ConfigError("An observation needs an image or a vector")
        if (self.image is not None) != (self.pictures == "observation"):
            raise ConfigError("Pictures come from the observation where it has an image")
        if self.action_repeat < 1:
            raise ConfigError("An action is held for one step or more")
        if self.action == "discrete" and self.num_actions < 1:
            raise ConfigError("There must be at least one action")
        size = math.prod(self.action_shape)
        if self.action == "box" and not len(self.action_low) == len(self.action_high) == size:
            raise ConfigError(f"The bounds do not fit the action's shape {self.action_shape}")

    @property
    def action_size(self) -> int:
        """Entries A of the model's action."""
        return self.num_actions if self.action == "discrete" else len(self.action_low)

    @property
    def vector_names(self) -> tuple[str, ...]:
        """Names of the entries of the model's vector."""
        names = [
            f"{part.name or 'observation'}_{i}" for part in self.vectors for i in range(part.size)
        ]
        return tuple(names) or (BLANK,)

    # --- observations ----------------------------------------------------------------------------

    def picture(self, observation: Any, rendered: Any, size: int) -> NDArray[np.uint8]:
        """Returns the model's picture of one frame, uint8 (size, size, 3).

        Args:
            observation: The environment's.
            rendered: What `render()` returned, where pictures come from there.
            size: Height and width.

        Raises:
            ConfigError: If the environment rendered no picture.
        """
        if self.pictures == "none":
            return np.zeros((size, size, 3), np.uint8)
        if self.image is not None:
            source = np.asarray(_part(observation, self.image.name), np.uint8)
        else:
            source = np.asarray(rendered)
            if source.dtype != np.uint8 or source.ndim != 3 or source.shape[2] != 3:
                raise ConfigError(
                    f"The environment rendered {source.dtype} {source.shape}, not RGB",
                    where=self.env_id, do="Collect with --pictures none.",
                )  # fmt: skip
        if source.ndim == 2 or source.shape[2] == 1:
            source = np.repeat(source.reshape(*source.shape[:2], 1), 3, 2)
        if source.shape[:2] == (size, size):
            return source
        small = Image.fromarray(source).resize((size, size), Image.Resampling.BOX)
        return np.array(small)

    def vector(self, observation: Any) -> NDArray[np.float32]:
        """Returns the model's vector of one frame, float32 (K,)."""
        if not self.vectors:
            return np.zeros(1, np.float32)
        parts = [np.asarray(_part(observation, p.name), np.float32).ravel() for p in self.vectors]
        return np.concatenate(parts)

    def observations(
        self, image_BHWC: NDArray[np.uint8], vector_BK: NDArray[np.float32]
    ) -> NDArray[Any] | dict[str, NDArray[Any]]:
        """Returns the environment's own observations of B frames that the model made.

        Vectors are clipped to the environment's bounds; pictures have its size and channels.
        """
        parts: dict[str, NDArray[Any]] = {}
        if self.image is not None:
            parts[self.image.name] = _own_images(image_BHWC, self.image.shape)
        first = 0
        for part in self.vectors:
            values = vector_BK[:, first : first + part.size]
            first += part.size
            bounded = np.clip(values, _array(part.low), _array(part.high))
            if np.issubdtype(np.dtype(part.dtype), np.integer):
                bounded = np.rint(bounded)
            parts[part.name] = bounded.astype(part.dtype).reshape(-1, *part.shape)
        return parts.get(WHOLE, parts)

    # --- actions ---------------------------------------------------------------------------------

    def to_unit(self, actions: Any, num_envs: int) -> NDArray[np.float32]:
        """Returns actions of the environment as the model's, float32 (B, A) in [-1, 1].

        A discrete action is 1 in its own entry and -1 elsewhere.

        Raises:
            ActionError: If an action has a wrong shape, is not finite or is out of bounds.
        """
        if self.action == "discrete":
            return self._discrete_to_unit(actions, num_envs)
        try:
            values = np.asarray(actions, np.float32)
        except (TypeError, ValueError) as error:
            raise ActionError(f"The action is no array of numbers: {actions!r}") from error
        shape = (num_envs, *self.action_shape)
        if values.shape != shape:
            raise ActionError(f"The action has shape {values.shape}, expected {shape}")
        if not np.isfinite(values).all():
            raise ActionError(
                f"The action is not finite: {values.tolist()}",
                do="Check the policy for a division by zero or a diverged network.",
            )
        low, high = _array(self.action_low), _array(self.action_high)
        unit = 2.0 * (values.reshape(num_envs, -1) - low) / (high - low) - 1.0
        if np.abs(unit).max(initial=0.0) > 1.0 + 1e-5:
            raise ActionError(
                f"The action lies outside its bounds: {values.tolist()}",
                do="Clip it to the action space.",
            )
        return np.clip(unit, -1.0, 1.0).astype(np.float32)

    def _discrete_to_unit(self, actions: Any, num_envs: int) -> NDArray[np.float32]:
        values = np.asarray(actions)
        if values.shape != (num_envs,) or not np.issubdtype(values.dtype, np.integer):
            raise ActionError(
                f"The actions are {values.dtype} {values.shape}, expected integers ({num_envs},)"
            )
        index = values - self.first_action
        if index.min() < 0 or index.max() >= self.num_actions:
            last = self.first_action + self.num_actions - 1
            raise ActionError(
                f"There is no action {values.tolist()}",
                do=f"Choose from {self.first_action} to {last}.",
            )
        unit: NDArray[np.float32] = np.where(
            np.arange(self.num_actions) == index[:, None], 1.0, -1.0
        ).astype(np.float32)
        return unit

    def from_unit(self, unit_BA: NDArray[np.float32]) -> NDArray[Any]:
        """Returns the environment's actions of the model's (B, A); the inverse of `to_unit`.

        Of a discrete action the largest entry counts.
        """
        if self.action == "discrete":
            return unit_BA.argmax(1) + self.first_action
        low, high = _array(self.action_low), _array(self.action_high)
        values = low + (np.clip(unit_BA, -1.0, 1.0) + 1.0) / 2.0 * (high - low)
        values = np.clip(values, low, high).astype(self.action_dtype)
        return values.reshape(-1, *self.action_shape)


def _array(values: tuple[float, ...]) -> NDArray[np.float32]:
    return np.array(values, np.float32)


def _part(observation: Any, name: str) -> Any:
    return observation if name == WHOLE else _mapping(observation)[name]


def _mapping(observation: Any) -> Mapping[str, Any]:
    if not isinstance(observation, Mapping):
        raise ConfigError(f"The observation is no mapping but {type(observation).__name__}")
    return observation


def _own_images(image_BHWC: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Returns pictures in an environment's own size and channels."""
    if image_BHWC.shape[1:3] != shape[:2]:
        wide = (shape[1], shape[0])
        image_BHWC = np.stack(
            [
                np.asarray(Image.fromarray(image).resize(wide, Image.Resampling.BILINEAR))
                for image in image_BHWC
            ]
        )
    if len(shape) == 3 and shape[2] == 3:
        return image_BHWC
    grey = image_BHWC.astype(np.float32).mean(-1).round().astype(np.uint8)
    return grey.reshape(-1, *shape)
