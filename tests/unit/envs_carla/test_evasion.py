"""How the expert waits for those who go first."""

import numpy as np
import pytest

from dreamdrive.envs.carla.evasion import yielding
from dreamdrive.envs.carla.routes import Route
from dreamdrive.envs.carla.scenarios.scenario import Priority
from dreamdrive.envs.carla.scene import EgoPose, Scene

ARC = np.arange(0.0, 101.0)
JUNCTION = (30, 60)
MEET_M = 45.0


def route():
    n = len(ARC)
    in_junction = np.zeros(n, bool)
    in_junction[slice(*JUNCTION)] = True
    return Route(
        name="straight", town="Nowhere", xy=np.column_stack([ARC, np.zeros(n)]), z=np.zeros(n),
        yaw=np.zeros(n), arc=ARC, lane_width=np.full(n, 3.5), in_junction=in_junction,
        command=np.zeros(n, np.int8), lanes=((1, 0, -1),) * n, curvature=np.zeros(n),
    )  # fmt: skip


def waits(arc_m, speed_mps, first_s, last_s):
    ego = EgoPose(
        x=arc_m, y=0.0, yaw_rad=0.0, speed_mps=speed_mps, yaw_rate_radps=0.0,
        half_length_m=2.5, half_width_m=1.0,
    )  # fmt: skip
    empty = np.zeros((0, 5))
    scene = Scene(
        frame=0, time_s=0.0, ego=ego, ids=np.zeros(0, np.int64), kinds=np.zeros(0, np.int8),
        boxes=empty, velocity=empty[:, :2], yaw_rate=empty[:, 0],
    )  # fmt: skip
    return yielding([Priority(ego_m=MEET_M, spans_s=((first_s, last_s),))], scene, route(), arc_m)


def test_an_ego_that_can_stop_waits_before_the_junction():
    (wait,) = waits(15.0, 6.0, 2.0, 4.0)
    assert wait.gap_m == pytest.approx(29.0 - 17.5)


def test_inside_the_junction_it_waits_clear_of_the_place_where_the_ways_meet():
    (wait,) = waits(30.0, 4.0, 1.0, 3.0)
    assert wait.gap_m == pytest.approx(MEET_M - 5.0 - 32.5)


@pytest.mark.parametrize("span", [(12.0, 14.0), (-4.0, -3.0)])
def test_it_goes_on_where_the_others_come_later_or_have_passed(span):
    assert waits(15.0, 6.0, *span) == []
