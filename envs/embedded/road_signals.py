"""Signals as an OpenDRIVE road tells of them."""

import re
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from dreamdrive.envs.embedded.map_checks import number_of

LIMIT_KIND = "274"
"""The type of a speed limit, as CARLA's maps have it from the German catalogue."""


@dataclass(frozen=True)
class Signal:
    """A signal, or a reference to one, on a road; `value` is what a speed limit allows, in km/h."""

    id: str
    kind: str
    s: float
    t: float
    orientation: str
    lanes: tuple[int, int] | None
    is_reference: bool
    value: float = 0.0


def signals_on(road: Element) -> list[Signal]:
    """Returns a road's signals, references, and objects that are speed limits by name."""
    found = []
    for tag in ("signal", "signalReference"):
        for element in road.findall(f"signals/{tag}"):
            validity = element.find("validity")
            lanes = None
            if validity is not None:
                ends = int(validity.get("fromLane", "0")), int(validity.get("toLane", "0"))
                lanes = (min(ends), max(ends))
            found.append(
                Signal(
                    element.get("id", ""), element.get("type", ""), number_of(element, "s"),
                    number_of(element, "t"), element.get("orientation", "none"), lanes,
                    tag == "signalReference", number_of(element, "value", 0.0),
                )
            )  # fmt: skip
    return found + [_speed_sign(e) for e in road.findall("objects/object") if _speed_of(e)]


def _speed_of(element: Element) -> float:
    """Returns what an object allows that is a speed limit by its name, as CARLA's client has it."""
    found = re.match(r"[Ss]peed_(?:STATIC_)?(\d{1,3})$", element.get("name", ""))
    return float(found.group(1)) if found else 0.0


def _speed_sign(element: Element) -> Signal:
    return Signal(
        element.get("id", ""), LIMIT_KIND, number_of(element, "s", 0.0),
        number_of(element, "t", 0.0), element.get("orientation", "none"), None, False,
        _speed_of(element),
    )  # fmt: skip
