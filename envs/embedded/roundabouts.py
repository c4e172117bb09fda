"""Roundabouts in place of junctions: one-way rings with a junction of their own for each street."""

import math

from dreamdrive.envs.embedded.curves import Arc, Pose, biarc, wrap
from dreamdrive.envs.embedded.generator import radius_of
from dreamdrive.envs.embedded.network import LANE_WIDTH_M, Network, Node, Street, connect

RING_M = 20.0
"""Radius of the island."""
GAP_M = 7.5
"""How far streets and pieces of the ring end from where they meet."""
SPEED_KMH = 30


def with_roundabouts(network: Network) -> Network:
    """Returns the network with a roundabout for each junction without lights.

    Junctions of two streets stay what they are.
    """
    chosen = {
        node.index for node in network.nodes
        if len(node.streets) >= 3 and node.control != "lights"
    }  # fmt: skip
    old = {node.index: node for node in network.nodes}
    kept = [node for node in network.nodes if node.index not in chosen]
    _shorten(network.streets, old, chosen)
    road_id = max(street.road_id for street in network.streets) + 1
    next_index = max(old) + 1
    rings: list[Node] = []
    for index in sorted(chosen):
        made, pieces = _ring(old[index], next_index, road_id)
        rings += made
        network.streets += pieces
        next_index, road_id = next_index + len(made), road_id + len(pieces)
    nodes = [*kept, *rings]
    for node in nodes:
        node.connections = []
        road_id = connect(node, road_id)
    return Network(nodes, network.streets, [])


def _shorten(streets: list[Street], nodes: dict[int, Node], chosen: set[int]) -> None:
    """Ends streets at the rings that they will lead to, and points them at their middles."""
    away = RING_M + LANE_WIDTH_M + GAP_M
    reach = {i: away if i in chosen else radius_of(node) for i, node in nodes.items()}
    for street in streets:
        a, b = nodes[street.a], nodes[street.b]
        heading = math.atan2(b.y - a.y, b.x - a.x)
        start = Pose(a.x, a.y, heading).ahead(reach[street.a])
        end = Pose(b.x, b.y, heading).ahead(-reach[street.b])
        if street.a not in chosen:
            start = start._replace(heading=street.arcs[0].start.heading)
        if street.b not in chosen:
            end = end._replace(heading=street.end(street.b).heading)
        street.arcs = biarc(start, end)


def _ring(node: Node, index: int, road_id: int) -> tuple[list[Node], list[Street]]:
    """Returns the junctions and pieces of a ring, and leads the node's streets to it.

    Traffic keeps right, so it runs anticlockwise.
    """
    arms = []
    for street in node.streets:
        pose = street.end(node.index)
        arms.append((wrap(pose.heading + math.pi), street))
    arms.sort(key=lambda arm: arm[0])
    nodes = []
    for k, (angle, street) in enumerate(arms):
        place = Pose(node.x, node.y, angle).ahead(RING_M)
        made = Node(index + k, place.x, place.y, [street], "yields", height=node.height)
        if street.a == node.index:
            street.a = made.index
        else:
            street.b = made.index
        nodes.append(made)
    pieces = []
    open_rad = GAP_M / RING_M
    for k, made in enumerate(nodes):
        following = nodes[(k + 1) % len(nodes)]
        first = arms[k][0] + open_rad
        turn = (arms[(k + 1) % len(arms)][0] - arms[k][0]) % (2.0 * math.pi) - 2.0 * open_rad
        start = Pose(node.x, node.y, first).ahead(RING_M)
        arc = Arc(start._replace(heading=first + math.pi / 2.0), turn * RING_M, 1.0 / RING_M)
        piece = Street(
            made.index, following.index, 1, SPEED_KMH, road_id + k, (arc,), is_one_way=True,
            heights=(node.height, node.height),
        )  # fmt: skip
        pieces.append(piece)
        made.streets.append(piece)
        following.streets.append(piece)
    return nodes, pieces
