"""Whether recorded episodes are of the sizes, the names and the frame rate that a model reads."""

import math

from dreamdrive.errors import EpisodeError
from dreamdrive.worldmodel.episodes import EpisodeStore
from dreamdrive.worldmodel.model import WorldModelConfig

STEP = "step_s"
"""Fact of an episode: seconds between two frames. Older episodes do not tell it."""


def check_episodes(store: EpisodeStore, config: WorldModelConfig) -> None:
    """Refuses episodes that a model cannot read, before anything is computed from them.

    Raises:
        EpisodeError: If pictures, vectors or actions of one are of other sizes, or its frames
            follow each other at another rate.
    """
    size = config.image_size
    wanted = {
        "pictures": (size, size, 3), "states": (config.vector_size,),
        "actions": (config.action_size,),
    }  # fmt: skip
    for index, path in enumerate(store.paths):
        episode = store[index]
        found = {
            "pictures": episode.image.shape[1:], "states": episode.state.shape[1:],
            "actions": episode.action.shape[1:],
        }  # fmt: skip
        for name, shape in wanted.items():
            if found[name] != shape:
                raise EpisodeError(
                    f"Its {name} have the shape {found[name]}, the world model reads {shape}",
                    where=path, do="Give episodes of the environment that the model is of.",
                )  # fmt: skip
        step = episode.meta.get(STEP, config.step_s)
        if not math.isclose(step, config.step_s, rel_tol=1e-3):
            raise EpisodeError(
                f"Its frames are {step:g} s apart, those of the world model {config.step_s:g} s",
                where=path, do="Record at the model's rate, or leave frames out to get there.",
            )  # fmt: skip
