from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamdrive.errors import ConfigError, NotMeasuredError
from dreamdrive.experiments.event_log import log_of_result
from dreamdrive.experiments.scorers.registry import MODULES, find_scorer, find_scorers
from dreamdrive.experiments.scores import score
from support.drives import drive
from support.logs import event, log

LEADERBOARDS = ("leaderboard-1.0", "leaderboard-2.0", "leaderboard-2.1")
PRICED = ("collision_walker", "collision_vehicle", "collision_static", "red_light", "stop_sign")


def outside(pct, **fields):
    return log(outside_route_m=pct * 10.0, outside_m=pct * 10.0, **fields)


SLOW = log(["scenario_timeout", "yield_emergency"], events=[event("min_speed", value=60.0)])
WORKED = [
    (log(), (100.0, 100.0, 100.0)),
    (log(["collision_walker"]), (50.0, 50.0, 50.0)),
    (log(["collision_vehicle", "red_light"], completion=80.0), (33.6, 33.6, 38.095238)),
    (outside(10.0, causes=["stop_sign"] * 2), (57.6, 57.6, 60.0)),
    (log(["collision_static"], completion=50.0), (32.5, 32.5, 31.25)),
    (SLOW, (100.0, 43.12, 51.020408)),
    (log(["collision_vehicle"]), (60.0, 60.0, 58.823529)),
    (log(["collision_vehicle"] * 2), (36.0, 36.0, 41.666667)),
    (log(["collision_vehicle"] * 3), (21.6, 21.6, 32.258065)),
    (log(["collision_static"]), (65.0, 65.0, 62.5)),
    (log(["red_light"]), (70.0, 70.0, 71.428571)),
    (log(["stop_sign"]), (80.0, 80.0, 80.0)),
    (log(["scenario_timeout"]), (100.0, 70.0, 71.428571)),
    (log(["yield_emergency"]), (100.0, 70.0, 71.428571)),
    (log(events=[event("min_speed", value=0.0)]), (100.0, 70.0, 71.428571)),
    (log(["off_road"]), (100.0, 100.0, 100.0)),
    (outside(100.0), (0.0, 0.0, 0.0)),
    (log(completion=0.0), (0.0, 0.0, 0.0)),
    (log(["route_deviation"], completion=40.0, cause="route_deviation"), (40.0, 40.0, 40.0)),
]


@pytest.mark.parametrize(("made", "expected"), WORKED)
def test_the_leaderboards_own_scores(made, expected):
    for name, value in zip(LEADERBOARDS, expected, strict=True):
        scored = find_scorer(name).score(made)
        assert scored.value == pytest.approx(value), name
        assert scored.value == pytest.approx(
            scored.terms["completion_pct"] * scored.terms["penalty"]
        )


@given(
    causes=st.lists(st.sampled_from([*PRICED, "scenario_timeout", "yield_emergency"]), max_size=8),
    more=st.sampled_from(PRICED),
    slow=st.lists(st.floats(0.0, 99.0), max_size=3),
    completion=st.floats(0.0, 100.0),
    share=st.floats(0.0, 100.0),
)
def test_scores_fall_with_every_infraction_and_know_no_order(causes, more, slow, completion, share):
    way = {
        "completion": completion, "cause": "time_limit",
        "outside_route_m": share / 100.0 * completion * 10.0,
    }  # fmt: skip
    events = [event("min_speed", value=pct) for pct in slow]
    for name in LEADERBOARDS:
        scorer = find_scorer(name)
        value = scorer.score(log(causes, events=events, **way)).value
        assert 0.0 <= value <= completion + 1e-9
        assert scorer.score(log([*causes, more], events=events, **way)).value <= value
        other = log(causes[::-1], events=events[::-1], **way)
        assert scorer.score(other).value == pytest.approx(value, rel=1e-12)
        slower = [*events, event("min_speed", value=10.0)]
        assert scorer.score(log(causes, events=slower, **way)).value <= value


@given(
    causes=st.lists(st.sampled_from([*PRICED, "off_road", "route_deviation"]), max_size=9),
    completion=st.floats(0.0, 100.0),
    outside_m=st.floats(0.0, 500.0),
    cause=st.sampled_from(["route_finished", "blocked", "time_limit", "route_deviation"]),
)
def test_a_log_and_its_result_score_the_same_to_the_last_digit(
    causes, completion, outside_m, cause
):
    result = drive(causes=causes, completion=completion, outside_route_m=outside_m, cause=cause)
    scored = find_scorer("leaderboard-2.1").score(log_of_result(result))
    assert scored.value == score(result).driving_score
    assert scored.terms["penalty"] == score(result).penalty


def test_what_nobody_looked_for_is_named():
    unwatched = ("min_speed", "scenario_timeout", "yield_emergency")
    assert find_scorer("leaderboard-1.0").score(log_of_result(drive())).not_measured == ()
    for name in LEADERBOARDS[1:]:
        assert find_scorer(name).score(log_of_result(drive())).not_measured == unwatched
        assert find_scorer(name).score(log()).not_measured == ()


def test_a_slow_check_point_without_its_percentage_is_not_guessed():
    for name in LEADERBOARDS[1:]:
        with pytest.raises(NotMeasuredError, match="no value"):
            find_scorer(name).score(log(["min_speed"]))


@pytest.mark.parametrize("name", MODULES)
def test_every_scorer_bears_the_name_it_is_found_by(name):
    assert find_scorer(name).name == name


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("clever",), "no scorer 'clever'.*leaderboard-2.1"),
        (("nowhere:SCORER",), "no scorer 'nowhere:SCORER'"),
        (("support.drives:drive",), "no Scorer but function"),
        (("leaderboard-2.1", "leaderboard-2.1"), "Two scorers"),
        ((), "No scorer"),
    ],
)
def test_scorers_that_do_not_exist_are_refused(names, words):
    with pytest.raises(ConfigError, match=words):
        find_scorers(names)


def test_each_scorer_has_a_file_of_its_own():
    folder = Path(__file__).parents[4] / "experiments" / "scorers"
    assert {f"{module}.py" for module in MODULES.values()} <= {p.name for p in folder.iterdir()}
