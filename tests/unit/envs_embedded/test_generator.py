import numpy as np
import pytest

from dreamdrive.envs.embedded.generator import TownPlan, plan_network
from dreamdrive.envs.embedded.opendrive import parse_opendrive
from dreamdrive.envs.embedded.opendrive_writer import write_opendrive
from dreamdrive.envs.embedded.towns import SEEDS, build_town, load_town

NETWORKS = {name: plan_network(seed, TownPlan()) for name, seed in SEEDS.items()}


@pytest.mark.parametrize("name", SEEDS)
def test_every_lane_into_a_junction_leads_out_of_it(name):
    for node in NETWORKS[name].nodes:
        entries = {
            (street.road_id, lane) for street in node.streets for lane in range(street.lanes)
        }
        served = {(c.source.road_id, c.source_lane) for c in node.connections}
        assert served == entries
        assert all(c.source is not c.target for c in node.connections)


@pytest.mark.parametrize("name", SEEDS)
def test_every_lane_out_of_a_junction_exists(name):
    for node in NETWORKS[name].nodes:
        for connection in node.connections:
            assert 0 <= connection.target_lane < connection.target.lanes
            assert connection.target in node.streets


@pytest.mark.parametrize("name", SEEDS)
def test_connections_begin_and_end_on_their_lanes(name):
    drive = parse_opendrive(load_town(name).xodr)
    inside = [road for road in drive.roads.values() if road.junction != -1]
    assert inside
    for road in inside:
        lane = next(iter(i for i, v in road.sections[0].lanes.items() if v.kind == "driving"))
        for link, number, own in (
            (road.predecessor, road.sections[0].lanes[lane].predecessor, 0.0),
            (road.successor, road.sections[-1].lanes[lane].successor, road.length),
        ):
            other = drive.roads[link[1]]
            s = other.length if link[2] == "end" else 0.0
            here, there = road.lane_pose(lane, own), other.lane_pose(number, s)
            assert np.hypot(here.x - there.x, here.y - there.y) < 0.05


def test_the_towns_have_what_they_promise():
    arms, controls, lanes, bends = set(), set(), set(), []
    for network in NETWORKS.values():
        arms |= {len(node.streets) for node in network.nodes}
        controls |= {node.control for node in network.nodes if len(node.streets) >= 3}
        lanes |= {street.lanes for street in network.streets}
        bends += [abs(arc.curvature) for street in network.streets for arc in street.arcs]
    assert {2, 3, 4} <= arms
    assert controls == {"lights", "stops", "none"}
    assert lanes == {1, 2}
    assert min(bends) < 0.001
    assert max(bends) > 0.005


@pytest.mark.parametrize("name", SEEDS)
def test_every_town_has_lights_and_places_to_start(name):
    town = load_town(name)
    assert len(town.lights) >= 3
    assert len(town.spawn_points) > 60
    controls = [node.control for node in NETWORKS[name].nodes]
    assert bool(town.stop_signs) == ("stops" in controls)


def test_most_towns_have_stop_signs():
    assert sum(bool(load_town(name).stop_signs) for name in SEEDS) >= 6


@pytest.mark.parametrize("seed", range(100, 112))
def test_any_seed_makes_a_town_that_can_be_read(seed):
    network = plan_network(seed, TownPlan(rows=3, columns=3))
    degree = [len(node.streets) for node in network.nodes]
    assert min(degree) >= 2
    town = build_town("seeded", write_opendrive("seeded", network))
    assert len(town.spawn_points) > 20
