"""Route files in the leaderboard's XML: 2.x, 1.0, Bench2Drive's and Longest6's.

A 2.x route (Bench2Drive's and Longest6 v2's among them) holds `waypoints/position`, `weathers` and
`scenarios`; a route of the leaderboard 1.0 (Longest6's among them) holds `waypoint` elements and
one `weather`, and its scenarios' triggers stand in a file of their own, which `triggers.py` reads.
"""

import dataclasses
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from dreamdrive.envs.carla.client import carla
from dreamdrive.envs.carla.route_source import Element, parse_xml
from dreamdrive.envs.carla.routes import Route, connect, town_name
from dreamdrive.envs.carla.scenarios.specification import ScenarioSpec, WeatherPoint
from dreamdrive.errors import RouteError
from dreamdrive.files import write_atomically

POSITION_EVERY_M = 20.0
BESIDE_JUNCTION = 3
"""How many points before and behind a junction a position stands."""
NOT_WEATHER = ("route_percentage", "id")


@dataclass(frozen=True, kw_only=True, slots=True)
class RouteEntry:
    """One route of a file, not yet laid along the lanes of a map.

    Attributes:
        name: Its id.
        town: The map that it lies on.
        positions: x, y, z of each position, ISO world axes, metres.
        scenarios: Its scenarios in the order of the file.
        weather: Its weather along the way; empty where the file does not say.
        where: File and line, for errors.
    """

    name: str
    town: str
    positions: tuple[tuple[float, float, float], ...]
    scenarios: tuple[ScenarioSpec, ...] = ()
    weather: tuple[WeatherPoint, ...] = ()
    where: str = ""

    def on(self, carla_map: Any) -> Route:
        """Returns the route along the lanes of its town's map.

        Raises:
            RouteError: If a position is off the road or cannot be reached.
        """
        places = [carla.Location(x=x, y=-y, z=z) for x, y, z in self.positions]
        try:
            route = connect(carla_map, places, name=self.name)
        except RouteError as error:
            raise RouteError(
                error.what, where=f"{self.where}, {error.where}", do=error.do
            ) from error
        return dataclasses.replace(route, scenarios=self.scenarios, weather=self.weather)


def save_routes(path: Path, routes: Iterable[Route]) -> None:
    """Writes routes with their scenarios and weather, in the form of the leaderboard 2.x.

    A position stands each 20 m outside junctions, and before and behind each of them.

    Raises:
        StorageError: If it could not be written.
    """
    root = ElementTree.Element("routes")
    for route in routes:
        element = ElementTree.SubElement(root, "route", id=route.name, town=route.town)
        if route.weather:
            weathers = ElementTree.SubElement(element, "weathers")
            for point in route.weather:
                settings = {name: f"{value:g}" for name, value in point.settings}
                ElementTree.SubElement(
                    weathers, "weather", {"route_percentage": f"{point.route_pct:g}", **settings}
                )
        waypoints = ElementTree.SubElement(element, "waypoints")
        for i in _positions(route):
            x, y = route.xy[i]
            ElementTree.SubElement(
                waypoints, "position", x=f"{x:.3f}", y=f"{-y:.3f}", z=f"{route.z[i]:.3f}"
            )
        scenarios = ElementTree.SubElement(element, "scenarios")  # The leaderboard needs it.
        for spec in route.scenarios:
            scenarios.append(_scenario_element(spec))
    ElementTree.indent(root)
    write_atomically(Path(path), ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))


def _scenario_element(spec: ScenarioSpec) -> ElementTree.Element:
    element = ElementTree.Element("scenario", name=spec.name, type=spec.type)
    yaw = -math.degrees(spec.yaw_rad)
    ElementTree.SubElement(
        element, "trigger_point", x=f"{spec.x:.3f}", y=f"{-spec.y:.3f}", z=f"{spec.z:.3f}",
        yaw=f"{yaw:.2f}",
    )  # fmt: skip
    for tag, attributes in spec.parameters:
        ElementTree.SubElement(element, tag, dict(attributes))
    return element


def _positions(route: Route) -> list[int]:
    """Returns the indices of the points that a route file keeps.

    Lanes lie upon each other in a junction: CARLA's planner, which joins the positions, would leave
    one there on another than that of the route, and come back to it by a detour round the block.
    """
    last = len(route.arc) - 1
    at = np.searchsorted(route.arc, np.arange(0.0, route.length_m, POSITION_EVERY_M))
    changes = np.flatnonzero(np.diff(route.in_junction.astype(np.int8)))
    beside = (changes - BESIDE_JUNCTION, changes + 1 + BESIDE_JUNCTION)
    near = np.convolve(route.in_junction, np.ones(2 * BESIDE_JUNCTION + 1), "same") > 0.0
    kept = {i for i in np.concatenate([at, *beside]).tolist() if 0 < i < last and not near[i]}
    return [0, *sorted(kept), last]


def read_towns(path: Path) -> dict[str, str]:
    """Returns the town of each route in a file, by route id.

    Raises:
        RouteError: As `read_entries`.
    """
    return {entry.name: entry.town for entry in read_entries(path)}


def load_routes(path: Path, carla_map: Any, names: Sequence[str] | None = None) -> list[Route]:
    """Returns the routes of a file that lie on this map, dense, with their scenarios.

    Args:
        path: A route file of the leaderboard.
        carla_map: The map of the routes' town.
        names: Ids of the wanted routes; all of the town by default.

    Raises:
        RouteError: If the file is broken, a wanted route is missing, or one leaves the lanes.
    """
    town = town_name(carla_map)
    entries = {entry.name: entry for entry in read_entries(path) if entry.town == town}
    wanted = list(entries) if names is None else list(names)
    for name in wanted:
        if name not in entries:
            raise RouteError(
                f"There is no route {name!r} in {town}", where=path,
                do=f"Its routes there: {', '.join(entries) or 'none'}.",
            )  # fmt: skip
    return [entries[name].on(carla_map) for name in wanted]


def read_entries(path: Path, subset: str = "") -> list[RouteEntry]:
    """Returns the routes of a file, in its order.

    Args:
        path: A route file.
        subset: Which of them, by id, as the leaderboard writes it: `0-4,7`; all if empty.

    Raises:
        RouteError: If the file is missing, is not XML, holds no routes, or one of them is broken;
            it says the line and what to do.
    """
    root = parse_xml(path)
    entries = [_entry(element, number, path) for number, element in enumerate(root.all("route"))]
    if not entries:
        raise RouteError(
            "The file holds no routes", where=path,
            do="A route file has a <routes> element with a <route> element for each route.",
        )  # fmt: skip
    lines: dict[str, str] = {}
    for entry in entries:
        if entry.name in lines:
            raise RouteError(
                f"Two routes have the same id {entry.name!r}",
                where=f"{entry.where} and {lines[entry.name]}", do="Give each an id of its own.",
            )  # fmt: skip
        lines[entry.name] = entry.where
    return _subset(entries, subset, path) if subset else entries


def _subset(entries: list[RouteEntry], subset: str, path: Path) -> list[RouteEntry]:
    """Returns the routes of `0-4,7`; a range runs over the file's order, both ends included.

    Ids may have dashes themselves, as in `Dream06-1-000-Dream06-1-004`.
    """
    names = [entry.name for entry in entries]
    wanted: set[int] = set()
    for part in subset.replace(" ", "").split(","):
        words = part.split("-")
        cuts = [("-".join(words[:i]), "-".join(words[i:])) for i in range(1, len(words))]
        found = [(a, b) for a, b in [(part, part), *cuts] if a in names and b in names]
        if not found:
            unknown = part if len(cuts) != 1 else next(n for n in cuts[0] if n not in names)
            raise RouteError(
                f"There is no route {unknown!r} of the subset {subset!r}", where=path,
                do=f"Its routes: {', '.join(names[:20])}{', …' if len(names) > 20 else ''}.",
            )  # fmt: skip
        first, last = found[0]
        wanted.update(range(names.index(first), names.index(last) + 1))
    return [entry for i, entry in enumerate(entries) if i in wanted]


def _entry(element: Element, number: int, path: Path) -> RouteEntry:
    where = f"{path}:{element.line}"
    name, town = element.get("id"), element.get("town")
    if not name or not town:
        raise RouteError(
            f"Route number {number} has no id or no town", where=where,
            do='Write it as <route id="0" town="Town01">.',
        )  # fmt: skip
    points = [*element.path("waypoints", "position"), *element.children("waypoint")]
    positions = [
        (point.number("x"), -point.number("y"), point.number("z", 0.0)) for point in points
    ]
    if not positions:
        raise RouteError(
            f"The route {name!r} has no positions", where=where,
            do='Give it <waypoints> with <position x="" y="" z=""/> elements, or <waypoint> '
            "elements as the leaderboard 1.0 has them.",
        )  # fmt: skip
    if len(positions) < 2:
        raise RouteError(
            f"The route {name!r} has one position, and needs 2", where=f"{path}:{points[0].line}",
            do="Give it the position where it ends.",
        )  # fmt: skip
    weather = [*element.path("weathers", "weather"), *element.children("weather")]
    return RouteEntry(
        name=name, town=town, positions=tuple(positions), where=where,
        scenarios=tuple(_scenario(found) for found in element.path("scenarios", "scenario")),
        weather=tuple(_weather(point) for point in weather),
    )  # fmt: skip


def _scenario(element: Element) -> ScenarioSpec:
    kind = element.get("type")
    triggers = element.children("trigger_point")
    if not kind or len(triggers) != 1:
        raise element.error(
            "A scenario has no type, or not one trigger point",
            do='Write it as <scenario name="" type=""><trigger_point x="" y="" z="" yaw=""/>.',
        )
    trigger = triggers[0]
    return ScenarioSpec(
        name=element.get("name") or kind, type=kind,
        x=trigger.number("x"), y=-trigger.number("y"), z=trigger.number("z", 0.0),
        yaw_rad=-math.radians(trigger.number("yaw", 0.0)),
        parameters=tuple(
            (child.tag, tuple(child.attributes.items()))
            for child in element.children()
            if child.tag != "trigger_point"
        ),
    )  # fmt: skip


def _weather(element: Element) -> WeatherPoint:
    known = carla.WeatherParameters()
    for name in element.attributes:
        if name not in NOT_WEATHER and not hasattr(known, name):
            raise element.error(
                f"There is no weather setting {name!r}",
                do="Use the fields of carla.WeatherParameters.",
            )
    return WeatherPoint(
        route_pct=element.number("route_percentage", 0.0),
        settings=tuple(
            (name, element.number(name)) for name in element.attributes if name not in NOT_WEATHER
        ),
    )
