"""What the heads tell of a decision beside reward and termination, taken from episodes."""

from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from dreamdrive.driving.motion import MOTION, motion_of_states
from dreamdrive.errors import EpisodeError
from dreamdrive.worldmodel.episodes import Episode, EpisodeStore
from dreamdrive.worldmodel.model import WorldModel

Quantity = Literal["motion", "costs"]
COST_PREFIX = "cost_"


def quantity_names(store: EpisodeStore, kinds: tuple[Quantity, ...]) -> tuple[str, ...]:
    """Returns the names of the quantities of some kinds, as the first episode has them."""
    names: list[str] = []
    if "motion" in kinds:
        names += MOTION
    if "costs" in kinds:
        names += [COST_PREFIX + name for name in store[0].meta["costs"]]
    return tuple(names)


def quantities_of(store: EpisodeStore, names: tuple[str, ...]) -> Tensor:
    """Returns the quantities of all frames of a store, those of a decision at its outcome.

    Rows are those of `FrameTable.load`; what led to a first frame is zero. An episode of driving
    that does not hold the ego's motion gets what its states tell of it.

    Raises:
        EpisodeError: If an episode has not one of them.
    """
    rows = []
    for index in range(len(store)):
        episode = store[index]
        try:
            told = np.stack([_column(episode, name) for name in names], 1)
        except KeyError as error:
            raise EpisodeError(
                f"This episode does not tell {error.args[0]!r}", where=store.paths[index],
                do="Leave that out of --quantities, or collect the episodes again.",
            ) from error  # fmt: skip
        rows.append(np.concatenate([np.zeros_like(told[:1]), told]))
    return torch.from_numpy(np.concatenate(rows))


def _column(episode: Episode, name: str) -> np.ndarray:
    if name in MOTION:
        motion = episode.motion
        if motion is None:
            if "interface" in episode.meta:
                raise KeyError(name)
            motion = motion_of_states(episode.state)
        column: np.ndarray = motion[:, MOTION.index(name)]
        return column
    costs = episode.meta["costs"]
    if name.removeprefix(COST_PREFIX) not in costs:
        raise KeyError(name)
    column = episode.cost[:, costs.index(name.removeprefix(COST_PREFIX))]
    return column


def telling(model: WorldModel, names: tuple[str, ...], quantity_NQ: Tensor) -> WorldModel:
    """Returns the model with a new head for quantities, fitted to their spread; all else is kept.

    A model that tells the same ones already is returned as it is.
    """
    if model.config.quantities == names:
        return model
    made = WorldModel(replace(model.config, quantities=names))
    kept = {k: v for k, v in model.state_dict().items() if not k.startswith("heads.quantities.")}
    made.load_state_dict(made.state_dict() | kept)
    assert made.heads.quantities is not None
    made.heads.quantities.fit(quantity_NQ)
    return made.to(model.device).train(model.training)
