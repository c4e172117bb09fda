from dataclasses import replace

import pytest

from dreamdrive.driving.rewards import REWARDS, StepFacts, roach, route_completion, think2drive

GOOD = StepFacts(
    progress_m=0.8, speed_mps=8.0, speed_limit_mps=10.0, lateral_offset_m=0.0,
    heading_error_rad=0.0, steer_change=0.0, outside_lane=False, comfort_violations=0,
    desired_speed_mps=8.0, terminated=False, infraction=False, finished=False,
)  # fmt: skip
CRASH = replace(GOOD, terminated=True, infraction=True)


def test_route_completion_is_progress_over_100_m() -> None:
    assert route_completion(GOOD) == pytest.approx(0.008)
    assert route_completion(replace(GOOD, progress_m=0.0)) == 0.0


@pytest.mark.parametrize(
    ("changes", "factor"),
    [
        ({"speed_mps": 10.0}, 1.0),
        ({"speed_mps": 10.0 + 2.23 / 2}, 0.5),
        ({"speed_mps": 12.23}, 0.0),
        ({"speed_mps": 20.0}, 0.0),
        ({"comfort_violations": 3}, 0.75),
        ({"comfort_violations": 6}, 0.5),
        ({"outside_lane": True}, 0.0),
        ({"speed_mps": 10.0 + 2.23 / 2, "comfort_violations": 6}, 0.25),
    ],
)
def test_route_completion_has_soft_factors(changes: dict[str, object], factor: float) -> None:
    assert route_completion(replace(GOOD, **changes)) == pytest.approx(0.008 * factor, abs=1e-9)


def test_a_termination_costs_the_same_however_fast() -> None:
    assert route_completion(CRASH) == -1.0
    assert route_completion(replace(CRASH, progress_m=5.0, speed_mps=30.0)) == -1.0


def test_roach_by_hand() -> None:
    assert roach(GOOD) == pytest.approx(1.0)
    off = replace(GOOD, speed_mps=5.0, lateral_offset_m=-0.6, heading_error_rad=0.1)
    assert roach(off) == pytest.approx(1.0 - 0.5 - 0.3 - 0.1)
    assert roach(replace(GOOD, steer_change=0.02)) == pytest.approx(0.9)
    assert roach(replace(GOOD, steer_change=0.01)) == pytest.approx(1.0)
    assert roach(CRASH) == pytest.approx(1.0 - 1.0 - 8.0)
    assert roach(replace(CRASH, infraction=False)) == pytest.approx(0.0)


def test_think2drive_by_hand() -> None:
    assert think2drive(GOOD) == pytest.approx(1.8)
    off = replace(GOOD, speed_mps=0.5, lateral_offset_m=1.0, steer_change=-0.2, progress_m=0.0)
    assert think2drive(off) == pytest.approx(0.0 - 0.25 - 0.1)
    assert think2drive(replace(GOOD, finished=True)) == pytest.approx(2.8)
    assert think2drive(CRASH) == pytest.approx(1.8 - 9.0)


@pytest.mark.parametrize("name", REWARDS)
def test_no_reward_prefers_a_crash_or_standing(name: str) -> None:
    reward = REWARDS[name]
    standing = replace(GOOD, progress_m=0.0, speed_mps=0.0)
    assert reward(GOOD) > reward(standing) > reward(CRASH)
