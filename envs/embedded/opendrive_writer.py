"""Writes a town's network as OpenDRIVE."""

import math
from xml.sax.saxutils import quoteattr

from dreamdrive.envs.embedded.curves import Arc
from dreamdrive.envs.embedded.network import (
    LANE_WIDTH_M,
    PARKING_WIDTH_M,
    Connection,
    Network,
    Node,
    Street,
)

SIGNAL_SETBACK_M = 1.0
"""Distance of a stop line from the end of its street."""
CROSSING_M, BEFORE_CROSSING_M = 2.6, 0.8
"""Width of a crossing, and how far before it vehicles stop."""
COMFORT_MPS2 = 3.0
"""Sideways acceleration that limits the speed of slow turns."""
SIGNALS = {
    "lights": ("Signal_3Light_Post01", "1000001"),
    "stops": ("Stencil_STOP", "206"),
    "yields": ("Sign_Yield", "205"),
}
"""Name and OpenDRIVE type of what controls a junction."""
FIRST_CONTROLLER_ID, MOST_NODES = 500_000, 1_000
"""Controllers are numbered by their node, those of one node in steps of more than all nodes."""


def write_opendrive(name: str, network: Network) -> str:
    """Returns the OpenDRIVE text of a network."""
    nodes = {node.index: node for node in network.nodes}
    parts = [
        '<?xml version="1.0" encoding="UTF-8"?>\n<OpenDRIVE>',
        f'<header revMajor="1" revMinor="4" name={quoteattr(name)} version="1" date="" '
        'north="0" south="0" east="0" west="0">'
        "<geoReference><![CDATA[+proj=tmerc +lat_0=49 +lon_0=8 +k=1 +x_0=0 +y_0=0 "
        "+datum=WGS84 +units=m +no_defs]]></geoReference></header>",
    ]
    parts += [_street(street, nodes, network) for street in network.streets]
    for node in network.nodes:
        parts += [
            _connection(node, connection, network.has_slow_turns) for connection in node.connections
        ]
    for node in network.nodes:
        for turn, (number, streets) in enumerate(_controllers(node, network)):
            signals = "".join(
                f'<control signalId="{signal_id(street, node)}" type="0"/>' for street in streets
            )
            parts.append(
                f'<controller name="ctrl{node.index}" id="{number}" sequence="{turn}">'
                f"{signals}</controller>"
            )
    parts += [_junction(node, network) for node in network.nodes]
    return "\n".join([*parts, "</OpenDRIVE>\n"])


def _controllers(node: Node, network: Network) -> list[tuple[int, list[Street]]]:
    """Returns the numbers of a junction's controllers of lights, in turn, and whom each holds."""
    if node.control != "lights":
        return []
    streets = [street for street in node.streets if street.leads_into(node.index)]
    first = FIRST_CONTROLLER_ID + node.index
    if not network.has_turns_for_each:
        return [(first, streets)]
    return [(first + turn * MOST_NODES, [street]) for turn, street in enumerate(streets)]


def signal_id(street: Street, node: Node) -> int:
    """Returns the number of the signal at one end of a street."""
    return 200_000 + 2 * street.road_id + (street.b == node.index)


def _plan_view(arcs: tuple[Arc, ...]) -> str:
    out, s = [], 0.0
    for arc in arcs:
        shape = "<line/>" if arc.curvature == 0.0 else f'<arc curvature="{arc.curvature:.10f}"/>'
        out.append(
            f'<geometry s="{s:.6f}" x="{arc.start.x:.6f}" y="{arc.start.y:.6f}" '
            f'hdg="{arc.start.heading:.10f}" length="{arc.length:.6f}">{shape}</geometry>'
        )
        s += arc.length
    return f"<planView>{''.join(out)}</planView>"


def _lane(lane: int, kind: str, width: float, mark: str, link: str = "") -> str:
    lines = f'<roadMark sOffset="0" type="{mark}" weight="standard" color="white" width="0.15"/>'
    return (
        f'<lane id="{lane}" type="{kind}" level="false"><link>{link}</link>'
        f'<width sOffset="0" a="{width}" b="0" c="0" d="0"/>{lines}</lane>'
    )


def _street(street: Street, nodes: dict[int, Node], network: Network) -> str:
    lanes = "".join(_side_lanes(street, -1))
    right = f"<right>{lanes}</right>"
    left = ""
    if not street.is_one_way:
        left = f"<left>{''.join(reversed(_side_lanes(street, 1)))}</left>"
    centre = "solid" if street.lanes > 1 or street.is_one_way else "broken"
    ends = (nodes[street.a].junction_id, nodes[street.b].junction_id)
    return (
        f'<road name="" length="{street.length:.6f}" id="{street.road_id}" junction="-1"><link>'
        f'<predecessor elementType="junction" elementId="{ends[0]}"/>'
        f'<successor elementType="junction" elementId="{ends[1]}"/></link>'
        f'<type s="0" type="town"><speed max="{street.speed_kmh}" unit="km/h"/></type>'
        f"{_plan_view(street.arcs)}{_elevation(*street.heights, street.length)}"
        f'<lanes><laneSection s="0">{left}'
        f'<center><lane id="0" type="none" level="false"><roadMark sOffset="0" type="{centre}" '
        'weight="standard" color="white" width="0.15"/></lane></center>'
        f"{right}</laneSection></lanes>"
        f"{_objects(street, network)}{_signals(street, nodes)}</road>"
    )


def _side_lanes(street: Street, sign: int) -> list[str]:
    """Returns the lanes on one side of a street's line, the innermost first."""
    n = street.lanes
    marks = ["broken"] * (n - 1) + ["solid"]
    found = [_lane(sign * i, "driving", LANE_WIDTH_M, marks[i - 1]) for i in range(1, n + 1)]
    if street.has_parking:
        found.append(_lane(sign * (len(found) + 1), "parking", PARKING_WIDTH_M, "none"))
    if street.side:
        found.append(_lane(sign * (len(found) + 1), street.side, street.side_width, "none"))
    return found


def _elevation(start: float, end: float, length: float) -> str:
    """Returns a profile from one height to another, level at both ends."""
    rise = end - start
    if start == rise == 0.0:
        return _flat()
    c, d = 3.0 * rise / length**2, -2.0 * rise / length**3
    return (
        f'<elevationProfile><elevation s="0" a="{start:.6f}" b="0" c="{c:.12f}" d="{d:.15f}"/>'
        "</elevationProfile><lateralProfile/>"
    )


def _flat() -> str:
    return (
        '<elevationProfile><elevation s="0" a="0" b="0" c="0" d="0"/></elevationProfile>'
        "<lateralProfile/>"
    )


def _objects(street: Street, network: Network) -> str:
    out = [
        f'<object type="building" name="house" id="{300_000 + index}" s="{s:.3f}" t="{t:.3f}" '
        f'zOffset="0" hdg="0" pitch="0" roll="0" orientation="none" length="{length:.3f}" '
        f'width="{width:.3f}" height="8"/>'
        for index, (owner, s, t, length, width) in enumerate(network.houses)
        if owner is street
    ]
    right, left = street.paved
    for number, s in enumerate(street.crossings, start=700_000 + 2 * street.road_id):
        corners = "".join(
            f'<cornerLocal u="{u:.3f}" v="{v:.3f}" z="0"/>'
            for u, v in (
                (-CROSSING_M / 2.0, -right), (CROSSING_M / 2.0, -right),
                (CROSSING_M / 2.0, left), (-CROSSING_M / 2.0, left), (-CROSSING_M / 2.0, -right),
            )
        )  # fmt: skip
        out.append(
            f'<object type="crosswalk" name="crossing" id="{number}" s="{s:.3f}" t="0" '
            f'zOffset="0" hdg="0" pitch="0" roll="0" orientation="none" length="{CROSSING_M}" '
            f'width="{right + left:.3f}"><outline>{corners}</outline></object>'
        )
    out += [
        f'<object type="{thing.kind}" name="{thing.name}" id="{400_000 + index}" '
        f's="{thing.s:.3f}" t="{thing.t:.3f}" zOffset="0" hdg="{thing.heading:.4f}" pitch="0" '
        f'roll="0" orientation="none" length="{thing.length:.3f}" width="{thing.width:.3f}" '
        f'height="{thing.height:.3f}"/>'
        for index, thing in enumerate(network.things)
        if thing.street is street
    ]
    return f"<objects>{''.join(out)}</objects>"


def _setback(street: Street, at_end: bool) -> float:
    """Returns how far from an end of a street its traffic stops: before the crossing there."""
    for s in street.crossings:
        from_end = street.length - s if at_end else s
        if from_end < street.length / 2.0:
            return from_end + CROSSING_M / 2.0 + BEFORE_CROSSING_M
    return SIGNAL_SETBACK_M


def _signals(street: Street, nodes: dict[int, Node]) -> str:
    out = []
    for node in (nodes[street.a], nodes[street.b]):
        if node.control == "none" or not street.leads_into(node.index):
            continue
        forward = node.index == street.b
        setback = _setback(street, forward)
        s = street.length - setback if forward else setback
        side = -1.0 if forward else 1.0
        t = side * (street.paved[0] + 1.0)
        lanes = (-street.lanes, -1) if forward else (1, street.lanes)
        light = node.control == "lights"
        name, kind = SIGNALS[node.control]
        out.append(
            f'<signal name="{name}" id="{signal_id(street, node)}" s="{s:.4f}" t="{t:.4f}" '
            f'zOffset="0" hOffset="0" roll="0" pitch="0" orientation="{"+" if forward else "-"}" '
            f'dynamic="{"yes" if light else "no"}" country="OpenDRIVE" type="{kind}" subtype="-1" '
            f'value="-1" text="" height="0.6" width="0.6">'
            f'<validity fromLane="{lanes[0]}" toLane="{lanes[1]}"/></signal>'
        )
    return f"<signals>{''.join(out)}</signals>"


def _ends(node: Node, connection: Connection) -> tuple[str, int, str, int]:
    """Returns contact points and lanes at both ends of a connection."""
    source, target = connection.source, connection.target
    arrives_at_end = source.b == node.index
    leaves_from_start = target.a == node.index
    source_lane = (-1 if arrives_at_end else 1) * (connection.source_lane + 1)
    target_lane = (-1 if leaves_from_start else 1) * (connection.target_lane + 1)
    return (
        "end" if arrives_at_end else "start", source_lane,
        "start" if leaves_from_start else "end", target_lane,
    )  # fmt: skip


def _connection(node: Node, connection: Connection, is_slow: bool) -> str:
    source_end, source_lane, target_end, target_lane = _ends(node, connection)
    link = f'<predecessor id="{source_lane}"/><successor id="{target_lane}"/>'
    length = sum(arc.length for arc in connection.arcs)
    speed = min(connection.source.speed_kmh, connection.target.speed_kmh)
    if is_slow:
        bend = max(abs(arc.curvature) for arc in connection.arcs)
        fastest = 3.6 * math.sqrt(COMFORT_MPS2 / max(bend, 1e-4))
        speed = max(20, min(speed, 10 * int(fastest / 10.0)))
    return (
        f'<road name="" length="{length:.6f}" id="{connection.road_id}" '
        f'junction="{node.junction_id}"><link>'
        f'<predecessor elementType="road" elementId="{connection.source.road_id}" '
        f'contactPoint="{source_end}"/>'
        f'<successor elementType="road" elementId="{connection.target.road_id}" '
        f'contactPoint="{target_end}"/></link>'
        f'<type s="0" type="town"><speed max="{speed}" unit="km/h"/></type>'
        f"{_plan_view(connection.arcs)}{_elevation(node.height, node.height, length)}"
        '<lanes><laneSection s="0"><center><lane id="0" type="none" level="false">'
        '<roadMark sOffset="0" type="none" weight="standard" color="white" width="0.15"/></lane>'
        f"</center><right>{_lane(-1, 'driving', LANE_WIDTH_M, 'none', link)}</right>"
        "</laneSection></lanes></road>"
    )


def _junction(node: Node, network: Network) -> str:
    out = []
    for index, connection in enumerate(node.connections):
        lane = _ends(node, connection)[1]
        out.append(
            f'<connection id="{index}" incomingRoad="{connection.source.road_id}" '
            f'connectingRoad="{connection.road_id}" contactPoint="start">'
            f'<laneLink from="{lane}" to="-1"/></connection>'
        )
    for turn, (number, _) in enumerate(_controllers(node, network)):
        out.append(f'<controller id="{number}" type="0" sequence="{turn}"/>')
    return (
        f'<junction id="{node.junction_id}" name="junction{node.index}">{"".join(out)}</junction>'
    )
