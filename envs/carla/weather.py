"""The weather of an episode: drawn from a seed, named, given by its numbers, or a route's own."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dreamdrive.envs.carla.client import carla
from dreamdrive.envs.carla.scenarios.specification import WeatherPoint
from dreamdrive.errors import ConfigError
from dreamdrive.seeding import numpy_generator

STEP_PCT = 2.0
"""The weather is set anew each time so much more of the route is driven."""

RANDOM, OF_ROUTE, CUSTOM = "random", "route", "custom"
"""Drawn from the episode's seed; the route's own over a drawn one; only what numbers say."""

PERCENT, NO_BOUND = (0.0, 100.0), (0.0, math.inf)
BOUNDS: dict[str, tuple[float, float]] = {
    "cloudiness": PERCENT,
    "precipitation": PERCENT,
    "precipitation_deposits": PERCENT,
    "wind_intensity": PERCENT,
    "sun_azimuth_angle": (-360.0, 360.0),
    "sun_altitude_angle": (-90.0, 90.0),
    "fog_density": PERCENT,
    "fog_distance": NO_BOUND,
    "fog_falloff": NO_BOUND,
    "wetness": PERCENT,
    "scattering_intensity": NO_BOUND,
    "mie_scattering_scale": NO_BOUND,
    "rayleigh_scattering_scale": NO_BOUND,
    "dust_storm": PERCENT,
}
"""The fields of `carla.WeatherParameters` and what they may be: percent, degrees, or at least 0."""

PRESETS: dict[str, Any] = {
    name: getattr(carla.WeatherParameters, name)
    for name in sorted(vars(carla.WeatherParameters))
    if isinstance(getattr(carla.WeatherParameters, name), carla.WeatherParameters)
}
"""The client's own, by name: `ClearNoon`, `HardRainNight` and so on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Weather:
    """The weather at the start of an episode.

    Attributes:
        preset: What it was made from: one of `PRESETS`, `random`, `route` or `custom`.
        values: All fields of `carla.WeatherParameters`, in the order of `BOUNDS`.
    """

    preset: str
    values: tuple[float, ...]

    def parameters(self) -> Any:
        """Returns it as `carla.WeatherParameters`."""
        return carla.WeatherParameters(**dict(zip(BOUNDS, self.values, strict=True)))

    def as_option(self) -> dict[str, Any]:
        """Returns the reset option that asks for exactly this weather."""
        return {"preset": self.preset, **dict(zip(BOUNDS, self.values, strict=True))}


@dataclass(frozen=True, kw_only=True, slots=True)
class WeatherWish:
    """What a reset asks of the weather.

    Attributes:
        preset: One of `PRESETS`, `random`, `route` or `custom`.
        changes: Fields that differ from it, as (name, value).
    """

    preset: str
    changes: tuple[tuple[str, float], ...] = ()

    def weather(self, seed: int, *, route_has_weather: bool) -> Weather:
        """Returns the weather that an episode of this seed begins with.

        Raises:
            ConfigError: If the route's own is asked for, and it has none.
        """
        if self.preset == OF_ROUTE and not route_has_weather:
            raise ConfigError("The route has no weather of its own", do=_known())
        drawn = self.preset in (RANDOM, OF_ROUTE)
        base = random_weather(seed) if drawn else PRESETS.get(self.preset)
        values = _values(base or carla.WeatherParameters()) | dict(self.changes)
        return Weather(preset=self.preset, values=tuple(values.values()))


def parse_weather(option: Any) -> WeatherWish:
    """Returns the wish of a reset option: a name, or a mapping of numbers over a `preset`.

    Raises:
        ConfigError: If there is no such name or field, or a value is impossible.
    """
    if isinstance(option, carla.WeatherParameters):
        option = _values(option)
    if isinstance(option, str):
        option = {"preset": option}
    if not isinstance(option, Mapping):
        raise ConfigError(f"The weather cannot be {option!r}", do=_known())
    preset = option.get("preset", CUSTOM)
    if preset not in (*PRESETS, RANDOM, OF_ROUTE, CUSTOM):
        raise ConfigError(f"There is no weather {preset!r}", do=_known())
    changes = []
    for name, value in option.items():
        if name == "preset":
            continue
        if name not in BOUNDS:
            raise ConfigError(f"There is no weather setting {name!r}", do=_known())
        low, high = BOUNDS[name]
        is_number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value) or not low <= value <= high:
            raise ConfigError(
                f"The weather's {name} cannot be {value!r}", do=f"It is from {low:g} to {high:g}."
            )
        changes.append((name, float(value)))
    return WeatherWish(preset=preset, changes=tuple(changes))


def random_weather(seed: int) -> Any:
    """Returns clouds, rain, fog and sun from a seed, as `carla.WeatherParameters`."""
    rng = numpy_generator(seed, "weather")
    rain = float(rng.uniform(0.0, 80.0)) if rng.random() < 0.3 else 0.0
    return carla.WeatherParameters(
        cloudiness=float(rng.uniform(0.0, 90.0)),
        precipitation=rain,
        precipitation_deposits=rain,
        wetness=rain,
        fog_density=float(rng.uniform(0.0, 10.0)),
        sun_altitude_angle=float(rng.uniform(-5.0, 80.0)),
        sun_azimuth_angle=float(rng.uniform(0.0, 360.0)),
    )


def _values(weather: Any) -> dict[str, float]:
    return {name: float(getattr(weather, name)) for name in BOUNDS}


def _known() -> str:
    return (
        f"Known names: {RANDOM}, {OF_ROUTE}, {', '.join(PRESETS)}; or a mapping of "
        f"{', '.join(BOUNDS)}, and of a preset that they change."
    )


class RouteWeather:
    """Sets the weather of a route as it is driven, in straight lines between its points.

    Args:
        points: The weather along the way; without any, the world's is left alone.
        length_m: The length of the route.
    """

    def __init__(self, points: Sequence[WeatherPoint], length_m: float) -> None:
        points = sorted(points, key=lambda point: point.route_pct)
        names = sorted({name for point in points for name, _ in point.settings})
        self._at = np.array([point.route_pct for point in points])
        self._values = {
            name: np.array([dict(point.settings).get(name, np.nan) for point in points])
            for name in names
        }
        self._next = -np.inf
        self._weather: Any = None
        self._length_m = length_m

    def step(self, world: Any, progress_m: float) -> None:
        """Sets the weather where the ego is, if that changed enough; call it once a decision."""
        percent = 100.0 * progress_m / self._length_m
        if not self._values or percent < self._next:
            return
        self._next = percent + STEP_PCT if len(self._at) > 1 else np.inf
        if self._weather is None:
            self._weather = world.get_weather()
        for name, values in self._values.items():
            known = np.isfinite(values)
            setattr(self._weather, name, float(np.interp(percent, self._at[known], values[known])))
        world.set_weather(self._weather)
