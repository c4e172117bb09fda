"""The scenarios that there are, by the leaderboard's own names."""

from collections.abc import Iterable

from dreamdrive.envs.carla.scenarios.specification import ScenarioSpec
from dreamdrive.errors import ConfigError

MODULES: dict[str, str] = {}
"""The module and class of each type."""


def known(specs: Iterable[ScenarioSpec], *, skip_unknown: bool = False) -> list[ScenarioSpec]:
    """Returns those whose type there is.

    Args:
        specs: Scenarios of a route.
        skip_unknown: Whether the others are left out; otherwise they are refused.

    Raises:
        ConfigError: If a type is not there and is not to be skipped.
    """
    found = []
    for spec in specs:
        if spec.type in MODULES:
            found.append(spec)
        elif not skip_unknown:
            raise ConfigError(
                f"There is no scenario type {spec.type!r}", where=spec.name,
                do="Leave such scenarios out with --skip-unknown-scenarios, which counts them. "
                f"Known: {', '.join(MODULES) or 'none'}.",
            )  # fmt: skip
    return found
