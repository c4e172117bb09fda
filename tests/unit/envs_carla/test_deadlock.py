import numpy as np

from dreamdrive.envs.carla.deadlock import BOLD_S, CHECK_DECISIONS, PATIENCE_S, DeadlockBreaker
from dreamdrive.envs.carla.scene import VEHICLE, EgoPose, Scene

FACING = [(0.0, 0.0, 0.0), (12.0, 3.5, np.pi)]
"""Two cars that face each other in neighbouring lanes, as when one wants to turn left."""


def scene(places, ego=(-60.0, 0.0), speed=0.0):
    n = len(places)
    boxes = np.array([[x, y, yaw, 2.4, 1.0] for x, y, yaw in places])
    return Scene(
        frame=0, time_s=0.0,
        ego=EgoPose(
            x=ego[0], y=ego[1], yaw_rad=0.0, speed_mps=0.0, yaw_rate_radps=0.0,
            half_length_m=2.4, half_width_m=1.0,
        ),
        ids=np.arange(10, 10 + n), kinds=np.full(n, VEHICLE, np.int8), boxes=boxes,
        velocity=np.tile([speed, 0.0], (n, 1)), yaw_rate=np.zeros(n),
    )  # fmt: skip


def watch(view, seconds, ids=(10, 11)):
    """Returns (time, vehicle, is bold) of what the breaker does."""
    done, now = [], [0.0]
    breaker = DeadlockBreaker(list(ids), lambda a, bold: done.append((now[0], a, bold)))
    for step in range(round(seconds / 0.1)):
        now[0] = 0.1 * (step + 1)
        breaker.step(view)
    return done


def test_one_of_a_knot_becomes_bold_for_a_moment_and_then_the_other():
    done = watch(scene(FACING), PATIENCE_S + 2 * BOLD_S + 0.1)
    assert [(actor, bold) for _, actor, bold in done[:3]] == [(10, True), (10, False), (11, True)]
    assert PATIENCE_S <= done[0][0] <= PATIENCE_S + 0.1 * CHECK_DECISIONS
    assert abs(done[1][0] - done[0][0] - BOLD_S) <= 0.1 * CHECK_DECISIONS + 1e-6


def test_moving_vehicles_are_left_alone():
    assert watch(scene(FACING, speed=3.0), 20.0) == []


def test_a_queue_is_no_knot():
    assert watch(scene([(0.0, 0.0, 0.0), (7.0, 0.0, 0.0)]), 20.0) == []


def test_whoever_has_no_room_in_front_stays():
    assert watch(scene([(0.0, 0.0, 0.0), (6.0, 0.0, np.pi)]), 20.0) == []


def test_nobody_is_bold_in_front_of_the_ego():
    done = watch(scene(FACING, ego=(8.0, 0.0)), PATIENCE_S + 1.0)
    assert 10 not in [actor for _, actor, _ in done]


def test_only_the_traffic_managers_vehicles_count():
    assert watch(scene(FACING), 20.0, ids=()) == []
    assert watch(scene(FACING), 20.0, ids=(10,)) == []
