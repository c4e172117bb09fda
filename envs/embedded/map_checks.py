"""What an OpenDRIVE file must be before it is read: sound in numbers and links, and not endless.

CARLA's client takes the number of a junction for a road if there is one of that number, and
follows links without looking whether they lead anywhere; so what it would stumble over is refused
here, with the line.
"""

import math
import re
from typing import Any
from xml.etree.ElementTree import Element, TreeBuilder

from defusedxml.ElementTree import XMLParser

from dreamdrive.errors import MapError

MOST_M = 500_000.0
"""Longest road, and the length of all roads together."""
HIGHEST_ID = 2**31 - 1
HIGHEST_LANE = 1_000
DEEPEST = 64
"""Elements within each other; OpenDRIVE has about ten."""


class _Shallow(TreeBuilder):
    """Builds a tree that is not too deep: a deep one takes long to build and to throw away.

    Attributes:
        parser: Who knows the line.
    """

    def __init__(self) -> None:
        super().__init__()
        self._depth = 0
        self.parser: Any = None

    def start(self, tag: str, attrs: dict[str, str], /) -> Element:
        """Opens an element.

        Raises:
            ValueError: If it lies too deep.
        """
        self._depth += 1
        if self._depth > DEEPEST:
            line = self.parser.CurrentLineNumber
            raise ValueError(f"more than {DEEPEST} elements lie within each other: line {line}")
        return super().start(tag, attrs)

    def end(self, tag: str, /) -> Element:
        """Closes an element."""
        self._depth -= 1
        return super().end(tag)


def parse_xml(text: str) -> Element:
    """Returns the root of an XML text.

    Raises:
        ParseError: If it is no XML.
        DefusedXmlException: If it declares entities.
        ValueError: If elements lie too deep within each other.
    """
    builder = _Shallow()
    parser = XMLParser(target=builder)
    builder.parser = parser.parser
    parser.feed(text)
    root: Element = parser.close()
    return root


def line_of(text: str, tag: str, number: str | None, nth: int = 0) -> int:
    """Returns the line of the nth element of a tag and an id; 1 if there is none.

    Args:
        text: The file.
        tag: Name of the element.
        number: Its `id`, None for any.
        nth: Which of several, from 0 on.
    """
    wanted = "" if number is None else rf"[^>]*?\sid\s*=\s*[\"']{re.escape(number)}[\"']"
    for k, found in enumerate(re.finditer(rf"<{tag}\b{wanted}", text)):
        if k == nth:
            return text.count("\n", 0, found.start()) + 1
    return 1


def check_map(root: Element, text: str, where: object) -> None:
    """Checks the numbers, links and lengths of roads and junctions.

    Args:
        root: The file's root element.
        text: The file, for its lines.
        where: What the error names.

    Raises:
        MapError: If a number is broken, there twice, or both a road's and a junction's; if a link
            leads nowhere; or if roads are too long. It says the line and the reason.
    """

    def refuse(tag: str, number: str | None, reason: str, nth: int = 0) -> MapError:
        line = line_of(text, tag, number, nth)
        name = tag.capitalize() if number is None else f"{tag.capitalize()} {number}"
        return MapError(f"{name} is broken, line {line}: {reason}", where=where)

    ids: dict[str, dict[str, Element]] = {"road": {}, "junction": {}}
    for tag, found in ids.items():
        for element in root.findall(tag):
            number = element.get("id", "")
            if not re.fullmatch(r"[0-9]{1,10}", number) or int(number) > HIGHEST_ID:
                raise refuse(tag, element.get("id"), "its id is no number from 0 to 2147483647")
            if number in found:
                raise refuse(tag, number, "there are two of this number", 1)
            found[number] = element
    roads, junctions = ids["road"], ids["junction"]
    for number in junctions:
        if number in roads:
            raise refuse("junction", number, "a road has the same number")
    total = 0.0
    for number, road in roads.items():
        total += _length(road)
        if not total <= MOST_M:
            raise refuse("road", number, f"roads are longer than {MOST_M / 1000:.0f} km by then")
        reason = _flaw(road, roads, junctions)
        if reason:
            raise refuse("road", number, reason)
    for number, junction in junctions.items():
        for connection in junction.findall("connection"):
            for name in ("incomingRoad", "connectingRoad"):
                if connection.get(name, "") not in roads:
                    reason = f"there is no road {connection.get(name)!r}, its {name}"
                    raise refuse("junction", number, reason)


def _length(road: Element) -> float:
    """Returns the longest of what a road says of its length, endless if that is broken."""
    try:
        told = [float(e.get("length", "0")) for e in (road, *road.findall("planView/geometry"))]
    except ValueError:
        return 0.0  # Who reads the road says what is wrong with it.
    return max(told) if all(map(math.isfinite, told)) else 0.0


def _flaw(road: Element, roads: dict[str, Element], junctions: dict[str, Element]) -> str:
    """Returns what is wrong with a road's links and lanes, nothing if they are sound."""
    inside = road.get("junction", "-1")
    if inside != "-1" and inside not in junctions:
        return f"there is no junction {inside!r}"
    for name in ("predecessor", "successor"):
        link = road.find(f"link/{name}")
        if link is None:
            continue
        kind, number = link.get("elementType", "road"), link.get("elementId", "")
        if number not in (junctions if kind == "junction" else roads):
            return f"there is no {kind} {number!r}, its {name}"
    for lane in road.iter("lane"):
        number = lane.get("id", "")
        if not re.fullmatch(r"[+-]?[0-9]{1,6}", number) or abs(int(number)) > HIGHEST_LANE:
            return f"lane {number!r} has no number from -{HIGHEST_LANE} to {HIGHEST_LANE}"
    return ""


def number_of(element: Element, name: str, default: float | None = None) -> float:
    """Returns an attribute that is a number, the default where it is missing.

    Raises:
        ValueError: If it is missing without a default, or no finite number.
    """
    text = element.get(name)
    if text is None:
        if default is None:
            raise ValueError(f"<{element.tag}> lacks {name!r}")
        return default
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"<{element.tag}> has {name}={text!r}")
    return value
