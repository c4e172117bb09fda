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
    assert route_completion(GOOD).value == pytest.approx(0.008)
    assert route_completion(replace(GOOD, progress_m=0.0)).value == 0.0


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
    assert route_completion(replace(GOOD, **changes)).value == pytest.approx(
        0.008 * factor, abs=1e-9
    )


def test_a_termination_costs_the_same_however_fast() -> None:
    assert route_completion(CRASH).value == -1.0
    assert route_completion(CRASH).terms["terminal"] == -1.0
    assert route_completion(replace(CRASH, progress_m=5.0, speed_mps=30.0)).value == -1.0


def test_roach_by_hand() -> None:
    assert roach(GOOD).value == pytest.approx(1.0)
    off = replace(GOOD, speed_mps=5.0, lateral_offset_m=-0.6, heading_error_rad=0.1)
    assert roach(off).value == pytest.approx(1.0 - 0.5 - 0.3 - 0.1)
    assert roach(replace(GOOD, steer_change=0.02)).value == pytest.approx(0.9)
    assert roach(replace(GOOD, steer_change=0.01)).value == pytest.approx(1.0)
    assert roach(CRASH).value == pytest.approx(1.0 - 1.0 - 8.0)
    assert roach(replace(CRASH, infraction=False)).value == pytest.approx(0.0)


def test_think2drive_by_hand() -> None:
    assert think2drive(GOOD).value == pytest.approx(1.8)
    off = replace(GOOD, speed_mps=0.5, lateral_offset_m=1.0, steer_change=-0.2, progress_m=0.0)
    assert think2drive(off).value == pytest.approx(0.0 - 0.25 - 0.1)
    assert think2drive(replace(GOOD, finished=True)).value == pytest.approx(2.8)
    assert think2drive(CRASH).value == pytest.approx(1.8 - 9.0)


@pytest.mark.parametrize("name", REWARDS)
def test_no_reward_prefers_a_crash_or_standing(name: str) -> None:
    reward = REWARDS[name]
    standing = replace(GOOD, progress_m=0.0, speed_mps=0.0)
    assert reward(GOOD).value > reward(standing).value > reward(CRASH).value


BENT = replace(
    GOOD, progress_m=0.5, speed_mps=5.0, speed_limit_mps=4.0, lateral_offset_m=-0.4,
    heading_error_rad=-0.25, steer_change=-0.3, comfort_violations=2, outside_lane=True,
)  # fmt: skip


@pytest.mark.parametrize(
    ("reward", "facts", "terms"),
    [
        (
            route_completion, BENT,
            {"progress": 0.005, "speeding": 1.0 - 1.0 / 2.23, "comfort": 5.0 / 6.0,
             "outside": 0.0, "terminal": 0.0},
        ),
        (
            roach, BENT,
            {"speed": 0.5, "position": -0.2, "rotation": -0.25, "action": -0.1, "terminal": 0.0},
        ),
        (
            roach, replace(BENT, terminated=True, infraction=True),
            {"speed": 0.5, "position": -0.2, "rotation": -0.25, "action": -0.1, "terminal": -6.0},
        ),
        (
            think2drive, BENT,
            {"speed": 0.6, "travel": 0.5, "deviation": -0.1, "steer": -0.15, "terminal": 0.0,
             "finished": 0.0},
        ),
        (
            think2drive, replace(BENT, terminated=True, finished=True),
            {"speed": 0.6, "travel": 0.5, "deviation": -0.1, "steer": -0.15, "terminal": -1.0,
             "finished": 1.0},
        ),
    ],
)  # fmt: skip
def test_each_term_by_hand(reward: object, facts: StepFacts, terms: dict[str, float]) -> None:
    found = reward(facts)  # type: ignore[operator]
    assert found.terms == pytest.approx(terms)
    if reward is route_completion:
        assert found.value == 0.0
    else:
        assert found.value == pytest.approx(sum(terms.values()))
