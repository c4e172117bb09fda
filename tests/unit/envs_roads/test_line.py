"""Routes as lines and the state of an ego on them."""

import numpy as np
import pytest

from dreamdrive.driving.state import STATE_INDEX
from dreamdrive.envs.roads.line import RouteLine
from dreamdrive.errors import RouteError


def corner(side):
    """Returns 50 m along x, a junction with a corner of 10 m radius to a side, 50 m on."""
    angle = np.linspace(0.0, np.pi / 2, 40)
    bend = np.column_stack([50 + 10 * np.sin(angle), side * 10 * (1 - np.cos(angle))])
    start = np.column_stack([np.arange(0.0, 50.0), np.zeros(50)])
    after = np.column_stack([np.full(50, 60.0), side * (10 + np.arange(1.0, 51.0))])
    xy = np.concatenate([start, bend, after])
    inside = np.concatenate([np.zeros(50, bool), np.ones(40, bool), np.zeros(50, bool)])
    return RouteLine(xy, np.full(len(xy), 3.5), inside)


@pytest.mark.parametrize(("side", "name"), [(1.0, "left"), (-1.0, "right")])
def test_a_turn_is_told_thirty_metres_before_and_inside(side, name):
    route = corner(side)
    assert route.length_m == pytest.approx(50 + 5 * np.pi + 50, abs=0.1)
    told = [route.state(np.zeros(5), arc, 0.0, 0.0, 0.0, 10.0).command for arc in range(100)]
    assert set(told[:19]) == {"follow"}
    assert set(told[21:64]) == {name}
    assert set(told[68:]) == {"follow"}


def test_the_state_is_in_the_egos_frame_with_left_positive():
    route = corner(1.0)
    ego = np.array([20.0, 1.0, 0.1, 2.4, 1.0])
    arc_m, lateral_m = route.progress(ego, 18.0)
    assert (arc_m, lateral_m) == pytest.approx((20.0, 1.0), abs=1e-6)
    state = route.state(ego, arc_m, lateral_m, 7.0, 0.2, 10.0).vector()

    def of(name):
        return float(state[STATE_INDEX[name]])

    assert (of("speed"), of("yaw_rate"), of("speed_limit")) == pytest.approx((7.0, 0.2, 10.0))
    assert (of("lateral_offset"), of("heading_error")) == pytest.approx((1.0, 0.1), abs=1e-6)
    x, y = 5.0 * np.cos(0.1) - np.sin(0.1), -5.0 * np.sin(0.1) - np.cos(0.1)
    assert (of("target_1_x"), of("target_1_y")) == pytest.approx((x, y), abs=1e-5)


def test_progress_never_decreases_and_does_not_jump_to_a_later_part():
    # Out and back on two lines a metre apart: the way back is nearer than it is due.
    xy = np.array([[0, 0], [60, 0], [60, 1], [0, 1]], float)
    route = RouteLine(xy, np.full(4, 3.5), np.zeros(4, bool))
    assert route.progress(np.array([10.0, 1.0]), 8.0)[0] == pytest.approx(10.0)
    assert route.progress(np.array([5.0, 0.0]), 8.0)[0] == 8.0


def test_past_the_end_targets_go_straight_on():
    route = corner(1.0)
    assert route.at(route.length_m + 7.0) == pytest.approx((60.0, 67.0), abs=0.05)


def test_a_route_of_a_point_is_refused():
    with pytest.raises(RouteError, match="needs 2 m"):
        RouteLine(np.zeros((3, 2)), np.ones(3), np.zeros(3, bool))
