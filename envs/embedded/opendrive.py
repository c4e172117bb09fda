"""Reads OpenDRIVE: roads, lanes, signals and objects, as far as a driving simulator needs them.

OpenDRIVE axes: x east, y north, metres, radians, anticlockwise; s along a road, t to its left.

Reference:
    ASAM OpenDRIVE 1.4. Superelevation and lane borders given without widths are not read.
"""

import bisect
import itertools
import math
from dataclasses import dataclass, field
from xml.etree.ElementTree import Element

from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException

from dreamdrive.envs.embedded.curves import Arc, Pose
from dreamdrive.envs.embedded.map_checks import check_map, line_of, number_of, parse_xml
from dreamdrive.envs.embedded.road_signals import Signal, signals_on
from dreamdrive.errors import MapError

SPEED_UNITS = {"km/h": 1.0 / 3.6, "mph": 0.44704, "m/s": 1.0, None: 1.0}
DEFAULT_SPEED_MPS = 13.9
GAP_M = 20.0
"""Ends of roads that are linked lie closer to each other than this."""
STEP_M = 0.5
"""Length of the pieces into which spirals and polynomials are cut."""


@dataclass(frozen=True)
class Cubic:
    """a + b d + c d² + d d³ from `start` on."""

    start: float
    a: float
    b: float
    c: float
    d: float

    def at(self, s: float) -> float:
        """Returns the value at `s`."""
        x = s - self.start
        return self.a + x * (self.b + x * (self.c + x * self.d))


def _value(pieces: list[Cubic], s: float) -> float:
    """Returns the value of a piecewise cubic; 0 where there is none."""
    index = bisect.bisect_right([p.start for p in pieces], s) - 1
    return pieces[max(0, index)].at(s) if pieces else 0.0


@dataclass(frozen=True)
class Lane:
    """A lane of one section; ids are negative right of the centre line."""

    id: int
    kind: str
    widths: list[Cubic]
    predecessor: int | None
    successor: int | None


@dataclass(frozen=True)
class Section:
    """A stretch of a road with the same lanes."""

    start: float
    end: float
    lanes: dict[int, Lane]


@dataclass(frozen=True)
class Box:
    """A static object: centre, half length, half width, heading."""

    x: float
    y: float
    half_length: float
    half_width: float
    heading: float


@dataclass(frozen=True)
class Road:
    """One road."""

    id: int
    junction: int
    length: float
    pieces: list[Arc]
    starts: list[float]
    offsets: list[Cubic]
    elevation: list[Cubic]
    sections: list[Section]
    predecessor: tuple[str, int, str] | None
    successor: tuple[str, int, str] | None
    speed_mps: float
    signals: list[Signal] = field(default_factory=list)
    boxes: list[tuple[float, float, float, float, float]] = field(default_factory=list)
    box_kinds: list[tuple[str, str]] = field(default_factory=list)

    def at(self, s: float, t: float = 0.0) -> Pose:
        """Returns the pose at arc length `s`, `t` metres left of the reference line."""
        s = min(max(s, 0.0), self.length)
        index = max(0, bisect.bisect_right(self.starts, s) - 1)
        return self.pieces[index].at(s - self.starts[index]).left(t)

    def section(self, s: float) -> Section:
        """Returns the section at `s`."""
        for section in self.sections:
            if s < section.end:
                return section
        return self.sections[-1]

    def lane_pose(self, lane: int, s: float) -> Pose:
        """Returns the pose of a lane's centre, heading as its traffic drives."""
        section = self.section(s)
        sign = 1 if lane > 0 else -1
        t = _value(self.offsets, s)
        for number in range(sign, lane + sign, sign):
            width = _value(section.lanes[number].widths, s - section.start)
            t += sign * width * (0.5 if number == lane else 1.0)
        pose = self.at(s, t)
        return pose if lane < 0 else pose.reversed()

    def lane_width(self, lane: int, s: float) -> float:
        """Returns a lane's width."""
        section = self.section(s)
        return _value(section.lanes[lane].widths, s - section.start)

    def height(self, s: float) -> float:
        """Returns the elevation at `s`."""
        return _value(self.elevation, s)


@dataclass(frozen=True)
class OpenDrive:
    """A map: its roads by number, each junction's controllers in turn, and their signals."""

    roads: dict[int, Road]
    junction_controllers: dict[int, list[str]]
    controller_signals: dict[str, list[str]]


def parse_opendrive(text: str, where: object = "OpenDRIVE text") -> OpenDrive:
    """Returns the map in an OpenDRIVE text.

    Raises:
        MapError: If it is not XML, is not OpenDRIVE, has no roads, or a road is broken.
    """
    try:
        root = parse_xml(text)
    except (ElementTree.ParseError, DefusedXmlException, ValueError) as error:
        at = ""
        if isinstance(error, DefusedXmlException):
            at = f", line {text.count(chr(10), 0, max(text.find('<!'), 0)) + 1}"
        raise MapError(
            f"The map is not well-formed XML{at}: {error}", where=where,
            do="Export it again as OpenDRIVE 1.4.",
        ) from error  # fmt: skip
    if root.tag != "OpenDRIVE":
        raise MapError(f"The map's root is <{root.tag}>, not <OpenDRIVE>", where=where)
    check_map(root, text, where)
    roads: dict[int, Road] = {}
    for element in root.findall("road"):
        name = element.get("id", "?")
        try:
            road = _road(element)
        except (KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
            line = line_of(text, "road", name)
            raise MapError(f"Road {name} is broken, line {line}: {error}", where=where) from error
        roads[road.id] = road
    if not roads:
        raise MapError("The map has no roads", where=where)
    _check_meeting(roads, text, where)
    try:
        junctions = {
            int(j.get("id", "-1")): [
                c.get("id", "")
                for c in sorted(
                    j.findall("controller"), key=lambda c: number_of(c, "sequence", 0.0)
                )
            ]
            for j in root.findall("junction")
        }
    except ValueError as error:
        raise MapError(f"A junction is broken: {error}", where=where) from error
    controllers = {
        c.get("id", ""): [x.get("signalId", "") for x in c.findall("control")]
        for c in root.findall("controller")
    }
    return OpenDrive(roads, junctions, controllers)


def _check_meeting(roads: dict[int, Road], text: str, where: object) -> None:
    """Raises MapError where a road is linked to one that is elsewhere, as a false cycle is."""
    for road in roads.values():
        for name, link, s in (
            ("predecessor", road.predecessor, 0.0), ("successor", road.successor, road.length),
        ):  # fmt: skip
            if link is None or link[0] != "road":
                continue
            other = roads[link[1]]
            here, there = road.at(s), other.at(other.length if link[2] == "end" else 0.0)
            gap = math.hypot(here.x - there.x, here.y - there.y)
            if gap > GAP_M:
                line = line_of(text, "road", str(road.id))
                raise MapError(
                    f"Road {road.id} is broken, line {line}: the {link[2]} of its {name}, road "
                    f"{other.id}, is {gap:.0f} m away",
                    where=where,
                )


def _cubics(elements: list[Element], start: str) -> list[Cubic]:
    found = [
        Cubic(number_of(e, start), *(number_of(e, name, 0.0) for name in "abcd")) for e in elements
    ]
    return sorted(found, key=lambda cubic: cubic.start)


def _road(element: Element) -> Road:
    length = number_of(element, "length")
    view = element.find("planView")
    if view is None or not len(view):
        raise ValueError("it has no geometry")
    if length <= 0.0:
        raise ValueError(f"its length is {length} m")
    pieces: list[Arc] = []
    for geometry in view.findall("geometry"):
        pieces += _pieces(geometry)
    starts, s = [], 0.0
    for piece in pieces:
        starts.append(s)
        s += piece.length
    section_elements = element.findall("lanes/laneSection")
    begins = [number_of(e, "s") for e in section_elements] + [length]
    sections = [
        Section(begins[i], begins[i + 1], _lanes(e)) for i, e in enumerate(section_elements)
    ]
    if not sections:
        raise ValueError("it has no lane section")
    speed = element.find("type/speed")
    speed_mps = DEFAULT_SPEED_MPS
    if speed is not None and speed.get("max", "") not in ("no limit", "undefined", ""):
        speed_mps = float(speed.get("max", "")) * SPEED_UNITS[speed.get("unit")]
    boxes = _boxes(element)
    return Road(
        id=int(element.get("id", "")), junction=int(element.get("junction", "-1")), length=length,
        pieces=pieces, starts=starts,
        offsets=_cubics(element.findall("lanes/laneOffset"), "s"),
        elevation=_cubics(element.findall("elevationProfile/elevation"), "s"), sections=sections,
        predecessor=_link(element, "predecessor"), successor=_link(element, "successor"),
        speed_mps=speed_mps, signals=signals_on(element), boxes=[place for place, _ in boxes],
        box_kinds=[kind for _, kind in boxes],
    )  # fmt: skip


def _link(element: Element, name: str) -> tuple[str, int, str] | None:
    link = element.find(f"link/{name}")
    if link is None:
        return None
    kind = link.get("elementType", "road")
    return kind, int(link.get("elementId", "")), link.get("contactPoint", "start")


def _lanes(section: Element) -> dict[int, Lane]:
    found = {}
    for lane in [*section.findall("left/lane"), *section.findall("right/lane")]:
        before, after = lane.find("link/predecessor"), lane.find("link/successor")
        number = int(lane.get("id", ""))
        found[number] = Lane(
            number,
            lane.get("type", "none"),
            _cubics(lane.findall("width"), "sOffset"),
            None if before is None else int(before.get("id", "")),
            None if after is None else int(after.get("id", "")),
        )
    return found


def _boxes(
    road: Element,
) -> list[tuple[tuple[float, float, float, float, float], tuple[str, str]]]:
    """Returns s, t, heading, length and width of each solid object, and its type and name."""
    found = []
    for element in road.findall("objects/object"):
        if element.get("type") in ("building", "pole", "barrier", "obstacle", "tree"):
            radius = number_of(element, "radius", 0.0)
            size = [number_of(element, name, 2.0 * radius) for name in ("length", "width")]
            if min(size) > 0.0:
                place = [number_of(element, name, 0.0) for name in ("s", "t", "hdg")]
                kind = element.get("type", ""), element.get("name", "")
                found.append(((place[0], place[1], place[2], size[0], size[1]), kind))
    return found


def _pieces(geometry: Element) -> list[Arc]:
    """Returns a geometry as lines and arcs."""
    start = Pose(number_of(geometry, "x"), number_of(geometry, "y"), number_of(geometry, "hdg"))
    length = number_of(geometry, "length")
    shape = geometry[0]
    if shape.tag == "line":
        return [Arc(start, length, 0.0)]
    if shape.tag == "arc":
        return [Arc(start, length, number_of(shape, "curvature"))]
    count = max(1, math.ceil(length / STEP_M))
    step = length / count
    if shape.tag == "spiral":
        first, last = number_of(shape, "curvStart"), number_of(shape, "curvEnd")
        pieces, pose = [], start
        for i in range(count):
            curvature = first + (last - first) * (i + 0.5) / count
            pieces.append(Arc(pose, step, curvature))
            pose = pieces[-1].at(step)
        return pieces
    if shape.tag == "poly3":
        return _chain(start, [(x * step, _poly(shape, "", x * step)) for x in range(count + 1)])
    if shape.tag == "paramPoly3":
        top = 1.0 if shape.get("pRange", "normalized") == "normalized" else length
        at = [top * i / count for i in range(count + 1)]
        return _chain(start, [(_poly(shape, "U", p), _poly(shape, "V", p)) for p in at])
    raise ValueError(f"unknown geometry <{shape.tag}>")


def _poly(shape: Element, axis: str, x: float) -> float:
    a, b, c, d = (number_of(shape, name + axis, 0.0) for name in "abcd")
    return a + x * (b + x * (c + x * d))


def _chain(start: Pose, points: list[tuple[float, float]]) -> list[Arc]:
    """Returns straight pieces through local points (u, v)."""
    cos, sin = math.cos(start.heading), math.sin(start.heading)
    world = [(start.x + u * cos - v * sin, start.y + u * sin + v * cos) for u, v in points]
    pieces = []
    for (x0, y0), (x1, y1) in itertools.pairwise(world):
        heading = math.atan2(y1 - y0, x1 - x0)
        pieces.append(Arc(Pose(x0, y0, heading), math.hypot(x1 - x0, y1 - y0), 0.0))
    return pieces


def boxes_of(road: Road) -> list[Box]:
    """Returns a road's solid objects in map axes."""
    found = []
    for s, t, heading, length, width in road.boxes:
        pose = road.at(s, t)
        found.append(Box(pose.x, pose.y, length / 2.0, width / 2.0, pose.heading + heading))
    return found
