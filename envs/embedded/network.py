"""Streets and junctions of a town, before they are written down.

OpenDRIVE axes: x east, y north, metres, radians, anticlockwise. A street's line runs in its middle,
that of a one-way street along its left edge.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from dreamdrive.envs.embedded.curves import Arc, Pose, biarc, wrap

LANE_WIDTH_M = 3.5
SIDEWALK_WIDTH_M = 2.0
SHOULDER_WIDTH_M = 1.5
PARKING_WIDTH_M = 2.2
FIRST_ROAD_ID = 1
FIRST_JUNCTION_ID = 100_000
"""CARLA tells roads from junctions by their number, so the two must never meet."""
LAMP, PARKED_CAR = "lamp", "parked_car"
"""Names of objects that are drawn as what they are."""
TURN_RAD = 0.6
"""Beyond this angle a way through a junction is a turn."""


@dataclass
class Street:
    """A street between two nodes; its line runs from `a` to `b`.

    Attributes:
        a, b: Its nodes.
        lanes: Lanes for each direction.
        speed_kmh: Speed limit.
        road_id: Its number in the file.
        arcs: Its line.
        is_one_way: Whether traffic runs from `a` to `b` alone.
        side: What runs along it outside of its lanes: "sidewalk", "shoulder" or nothing.
        has_parking: Whether cars park beside its lanes.
        heights: Of both ends, in metres.
        crossings: Arc lengths of the middles of its crossings.
    """

    a: int
    b: int
    lanes: int
    speed_kmh: int
    road_id: int = 0
    arcs: tuple[Arc, ...] = ()
    is_one_way: bool = False
    side: str = "sidewalk"
    has_parking: bool = False
    heights: tuple[float, float] = (0.0, 0.0)
    crossings: tuple[float, ...] = ()

    @property
    def length(self) -> float:
        """Arc length in metres."""
        return sum(arc.length for arc in self.arcs)

    @property
    def paved(self) -> tuple[float, float]:
        """How far the pavement reaches to the right and to the left of the line."""
        right = self.lanes * LANE_WIDTH_M + (PARKING_WIDTH_M if self.has_parking else 0.0)
        return right, 0.0 if self.is_one_way else right

    @property
    def side_width(self) -> float:
        """Width of what runs along it outside of its lanes."""
        return {"sidewalk": SIDEWALK_WIDTH_M, "shoulder": SHOULDER_WIDTH_M}.get(self.side, 0.0)

    def end(self, node: int) -> Pose:
        """Returns the pose of the street's line at a node, heading into the node."""
        if node == self.b:
            return self.arcs[-1].at(self.arcs[-1].length)
        return self.arcs[0].start.reversed()

    def at(self, s: float) -> Pose:
        """Returns the pose of its line at an arc length."""
        for arc in self.arcs[:-1]:
            if s < arc.length:
                return arc.at(s)
            s -= arc.length
        return self.arcs[-1].at(s)

    def leads_into(self, node: int) -> bool:
        """Returns whether traffic comes into a node by it."""
        return node == self.b or not self.is_one_way

    def leads_out_of(self, node: int) -> bool:
        """Returns whether traffic leaves a node by it."""
        return node == self.a or not self.is_one_way


@dataclass
class Connection:
    """A lane through a junction."""

    road_id: int
    source: Street
    source_lane: int
    target: Street
    target_lane: int
    arcs: tuple[Arc, ...]


@dataclass
class Node:
    """A junction.

    Attributes:
        index: Its number among the nodes.
        x, y, height: Where it is.
        streets: Those that end there.
        control: "lights", "stops", "yields" or "none".
        connections: The lanes through it.
        ways: Which lanes lead on to which, where this does not follow from the angles: source,
            its lane, target, its lane.
    """

    index: int
    x: float
    y: float
    streets: list[Street] = field(default_factory=list)
    control: str = "none"
    connections: list[Connection] = field(default_factory=list)
    height: float = 0.0
    ways: list[tuple[Street, int, Street, int]] = field(default_factory=list)

    @property
    def junction_id(self) -> int:
        """The junction's number in the file."""
        return FIRST_JUNCTION_ID + self.index


class Thing(NamedTuple):
    """An object beside a street: place along and across it, heading, sizes, type and name."""

    street: Street
    s: float
    t: float
    heading: float
    length: float
    width: float
    height: float
    kind: str
    name: str


@dataclass
class Network:
    """Streets and junctions of a town.

    Attributes:
        nodes, streets: Its junctions and streets.
        houses: Street, s, t, length along and width across it, of each house.
        things: Whatever else stands there.
        has_slow_turns: Whether the limits in junctions are what their curves allow.
        has_turns_for_each: Whether each street into a junction with lights is green by itself, and
            not together with the one that faces it.
    """

    nodes: list[Node]
    streets: list[Street]
    houses: list[tuple[Street, float, float, float, float]]
    things: list[Thing] = field(default_factory=list)
    has_slow_turns: bool = False
    has_turns_for_each: bool = False


def connect(node: Node, road_id: int) -> int:
    """Fills in a junction's connections and returns the next free road number."""
    if node.ways:
        for source, lane, target, target_lane in node.ways:
            road_id = _add_connection(node, road_id, source, lane, target, target_lane)
        return road_id
    for source in (street for street in node.streets if street.leads_into(node.index)):
        into = source.end(node.index)
        turns = []
        for target in node.streets:
            if target is not source and target.leads_out_of(node.index):
                out = target.end(node.index).reversed()
                turns.append((wrap(out.heading - into.heading), target))
        turns.sort(key=lambda turn: turn[0])
        for lane in range(source.lanes):
            for angle, target in turns:
                if not _may_turn(lane, source.lanes, angle, [turn[0] for turn in turns]):
                    continue
                target_lane = min(lane, target.lanes - 1)
                if angle < -TURN_RAD:
                    target_lane = target.lanes - 1
                road_id = _add_connection(node, road_id, source, lane, target, target_lane)
    return road_id


def _add_connection(
    node: Node, road_id: int, source: Street, lane: int, target: Street, target_lane: int
) -> int:
    start = source.end(node.index).left(-lane * LANE_WIDTH_M)
    end = target.end(node.index).reversed().left(-target_lane * LANE_WIDTH_M)
    connection = Connection(road_id, source, lane, target, target_lane, biarc(start, end))
    node.connections.append(connection)
    return road_id + 1


def _may_turn(lane: int, lanes: int, angle: float, angles: list[float]) -> bool:
    """Returns whether a lane (0 is the inner one) may take a turn; left is positive.

    Of two lanes, the inner one turns left and the outer one right; both go straight; a lane without
    any of these takes what there is.
    """
    if lanes == 1:
        return True
    outer = lane == lanes - 1

    def allowed(turn: float) -> bool:
        return turn <= TURN_RAD if outer else turn >= -TURN_RAD

    return allowed(angle) or not any(allowed(turn) for turn in angles)
