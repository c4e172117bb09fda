"""A motorway with ramps: a one-way loop of two straights, with a two-way road round it.

Traffic runs anticlockwise, so exits and entries lie outside of the loop and nothing crosses. In the
middle of each straight an exit and an entry lead to a junction of the road around, which has a
crescent with houses at both ends of the loop.
"""

import math

import numpy as np

from dreamdrive.envs.embedded.curves import Arc, Pose, biarc
from dreamdrive.envs.embedded.generator import radius_of
from dreamdrive.envs.embedded.network import (
    FIRST_ROAD_ID,
    LANE_WIDTH_M,
    Network,
    Node,
    Street,
    connect,
)

LANES = 3
LOOP_M = 110.0
"""Radius of the ends of the loop, half the distance of its straights."""
RAMP_M, GORE_M = 150.0, 50.0
"""How far from the middle ramps leave, and over which length."""
APART_M = 7.0
"""How far a ramp lies beside the lanes that it leaves, where it begins."""
ROUND_M = 75.0
"""Distance of the road around."""
CRESCENT_M = 90.0
VILLAGE_M = 60.0
"""Half the distance of the junctions of a crescent."""
STRAIGHT_KMH, LOOP_KMH, RAMP_KMH, ROUND_KMH, VILLAGE_KMH = 110, 70, 50, 60, 30


def plan_motorway(rng: np.random.Generator) -> Network:
    """Returns a motorway whose straights have a length that is drawn."""
    half = float(rng.uniform(280.0, 360.0))
    far = LOOP_M + ROUND_M
    places = [
        (-RAMP_M, -LOOP_M), (RAMP_M, -LOOP_M), (RAMP_M, LOOP_M), (-RAMP_M, LOOP_M),
        (0.0, -far), (0.0, far),
        (half + far, -VILLAGE_M), (half + far, VILLAGE_M),
        (-half - far, VILLAGE_M), (-half - far, -VILLAGE_M),
    ]  # fmt: skip
    nodes = [Node(index, x, y) for index, (x, y) in enumerate(places)]
    south, north, east_low, east_high, west_high, west_low = nodes[4:]
    streets: list[Street] = []
    # The motorway itself.
    main = []
    for k in range(4):
        speed = STRAIGHT_KMH if k % 2 == 0 else LOOP_KMH
        main.append(
            _join(
                streets,
                nodes[k],
                nodes[(k + 1) % 4],
                Street(0, 0, LANES, speed, is_one_way=True, side="shoulder"),
            )
        )
    for k, heading in ((0, 0.0), (2, math.pi)):
        start = Pose(*places[k], heading).ahead(GORE_M)
        main[k].arcs = (Arc(start, 2.0 * (RAMP_M - GORE_M), 0.0),)
        begin = Pose(*places[k + 1], heading).ahead(GORE_M)
        ahead = Arc(begin, half - RAMP_M - GORE_M, 0.0)
        bend = Arc(ahead.at(ahead.length), math.pi * LOOP_M, 1.0 / LOOP_M)
        out = bend.at(bend.length)
        main[k + 1].arcs = (ahead, bend, Arc(out, half - RAMP_M - GORE_M, 0.0))
    # The road around it, from junction to junction anticlockwise.
    around = [south, east_low, east_high, north, west_high, west_low]
    ring: list[Street] = []
    for k, node in enumerate(around):
        ring.append(_join(streets, node, around[(k + 1) % 6], Street(0, 0, 1, ROUND_KMH)))
    crescents = [
        _join(streets, a, b, Street(0, 0, 1, VILLAGE_KMH, has_parking=True))
        for a, b in ((east_low, east_high), (west_high, west_low))
    ]
    for street, heading in zip(ring, (0.0, 0.5, 0.5, 1.0, 1.5, 1.5), strict=True):
        _lay(street, nodes, heading * math.pi, far)
    for street, heading in zip(crescents, (0.0, math.pi), strict=True):
        a, b = (nodes[i] for i in (street.a, street.b))
        start = Pose(a.x, a.y, heading).ahead(radius_of(a))
        end = Pose(b.x, b.y, heading).ahead(radius_of(b))
        ahead = Arc(start, CRESCENT_M, 0.0)
        turned = end.ahead(CRESCENT_M)._replace(heading=heading + math.pi)
        street.arcs = (
            ahead, Arc(ahead.at(CRESCENT_M), math.pi * VILLAGE_M, 1.0 / VILLAGE_M),
            Arc(turned, CRESCENT_M, 0.0),
        )  # fmt: skip
    _add_ramps(streets, nodes, main)
    road_id = FIRST_ROAD_ID + len(streets)
    for node in (south, north):
        node.control = "lights"
    for node in nodes:
        road_id = connect(node, road_id)
    return Network(nodes, streets, [])


def _lay(street: Street, nodes: list[Node], heading: float, radius: float) -> None:
    """Lays a piece of the road around: straight, and round the corner of the loop."""
    a, b = nodes[street.a], nodes[street.b]
    start = Pose(a.x, a.y, heading).ahead(radius_of(a))
    turn = 0.5 * math.pi
    if abs(math.remainder(math.atan2(b.y - a.y, b.x - a.x) - heading, 2.0 * math.pi)) < 1e-6:
        street.arcs = (
            Arc(start, math.hypot(b.x - a.x, b.y - a.y) - radius_of(a) - radius_of(b), 0.0),
        )
        return
    end = Pose(b.x, b.y, heading + turn).ahead(-radius_of(b))
    corner = radius - ROUND_M
    cos, sin = math.cos(heading), math.sin(heading)
    along = (b.x - a.x) * cos + (b.y - a.y) * sin - radius_of(a) - corner
    across = (b.y - a.y) * cos - (b.x - a.x) * sin - radius_of(b) - corner
    first = Arc(start, along, 0.0)
    bend = Arc(first.at(along), turn * corner, 1.0 / corner)
    second = Arc(bend.at(bend.length), across, 0.0)
    assert math.hypot(second.at(across).x - end.x, second.at(across).y - end.y) < 1e-6
    street.arcs = (first, bend, second)


def _join(streets: list[Street], a: Node, b: Node, street: Street) -> Street:
    """Adds a street between two junctions, and returns it."""
    street.a, street.b, street.road_id = a.index, b.index, FIRST_ROAD_ID + len(streets)
    streets.append(street)
    a.streets.append(street)
    b.streets.append(street)
    return street


def _add_ramps(streets: list[Street], nodes: list[Node], main: list[Street]) -> None:
    """Adds an exit and an entry to each straight, and says which lanes lead to which."""
    aside = -(LANES - 1) * LANE_WIDTH_M - APART_M
    for k, ground in ((0, nodes[4]), (2, nodes[5])):
        leave, enter = nodes[k], nodes[k + 1]
        before, straight, after = main[k - 1], main[k], main[k + 1]
        heading = straight.arcs[0].start.heading
        reach = radius_of(ground)
        begin = straight.arcs[0].start.left(aside)
        down = Pose(ground.x, ground.y, heading - 1.0).ahead(-reach)
        exit_ramp, entry_ramp = (
            _join(streets, a, b, Street(0, 0, 1, RAMP_KMH, is_one_way=True, side="shoulder"))
            for a, b in ((leave, ground), (ground, enter))
        )
        exit_ramp.arcs = biarc(begin, down)
        up = Pose(ground.x, ground.y, heading + 1.0).ahead(reach)
        finish = straight.end(enter.index).left(aside)
        entry_ramp.arcs = biarc(up, finish)
        leave.ways = [(before, lane, straight, lane) for lane in range(LANES)]
        leave.ways.append((before, LANES - 1, exit_ramp, 0))
        enter.ways = [(straight, lane, after, lane) for lane in range(LANES)]
        enter.ways.append((entry_ramp, 0, after, LANES - 1))
