"""Streets as triangles: lanes, kerbs, marks, stop lines and crossings."""

import itertools
import math

import numpy as np
from numpy.typing import NDArray

from dreamdrive.envs.embedded.opendrive import OpenDrive, Road, Section
from dreamdrive.envs.embedded.render.appearance import Appearance, Crosswalk, RoadMark
from dreamdrive.envs.embedded.render.junctions import Mouth, corners_of, hull_of
from dreamdrive.envs.embedded.render.mesh import Colour, Finish, MeshBuilder, Tag
from dreamdrive.envs.embedded.town_signals import StopLine, TownSignal

Points = NDArray[np.float64]
KERB_M = 0.12
"""Height of a sidewalk over its road."""
MARK_M = 0.008
"""Height of paint over its road, so that it is drawn in front of it."""
BULGE_M = 0.02
"""How far a straight piece may leave the curve that it stands for."""
DASH_M, GAP_M = 3.0, 6.0
STOP_LINE_M, CROSSING_M, CROSSING_GAP_M, BAR_M = 0.4, 2.6, 0.6, 0.5
RAISED = ("sidewalk",)
PAVED = (
    "driving", "shoulder", "border", "stop", "parking", "biking", "bidirectional", "restricted",
    "entry", "exit", "onRamp", "offRamp", "connectingRamp",
)  # fmt: skip
ASPHALT: Colour = (0.27, 0.27, 0.28)
SLABS: Colour = (0.55, 0.53, 0.50)
KERBSTONE: Colour = (0.66, 0.65, 0.62)
GRASS: Colour = (0.30, 0.41, 0.20)
WHITE: Colour = (0.88, 0.88, 0.86)
YELLOW: Colour = (0.86, 0.66, 0.16)


def add_streets(builder: MeshBuilder, drive: OpenDrive, looks: Appearance) -> None:
    """Adds the lanes of all roads, with kerbs and marks, and what junctions pave."""
    paved: dict[int, list[Points]] = {}
    for road in drive.roads.values():
        for index, section in enumerate(road.sections):
            at = _stations(road, section.start, section.end)
            edges = _edges(road, section, at)
            for lane in section.lanes.values():
                inner, outer = edges[lane.id - (1 if lane.id > 0 else -1)], edges[lane.id]
                left, right = (outer, inner) if lane.id > 0 else (inner, outer)
                if lane.kind in RAISED:
                    _add_sidewalk(builder, left, right)
                elif lane.kind in PAVED and road.junction == -1:
                    builder.strip(left, right, Tag.ROAD, ASPHALT, finish=Finish.GRAINY)
                elif lane.kind in PAVED:
                    paved.setdefault(road.junction, []).extend([left, right])
                else:
                    builder.strip(left, right, Tag.GROUND, GRASS, finish=Finish.GRAINY)
            for lane_id in edges:
                marks = looks.marks.get((road.id, index, lane_id), [])
                _add_marks(builder, road, section, lane_id, marks)
    mouths = _mouths(drive)
    for junction, lines in paved.items():
        hull = hull_of(np.concatenate(lines))
        if len(hull) < 3:
            continue
        builder.polygon(hull, Tag.ROAD, ASPHALT, finish=Finish.GRAINY)
        for outer, inner in corners_of(hull, mouths.get(junction, [])):
            _add_sidewalk(builder, outer, inner)


def _mouths(drive: OpenDrive) -> dict[int, list[Mouth]]:
    """Returns the ends of streets at each junction."""
    found: dict[int, list[Mouth]] = {}
    for road in drive.roads.values():
        for link, s in ((road.predecessor, 0.0), (road.successor, road.length)):
            if road.junction != -1 or link is None or link[0] != "junction":
                continue
            section = road.sections[0 if s == 0.0 else -1]
            edges = _edges(road, section, [s])
            if not edges:
                continue
            paved, outer = [], []
            for sign in (-1, 1):
                ordered = sorted((i for i in section.lanes if i * sign > 0), key=abs)
                last, beside = 0, 0
                for lane in ordered:
                    if section.lanes[lane].kind in PAVED:
                        last = beside = lane
                    elif section.lanes[lane].kind in RAISED and beside == lane - sign:
                        beside = lane
                paved.append(edges[last][0])
                outer.append(edges[beside][0])
            found.setdefault(link[1], []).append(Mouth(np.array(paved), np.array(outer)))
    return found


def add_stop_lines(
    builder: MeshBuilder, drive: OpenDrive, signals: tuple[TownSignal, ...], has_crossings: bool
) -> None:
    """Adds the stop lines of signals, and crossings between them and their junctions."""
    crossed: set[tuple[int, bool]] = set()
    for line in (line for signal in signals for line in signal.lines):
        road = drive.roads[line.road_id]
        half = road.lane_width(line.lane_id, line.s) / 2.0 - 0.1
        z = road.height(line.s) + MARK_M
        bar = _rectangle(line.x, line.y, math.radians(line.yaw_deg), z, STOP_LINE_M / 2.0, half)
        builder.polygon(bar, Tag.ROAD_LINE, WHITE)
        end = line.s > road.length / 2.0
        if has_crossings and (road.id, end) not in crossed:
            crossed.add((road.id, end))
            _add_crossing(builder, road, line)


def crossings_of(
    drive: OpenDrive, looks: Appearance, lights: tuple[TownSignal, ...]
) -> list[Points]:
    """Returns the corners of each crossing, shape (4, 3), the first two at one end of it.

    They are those that a map outlines; where it outlines none, those beyond the lights' stop lines.
    """
    outlined = [
        _corners(road, walk) for road in drive.roads.values() for walk in looks.crosswalks[road.id]
    ]
    if outlined:
        return [np.array([b, c, d, a]) for a, b, c, d in outlined]
    found: dict[tuple[int, bool], Points] = {}
    for line in (line for light in lights for line in light.lines):
        road = drive.roads[line.road_id]
        end = (road.id, line.s > road.length / 2.0)
        if end not in found:
            yaw = math.radians(line.yaw_deg)
            corners = []
            for k, t in enumerate(_paved_span(road, line.s)):
                pose = road.at(line.s, t)
                for ahead in (CROSSING_GAP_M, CROSSING_GAP_M + CROSSING_M)[:: 1 - 2 * k]:
                    x, y = pose.x + ahead * math.cos(yaw), -pose.y + ahead * math.sin(yaw)
                    corners.append((x, y, road.height(line.s)))
            found[end] = np.array(corners)
    return list(found.values())


def _corners(road: Road, walk: Crosswalk) -> Points:
    """Returns the corners of a crossing that a map outlines, shape (4, 3), seen from above.

    Its longer sides run from the first corner to the second and from the third to the fourth.
    """
    pose, z = road.at(walk.s, walk.t), road.height(walk.s) + MARK_M
    cos, sin = math.cos(pose.heading + walk.heading), math.sin(pose.heading + walk.heading)
    a, b, c, d = np.array([
        (pose.x + u * cos - v * sin, -pose.y - u * sin - v * cos, z) for u, v in walk.corners
    ])  # fmt: skip
    if np.linalg.norm(b - a) < np.linalg.norm(c - b):
        a, b, c, d = b, c, d, a
    if np.cross(b - a, c - a)[2] < 0.0:
        a, b, c, d = b, a, d, c
    return np.array([a, b, c, d])


def _paved_span(road: Road, s: float) -> tuple[float, float]:
    """Returns how far left of the reference line the pavement begins and ends."""
    section = road.section(s)
    edges = _offsets(road, section, s)
    paved = [lane.id for lane in section.lanes.values() if lane.kind in PAVED]
    low = min([edges[i] for i in paved if i < 0], default=0.0)
    return low, max([edges[i] for i in paved if i > 0], default=0.0)


def add_crosswalks(builder: MeshBuilder, drive: OpenDrive, looks: Appearance) -> None:
    """Adds bars across the crossings that a map outlines, along their shorter sides."""
    for road in drive.roads.values():
        for walk in looks.crosswalks[road.id]:
            a, b, c, d = _corners(road, walk)
            count = max(1, int(np.linalg.norm(b - a) / (2.0 * BAR_M)))
            for k in range(count):
                low, high = (k + 0.25) / count, (k + 0.75) / count
                bar = [a + low * (b - a), a + high * (b - a), d + high * (c - d), d + low * (c - d)]
                builder.polygon(bar, Tag.ROAD_LINE, WHITE)


def _add_crossing(builder: MeshBuilder, road: Road, line: StopLine) -> None:
    """Adds white bars across all paved lanes, beyond a stop line."""
    low, high = _paved_span(road, line.s)
    yaw, ahead = math.radians(line.yaw_deg), CROSSING_GAP_M + CROSSING_M / 2.0
    count = int((high - low) / (2.0 * BAR_M))
    first = (low + high - (count - 1) * 2.0 * BAR_M) / 2.0
    for k in range(count):
        pose = road.at(line.s, first + 2.0 * BAR_M * k)
        x, y = pose.x + ahead * math.cos(yaw), -pose.y + ahead * math.sin(yaw)
        z = road.height(line.s) + MARK_M
        bar = _rectangle(x, y, yaw, z, CROSSING_M / 2.0, BAR_M / 2.0)
        builder.polygon(bar, Tag.ROAD_LINE, WHITE)


def _stations(road: Road, start: float, end: float) -> list[float]:
    """Returns arc lengths between which a road is nearly straight."""
    found = [start]
    for begin, arc in zip(road.starts, road.pieces, strict=True):
        low, high = max(begin, start), min(begin + arc.length, end)
        if high - low > 1e-6:
            bend = max(abs(arc.curvature), 2.0 * _hump(road, low, high), 2e-3)
            step = math.sqrt(8.0 * BULGE_M / bend)
            count = math.ceil((high - low) / min(step, 12.0))
            found += [low + (high - low) * k / count for k in range(1, count + 1)]
    return found if found[-1] >= end - 1e-6 else [*found, end]


def _hump(road: Road, low: float, high: float) -> float:
    """Returns how fast a road's slope changes at most between two arc lengths, in 1/m."""
    found = 0.0
    for index, piece in enumerate(road.elevation):
        last = index + 1 == len(road.elevation)
        end = high if last else min(road.elevation[index + 1].start, high)
        for s in (max(piece.start, low), end):
            if low <= s <= end:
                found = max(found, abs(2.0 * piece.c + 6.0 * piece.d * (s - piece.start)))
    return found


def _offsets(road: Road, section: Section, s: float) -> dict[int, float]:
    """Returns how far left of the reference line the outer edge of each lane is; 0 is the middle.

    It is read from the lanes' centres and widths, which hold whatever lies inside of them.
    """
    here = min(max(s, section.start), section.end - 1e-6)
    base = road.at(s)
    found = {}
    for lane in section.lanes:
        pose = road.lane_pose(lane, here)
        moved = (pose.y - base.y) * math.cos(base.heading)
        moved -= (pose.x - base.x) * math.sin(base.heading)
        half = road.lane_width(lane, here) / 2.0
        found[lane] = moved + half if lane > 0 else moved - half
        if abs(lane) == 1:
            found[0] = moved - half if lane > 0 else moved + half
    return found


def _edges(road: Road, section: Section, at: list[float]) -> dict[int, Points]:
    """Returns the outer edge of each lane as points, shape (k, 3); 0 is the middle line."""
    lines: dict[int, list[tuple[float, float, float]]] = {}
    for s in at:
        for lane, t in _offsets(road, section, s).items():
            pose = road.at(s, t)
            lines.setdefault(lane, []).append((pose.x, -pose.y, road.height(s)))
    return {lane: np.array(points) for lane, points in lines.items()}


def _add_sidewalk(builder: MeshBuilder, left: Points, right: Points) -> None:
    up = np.array([0.0, 0.0, KERB_M])
    builder.strip(left + up, right + up, Tag.SIDEWALK, SLABS, finish=Finish.GRAINY)
    builder.strip(left, left + up, Tag.SIDEWALK, KERBSTONE)
    builder.strip(right + up, right, Tag.SIDEWALK, KERBSTONE)
    for a, b in ((left[0], right[0]), (right[-1], left[-1])):
        builder.polygon([a, a + up, b + up, b], Tag.SIDEWALK, KERBSTONE)


def _add_marks(
    builder: MeshBuilder, road: Road, section: Section, lane: int, marks: list[RoadMark]
) -> None:
    """Adds the marks along the outer edge of a lane."""
    for mark, following in itertools.zip_longest(marks, marks[1:]):
        start = section.start + mark.start
        end = section.start + following.start if following else section.end
        colour = YELLOW if mark.colour == "yellow" else WHITE
        names = mark.lines.split()
        for k, name in enumerate(names):
            aside = (k - (len(names) - 1) / 2.0) * 2.0 * mark.width
            for low, high in _dashes(name, start, end):
                at = _stations(road, low, high)
                offsets = [_offsets(road, section, s)[lane] for s in at]
                sides = []
                for side in (mark.width / 2.0, -mark.width / 2.0):
                    poses = [road.at(s, t + aside + side) for s, t in zip(at, offsets, strict=True)]
                    z = [road.height(s) + MARK_M for s in at]
                    sides.append([(p.x, -p.y, h) for p, h in zip(poses, z, strict=True)])
                builder.strip(sides[0], sides[1], Tag.ROAD_LINE, colour)


def _dashes(name: str, start: float, end: float) -> list[tuple[float, float]]:
    """Returns the painted stretches of a line."""
    if name == "solid":
        return [(start, end)] if end > start else []
    if name != "broken":
        return []
    count = int((end - start + GAP_M) / (DASH_M + GAP_M))
    first = start + (end - start - count * (DASH_M + GAP_M) + GAP_M) / 2.0
    begins = [first + k * (DASH_M + GAP_M) for k in range(count)]
    return [(begin, begin + DASH_M) for begin in begins]


def _rectangle(
    x: float, y: float, yaw: float, z: float, half_length: float, half_width: float
) -> list[tuple[float, float, float]]:
    """Returns the corners of a rectangle on the ground, seen from above."""
    cos, sin = math.cos(yaw), math.sin(yaw)
    return [
        (x + a * half_length * cos - b * half_width * sin,
         y + a * half_length * sin + b * half_width * cos, z)
        for a, b in ((1, 1), (-1, 1), (-1, -1), (1, -1))
    ]  # fmt: skip
