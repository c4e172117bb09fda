import numpy as np
import pytest

from dreamdrive.envs.carla.conflicts import Corridor
from dreamdrive.envs.carla.routes import Route
from dreamdrive.envs.carla.scene import VEHICLE, WALKER, EgoPose, Scene

ARC = np.arange(0.0, 101.0)


def route(junction=(30, 45)) -> Route:
    n = len(ARC)
    in_junction = np.zeros(n, bool)
    in_junction[slice(*junction)] = True
    return Route(
        name="straight", town="Nowhere", xy=np.column_stack([ARC, np.zeros(n)]), z=np.zeros(n),
        yaw=np.zeros(n), arc=ARC, lane_width=np.full(n, 3.5), in_junction=in_junction,
        command=np.zeros(n, np.int8), lanes=((1, 0, -1),) * n, curvature=np.zeros(n),
    )  # fmt: skip


def corridor(ego_x=10.0, ego_speed=8.0, edge_m=5.25, memory=None):
    ego = EgoPose(
        x=ego_x, y=0.0, yaw_rad=0.0, speed_mps=ego_speed, yaw_rate_radps=0.0,
        half_length_m=2.5, half_width_m=1.0,
    )  # fmt: skip
    yields = {} if memory is None else memory
    return Corridor(route(), ego_x, ego, lambda _, y: max(0.0, abs(y) - edge_m), yields), ego


def scene(ego, x, y, yaw, speed, *, kind=VEHICLE, yaw_rate=0.0, time_s=0.0):
    size = (2.5, 1.0) if kind == VEHICLE else (0.3, 0.3)
    return Scene(
        frame=0, time_s=time_s, ego=ego, ids=np.array([1]), kinds=np.array([kind], np.int8),
        boxes=np.array([[x, y, yaw, *size]]),
        velocity=speed * np.array([[np.cos(yaw), np.sin(yaw)]]), yaw_rate=np.array([yaw_rate]),
    )  # fmt: skip


def obstacles(x, y, yaw, speed, *, kind=VEHICLE, yaw_rate=0.0, time_s=0.0, **ego_facts):
    way, ego = corridor(**ego_facts)
    seen = scene(ego, x, y, yaw, speed, kind=kind, yaw_rate=yaw_rate, time_s=time_s)
    return way.obstacles(seen, headway_s=1.0, standstill_m=3.0)


def test_a_vehicle_ahead_is_followed():
    (lead,) = obstacles(30.0, 0.2, 0.0, 4.0)
    assert lead.gap_m == pytest.approx(30.0 - 2.5 - 12.5, abs=0.6)
    assert lead.speed_mps == pytest.approx(4.0)


@pytest.mark.parametrize("y", [3.5, -3.5])
def test_a_vehicle_in_the_next_lane_is_left_alone(y):
    assert obstacles(25.0, y, 0.0, 4.0) == []
    assert obstacles(25.0, y, np.pi, 8.0) == []


def test_a_vehicle_behind_is_left_alone():
    assert obstacles(2.0, 0.0, 0.0, 12.0) == []


def test_a_vehicle_across_the_lane_blocks_it():
    (block,) = obstacles(40.0, 2.5, np.pi / 2, 0.0)
    assert block.gap_m == pytest.approx(39.0 - 12.5, abs=0.6)
    assert block.speed_mps == 0.0


def test_a_vehicle_that_will_cross_the_junction_is_waited_for_before_it():
    (crossing,) = obstacles(38.0, -18.0, np.pi / 2, 7.0)
    assert crossing.gap_m == pytest.approx(29.0 - 12.5)
    assert crossing.speed_mps == 0.0


def test_inside_the_junction_the_ego_waits_before_the_way_of_who_crosses():
    (crossing,) = obstacles(38.0, -18.0, np.pi / 2, 7.0, ego_x=30.0)
    assert 0.0 < crossing.gap_m < 6.0


def test_an_ego_that_cannot_stop_before_the_junction_waits_inside():
    (crossing,) = obstacles(38.0, -13.0, np.pi / 2, 7.0, ego_x=24.0, ego_speed=9.0)
    assert 6.0 < crossing.gap_m < 12.0


def test_a_vehicle_that_joins_the_ego_s_way_in_the_junction_first_is_followed():
    (joining,) = obstacles(32.0, -4.0, 0.35, 7.0, ego_x=28.0, ego_speed=2.0)
    assert joining.speed_mps == pytest.approx(7.0 * np.cos(0.35), abs=0.05)
    assert 0.0 < joining.gap_m < 8.0


def test_whoever_joins_behind_the_ego_or_follows_it_is_left_alone():
    assert obstacles(24.0, -6.0, 0.35, 4.0, ego_x=32.0) == []
    assert obstacles(25.0, 0.3, 0.0, 12.0, ego_x=32.0, ego_speed=1.0) == []


def test_a_forecast_that_flickers_is_remembered_for_a_moment():
    memory = {}
    (seen,) = obstacles(38.0, -18.0, np.pi / 2, 7.0, memory=memory)
    (kept,) = obstacles(38.0, -18.0, np.pi / 2, 7.0, memory=memory, yaw_rate=-1.0, time_s=0.3)
    assert kept == seen
    assert obstacles(38.0, -18.0, np.pi / 2, 7.0, memory=memory, yaw_rate=-1.0, time_s=0.5) == []


def test_when_an_episode_begins_does_not_decide_how_long_is_a_moment():
    way = {"x": 38.0, "y": -18.0, "yaw": np.pi / 2, "speed": 7.0}
    kept = []
    for ticks in range(200):
        memory = {}
        obstacles(**way, memory=memory, time_s=0.05 * ticks)
        later_s = 0.05 * (ticks + 8)
        kept.append(len(obstacles(**way, memory=memory, yaw_rate=-1.0, time_s=later_s)))
    assert set(kept) == {1}


def test_a_vehicle_that_drives_beside_the_road_is_let_in():
    (parked,) = obstacles(30.0, -3.6, 0.05, 1.5, edge_m=1.75)
    assert parked.gap_m == pytest.approx(30.0 - 2.5 - 12.5, abs=0.6)
    assert parked.speed_mps == pytest.approx(1.5, abs=0.01)
    assert obstacles(30.0, -3.6, 0.05, 0.0, edge_m=1.75) == []
    assert obstacles(30.0, -3.6, np.pi, 1.5, edge_m=1.75) == []
    assert obstacles(30.0, -3.6, 0.05, 1.5) == []


def test_crossing_traffic_that_stands_is_passed():
    assert obstacles(38.0, -12.0, np.pi / 2, 0.0) == []


def test_crossing_traffic_that_turns_away_is_passed():
    assert obstacles(38.0, -18.0, np.pi / 2, 7.0, yaw_rate=-1.0) == []


def test_crossing_traffic_that_is_gone_in_time_is_passed():
    assert obstacles(38.0, -6.5, np.pi / 2, 12.0, ego_speed=1.0) == []


def test_a_walker_who_will_cross_is_waited_for_anywhere():
    (walker,) = obstacles(22.0, 4.0, -np.pi / 2, 1.5, kind=WALKER)
    assert 7.0 < walker.gap_m < 10.0


def test_a_walker_on_the_pavement_is_passed():
    assert obstacles(22.0, 4.0, 0.0, 1.5, kind=WALKER) == []
