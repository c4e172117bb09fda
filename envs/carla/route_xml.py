"""Route files in the XML of the CARLA leaderboard 2.x."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import defusedxml.ElementTree
import numpy as np

from dreamdrive.envs.carla.client import carla
from dreamdrive.envs.carla.routes import Route, connect, town_name
from dreamdrive.errors import RouteError
from dreamdrive.files import write_atomically

POSITION_EVERY_M = 20.0


def save_routes(path: Path, routes: Iterable[Route]) -> None:
    """Writes routes with a position each 20 m and on both sides of each junction's edge."""
    root = ElementTree.Element("routes")
    for route in routes:
        element = ElementTree.SubElement(root, "route", id=route.name, town=route.town)
        waypoints = ElementTree.SubElement(element, "waypoints")
        for i in _positions(route):
            x, y = route.xy[i]
            ElementTree.SubElement(
                waypoints, "position", x=f"{x:.3f}", y=f"{-y:.3f}", z=f"{route.z[i]:.3f}"
            )
    ElementTree.indent(root)
    write_atomically(Path(path), ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))


def _positions(route: Route) -> list[int]:
    """Returns the indices of the points that a route file keeps."""
    at = np.searchsorted(route.arc, np.arange(0.0, route.length_m, POSITION_EVERY_M))
    changes = np.flatnonzero(np.diff(route.in_junction.astype(np.int8)))
    kept = {0, len(route.arc) - 1, *at.tolist(), *changes.tolist(), *(changes + 1).tolist()}
    return sorted(i for i in kept if i < len(route.arc))


def read_towns(path: Path) -> dict[str, str]:
    """Returns the town of each route in a file, by route id.

    Raises:
        RouteError: If the file is missing, is not XML, or holds no routes.
    """
    return {route_id: town for route_id, town, _ in _entries(path)}


def load_routes(path: Path, carla_map: Any, names: Sequence[str] | None = None) -> list[Route]:
    """Returns the routes of a file that lie on this map, dense.

    Args:
        path: A route file of the leaderboard 2.x.
        carla_map: The map of the routes' town.
        names: Ids of the wanted routes; all of the town by default.

    Raises:
        RouteError: If the file is broken, a wanted route is missing, or one leaves the lanes.
    """
    town = town_name(carla_map)
    entries = {route_id: (where, points) for route_id, where, points in _entries(path)}
    wanted = [name for name, entry in entries.items() if entry[0] == town]
    if names is not None:
        missing = [name for name in names if name not in wanted]
        if missing:
            raise RouteError(
                f"There is no route {missing[0]!r} in {town}", where=path,
                do=f"Its routes there: {', '.join(wanted) or 'none'}.",
            )  # fmt: skip
        wanted = list(names)
    return [connect(carla_map, entries[name][1], name=name) for name in wanted]


def _entries(path: Path) -> list[tuple[str, str, list[Any]]]:
    """Returns (id, town, positions) of each route."""
    try:
        root = defusedxml.ElementTree.parse(str(path)).getroot()
    except FileNotFoundError as error:
        raise RouteError("There is no such route file", where=path) from error
    except (ElementTree.ParseError, defusedxml.DefusedXmlException, UnicodeDecodeError) as error:
        raise RouteError(f"This is not a safe XML file: {error}", where=path) from error
    entries = []
    for number, element in enumerate(root.iter("route")):
        name, town = element.get("id"), element.get("town")
        if not name or not town:
            raise RouteError(f"Route number {number} has no id or no town", where=path)
        try:
            points = [
                carla.Location(
                    x=float(p.attrib["x"]), y=float(p.attrib["y"]), z=float(p.get("z", 0))
                )
                for p in element.iterfind("waypoints/position")
            ]
        except (KeyError, ValueError) as error:
            raise RouteError(f"A position is broken: {error}", where=f"{path}, {name}") from error
        if not points:
            raise RouteError(
                "The route has no positions", where=f"{path}, {name}",
                do="Routes of the leaderboard 1.0 must be converted first.",
            )  # fmt: skip
        entries.append((name, town, points))
    if not entries:
        raise RouteError("The file holds no routes", where=path)
    if len({name for name, _, _ in entries}) < len(entries):
        raise RouteError("Two routes have the same id", where=path)
    return entries
