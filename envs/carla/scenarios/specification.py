"""What a route file says of its scenarios and its weather."""

from dataclasses import dataclass

Attributes = tuple[tuple[str, str], ...]
"""Names and values as the file has them, in its order."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ScenarioSpec:
    """One scenario of a route.

    Attributes:
        name: What it is called in the route file, such as `ParkingCutIn_1`.
        type: The leaderboard's name of what happens, such as `ParkingCutIn`.
        x: Where the ego triggers it, ISO world axes, metres.
        y: The same, positive to the left of x.
        z: Height of the trigger, metres.
        yaw_rad: Direction of travel there, ISO.
        parameters: What else the file says, by tag, as (tag, attributes), in its order.
    """

    name: str
    type: str
    x: float
    y: float
    z: float = 0.0
    yaw_rad: float = 0.0
    parameters: tuple[tuple[str, Attributes], ...] = ()

    def value(self, tag: str, default: str = "", attribute: str = "value") -> str:
        """Returns an attribute of a parameter, or `default` where the file does not say."""
        for name, attributes in self.parameters:
            if name == tag:
                return dict(attributes).get(attribute, default)
        return default

    def number(self, tag: str, default: float, attribute: str = "value") -> float:
        """Returns an attribute of a parameter as a number, or `default`.

        Raises:
            ValueError: If the file has something there that is no number.
        """
        return float(self.value(tag, str(default), attribute))


@dataclass(frozen=True, kw_only=True, slots=True)
class WeatherPoint:
    """The weather at one part of a route.

    Attributes:
        route_pct: How much of the route is driven there, 0 to 100.
        settings: Fields of `carla.WeatherParameters` and their values.
    """

    route_pct: float
    settings: tuple[tuple[str, float], ...]
