"""Finds scorers by their names; those of others as `module:attribute`."""

import importlib

from dreamdrive.errors import ConfigError
from dreamdrive.experiments.scorers.scorer import Scorer

DEFAULT = "leaderboard-2.1"
MODULES: dict[str, str] = {
    "leaderboard-1.0": "leaderboard_1_0",
    "leaderboard-2.0": "leaderboard_2_0",
    "leaderboard-2.1": "leaderboard_2_1",
    "leaderboard-2.1-min-speed": "leaderboard_2_1_min_speed",
    "bench2drive-0.0.3": "bench2drive_0_0_3",
    "bench2drive-corrected": "bench2drive_corrected",
    "bench2drive-abilities-0.0.3": "bench2drive_abilities",
    "nuplan-comfort": "nuplan_comfort",
    "pdms-style-1": "pdms_style_1",
}
"""Module below `dreamdrive.experiments.scorers` of each scorer; its `SCORER` is the scorer."""


def find_scorer(name: str) -> Scorer:
    """Returns a scorer: one of `MODULES`, or `module:attribute` of a module that can be imported.

    Raises:
        ConfigError: If there is none of that name.
    """
    module, colon, attribute = name.partition(":")
    if not colon and name not in MODULES:
        raise ConfigError(
            f"There is no scorer {name!r}", where="scorers",
            do=f"Known: {', '.join(MODULES)}; or one of your own, as module:attribute.",
        )  # fmt: skip
    if not colon:
        module, attribute = f"dreamdrive.experiments.scorers.{MODULES[name]}", "SCORER"
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"There is no scorer {name!r}: {error}", where="scorers",
            do="Give module:attribute of a module on PYTHONPATH.",
        ) from error  # fmt: skip
    if not isinstance(found, Scorer):
        raise ConfigError(f"{name!r} is no Scorer but {type(found).__name__}", where="scorers")
    return found


def find_scorers(names: tuple[str, ...]) -> list[Scorer]:
    """Returns scorers by their names.

    Raises:
        ConfigError: If there are none, one is unknown, or two have one name.
    """
    found = [find_scorer(name) for name in names]
    if not found:
        raise ConfigError("No scorer was given", where="scorers", do=f"The default is {DEFAULT}.")
    labels = [scorer.name for scorer in found]
    for label in labels:
        if labels.count(label) > 1:
            raise ConfigError(f"Two scorers are called {label!r}", where="scorers")
    return found
