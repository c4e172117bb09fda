"""The weather along a route, as its file has it."""

from typing import Any

import numpy as np

from dreamdrive.envs.carla.routes import Route

STEP_PCT = 2.0
"""The weather is set anew each time so much more of the route is driven."""


class RouteWeather:
    """Sets the weather of a route as it is driven, in straight lines between its points.

    Args:
        route: The route; without weather of its own it leaves the world's alone.
    """

    def __init__(self, route: Route) -> None:
        points = sorted(route.weather, key=lambda point: point.route_pct)
        names = sorted({name for point in points for name, _ in point.settings})
        self._at = np.array([point.route_pct for point in points])
        self._values = {
            name: np.array([dict(point.settings).get(name, np.nan) for point in points])
            for name in names
        }
        self._next = -np.inf
        self._weather: Any = None
        self._length_m = route.length_m

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
