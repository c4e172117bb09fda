import math
from dataclasses import replace

import numpy as np
import pytest

from dreamdrive.envs.carla.scene import EgoPose
from dreamdrive.envs.carla.tracker import RouteTracker, ego_state
from support.routes import straight_route


def ego(x, y, yaw=0.0, speed=5.0) -> EgoPose:
    return EgoPose(
        x=x, y=y, yaw_rad=yaw, speed_mps=speed, yaw_rate_radps=0.1,
        half_length_m=2.45, half_width_m=1.05,
    )  # fmt: skip


def test_progress_never_decreases():
    tracker = RouteTracker(straight_route())
    arcs = [tracker.update(ego(x, 0.0)).arc_m for x in (0.5, 3.0, 2.0, 5.5)]
    assert arcs == pytest.approx([0.5, 3.0, 3.0, 5.5])


def test_a_jump_ahead_is_no_progress_beyond_the_window():
    tracker = RouteTracker(straight_route())
    assert tracker.update(ego(50.0, 0.0)).arc_m == pytest.approx(8.0)


def test_left_of_the_route_is_positive():
    tracker = RouteTracker(straight_route(yaw=math.pi / 2))
    position = tracker.update(ego(-1.5, 2.0, yaw=math.pi / 2 + 0.2))
    assert position.lateral_m == pytest.approx(1.5)
    assert position.heading_error_rad == pytest.approx(0.2)


def test_target_points_are_interpolated_and_go_on_past_the_end():
    route = straight_route()
    tracker = RouteTracker(route)
    for x in np.arange(0.0, 45.3, 3.0):
        tracker.update(ego(x, 1.0))
    here = ego(45.3, 1.0)
    state = ego_state(here, tracker.update(here), route, 8.3)
    assert np.array(state.targets_m) == pytest.approx(
        np.array([[5.0, -1.0], [12.0, -1.0], [24.0, -1.0]]), abs=1e-6
    )
    assert state.lateral_offset_m == pytest.approx(1.0)
    assert state.speed_limit_mps == 8.3


def test_the_route_ahead_begins_at_the_ego_and_ends_with_the_route():
    tracker = RouteTracker(straight_route())
    for x in np.arange(0.0, 40.1, 4.0):
        position = tracker.update(ego(x, 0.0))
    ahead = tracker.ahead(position)
    assert ahead[0] == pytest.approx([40.0, 0.0])
    assert ahead[-1] == pytest.approx([60.0, 0.0])


def test_heading_error_is_smooth_in_a_curve():
    yaw = np.linspace(0.0, 1.5, 31)
    xy = np.cumsum(np.column_stack([np.cos(yaw), np.sin(yaw)]), axis=0)
    base = straight_route(30)
    route = replace(base, xy=xy, yaw=yaw, curvature=np.full(31, 0.05))
    tracker = RouteTracker(route)
    errors = []
    for step in np.arange(0.0, 20.0, 0.1):
        i, part = int(step), step % 1.0
        here = xy[i] + part * (xy[i + 1] - xy[i])
        errors.append(tracker.update(ego(*here, yaw=0.0)).heading_error_rad)
    assert np.abs(np.diff(errors)).max() < 0.02
    assert errors[-1] == pytest.approx(-1.0, abs=0.06)
