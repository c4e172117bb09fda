"""Towns of other styles than the grid: each keeps its promises, and none is changed by another."""

import hashlib
import math

import numpy as np
import pytest

from dreamdrive.envs.embedded.opendrive import parse_opendrive
from dreamdrive.envs.embedded.opendrive_writer import write_opendrive
from dreamdrive.envs.embedded.styles import STEEPEST, STYLED
from dreamdrive.envs.embedded.towns import SEEDS, build_town, load_town

FROZEN = {
    "Dream01": "f50419ebba7b12eb",
    "Dream02": "4688cfa1ae3cadc3",
    "Dream03": "33b937d1eb9f296d",
    "Dream04": "60788749f7efca07",
    "Dream05": "979bbc4ef8f40ee2",
    "Dream06": "1224277cdc6e5239",
    "Dream07": "b59a19e56ac46fd3",
    "Dream08": "a5ac845baecd49f4",
}
"""Digests of the towns that the shipped models were trained and measured on."""
NETWORKS = {name: style(seed) for name, (style, seed) in STYLED.items()}


@pytest.mark.parametrize("name", SEEDS)
def test_the_towns_of_the_shipped_figures_stay_what_they_are(name):
    assert hashlib.sha256(load_town(name).xodr.encode()).hexdigest()[:16] == FROZEN[name]


@pytest.mark.parametrize("name", STYLED)
def test_every_lane_into_a_junction_leads_out_of_it(name):
    for node in NETWORKS[name].nodes:
        entries = {
            (street.road_id, lane)
            for street in node.streets
            if street.leads_into(node.index)
            for lane in range(street.lanes)
        }
        exits = {
            (street.road_id, lane)
            for street in node.streets
            if street.leads_out_of(node.index)
            for lane in range(street.lanes)
        }
        assert {(c.source.road_id, c.source_lane) for c in node.connections} == entries
        assert {(c.target.road_id, c.target_lane) for c in node.connections} <= exits
        assert all(c.source is not c.target for c in node.connections)


@pytest.mark.parametrize("name", STYLED)
def test_connections_begin_and_end_on_their_lanes(name):
    drive = parse_opendrive(load_town(name).xodr)
    inside = [road for road in drive.roads.values() if road.junction != -1]
    assert len(inside) > 15
    for road in inside:
        lane = road.sections[0].lanes[-1]
        for link, number, own in (
            (road.predecessor, lane.predecessor, 0.0), (road.successor, lane.successor, road.length)
        ):  # fmt: skip
            other = drive.roads[link[1]]
            s = other.length if link[2] == "end" else 0.0
            here, there = road.lane_pose(-1, own), other.lane_pose(number, s)
            assert np.hypot(here.x - there.x, here.y - there.y) < 0.05
            assert abs(math.remainder(here.heading - there.heading, 2.0 * math.pi)) < 1e-3
            assert road.height(own) == pytest.approx(other.height(s), abs=1e-5)


@pytest.mark.parametrize("name", STYLED)
def test_nothing_solid_stands_in_a_lane(name):
    town = load_town(name)
    drive = parse_opendrive(town.xodr)
    places = np.array(
        [
            (pose.x, -pose.y)
            for road in drive.roads.values()
            for s in np.arange(0.0, road.length, 2.0)
            for lane in road.section(s).lanes.values()
            if lane.kind == "driving"
            for pose in (road.lane_pose(lane.id, s),)
        ]
    )
    assert len(town.static_boxes) > 100
    for x, y, half_length, half_width, yaw in town.static_boxes:
        dx, dy = (places - (x, y)).T
        along = np.abs(dx * np.cos(yaw) + dy * np.sin(yaw)) - half_length
        across = np.abs(dy * np.cos(yaw) - dx * np.sin(yaw)) - half_width
        gap = np.hypot(np.maximum(along, 0.0), np.maximum(across, 0.0))
        assert gap.min() > 1.7


@pytest.mark.parametrize("name", STYLED)
def test_the_client_reads_crossings_and_a_network_without_dead_ends(name):
    carla = pytest.importorskip("carla")
    town = load_town(name)
    chart = carla.Map(name, town.xodr)
    streets = NETWORKS[name].streets
    assert len(chart.get_crosswalks()) == 5 * sum(len(street.crossings) for street in streets)
    ends = {(b.road_id, b.lane_id) for _, b in chart.get_topology()}
    starts = {(a.road_id, a.lane_id) for a, _ in chart.get_topology()}
    assert ends <= starts
    assert all(waypoint.next(2.0) for waypoint in chart.generate_waypoints(4.0))


@pytest.mark.parametrize("style", STYLED.values(), ids=STYLED)
@pytest.mark.parametrize("seed", [101, 102, 103])
def test_any_seed_makes_a_town_that_can_be_read(style, seed):
    carla = pytest.importorskip("carla")
    made, text = style[0], write_opendrive("seeded", style[0](seed))
    assert (
        text == write_opendrive("seeded", made(seed)) != write_opendrive("seeded", made(seed + 9))
    )
    town = build_town("seeded", text)
    assert len(town.spawn_points) > 50
    assert all(w.next(2.0) for w in carla.Map("seeded", text).generate_waypoints(10.0))


def test_streets_wind_and_cars_park_beside_them():
    network = NETWORKS["DreamCurves"]
    turns = [abs(arc.curvature) * arc.length for s in network.streets for arc in s.arcs]
    assert np.quantile(turns, 0.75) > 0.3
    assert sum(thing.name == "parked_car" for thing in network.things) > 50
    assert {thing.kind for thing in network.things} == {"obstacle", "pole", "tree"}


def test_roads_through_the_country_are_long_and_fast():
    network = NETWORKS["DreamCountry"]
    assert np.mean([street.length for street in network.streets]) > 150.0
    assert {street.side for street in network.streets} == {"shoulder"}
    assert min(street.speed_kmh for street in network.streets) >= 60


def test_a_motorway_has_exits_and_entries_and_no_way_against_it():
    network = NETWORKS["DreamMotorway"]
    main = {s.road_id for s in network.streets if s.lanes == 3}
    assert len(main) == 4
    assert all(s.is_one_way for s in network.streets if s.road_id in main)
    changes = [
        (connection.source.road_id in main, connection.target.road_id in main)
        for node in network.nodes
        for connection in node.connections
    ]
    assert changes.count((True, False)) == changes.count((False, True)) == 2
    assert load_town("DreamMotorway").grid.speed_mps.max() > 30.0


def test_roundabouts_are_rings_that_run_anticlockwise():
    network = NETWORKS["DreamRoundabouts"]
    pieces = [street for street in network.streets if street.is_one_way]
    assert len(pieces) >= 12
    assert all(arc.curvature > 0.0 for street in pieces for arc in street.arcs)
    following = {street.a: street.b for street in pieces}
    for start in following:
        here, count = following[start], 1
        while here != start:
            here, count = following[here], count + 1
        assert count in (3, 4)
    assert {node.control for node in network.nodes} >= {"lights", "yields"}


def test_hills_are_as_steep_as_they_may_be_and_junctions_level():
    town = load_town("DreamHills")
    drive = parse_opendrive(town.xodr)
    steepest = 0.0
    for road in drive.roads.values():
        at = np.linspace(0.0, road.length, 40)
        heights = np.array([road.height(s) for s in at])
        slopes = np.abs(np.diff(heights) / np.diff(at))
        steepest = max(steepest, float(slopes.max()))
        if road.junction != -1:
            assert slopes.max() < 1e-9
    assert steepest == pytest.approx(STEEPEST, rel=0.02)
    assert np.ptp(np.array(town.spawn_points)[:, 2]) > 3.0


def test_limits_are_low_in_a_sharp_bend_and_fall_before_it():
    def road(number, shape, length, x, y, heading):
        return (
            f'<road id="{number}" length="{length}" junction="-1"><type s="0" type="town">'
            f'<speed max="50" unit="km/h"/></type><planView><geometry s="0" x="{x}" y="{y}" '
            f'hdg="{heading}" length="{length}">{shape}</geometry></planView><lanes><laneSection '
            's="0"><right><lane id="-1" type="driving"><width sOffset="0" a="3.5" b="0" c="0" '
            'd="0"/></lane></right></laneSection></lanes></road>'
        )

    text = "".join(
        (
            road(1, "<line/>", 80.0, 0.0, 0.0, 0.0),
            road(2, '<arc curvature="0.1"/>', 15.708, 80.0, 0.0, 0.0),
            road(3, "<line/>", 80.0, 90.0, 10.0, math.pi / 2.0),
        )
    )
    grid = build_town("bend", f"<OpenDRIVE>{text}</OpenDRIVE>").grid
    in_bend = grid.speed_mps[(grid.road == 2) & (grid.s > 3.0) & (grid.s < 12.0)]
    assert in_bend == pytest.approx(math.sqrt(4.0 * 10.0), abs=0.1)
    before = grid.road == 1
    told, left = grid.speed_mps[before], 80.0 - grid.s[before]
    assert (told[left > 60.0] == np.float32(50.0 / 3.6)).all()
    near = (left > 3.0) & (left < 35.0)
    allowed = np.sqrt(told[near] ** 2 - in_bend.min() ** 2)
    assert (allowed <= np.sqrt(2.0 * 1.5 * (left[near] + 6.0))).all()
    assert (grid.speed_mps[(grid.road == 3) & (grid.s > 5.0)] == np.float32(50.0 / 3.6)).all()
