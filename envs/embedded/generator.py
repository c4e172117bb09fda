"""Towns from a seed, written as OpenDRIVE.

A jittered grid of junctions with some streets left out; streets bend, arterials have two lanes each
way, junctions have lights, stop signs or neither, and houses stand beside the streets. Every lane
leads on: the network is connected and no junction is a dead end.

Reference:
    ASAM OpenDRIVE 1.4, the version that CARLA 0.9.16 reads.
"""

import math
from dataclasses import dataclass

from dreamdrive.envs.embedded.curves import Arc, Pose, biarc
from dreamdrive.envs.embedded.network import (
    FIRST_ROAD_ID,
    LANE_WIDTH_M,
    SIDEWALK_WIDTH_M,
    Network,
    Node,
    Street,
    connect,
)
from dreamdrive.seeding import numpy_generator


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
        road_id = connect(node, road_id)
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


def radius_of(node: Node) -> float:
    """Returns how far from a node its streets end."""
    return 9.0 + LANE_WIDTH_M * max(street.lanes for street in node.streets)


def _bent(nodes: list[Node], street: Street, bends: tuple[float, float]) -> tuple[Arc, ...]:
    a, b = nodes[street.a], nodes[street.b]
    straight = math.atan2(b.y - a.y, b.x - a.x)
    start = Pose(a.x, a.y, straight).ahead(radius_of(a))
    end = Pose(b.x, b.y, straight).ahead(-radius_of(b))
    return biarc(
        start._replace(heading=straight + float(bends[0])),
        end._replace(heading=straight + float(bends[1])),
    )
