"""Each option of CARLA's Traffic Manager does on the embedded server what its name says."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.server import server_process

pytest.importorskip("carla")
TESTS = Path(__file__).parents[2]


def told(town, what):
    """Returns what `support.manager_options` measures in a town, tried three times."""
    for _ in range(3):  # A Traffic Manager sometimes loses a wake-up.
        with server_process("--port", "0", "--sync", "--town", town) as process:
            port = process.stdout.readline().rsplit(":", 1)[1].strip()
            with contextlib.suppress(subprocess.TimeoutExpired):
                done = subprocess.run(
                    [sys.executable, "-m", "support.manager_options", what, port],
                    capture_output=True, text=True, timeout=100, check=True,
                    env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])},
                )  # fmt: skip
                return json.loads(done.stdout.split("told")[1])
    return pytest.fail("the Traffic Manager was stuck three times")


def test_options_of_the_traffic_manager_act_on_roads_with_one_lane():
    found = told("DreamCountry", "country")
    assert found["port"] is True  # get_port
    # set_desired_speed, vehicle_percentage_speed_difference, global_percentage_speed_difference
    assert found["speed"] == pytest.approx(15.0 / 3.6, abs=0.2)
    assert found["share"] == pytest.approx(0.5, abs=0.05)
    assert found["plain_share"] == pytest.approx(0.7, abs=0.05)
    # vehicle_lane_offset, global_lane_offset
    assert found["offset"] == pytest.approx(0.8, abs=0.3)
    assert found["plain_offset"] == pytest.approx(-0.5, abs=0.3)
    # set_global_distance_to_leading_vehicle, distance_to_leading_vehicle
    assert 4.0 < found["gap_far"] < 8.0
    assert 0.5 < found["gap_near"] < 3.0
    # collision_detection, ignore_vehicles_percentage: into what stands ahead
    assert max(found["gap_blind"], found["gap_careless"]) < 0.3
    # ignore_walkers_percentage
    assert found["gap_hits"] < 0.5
    assert found["gap_waits"] > 2.0
    # ignore_lights_percentage, at lights that stay red; ignore_signs_percentage
    assert found["stops"] < 12.0 < found["runs"]
    assert found["slowest_heeds"] < 0.1
    assert found["slowest_passes"] > 2.0
    # update_vehicle_lights, at night; get_all_actions, get_next_action; set_osm_mode
    assert found["lights"] & 0b11 == 0b11  # Position and low beam.
    assert found["next_action"] == found["actions"][0] == "LaneFollow"


def test_the_traffic_manager_leads_along_routes_and_far_from_the_hero():
    found = told("DreamCountry", "turns")
    # set_route, set_path
    assert found["left"] < -60.0
    assert found["right"] > 60.0
    assert found["follows"] < 3.0
    # set_hybrid_physics_mode, set_hybrid_physics_radius, set_respawn_dormant_vehicles,
    # set_boundaries_respawn_dormant_vehicles: who is far goes on without physics; shut_down
    assert found["hero_moved"] > 50.0
    assert found["far_moved"] > 50.0


def test_lanes_are_changed_as_the_traffic_manager_is_told():
    lanes = told("DreamMotorway", "motorway")
    # force_lane_change, auto_lane_change
    assert lanes["forced_right"] == [-3, -2]
    assert lanes["forced_left"] == [-2, -1]
    assert lanes["stays"] == [-2]
    # keep_slow_lane_rule_percentage, random_left_lanechange_percentage and its like to the right
    assert min(lanes["slow_lane"]) == -3
    assert max(lanes["random_left"]) == -1
    assert min(lanes["random_right"]) == -3
