"""Where dreams begin: a bank of encoded start contexts, or a clip that a caller gives."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from dreamdrive.envs.dream.contexts import Contexts
from dreamdrive.envs.dream.noise import NoiseStreams
from dreamdrive.errors import CheckpointError, ConfigError
from dreamdrive.worldmodel.model import WorldModel
from dreamdrive.worldmodel.state import RolloutState


class Start(NamedTuple):
    """Rows of the model's state, and the frames that they stand at."""

    state: RolloutState
    image_BHWC: Tensor

    def select(self, index: Tensor) -> "Start":
        """Returns copies of some rows."""
        return Start(self.state.select(index), self.image_BHWC[index])


class Starts:
    """Picks starts; the contexts are read and encoded when the first one is needed.

    Args:
        model: Encodes the clips.
        contexts: The contexts, the folder that holds them, or None.
    """

    def __init__(self, model: WorldModel, contexts: str | Path | Contexts | None) -> None:
        self._model, self._contexts = model, contexts
        self._bank: Start | None = None

    def pick(self, noise: NoiseStreams, options: Mapping[str, Any]) -> tuple[Tensor, Start, Tensor]:
        """Returns numbers of starts (B,), -1 for a given clip, all starts, and rows of them (B,).

        Args:
            noise: Draws the number where `options` name none.
            options: As of the environment's `reset`.

        Raises:
            CheckpointError: If there are no start contexts and no clip is given.
            ConfigError: If an option does not fit.
        """
        num_envs, device = len(noise.seed_B), noise.seed_B.device
        if sum(("context" in options, "clip" in options, "image" in options)) > 1:
            raise ConfigError("Give one of context, clip, and image with state")
        if "state" in options and "image" not in options:
            raise ConfigError("A single frame needs an image beside its state")
        if "clip" in options or "image" in options:
            clip = self._clip(options)
            index_B = torch.zeros(num_envs, dtype=torch.long, device=device)
            return index_B - 1, self._encoded(clip), index_B
        bank = self.bank()
        count = len(bank.image_BHWC)
        if "context" not in options:
            index_B = noise.integers(count)
        else:
            number = np.asarray(options["context"])
            if (
                not np.issubdtype(number.dtype, np.integer)
                or number.shape not in ((), (num_envs,))
                or number.min() < 0
                or number.max() >= count
            ):
                raise ConfigError(
                    f"There is no start context {options['context']!r}",
                    do=f"Give a number from 0 to {count - 1}, or one for each environment.",
                )
            index_B = torch.from_numpy(np.broadcast_to(number, num_envs).copy()).long().to(device)
        return index_B, bank, index_B

    def bank(self) -> Start:
        """Returns all start contexts, encoded once.

        Raises:
            CheckpointError: If there are none, or they are damaged.
        """
        if self._bank is None:
            contexts = self._contexts
            if contexts is None:
                raise CheckpointError(
                    "This world model has no start contexts",
                    do="Give contexts= to the environment, or an image and a state to reset().",
                )
            if not isinstance(contexts, Contexts):
                contexts = Contexts.load(Path(contexts))
            self._bank = self._encoded(contexts)
        return self._bank

    def _encoded(self, contexts: Contexts) -> Start:
        last = torch.from_numpy(contexts.image[:, -1].copy()).to(self._model.device)
        return Start(contexts.encode(self._model), last)

    def _clip(self, options: Mapping[str, Any]) -> Contexts:
        """Returns the one clip that the options hold."""
        if "image" in options:
            if "state" not in options:
                raise ConfigError("A single frame needs a state beside its image")
            clip: Any = {name: np.asarray(options[name])[None] for name in ("image", "state")}
        else:
            clip = options["clip"]
        sizes = self._model.config.vector_size, self._model.config.action_size
        try:
            image, state = np.asarray(clip["image"]), np.asarray(clip["state"], np.float32)
            action = np.asarray(clip.get("action", np.zeros((1, sizes[1]))), np.float32)
            if len(image) > 1 and "action" not in clip:
                raise KeyError("action")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ConfigError(
                f"The clip cannot be read: {error!r}",
                do=f"Give a mapping with image (T, H, W, 3), state (T, {sizes[0]}) and action "
                f"(T, {sizes[1]}).",
            ) from error
        if state.ndim != 2 or state.shape[1] != sizes[0]:
            raise ConfigError(f"The clip's state has shape {state.shape}, not (T, {sizes[0]})")
        return Contexts(image=image[None], vector=state[None], action=action[None])
