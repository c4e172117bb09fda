"""Which routes are driven: those of a seed, or those of a file, with their scenarios."""

import hashlib
import re
from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreamdrive.errors import ConfigError, RouteError

if TYPE_CHECKING:
    from dreamdrive.envs.carla.route_xml import RouteEntry
    from dreamdrive.envs.carla.routes import Route
    from dreamdrive.envs.carla.scenarios.specification import ScenarioSpec

FIT_FOR_FILES = re.compile(r"[A-Za-z0-9._+-]+")


@dataclass(frozen=True, kw_only=True)
class RouteChoice:
    """The routes of a file in the leaderboard's XML.

    Attributes:
        path: The file.
        triggers: JSON file of the leaderboard 1.0 with the triggers of its scenarios.
        subset: Ids of the routes that are driven, as in `0-4,7`; all if empty.
        skip_unknown: Whether scenarios of an unknown type are left out instead of refused.
    """

    path: Path
    triggers: Path | None = None
    subset: str = ""
    skip_unknown: bool = False

    @cached_property
    def digest(self) -> str:
        """A short name of what the files hold and how they are read."""
        text = hashlib.blake2b(self.path.read_bytes(), digest_size=6)
        if self.triggers is not None:
            text.update(self.triggers.read_bytes())
        return text.hexdigest() + ("-known" if self.skip_unknown else "")

    @cached_property
    def entries(self) -> "list[RouteEntry]":
        """The chosen routes, in the order of the file.

        Raises:
            RouteError: If the file is broken, or an id cannot be part of a file's name.
        """
        from dreamdrive.envs.carla.route_xml import read_entries

        found = read_entries(self.path, self.subset)
        for entry in found:
            if not FIT_FOR_FILES.fullmatch(entry.name):
                raise RouteError(
                    f"The id {entry.name!r} cannot name a file", where=entry.where,
                    do="Use letters, digits, and the characters . _ + -",
                )  # fmt: skip
        return found

    @cached_property
    def _triggers(self) -> "dict[str, list[ScenarioSpec]]":
        from dreamdrive.envs.carla.triggers import read_triggers

        return {} if self.triggers is None else read_triggers(self.triggers)

    def check(self) -> "Counter[str]":
        """Returns how many scenarios of each unknown type are left out.

        Raises:
            RouteError: If a file is broken.
            ConfigError: If a scenario's type is unknown and not to be skipped.
        """
        from dreamdrive.envs.carla.scenarios.registry import known

        specs = [spec for entry in self.entries for spec in entry.scenarios]
        towns = {entry.town for entry in self.entries}
        specs += [spec for town in sorted(towns) for spec in self._triggers.get(town, [])]
        kept = {id(spec) for spec in known(specs, skip_unknown=self.skip_unknown)}
        return Counter(spec.type for spec in specs if id(spec) not in kept)

    def load(self, carla_map: Any, name: str) -> "Route":
        """Returns one of the routes along the lanes of its town's map, with its scenarios.

        Raises:
            RouteError: If it does not lie on the map.
        """
        from dreamdrive.envs.carla.scenarios.registry import known
        from dreamdrive.envs.carla.triggers import with_triggers

        entry = next(entry for entry in self.entries if entry.name == name)
        route = entry.on(carla_map)
        if self.triggers is not None:
            route = with_triggers(route, self._triggers)
        scenarios = known(route.scenarios, skip_unknown=self.skip_unknown)
        return replace(route, scenarios=tuple(scenarios))


@lru_cache(maxsize=8)
def chosen_routes(
    path: Path | None, triggers: Path | None, subset: str, skip_unknown: bool
) -> RouteChoice | None:
    """Returns the choice that a command line makes; None for the routes of a seed.

    Raises:
        ConfigError: If triggers or a subset are given without a file of routes.
    """
    if path is None:
        if triggers is not None or subset:
            raise ConfigError(
                "Triggers and a subset belong to a file of routes", where="routes",
                do="Give the file with --routes FILE.xml.",
            )  # fmt: skip
        return None
    return RouteChoice(path=path, triggers=triggers, subset=subset, skip_unknown=skip_unknown)
