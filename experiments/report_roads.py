"""A town's roads as one SVG symbol, which every picture of a page shares.

ISO world axes as they are, in metres: x to the right, y up; pictures turn them as they need.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dreamdrive.envs.embedded.opendrive import OpenDrive, Road, parse_opendrive
from dreamdrive.envs.embedded.towns import SEEDS, STYLED, load_town
from dreamdrive.errors import MapError

SAMPLE_M, TOLERANCE_M = 2.0, 0.08
MAX_BYTES = 600_000
"""Towns that take more of a page are not drawn."""


class Roads:
    """The towns that a page has drawn so far.

    Args:
        maps: OpenDRIVE files of towns that do not ship, by their stems.
    """

    def __init__(self, maps: Sequence[Path] = ()) -> None:
        self._files = {path.stem: path for path in maps}
        self._symbols: dict[str, str] = {}

    def use(self, town: str) -> str:
        """Returns what draws the town's roads in a picture; empty where there is no map of it."""
        if town not in self._symbols:
            drive = self._map(town)
            drawn = "" if drive is None else _paths(drive)
            self._symbols[town] = drawn if len(drawn) <= MAX_BYTES else ""
        if not self._symbols[town]:
            return ""
        return f'<use href="#{self._name(town)}"/>'

    def symbols(self) -> str:
        """Returns the roads of every town that was used; they show nothing by themselves."""
        drawn = [
            f'<g id="{self._name(town)}">{paths}</g>'
            for town, paths in self._symbols.items()
            if paths
        ]
        if not drawn:
            return ""
        return (
            '<svg width="0" height="0" class="hidden" aria-hidden="true">'
            f"<defs>{''.join(drawn)}</defs></svg>"
        )

    def _name(self, town: str) -> str:
        return f"town-{list(self._symbols).index(town)}"

    def _map(self, town: str) -> OpenDrive | None:
        try:
            if town in SEEDS or town in STYLED:
                return parse_opendrive(load_town(town).xodr)
            path = self._files.get(town)
            return None if path is None else parse_opendrive(path.read_text(), path)
        except (OSError, UnicodeDecodeError, MapError):
            return None


def _paths(drive: OpenDrive) -> str:
    surface, edges = [], []
    for road in drive.roads.values():
        for left, right in _lanes(road):
            surface.append(f"{path_of(np.concatenate([left, right[::-1]]))}z")
            if road.junction == -1:
                edges += [path_of(left), path_of(right)]
    return f'<path class="road" d="{"".join(surface)}"/><path class="mark" d="{"".join(edges)}"/>'


def _lanes(road: Road) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Yields both edges of each driving lane of each section, shapes (P, 2)."""
    for section in road.sections:
        end = min(section.end, road.length)
        if end - section.start < 1e-3:
            continue
        count = max(2, int(np.ceil((end - section.start) / SAMPLE_M)) + 1)
        # The end of a section belongs to the next one.
        places = np.linspace(section.start, end - 1e-4, count)
        for lane in section.lanes.values():
            if lane.kind != "driving":
                continue
            poses = [(road.lane_pose(lane.id, s), road.lane_width(lane.id, s) / 2) for s in places]
            sides = [
                simplified(np.array([pose.left(sign * half)[:2] for pose, half in poses]))
                for sign in (1.0, -1.0)
            ]
            yield sides[0], sides[1]


def simplified(line: NDArray[np.float64], tolerance_m: float = TOLERANCE_M) -> NDArray[np.float64]:
    """Returns the fewest points that stay within a distance of a line, both ends among them.

    Args:
        line: Shape (P, 2).
        tolerance_m: How far a point that is left out may lie from the line that remains.

    Reference:
        Douglas and Peucker 1973, Cartographica 10 (2).
    """
    if len(line) < 3:
        return line
    start, way = line[0], line[-1] - line[0]
    length = float(np.hypot(*way))
    offset = line - start
    if length < 1e-9:
        distance = np.hypot(offset[:, 0], offset[:, 1])
    else:
        along = np.clip(offset @ way / length**2, 0.0, 1.0)
        beside = offset - along[:, None] * way
        distance = np.hypot(beside[:, 0], beside[:, 1])
    far = int(distance.argmax())
    if distance[far] <= tolerance_m:
        return line[[0, -1]]
    head = simplified(line[: far + 1], tolerance_m)
    return np.concatenate([head[:-1], simplified(line[far:], tolerance_m)])


def path_of(line: NDArray[np.float64]) -> str:
    """Returns a line as SVG path data, to a decimetre, each point relative to the one before."""
    tenths = np.round(line * 10.0).astype(int)
    steps = np.diff(tenths, axis=0)
    start = f"M{_tenth(tenths[0, 0])} {_tenth(tenths[0, 1])}"
    return start + "".join(f"l{_tenth(dx)} {_tenth(dy)}" for dx, dy in steps if dx or dy)


def _tenth(value: int) -> str:
    return f"{value / 10:g}"
