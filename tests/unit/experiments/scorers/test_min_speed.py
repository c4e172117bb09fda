import numpy as np
import pytest

from dreamdrive.errors import NotMeasuredError
from dreamdrive.experiments.scorers.registry import find_scorer
from support.logs import event, log, ticks

SCORER, PLAIN = find_scorer("leaderboard-2.1-min-speed"), find_scorer("leaderboard-2.1")


def way(traffic_mps, end_m=1000.0):
    """Returns ticks at 10 m/s up to a place on a route of 1 km."""
    return ticks(1001, progress_m=np.linspace(0.0, end_m, 1001), traffic_mps=traffic_mps)


@pytest.mark.parametrize(
    ("causes", "traffic_mps", "value"),
    [
        ([], 8.0, 100.0),
        ([], np.nan, 100.0),
        ([], 20.0, 100.0 / (1.0 + 4 * 0.4 * 0.5)),
        ([], 12.5, 100.0 / (1.0 + 4 * 0.4 * 0.2)),
        (["collision_vehicle"], 20.0, 100.0 / (1.0 + 0.7 + 4 * 0.4 * 0.5)),
        ([], np.where(np.arange(1001) <= 250, 20.0, 5.0), 100.0 / (1.0 + 0.4 * 0.5)),
    ],
)
def test_each_quarter_of_the_route_that_was_slower_than_the_traffic_costs(
    causes, traffic_mps, value
):
    made = log(causes, way(traffic_mps))
    assert SCORER.score(made).value == pytest.approx(value)
    assert PLAIN.score(made).value == pytest.approx(100.0 / (1.0 + 0.7 * len(causes)))


def test_a_drive_that_ended_half_way_is_charged_for_the_quarter_that_it_left_behind():
    made = log([], way(20.0, end_m=490.0), completion=49.0)
    assert SCORER.score(made).value == pytest.approx(49.0 / 1.2)


def test_what_others_say_of_minimum_speed_is_not_charged_twice():
    made = log([], way(20.0), [event("min_speed", value=50.0)])
    assert SCORER.score(made).value == pytest.approx(100.0 / 1.8)


def test_it_needs_the_ticks_and_says_that_it_looked():
    with pytest.raises(NotMeasuredError, match="needs every tick"):
        SCORER.score(log())
    made = log([], way(8.0), unwatched=("min_speed", "yield_emergency"))
    assert SCORER.score(made).not_measured == ("yield_emergency",)
