"""What the client computes from a map's text: each field of its landmarks, marks and lanes."""

import pytest

from dreamdrive.envs.embedded.towns import load_town
from support.marked_road import ROAD

carla = pytest.importorskip("carla")

OSM = """<osm version="0.6"><bounds minlat="0.0" minlon="0.0" maxlat="0.01" maxlon="0.01"/>
<node id="1" lat="0.001" lon="0.001" version="1"/><node id="2" lat="0.001" lon="0.004" version="1"/>
<node id="3" lat="0.004" lon="0.004" version="1"/><node id="4" lat="0.001" lon="0.007" version="1"/>
<way id="10" version="1"><nd ref="1"/><nd ref="2"/><tag k="highway" v="residential"/></way>
<way id="11" version="1"><nd ref="2"/><nd ref="3"/><tag k="highway" v="residential"/></way>
<way id="12" version="1"><nd ref="2"/><nd ref="4"/><tag k="highway" v="footway"/></way></osm>"""


@pytest.fixture(scope="module")
def road():
    return carla.Map("road", ROAD)


@pytest.fixture(scope="module")
def town():
    return carla.Map("Dream01", load_town("Dream01").xodr)


def test_landmarks_tell_what_stands_in_the_map(road):
    (sign,) = road.get_all_landmarks_from_id("9")
    assert (sign.id, sign.name, sign.road_id) == ("9", "Limit", 1)
    assert (sign.s, sign.t, sign.z_offset) == (30.0, -5.0, 1.5)
    assert (sign.type, sign.sub_type, sign.value, sign.unit) == ("274", "50", 50.0, "km/h")
    assert (sign.height, sign.width, sign.text) == (0.75, 0.5, "fifty")
    assert (sign.h_offset, sign.pitch, sign.roll) == (0.25, 0.125, 0.0625)
    assert (sign.is_dynamic, sign.country) == (False, "OpenDRIVE")
    assert sign.orientation == carla.LandmarkOrientation.Positive
    assert sign.get_lane_validities() == [(-2, -1)]
    assert sign.transform.location.x == pytest.approx(30.0)
    assert (sign.distance, sign.waypoint) == (0.0, None)  # Nobody is on the way to it.


def test_a_lane_finds_the_landmarks_ahead(road):
    here = road.get_waypoint(carla.Location(10.0, 1.75))
    (ahead,) = here.get_landmarks(50.0)
    assert ahead.distance == pytest.approx(20.0)
    assert (ahead.waypoint.road_id, ahead.waypoint.lane_id) == (1, -1)
    assert ahead.waypoint.s == pytest.approx(30.0)
    assert len(here.get_landmarks_of_type(50.0, "274")) == 1
    assert here.get_landmarks_of_type(50.0, "206") == []
    assert here.get_landmarks(10.0) == []


def test_landmarks_of_one_junction_are_a_group(town):
    light = town.get_all_landmarks_of_type("1000001")[0]
    group = {other.id for other in town.get_landmark_group(light)}
    assert light.id in group
    assert 1 < len(group) <= 4


def test_marks_on_the_road_tell_what_stands_in_the_map(road, town):
    (mark,) = road.get_all_road_marks()
    assert (mark.id, mark.name, mark.type, mark.road_id) == ("7", "Stencil_ARROW_L", "ARROW_L", 1)
    assert (mark.s, mark.t, mark.z_offset) == (20.0, -1.5, 0.25)
    assert (mark.width, mark.length) == (1.0, 2.0)
    assert (mark.heading, mark.pitch, mark.roll) == (0.5, 0.125, 0.0625)
    assert mark.orientation == carla.RoadMarkOrientation.Positive
    assert mark.transform.location.y == pytest.approx(1.5)
    assert (mark.distance, mark.waypoint) == (0.0, None)
    assert [found.id for found in road.get_road_marks_from_id("7")] == ["7"]
    assert [found.id for found in road.get_all_road_marks_of_type("ARROW_L")] == ["7"]
    assert road.get_road_marks_from_id("8") == road.get_all_road_marks_of_type("STOP") == []
    assert town.get_all_road_marks() == []


def test_crossings_have_their_corners(road):
    corners = [(corner.x, corner.y) for corner in road.get_crosswalks()]
    assert corners == [(48.0, 7.0), (52.0, 7.0), (52.0, -7.0), (48.0, -7.0), (48.0, 7.0)]
    curves = carla.Map("DreamCurves", load_town("DreamCurves").xodr)
    assert len(curves.get_crosswalks()) >= 5 * 4


def test_lanes_have_neighbours_and_lines(road):
    here = road.get_waypoint(carla.Location(10.0, 1.75))
    right, left = here.get_right_lane(), here.get_left_lane()
    assert (here.lane_id, right.lane_id, left.lane_id) == (-1, -2, 1)
    assert right.get_right_lane() is None
    assert here.is_rht
    assert (here.junction_id, here.get_junction()) == (-1, None)
    left, right = here.left_lane_marking, here.right_lane_marking
    assert (left.color, left.width) == (carla.LaneMarkingColor.Yellow, 0.25)
    assert (left.type, left.lane_change) == (carla.LaneMarkingType.Broken, carla.LaneChange.Both)
    assert (right.color, right.width) == (carla.LaneMarkingColor.White, pytest.approx(0.15))
    assert here.lane_change == carla.LaneChange.Both


def test_maps_are_cooked_for_the_traffic_manager(road, tmp_path):
    road.cook_in_memory_map(str(tmp_path / "road.bin"))
    assert (tmp_path / "road.bin").stat().st_size > 1000


def test_streets_of_openstreetmap_become_a_map(capfd):
    settings = carla.Osm2OdrSettings()
    settings.use_offsets, settings.offset_x, settings.offset_y = True, 100.0, 50.0
    settings.center_map, settings.default_lane_width = False, 3.0
    settings.elevation_layer_height, settings.proj_string = 0.0, "+proj=tmerc"
    settings.generate_traffic_lights = settings.all_junctions_with_traffic_lights = False
    settings.set_osm_way_types(["residential"])
    settings.set_traffic_light_excluded_way_types(["motorway_link"])
    text = carla.Osm2Odr.convert(OSM, settings)
    capfd.readouterr()  # It speaks of files that the wheel does not bring.
    streets = carla.Map("streets", text)
    lanes = [place for place in streets.generate_waypoints(10.0) if not place.is_junction]
    assert {place.lane_width for place in lanes} == {3.0}
    assert max(place.transform.location.x for place in lanes) < 450.0 + 100.0  # No footway.
    assert streets.get_all_landmarks_of_type("1000001") == []
