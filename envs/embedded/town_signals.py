"""Traffic lights and stop signs of a town: whom they hold, and where.

In CARLA's axes, as all of a town.
"""

import math
from dataclasses import dataclass

from dreamdrive.envs.embedded.curves import Pose, wrap
from dreamdrive.envs.embedded.opendrive import OpenDrive, Road
from dreamdrive.envs.embedded.road_signals import LIMIT_KIND, Signal

LIGHT_KIND, STOP_KIND = "1000001", "206"
STOP_ACTOR, LIMIT_ACTOR = "traffic.stop", "traffic.speed_limit"
APPROACH_M = 10.0
"""A light holds for vehicles within this distance before its stop line."""


@dataclass(frozen=True)
class StopLine:
    """Where a lane's traffic stops: lane, arc length and pose (x, y, yaw in degrees)."""

    road_id: int
    lane_id: int
    s: float
    x: float
    y: float
    yaw_deg: float


@dataclass(frozen=True)
class TownSignal:
    """A traffic light, a stop sign or a speed limit.

    Attributes:
        id: OpenDRIVE's number of the signal.
        x, y, yaw_deg: Where it stands; it faces along the traffic that it holds.
        lines: Its stop lines, one for each lane.
        trigger: Centre (x, y) and half extents (x, y) of the approach in the signal's own axes.
        z: Height of the road where it stands.
        value: What a speed limit allows, in km/h.
    """

    id: str
    x: float
    y: float
    yaw_deg: float
    lines: tuple[StopLine, ...]
    trigger: tuple[float, float, float, float]
    z: float = 0.0
    value: float = 0.0

    @property
    def sign(self) -> str:
        """The type of its actor, if it is a sign."""
        return f"{LIMIT_ACTOR}.{self.value:g}" if self.value else STOP_ACTOR


def carla_pose(pose: Pose) -> tuple[float, float, float]:
    """Returns x, y and yaw in degrees of an OpenDRIVE pose."""
    return pose.x, -pose.y, -math.degrees(wrap(pose.heading))


def driving_lanes(road: Road, s: float) -> list[int]:
    """Returns the numbers of the lanes at an arc length that are for driving."""
    return [lane.id for lane in road.section(s).lanes.values() if lane.kind == "driving"]


def signals_of(drive: OpenDrive, kind: str) -> tuple[TownSignal, ...]:
    """Returns all signals of a kind, with the stop lines of the lanes that they hold."""
    placed = {
        signal.id: (road, signal)
        for road in drive.roads.values()
        for signal in road.signals
        if signal.kind == kind and not signal.is_reference
    }
    lines: dict[str, dict[tuple[int, int], StopLine]] = {name: {} for name in placed}
    for road in drive.roads.values():
        for signal in road.signals:
            if signal.id not in placed:
                continue
            for lane in driving_lanes(road, signal.s):
                if _holds(signal, lane):
                    line = _stop_line(drive, road, lane, signal.s)
                    if line is not None:
                        lines[signal.id].setdefault((line.road_id, line.lane_id), line)
    found = []
    for name, (road, signal) in placed.items():
        if lines[name]:
            ordered = tuple(lines[name].values())
            x, y, _ = carla_pose(road.at(signal.s, signal.t))
            yaw = ordered[0].yaw_deg
            z = road.height(signal.s)
            box, value = _trigger(x, y, yaw, ordered), signal.value if kind == LIMIT_KIND else 0.0
            found.append(TownSignal(name, x, y, yaw, ordered, box, z, value))
    return tuple(found)


def _holds(signal: Signal, lane: int) -> bool:
    """Returns whether a signal holds a lane: by its validity, else by its orientation.

    Where a map gives no validity, `+` means the lanes to the left of the road, with positive
    numbers, as CARLA's client reads it (`MapBuilder`, the default validities of signals), and not
    those that lead along it, as OpenDRIVE has it: client and server must hold the same lanes.
    """
    if signal.lanes is not None:
        return signal.lanes[0] <= lane <= signal.lanes[1]
    return signal.orientation == "none" or (signal.orientation == "+") == (lane > 0)


def _stop_line(drive: OpenDrive, road: Road, lane: int, s: float) -> StopLine | None:
    """Returns where a lane's traffic stops: a signal inside a junction holds at its entry."""
    if road.junction != -1:
        link = road.predecessor if lane < 0 else road.successor
        entry = road.sections[0 if lane < 0 else -1].lanes[lane]
        number = entry.predecessor if lane < 0 else entry.successor
        if link is None or link[0] != "road" or number is None or link[1] not in drive.roads:
            return None
        road, lane = drive.roads[link[1]], number
        s = road.length - 0.5 if link[2] == "end" else 0.5
    if lane not in road.section(s).lanes:
        return None
    return StopLine(road.id, lane, s, *carla_pose(road.lane_pose(lane, s)))


def _trigger(
    x: float, y: float, yaw_deg: float, lines: tuple[StopLine, ...]
) -> tuple[float, float, float, float]:
    """Returns the box around the approaches, in the signal's own axes."""
    cos, sin = math.cos(math.radians(yaw_deg)), math.sin(math.radians(yaw_deg))
    local = [((p.x - x) * cos + (p.y - y) * sin, -(p.x - x) * sin + (p.y - y) * cos) for p in lines]
    low = min(p[0] for p in local) - APPROACH_M / 2.0
    high = max(p[0] for p in local)
    left, right = min(p[1] for p in local) - 1.5, max(p[1] for p in local) + 1.5
    return (low + high) / 2.0, (left + right) / 2.0, (high - low) / 2.0, (right - left) / 2.0
