"""What an OpenDRIVE map says of looks alone: road marks, and the height and kind of its objects."""

from dataclasses import dataclass
from xml.etree.ElementTree import Element

from defusedxml import ElementTree

from dreamdrive.errors import MapError

DEFAULT_HEIGHT_M = {"building": 8.0, "pole": 4.0, "barrier": 1.0, "obstacle": 1.0, "tree": 5.0}
DEFAULT_MARK_WIDTH_M = 0.15


@dataclass(frozen=True)
class RoadMark:
    """The mark on the outer edge of a lane, from an arc length within its section on.

    Attributes:
        start: Where it begins, in metres from the start of the section.
        lines: "solid", "broken", "solid solid" and so on; "none" for nothing.
        colour: OpenDRIVE's name of its colour.
        width: In metres.
    """

    start: float
    lines: str
    colour: str
    width: float


@dataclass(frozen=True)
class Solid:
    """A solid object beside a road: place along and across it, heading, sizes, kind and name."""

    s: float
    t: float
    heading: float
    length: float
    width: float
    height: float
    kind: str
    name: str


@dataclass(frozen=True)
class Crosswalk:
    """A crossing: place along and across its road, heading, and corners (u, v) from there."""

    s: float
    t: float
    heading: float
    corners: list[tuple[float, float]]


@dataclass(frozen=True)
class Appearance:
    """What a map says of looks.

    Attributes:
        marks: Road marks by (road, index of the section, lane).
        solids: The solid objects of each road.
        crosswalks: The crossings of each road, those with four corners.
    """

    marks: dict[tuple[int, int, int], list[RoadMark]]
    solids: dict[int, list[Solid]]
    crosswalks: dict[int, list[Crosswalk]]


def read_appearance(xodr: str) -> Appearance:
    """Returns the looks in an OpenDRIVE text that `parse_opendrive` accepts.

    Raises:
        MapError: If a mark or an object has a word where a number belongs.
    """
    marks: dict[tuple[int, int, int], list[RoadMark]] = {}
    solids: dict[int, list[Solid]] = {}
    crosswalks: dict[int, list[Crosswalk]] = {}
    for road in ElementTree.fromstring(xodr).findall("road"):
        number = int(road.get("id", ""))
        for index, section in enumerate(road.findall("lanes/laneSection")):
            for lane in section.iter("lane"):
                marks[number, index, int(lane.get("id", ""))] = sorted(
                    (_mark(element) for element in lane.findall("roadMark")),
                    key=lambda mark: mark.start,
                )
        solids[number] = [
            _solid(element)
            for element in road.findall("objects/object")
            if element.get("type") in DEFAULT_HEIGHT_M
        ]
        outlined = (
            _crosswalk(element)
            for element in road.findall("objects/object")
            if element.get("type") == "crosswalk"
        )
        crosswalks[number] = [found for found in outlined if len(found.corners) == 4]
    return Appearance(marks, solids, crosswalks)


def _number(element: Element, name: str, default: float) -> float:
    text = element.get(name)
    try:
        return default if text is None else float(text)
    except ValueError as error:
        raise MapError(f"A <{element.tag}> has {name}={text!r}", where="OpenDRIVE text") from error


def _mark(element: Element) -> RoadMark:
    return RoadMark(
        _number(element, "sOffset", 0.0), element.get("type", "none"),
        element.get("color", "standard"), _number(element, "width", DEFAULT_MARK_WIDTH_M),
    )  # fmt: skip


def _solid(element: Element) -> Solid:
    kind, radius = element.get("type", ""), _number(element, "radius", 0.0)
    height = _number(element, "height", 0.0)
    return Solid(
        _number(element, "s", 0.0), _number(element, "t", 0.0), _number(element, "hdg", 0.0),
        _number(element, "length", 2.0 * radius), _number(element, "width", 2.0 * radius),
        height if height > 0.0 else DEFAULT_HEIGHT_M[kind], kind,
        element.get("name", ""),
    )  # fmt: skip


def _crosswalk(element: Element) -> Crosswalk:
    corners = [
        (_number(corner, "u", 0.0), _number(corner, "v", 0.0))
        for corner in element.iter("cornerLocal")
    ]
    return Crosswalk(
        _number(element, "s", 0.0), _number(element, "t", 0.0), _number(element, "hdg", 0.0),
        corners[:-1] if corners and corners[0] == corners[-1] else corners,
    )  # fmt: skip
