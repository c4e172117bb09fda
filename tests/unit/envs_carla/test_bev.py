import math

import numpy as np
import pytest

from dreamdrive.driving.palette import CLASS_INDEX, PALETTE, classify
from dreamdrive.envs.carla.bev import BirdsEyeView, Overlay
from dreamdrive.envs.carla.raster import TownRaster

EGO = (0.0, 0.0, 0.0, 2.45, 1.05)


def flat_view() -> BirdsEyeView:
    colour = np.empty((800, 800, 3), np.uint8)
    colour[:] = PALETTE["outside"]
    return BirdsEyeView(TownRaster(colour=colour, origin=(-100.0, -100.0), cell_m=0.25))


def boxes(*rows):
    return np.array(rows, np.float64)


def draw(x=0.0, y=0.0, yaw=0.0, **layers):
    ego = boxes((x, y, yaw, 2.45, 1.05))
    return flat_view().draw(x, y, yaw, Overlay(ego=ego, **layers))


def centre_of(image, name):
    rows, columns = np.nonzero(classify(image) == CLASS_INDEX[name])
    return columns.mean(), rows.mean()


def test_the_ego_is_at_its_fixed_pixel_whatever_its_pose():
    for pose in ((0.0, 0.0, 0.0), (31.3, -20.1, 2.2)):
        column, row = centre_of(draw(*pose), "ego")
        assert (column, row) == pytest.approx((32.0, 48.0), abs=0.3)


def test_ahead_is_up_and_left_is_left():
    image = draw(vehicles=boxes((15.0, 7.5, 0.0, 2.4, 1.0)))
    assert centre_of(image, "vehicle") == pytest.approx((32 - 10, 48 - 20), abs=0.3)


def test_the_view_turns_with_the_ego():
    yaw = math.radians(90.0)
    image = draw(yaw=yaw, vehicles=boxes((0.0, 15.0, yaw, 2.4, 1.0)))
    assert centre_of(image, "vehicle") == pytest.approx((32, 28), abs=0.3)
    rows, columns = np.nonzero(classify(image) == CLASS_INDEX["vehicle"])
    assert np.ptp(rows) > np.ptp(columns)


def test_a_vehicle_covers_its_area():
    image = draw(vehicles=boxes((12.1, 3.3, 0.4, 2.4, 1.0))).astype(float)
    far = np.abs(np.array(PALETTE["vehicle"], float) - PALETTE["outside"]).sum()
    ego = np.abs(np.array(PALETTE["ego"], float) - PALETTE["outside"]).sum()
    cover = np.abs(image - PALETTE["outside"]).sum(-1)[:42] / far
    assert ego > 0
    assert cover.sum() * 0.75**2 == pytest.approx(4.8 * 2.0, rel=0.05)


def test_moving_by_less_than_a_pixel_changes_the_picture():
    still = draw(vehicles=boxes((12.0, 3.0, 0.0, 2.4, 1.0)))
    moved = draw(vehicles=boxes((12.2, 3.0, 0.0, 2.4, 1.0)))
    assert (still != moved).any()


def test_past_positions_lie_beneath_the_vehicle():
    past = boxes((8.0, 3.0, 0.0, 2.4, 1.0))
    now = boxes((10.0, 3.0, 0.0, 2.4, 1.0))
    image = classify(draw(vehicles=now, vehicles_past=past))
    assert (image == CLASS_INDEX["vehicle_past"]).sum() > 3
    alone = classify(draw(vehicles=now))
    np.testing.assert_array_equal(image == CLASS_INDEX["vehicle"], alone == CLASS_INDEX["vehicle"])


def test_the_route_is_drawn_where_it_runs():
    route = np.column_stack([np.arange(0.0, 40.0, 2.0), np.zeros(20)])
    image = classify(draw(route_xy=route))
    columns = np.nonzero(image[:40] == CLASS_INDEX["route"])[1]
    assert set(columns) == {31, 32, 33}
    assert not (image[54:] == CLASS_INDEX["route"]).any()


def test_walkers_are_drawn_at_least_1_2_metres_wide():
    image = draw(walkers=boxes((10.0, 5.0, 0.3, 0.2, 0.2)))
    assert (classify(image) == CLASS_INDEX["walker"]).sum() >= 1


@pytest.mark.parametrize("name", ["red", "green"])
def test_stop_lines_have_the_colour_of_their_light(name):
    image = draw(**{f"{name}_lines": boxes((12.0, 0.0, 0.0, 0.75, 1.75))})
    assert (classify(image) == CLASS_INDEX[f"{name}_light"]).sum() >= 4


def test_what_is_out_of_view_changes_nothing():
    np.testing.assert_array_equal(
        draw(), draw(vehicles=boxes((300.0, 0.0, 0.0, 2.4, 1.0), (-40.0, 0.0, 0.0, 2.4, 1.0)))
    )


def test_a_town_is_drawn_with_road_below_the_lanes(town_map):
    for point in town_map.map.generate_waypoints(60.0):
        x, y = point.transform.location.x, -point.transform.location.y
        yaw = -math.radians(point.transform.rotation.yaw)
        image = classify(town_map.view.draw(x, y, yaw, Overlay(ego=boxes((x, y, yaw, 2.4, 1.0)))))
        near = image[45:52, 31:34]
        assert (near != CLASS_INDEX["outside"]).all()
        assert (image == CLASS_INDEX["outside"]).sum() > 500


def test_lane_marks_run_beside_the_lane(town_map):
    route_marks = 0
    for point in town_map.map.generate_waypoints(40.0):
        if point.is_junction:
            continue
        x, y = point.transform.location.x, -point.transform.location.y
        yaw = -math.radians(point.transform.rotation.yaw)
        image = classify(town_map.view.draw(x, y, yaw, Overlay(ego=boxes((x, y, yaw, 2.4, 1.0)))))
        route_marks += int((image == CLASS_INDEX["lane_mark"]).any())
    assert route_marks > 10
