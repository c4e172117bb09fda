"""What is read from a map: which lanes a stop sign holds, however the map turns its signs."""

import re

import numpy as np
import pytest

from dreamdrive.envs.carla.client import carla, iso_pose
from dreamdrive.envs.carla.town_map import TownMap
from dreamdrive.envs.embedded.towns import load_town

SIGN = re.compile(r'<signal [^>]*type="206".*?</signal>', re.DOTALL)


def sign_lines(xodr):
    return TownMap(None, carla.Map("Dream01", xodr)).sign_lines


@pytest.fixture(scope="module")
def xodr():
    return load_town("Dream01").xodr


def turned(xodr):
    """Returns the map as CARLA's own are written: signs face those whom they hold."""
    flip = {"+": "-", "-": "+"}
    return SIGN.sub(
        lambda sign: re.sub(
            'orientation="([+-])"', lambda m: f'orientation="{flip[m[1]]}"', sign[0]
        ),
        xodr,
    )


def test_each_line_lies_before_a_junction_in_the_direction_of_travel(xodr):
    carla_map = carla.Map("Dream01", xodr)
    lines = TownMap(None, carla_map).sign_lines
    assert len(lines) == 15
    for x, y, yaw, _, _ in lines:
        point = carla_map.get_waypoint(carla.Location(x=x, y=-y))
        assert np.cos(np.radians(-point.transform.rotation.yaw) - yaw) > 0.99
        assert any(after.is_junction for after in point.next(6.0))


def test_signs_that_are_turned_as_in_the_maps_of_carla_hold_the_same_lanes(xodr):
    assert turned(xodr) != xodr
    np.testing.assert_array_equal(sign_lines(turned(xodr)), sign_lines(xodr))


def test_where_a_map_names_no_lanes_the_client_says_which(xodr):
    bare = SIGN.sub(lambda sign: re.sub("<validity[^>]*>", "", sign[0]), turned(xodr))
    assert bare != turned(xodr)
    np.testing.assert_allclose(
        np.sort(sign_lines(bare), axis=0), np.sort(sign_lines(xodr), axis=0), atol=1e-6
    )


def test_several_references_at_one_place_are_one_line(xodr):
    doubled = SIGN.sub(
        lambda sign: sign[0] + re.sub(r' id="(\d+)"', r' id="9\1"', sign[0], count=1), xodr
    )
    assert len(carla.Map("Dream01", doubled).get_all_landmarks_of_type("206")) == 24
    np.testing.assert_array_equal(sign_lines(doubled), sign_lines(xodr))


def test_the_lane_at_a_point_is_the_one_that_traffic_there_drives_on(town_map, carla_map):
    seen = 0
    for point in carla_map.generate_waypoints(10.0):
        around = [point, *point.next(15.0), *point.previous(15.0)]
        if any(near.is_junction or near.road_id != point.road_id for near in around):
            continue  # Roads begin and end one upon another there.
        x, y, yaw = iso_pose(point.transform)
        road, lane, direction = town_map.lane_at(x, y)
        assert (road, lane) == (point.road_id, point.lane_id)
        assert np.cos(direction - yaw) > 0.9999
        # Lanes of the other direction are to the left, with numbers of the other sign.
        left = town_map.lane_at(
            x - point.lane_width * np.sin(yaw), y + point.lane_width * np.cos(yaw)
        )
        if left[1] * lane < 0:
            seen += 1
            assert (left[0], np.cos(left[2] - yaw)) == (road, pytest.approx(-1.0, abs=0.01))
    assert seen > 10
