"""Towns from a seed, written as OpenDRIVE.

A jittered grid of junctions with some streets left out; streets bend, arterials have two lanes each
way, junctions have lights, stop signs or neither, and houses stand beside the streets. Every lane
leads on: the network is connected and no junction is a dead end.

Reference:
    ASAM OpenDRIVE 1.4, the version that CARLA 0.9.16 reads.
"""

import math
from dataclasses import dataclass, field

from dreamdrive.envs.embedded.curves import Arc, Pose, biarc, wrap
from dreamdrive.seeding import numpy_generator

LANE_WIDTH_M = 3.5
SIDEWALK_WIDTH_M = 2.0
FIRST_ROAD_ID = 1
FIRST_JUNCTION_ID = 100_000
"""CARLA tells roads from junctions by their number, so the two must never meet."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TownPlan:
    """What a town looks like."""

    rows: int = 4
    columns: int = 4
    spacing_m: float = 88.0
    jitter_m: float = 10.0
    missing: float = 0.2
    """Share of the streets that are left out where the network stays connected."""
    bend: float = 0.25
    """Largest angle, in radians, by which a street leaves the straight line."""
    arterials: int = 2
    """Lines of the grid with two lanes each way."""
    lights: float = 0.5
    """Share of the junctions of three or more streets with traffic lights."""
    stops: float = 0.4
    """Share of the others with stop signs."""


@dataclass
class Street:
    """A street between two nodes; its line runs from `a` to `b`."""

    a: int
    b: int
    lanes: int
    speed_kmh: int
    road_id: int = 0
    arcs: tuple[Arc, ...] = ()

    @property
    def length(self) -> float:
        """Arc length in metres."""
        return sum(arc.length for arc in self.arcs)

    def end(self, node: int) -> Pose:
        """Returns the pose of the street's line at a node, heading into the node."""
        if node == self.b:
            return self.arcs[-1].at(self.arcs[-1].length)
        return self.arcs[0].start.reversed()


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
    """A junction."""

    index: int
    x: float
    y: float
    streets: list[Street] = field(default_factory=list)
    control: str = "none"
    connections: list[Connection] = field(default_factory=list)

    @property
    def junction_id(self) -> int:
        """The junction's number in the file."""
        return FIRST_JUNCTION_ID + self.index


@dataclass
class Network:
    """Streets and junctions of a town."""

    nodes: list[Node]
    streets: list[Street]
    houses: list[tuple[Street, float, float, float, float]]
    """Street, s, t, length along and width across it, of each house."""


def plan_network(seed: int, plan: TownPlan) -> Network:
    """Returns the network of a seed; the same seed gives the same network."""
    rng = numpy_generator(seed, "town")
    nodes: list[Node] = []
    for row in range(plan.rows):
        for column in range(plan.columns):
            dx, dy = rng.uniform(-plan.jitter_m, plan.jitter_m, 2)
            x, y = column * plan.spacing_m + dx, row * plan.spacing_m + dy
            nodes.append(Node(len(nodes), float(x), float(y)))
    lines = [("row", i) for i in range(plan.rows)] + [("column", i) for i in range(plan.columns)]
    chosen = rng.choice(len(lines), size=min(plan.arterials, len(lines)), replace=False)
    arterials = {lines[i] for i in chosen}
    pairs = []
    for row in range(plan.rows):
        for column in range(plan.columns):
            here = row * plan.columns + column
            if column + 1 < plan.columns:
                pairs.append((here, here + 1, ("row", row) in arterials))
            if row + 1 < plan.rows:
                pairs.append((here, here + plan.columns, ("column", column) in arterials))
    for index in rng.permutation(len(pairs))[: round(plan.missing * len(pairs))]:
        rest = [pair for pair in pairs if pair is not pairs[index] and pair[0] >= 0]
        if not pairs[index][2] and _is_sound(rest, len(nodes)):
            pairs[index] = (-1, -1, False)
    streets: list[Street] = []
    for a, b, wide in pairs:
        if a >= 0:
            speed = int(rng.choice((40, 50))) if wide else int(rng.choice((30, 30, 40)))
            streets.append(Street(a, b, 2 if wide else 1, speed, FIRST_ROAD_ID + len(streets)))
            nodes[a].streets.append(streets[-1])
            nodes[b].streets.append(streets[-1])
    for street in streets:
        first, second = rng.uniform(-plan.bend, plan.bend, 2)
        street.arcs = _bent(nodes, street, (float(first), float(second)))
    road_id = FIRST_ROAD_ID + len(streets)
    for node in nodes:
        if len(node.streets) >= 3:
            draw = rng.random(2)
            node.control = (
                "lights" if draw[0] < plan.lights else "stops" if draw[1] < plan.stops else "none"
            )
        road_id = _connect(node, road_id)
    houses = []
    for street in streets:
        for side in (-1, 1):
            s = float(rng.uniform(8.0, 14.0))
            while s < street.length - 8.0:
                length, width = (float(v) for v in rng.uniform(8.0, 15.0, 2))
                t = side * (street.lanes * LANE_WIDTH_M + SIDEWALK_WIDTH_M + 3.0 + width / 2.0)
                if s + length < street.length - 4.0 and rng.random() < 0.75:
                    houses.append((street, s + length / 2.0, t, length, width))
                s += length + float(rng.uniform(3.0, 12.0))
    return Network(nodes, streets, houses)


def _is_sound(pairs: list[tuple[int, int, bool]], num_nodes: int) -> bool:
    """Returns whether the network is connected and every node has at least two streets."""
    degree, group = [0] * num_nodes, list(range(num_nodes))

    def root(i: int) -> int:
        while group[i] != i:
            i = group[i]
        return i

    for a, b, _ in pairs:
        degree[a] += 1
        degree[b] += 1
        group[root(a)] = root(b)
    return min(degree) >= 2 and len({root(i) for i in range(num_nodes)}) == 1


def _radius(node: Node) -> float:
    """Returns how far from a node its streets end."""
    return 9.0 + LANE_WIDTH_M * max(street.lanes for street in node.streets)


def _bent(nodes: list[Node], street: Street, bends: tuple[float, float]) -> tuple[Arc, ...]:
    a, b = nodes[street.a], nodes[street.b]
    straight = math.atan2(b.y - a.y, b.x - a.x)
    start = Pose(a.x, a.y, straight).ahead(_radius(a))
    end = Pose(b.x, b.y, straight).ahead(-_radius(b))
    return biarc(
        start._replace(heading=straight + float(bends[0])),
        end._replace(heading=straight + float(bends[1])),
    )


def _connect(node: Node, road_id: int) -> int:
    """Fills in a junction's connections and returns the next free road number."""
    for source in node.streets:
        into = source.end(node.index)
        turns = []
        for target in node.streets:
            if target is not source:
                out = target.end(node.index).reversed()
                turns.append((wrap(out.heading - into.heading), target))
        turns.sort(key=lambda turn: turn[0])
        for lane in range(source.lanes):
            for angle, target in turns:
                if not _may_turn(lane, source.lanes, angle, [turn[0] for turn in turns]):
                    continue
                target_lane = min(lane, target.lanes - 1)
                if angle < -0.6:
                    target_lane = target.lanes - 1
                start = into.left(-lane * LANE_WIDTH_M)
                end = target.end(node.index).reversed().left(-target_lane * LANE_WIDTH_M)
                arcs = biarc(start, end)
                node.connections.append(
                    Connection(road_id, source, lane, target, target_lane, arcs)
                )
                road_id += 1
    return road_id


def _may_turn(lane: int, lanes: int, angle: float, angles: list[float]) -> bool:
    """Returns whether a lane (0 is the inner one) may take a turn; left is positive.

    Of two lanes, the inner one turns left and the outer one right; both go straight; a lane without
    any of these takes what there is.
    """
    if lanes == 1:
        return True
    outer = lane == lanes - 1

    def allowed(turn: float) -> bool:
        return turn <= 0.6 if outer else turn >= -0.6

    return allowed(angle) or not any(allowed(turn) for turn in angles)
