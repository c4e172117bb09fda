"""What a reset may ask for, and what an episode is set up with in the end.

A `ResetWish` is what options say; an `EpisodeSetup` leaves nothing open, and says in turn which
options ask for exactly it: those replay the episode.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dreamdrive.envs.carla.route_wish import (
    Bounds,
    NamedRoute,
    RouteWish,
    parse_route,
)
from dreamdrive.envs.carla.routes import Route, random_route
from dreamdrive.envs.carla.scenarios.registry import check_types, known, placed, route_with
from dreamdrive.envs.carla.scenarios.specification import ScenarioSpec
from dreamdrive.envs.carla.weather import OF_ROUTE, RANDOM, Weather, WeatherWish, parse_weather
from dreamdrive.errors import ConfigError, RouteError
from dreamdrive.seeding import numpy_generator

OPTIONS = ("seed", "town", "route", "weather", "traffic", "scenario", "start_speed_mps")
TRAFFIC = ("vehicles", "walkers", "seed")
FASTEST_START_MPS = 40.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Traffic:
    """Who else is wanted on the road, and the seed that places and steers them."""

    vehicles: int
    walkers: int
    seed: int


@dataclass(frozen=True, kw_only=True, slots=True)
class EpisodeSetup:
    """All that decides how an episode begins and what happens in it besides the ego.

    Attributes:
        seed: Fixes all chance that is not fixed otherwise.
        route: What is driven, with its scenarios and the weather along it.
        route_wish: How that route is asked for.
        weather: The weather at the start.
        traffic: Who else is wanted on the road.
        start_speed_mps: Speed of the ego at the start.
    """

    seed: int
    route: Route
    route_wish: RouteWish
    weather: Weather
    traffic: Traffic
    start_speed_mps: float

    def as_options(self) -> dict[str, Any]:
        """Returns the reset options that ask for exactly this; JSON unless a `Route` was given."""
        return {
            "seed": self.seed,
            "town": self.route.town,
            "route": self.route_wish.as_option(),
            "weather": self.weather.as_option(),
            "traffic": dataclasses.asdict(self.traffic),
            "scenario": [dataclasses.asdict(spec) for spec in self.route.scenarios],
            "start_speed_mps": self.start_speed_mps,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class ResetWish:
    """What the options of a reset ask for; None leaves it to the seed or the environment.

    Attributes:
        seed: The episode's seed.
        town: The town.
        route: The route.
        weather: The weather.
        vehicles: How many vehicles.
        walkers: How many walkers.
        traffic_seed: The seed of their places and ways.
        scenario: A type to find a place for, or all scenarios with their places.
        start_speed_mps: Speed of the ego at the start.
    """

    seed: int | None = None
    town: str | None = None
    route: RouteWish | None = None
    weather: WeatherWish | None = None
    vehicles: int | None = None
    walkers: int | None = None
    traffic_seed: int | None = None
    scenario: str | tuple[ScenarioSpec, ...] | None = None
    start_speed_mps: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Defaults:
    """What an environment does where a reset leaves it open.

    Attributes:
        town: The town.
        vehicles: How many vehicles.
        walkers: How many walkers.
        route_length_m: Bounds of a drawn route's length.
        start_speed_mps: Bounds of the speed at the start.
    """

    town: str
    vehicles: int
    walkers: int
    route_length_m: Bounds
    start_speed_mps: tuple[float, float]


def parse_options(options: Mapping[str, Any] | None, length_m: Bounds) -> ResetWish:
    """Returns what the options of a reset ask for.

    Args:
        options: By name, each of `OPTIONS`; None counts as missing.
        length_m: Bounds of a named route's length, unless it comes with its own.

    Raises:
        ConfigError: If an option is unknown or impossible.
        RouteError: If a route's file is broken, or does not hold it.
    """
    given = {name: value for name, value in (options or {}).items() if value is not None}
    _refuse_unknown(given, OPTIONS, "reset option")
    traffic = given.get("traffic", {})
    if not isinstance(traffic, Mapping):
        raise ConfigError(
            f"The traffic cannot be {traffic!r}", do=f"Give a mapping of {', '.join(TRAFFIC)}."
        )
    _refuse_unknown(traffic, TRAFFIC, "option of traffic")
    route = parse_route(given["route"], length_m) if "route" in given else None
    town = given.get("town")
    if town is not None and not isinstance(town, str):
        raise ConfigError(f"A town cannot be {town!r}", do="Give its name, such as 'Dream01'.")
    if route is not None and town not in (None, route.town):
        raise ConfigError(
            f"The route lies in {route.town}, not in {town}", do="Leave one of the two out."
        )
    return ResetWish(
        seed=_count(given, "seed", "seed"),
        town=town if route is None else route.town,
        route=route,
        weather=parse_weather(given["weather"]) if "weather" in given else None,
        vehicles=_count(traffic, "vehicles", "number of vehicles"),
        walkers=_count(traffic, "walkers", "number of walkers"),
        traffic_seed=_count(traffic, "seed", "traffic's seed"),
        scenario=_scenario(given.get("scenario")),
        start_speed_mps=_start_speed(given.get("start_speed_mps")),
    )


def settle(wish: ResetWish, seed: int, defaults: Defaults, carla_map: Any) -> EpisodeSetup:
    """Returns the setup of an episode.

    Args:
        wish: What is asked for.
        seed: Draws what is not.
        defaults: The environment's.
        carla_map: Map of the town, which is open.

    Raises:
        ConfigError: If a scenario of the route is of an unknown type, or the route has no weather
            of its own that was asked for.
        RouteError: If there is no such route, or none with room for the scenario.
    """
    route, route_wish = _settled_route(wish, seed, defaults, carla_map)
    weather = wish.weather or WeatherWish(preset=OF_ROUTE if route.weather else RANDOM)
    start = numpy_generator(seed, "start")
    drawn_mps = float(start.uniform(*defaults.start_speed_mps))
    return EpisodeSetup(
        seed=seed,
        route=route,
        route_wish=route_wish,
        weather=weather.weather(seed, route_has_weather=bool(route.weather)),
        traffic=Traffic(
            vehicles=_or(wish.vehicles, defaults.vehicles),
            walkers=_or(wish.walkers, defaults.walkers),
            seed=_or(wish.traffic_seed, seed),
        ),
        start_speed_mps=drawn_mps if wish.start_speed_mps is None else wish.start_speed_mps,
    )


def _settled_route(
    wish: ResetWish, seed: int, defaults: Defaults, carla_map: Any
) -> tuple[Route, RouteWish]:
    """Returns the route with its scenarios, and how it is asked for."""
    length_m, scenario = defaults.route_length_m, wish.scenario
    if wish.route is not None:
        route, route_wish = wish.route.on(carla_map), wish.route
    elif isinstance(scenario, str):
        route = route_with(carla_map, seed, scenario, length_m=length_m)
        return route, NamedRoute(name=route.name, length_m=length_m)
    else:
        route = random_route(carla_map, seed, length_m=length_m)
        route_wish = NamedRoute(name=route.name, length_m=length_m)
    if isinstance(scenario, str):
        route = placed(carla_map, route, [scenario], numpy_generator(seed, "places"))
        if not route.scenarios:
            raise RouteError(
                f"The route has no room for a {scenario}", where=route.name,
                do="Give another route, or none.",
            )  # fmt: skip
    elif scenario is not None and scenario != route.scenarios:
        route = dataclasses.replace(route, scenarios=scenario)
    known(route.scenarios)
    return route, route_wish


def _or(wished: int | None, otherwise: int) -> int:
    return otherwise if wished is None else wished


def _refuse_unknown(given: Mapping[str, Any], names: Sequence[str], what: str) -> None:
    for name in given:
        if name not in names:
            raise ConfigError(f"Unknown {what} {name!r}", do=f"Known: {', '.join(names)}.")


def _count(given: Mapping[str, Any], name: str, what: str) -> int | None:
    value = given.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 0:
        raise ConfigError(f"The {what} cannot be {value!r}", do="Give a whole number from 0 on.")
    return int(value)


def _start_speed(value: Any) -> float | None:
    if value is None:
        return None
    is_number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not is_number or not 0.0 <= value <= FASTEST_START_MPS:
        raise ConfigError(
            f"The speed at the start cannot be {value!r}",
            do=f"Give m/s from 0 to {FASTEST_START_MPS:g}.",
        )
    return float(value)


def _scenario(option: Any) -> str | tuple[ScenarioSpec, ...] | None:
    """Returns a type, or all scenarios with their places; an empty list asks for none."""
    if option is None:
        return None
    if isinstance(option, str):
        check_types([option])
        return option
    if isinstance(option, Mapping | ScenarioSpec):
        option = [option]
    if not isinstance(option, list | tuple):
        raise ConfigError(
            f"A scenario cannot be {option!r}",
            do="Give the name of a type, a list of scenarios with their places, or [] for none.",
        )
    specs = tuple(_spec(entry) for entry in option)
    check_types([spec.type for spec in specs])
    return specs


def _spec(entry: Any) -> ScenarioSpec:
    if isinstance(entry, ScenarioSpec):
        return entry
    names = [field.name for field in dataclasses.fields(ScenarioSpec)]
    given = dict(entry) if isinstance(entry, Mapping) else {}
    if not {"type", "x", "y"} <= set(given) <= set(names):
        raise ConfigError(
            f"A scenario cannot be {entry!r}",
            do=f"Give type, x and y (ISO, metres); known beside them: {', '.join(names)}.",
        )
    for name in ("x", "y", "z", "yaw_rad"):
        value = given.get(name, 0.0)
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise ConfigError(f"A scenario's {name} cannot be {value!r}", do="Give a number.")
    parameters = tuple(
        (str(tag), tuple((str(key), str(value)) for key, value in attributes))
        for tag, attributes in given.pop("parameters", ())
    )
    return ScenarioSpec(**{"name": given["type"], **given, "parameters": parameters})
