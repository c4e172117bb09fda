"""The route that a reset asks for: one at hand, one of a seed by its name, one of a file."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from dreamdrive.envs.carla.route_xml import load_routes, read_towns
from dreamdrive.envs.carla.routes import FIXED_ROUTES_STRIDE, Route, random_route
from dreamdrive.envs.carla.triggers import read_triggers, with_triggers
from dreamdrive.errors import ConfigError, RouteError

NAME = re.compile(r"(?P<town>.+?)-(?P<seed>\d+)(?:-(?P<number>\d{3,}))?")
FORMS = (
    "Give a Route; a name: Dream07-5 is the route of seed 5, Dream07-20-003 the fourth of those of "
    "seed 20 that evaluations drive; {'name': …, 'length_m': (150, 400)}, where it was drawn with "
    "other bounds than this environment's; or {'file': 'routes.xml', 'id': '3'} of the "
    "leaderboard, with 'triggers' where they stand in a file of their own."
)

Bounds = tuple[float, float]


class RouteWish(Protocol):
    """A route, before the map that it lies on is open."""

    @property
    def town(self) -> str:
        """The town that it lies in."""

    def on(self, carla_map: Any) -> Route:
        """Returns it along the lanes of its town's map.

        Raises:
            RouteError: If it does not lie there.
        """

    def as_option(self) -> Any:
        """Returns the reset option that asks for it."""


@dataclass(frozen=True, slots=True)
class GivenRoute:
    """A route that is at hand."""

    route: Route

    @property
    def town(self) -> str:
        """The town that it lies in."""
        return self.route.town

    def on(self, carla_map: Any) -> Route:
        """Returns it."""
        return self.route

    def as_option(self) -> Route:
        """Returns it."""
        return self.route


@dataclass(frozen=True, kw_only=True, slots=True)
class NamedRoute:
    """A route of a seed, by the name that `random_route` and `fixed_routes` give it.

    Attributes:
        name: Town and seed, and the number where it is one of several.
        length_m: Bounds of the length, which the route depends on as well.
    """

    name: str
    length_m: Bounds

    @property
    def town(self) -> str:
        """The town that it lies in."""
        return self._parts()["town"]

    def on(self, carla_map: Any) -> Route:
        """Returns the route of that seed.

        Raises:
            RouteError: If no lane of the map is long enough.
        """
        parts = self._parts()
        seed = int(parts["seed"])
        if parts["number"]:
            seed = seed * FIXED_ROUTES_STRIDE + int(parts["number"])
        return random_route(carla_map, seed, length_m=self.length_m, name=self.name)

    def as_option(self) -> dict[str, Any]:
        """Returns name and bounds."""
        return {"name": self.name, "length_m": self.length_m}

    def _parts(self) -> dict[str, str]:
        match = NAME.fullmatch(self.name)
        assert match is not None
        return match.groupdict("")


@dataclass(frozen=True, kw_only=True, slots=True)
class FiledRoute:
    """A route of a file in the leaderboard's XML.

    Attributes:
        file: The file.
        id: The route's id in it.
        town: The town that it lies in.
        triggers: File of the leaderboard 1.0 with its scenarios, if it has one.
    """

    file: Path
    id: str
    town: str
    triggers: Path | None = None

    def on(self, carla_map: Any) -> Route:
        """Returns it along the lanes of its town's map.

        Raises:
            RouteError: If it does not lie there.
        """
        route = load_routes(self.file, carla_map, [self.id])[0]
        if self.triggers is None:
            return route
        return with_triggers(route, read_triggers(self.triggers))

    def as_option(self) -> dict[str, Any]:
        """Returns file and id."""
        extra = {} if self.triggers is None else {"triggers": str(self.triggers)}
        return {"file": str(self.file), "id": self.id, **extra}


def parse_route(option: Any, length_m: Bounds) -> RouteWish:
    """Returns the wish of a reset option.

    Args:
        option: As `FORMS` says.
        length_m: Bounds of a named route's length, unless the option has its own.

    Raises:
        ConfigError: If the option has none of the forms.
        RouteError: If the file is broken, or holds no such route.
    """
    if isinstance(option, Route):
        return GivenRoute(option)
    if isinstance(option, str):
        option = {"name": option}
    if not isinstance(option, Mapping):
        raise ConfigError(f"A route cannot be {option!r}", do=FORMS)
    if set(option) in ({"file", "id"}, {"file", "id", "triggers"}):
        file, wanted = Path(option["file"]), str(option["id"])
        towns = read_towns(file)
        if wanted not in towns:
            raise RouteError(
                f"There is no route {wanted!r}", where=file, do=f"Its routes: {', '.join(towns)}."
            )
        triggers = Path(option["triggers"]) if option.get("triggers") else None
        return FiledRoute(file=file, id=wanted, town=towns[wanted], triggers=triggers)
    if set(option) not in ({"name"}, {"name", "length_m"}) or not NAME.fullmatch(
        str(option["name"])
    ):
        raise ConfigError(f"A route cannot be {dict(option)!r}", do=FORMS)
    return NamedRoute(
        name=str(option["name"]), length_m=checked_bounds(option.get("length_m", length_m))
    )


def checked_bounds(bounds: Any) -> Bounds:
    """Returns bounds of a route's length in metres.

    Raises:
        ConfigError: If they are not two numbers, the second at least the first, above 0.
    """
    try:
        low, high = (float(bound) for bound in bounds)
    except (TypeError, ValueError):
        low, high = np.nan, np.nan
    if not 0.0 < low <= high < np.inf:
        raise ConfigError(
            f"A route's length cannot have the bounds {bounds!r}", do="Give two, as in (150, 400)."
        )
    return low, high
