import numpy as np
import pytest

from dreamdrive.errors import NotMeasuredError
from dreamdrive.experiments.event_log import log_of_result
from dreamdrive.experiments.scorers.bench2drive_0_0_3 import published_smoothness
from dreamdrive.experiments.scorers.min_speed import speed_percentages
from dreamdrive.experiments.scorers.registry import find_scorer
from support.drives import drive
from support.logs import event, log, ticks

PUBLISHED, CORRECTED = find_scorer("bench2drive-0.0.3"), find_scorer("bench2drive-corrected")
BOTH = (PUBLISHED, CORRECTED)


def way(num=1000, **columns):
    """Returns ticks that end at the end of a route of 1 km."""
    return ticks(num, **{"progress_m": np.linspace(0.0, 1000.0, num)} | columns)


@pytest.mark.parametrize(
    ("causes", "value"),
    [
        ([], 100.0), (["collision_walker"], 50.0), (["collision_vehicle"], 60.0),
        (["collision_static"], 65.0), (["red_light"], 70.0), (["stop_sign"], 80.0),
        (["scenario_timeout"], 70.0), (["yield_emergency"], 70.0),
        (["collision_vehicle", "red_light"], 42.0),
    ],
)  # fmt: skip
def test_penalties_multiply(causes, value):
    for scorer in BOTH:
        scored = scorer.score(log(causes, way(), time_s=99.9))
        assert scored.value == pytest.approx(value)
        assert scored.terms["success_pct"] == 100.0 * (not causes)


def test_a_metre_outside_the_lanes_is_no_success():
    for scorer in BOTH:
        terms = scorer.score(log([], way(), outside_m=1.0, time_s=99.9)).terms
        assert terms["success_pct"] == 0.0


def test_minimum_speed_is_recorded_and_costs_nothing():
    for scorer in BOTH:
        scored = scorer.score(log([], way(), events=[event("min_speed", value=10.0)]))
        assert (scored.value, scored.terms["success_pct"]) == (100.0, 100.0)


def test_only_the_published_sums_are_divided_by_220():
    assert (PUBLISHED.num_routes, CORRECTED.num_routes) == (220, None)


def test_a_drive_ends_after_200_seconds():
    num = 2201
    progress = np.linspace(0.0, 1000.0, num)
    late = [event("red_light", 210.0), event("stop_sign", 100.0)]
    made = log([], way(num), late, time_s=220.0)
    assert progress[2000] == pytest.approx(909.0909, abs=1e-3)
    for scorer in BOTH:
        scored = scorer.score(made)
        assert scored.terms["completion_pct"] == pytest.approx(90.90909, abs=1e-4)
        assert scored.value == pytest.approx(90.90909 * 0.8, abs=1e-4)
        assert scored.terms["success_pct"] == 0.0


def test_a_drive_ends_when_it_has_stood_for_60_seconds():
    num = 1201
    progress = np.interp(np.arange(num), [0, 100, 900, 1200], [0.0, 400.0, 400.0, 1000.0])
    speed = np.where((np.arange(num) > 100) & (np.arange(num) < 900), 0.0, 10.0)
    made = log([], ticks(num, progress_m=progress, speed_mps=speed), time_s=120.0)
    assert PUBLISHED.score(made).terms["completion_pct"] == pytest.approx(40.0)
    short = np.where((np.arange(num) > 100) & (np.arange(num) < 690), 0.0, 10.0)
    made = log([], ticks(num, progress_m=progress, speed_mps=short), time_s=120.0)
    assert PUBLISHED.score(made).terms["completion_pct"] == 100.0


def test_check_points_compare_with_the_traffic():
    made = log([], way(1001, speed_mps=10.0, traffic_mps=8.0))
    assert speed_percentages(made, "x", 20) == [125.0] * len(speed_percentages(made, "x", 20))
    assert len(speed_percentages(made, "x", 20)) == 20
    nobody = log([], way(1001, traffic_mps=np.nan))
    assert set(speed_percentages(nobody, "x", 20)) == {100.0}
    halfway = log([], way(1001, progress_m=np.linspace(0.0, 500.0, 1001)), completion=50.0)
    assert len(speed_percentages(halfway, "x", 20)) == 9


def test_published_efficiency_drops_what_is_above_1000_and_forgets_standing():
    crawling = way(1001, traffic_mps=np.where(np.arange(1001) < 500, 0.5, 10.0))
    assert PUBLISHED.score(log([], crawling)).terms["efficiency_pct"] < 200.0
    assert PUBLISHED.score(log([], way(1001, traffic_mps=0.5))).terms["efficiency_pct"] is None
    standing = ticks(400, progress_m=0.0, speed_mps=0.0)
    stood = log([], standing, completion=0.0)
    assert PUBLISHED.score(stood).terms["efficiency_pct"] is None
    assert CORRECTED.score(stood).terms["efficiency_pct"] == 0.0
    assert CORRECTED.score(log([], way())).terms["efficiency_pct"] == pytest.approx(125.0)
    alone = log([], way(traffic_mps=np.nan))
    assert CORRECTED.score(alone).terms["efficiency_pct"] is None


def test_a_gentle_bend_spoils_published_comfort_and_not_the_corrected():
    rate = 0.1
    bend = way(1000, yaw_rate_radps=rate, yaw_rad=rate * 0.1 * np.arange(1000))
    made = log([], bend)
    assert np.degrees(rate) > 1.93
    assert PUBLISHED.score(made).terms["comfort_pct"] == 0.0
    assert CORRECTED.score(made).terms["comfort_pct"] == 100.0


def test_corrected_comfort_is_the_share_of_pieces_of_two_seconds():
    hard = np.zeros(110)
    hard[50] = -60.0
    made = log([], ticks(110, acceleration_ahead_mps2=hard), completion=50.0)
    assert CORRECTED.score(made).terms["comfort_pct"] == pytest.approx(100.0 * 5 / 6)


def test_published_comfort_drops_a_short_last_chunk():
    hard = np.zeros(50)
    hard[40:] = -8.0
    made = log([], ticks(50, acceleration_ahead_mps2=hard), completion=50.0)
    assert published_smoothness(made) == 1.0
    assert CORRECTED.score(made).terms["comfort_pct"] < 100.0
    first = log([], ticks(50, acceleration_ahead_mps2=hard[::-1]), completion=50.0)
    assert published_smoothness(first) == 0.5


def test_published_comfort_takes_any_time_between_samples_for_a_tenth():
    ramp = np.tile(np.linspace(0.0, 1.0, 20), 5)
    slow = log([], ticks(100, acceleration_ahead_mps2=ramp), completion=50.0)
    fast = log([], ticks(100, tick_s=0.01, acceleration_ahead_mps2=ramp), completion=50.0)
    assert published_smoothness(slow) == published_smoothness(fast) == 1.0
    assert CORRECTED.score(fast).terms["comfort_pct"] < 100.0


def test_a_result_alone_does_not_tell_comfort():
    for scorer in BOTH:
        with pytest.raises(NotMeasuredError, match="every tick"):
            scorer.score(log_of_result(drive()))
