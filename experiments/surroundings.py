"""The surroundings of episodes, from the facts that were recorded with them."""

from typing import Literal

import torch
from torch import Tensor

from dreamdrive.errors import EpisodeError
from dreamdrive.worldmodel.episodes import EpisodeStore
from dreamdrive.worldmodel.surroundings import surroundings_vector

Surrounding = Literal["town", "weather"]


def surrounding_names(store: EpisodeStore, kinds: tuple[Surrounding, ...]) -> tuple[str, ...]:
    """Returns what the episodes' surroundings are, as `kind=value`, in order.

    Raises:
        EpisodeError: If no episode tells a kind that is asked for.
    """
    names: set[str] = set()
    for kind in kinds:
        found = {store[i].meta[kind] for i in range(len(store)) if kind in store[i].meta}
        if not found:
            raise EpisodeError(
                f"No episode tells its {kind}", where=store.folders[0],
                do=f"Leave {kind} out of --surroundings, or collect the episodes again.",
            )  # fmt: skip
        names |= {f"{kind}={value}" for value in found}
    return tuple(sorted(names))


def surroundings_of(store: EpisodeStore, names: tuple[str, ...]) -> Tensor:
    """Returns the surroundings of each episode, shape (E, X); NaN where it tells nothing known."""
    kinds = {name.split("=", 1)[0] for name in names}
    rows = []
    for index in range(len(store)):
        meta = store[index].meta
        facts = {k: meta[k] for k in kinds if f"{k}={meta.get(k)}" in names}
        rows.append(surroundings_vector(facts or None, names))
    return torch.stack(rows)
