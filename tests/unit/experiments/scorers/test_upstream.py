"""Scorers on the events that the public statistics code was run on; its figures are in a file.

`upstream_scores.json` names the commits, and says in words how the figures were made.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dreamdrive.experiments.drives import Trial
from dreamdrive.experiments.event_log import LogEvent, make_log
from dreamdrive.experiments.leaderboard_json import leaderboard_results
from dreamdrive.experiments.score_tables import term_interval
from dreamdrive.experiments.scored_drives import ScoredDrive
from dreamdrive.experiments.scorers.min_speed import speed_percentages
from dreamdrive.experiments.scorers.registry import find_scorer
from support.drives import drive
from support.logs import ticks

FIGURES = json.loads((Path(__file__).parent / "upstream_scores.json").read_text())
CASES, SIGNALS = FIGURES["cases"], FIGURES["signals"]
SCORERS = ("leaderboard-1.0", "leaderboard-2.0", "leaderboard-2.1", "bench2drive-0.0.3")
ROUNDED = 5.01e-7
"""Upstream keeps six decimals, except in 1.0."""


def log_of(case, route="r"):
    facts = ("length_m", "cause", "outside_route_m", "time_s")
    result = drive(route=route, outside_m=case["outside_route_m"], **{k: case[k] for k in facts})
    events = [LogEvent(x=0.0, y=0.0, **event) for event in case["events"]]
    return make_log(replace(result, progress_m=case["progress_m"]), events, ticks(20), ())


def signal_log(told):
    names = {
        "acceleration_ahead_mps2": "ahead", "acceleration_left_mps2": "left",
        "yaw_rate_radps": "yaw_rate", "progress_m": "progress", "speed_mps": "speed",
        "traffic_mps": "traffic",
    }  # fmt: skip
    columns = {name: np.array(told[key], np.float64) for name, key in names.items()}
    num = len(told["ahead"])
    return make_log(drive(length_m=told["length_m"], time_s=num / 10), [], ticks(num, **columns))


@pytest.mark.parametrize("name", SCORERS)
def test_scores_are_those_of_the_public_statistics_code(name):
    exact = name == "bench2drive-0.0.3"
    tolerance = 0.0 if exact else 1e-12 if name == "leaderboard-1.0" else ROUNDED
    for case in CASES:
        scored = find_scorer(name).score(log_of(case))
        found = (scored.terms["completion_pct"], scored.terms["penalty"], scored.value)
        worst = max(abs(a - b) for a, b in zip(found, case["upstream"][name], strict=True))
        assert worst <= tolerance, (case["name"], found, case["upstream"][name])


def test_the_cases_tell_the_versions_apart():
    values = {name: [case["upstream"][name][2] for case in CASES] for name in SCORERS}
    assert len({tuple(found) for found in values.values()}) == len(SCORERS)
    assert sum("recorded" in case["name"] for case in CASES) >= 10
    assert sum("recorded" in told["name"] for told in SIGNALS) >= 2
    shares = {told["upstream"]["smoothness"] for told in SIGNALS}
    assert {0.0, 1.0} < shares


@pytest.mark.parametrize("told", SIGNALS, ids=lambda told: told["name"])
def test_smoothness_and_efficiency_are_those_of_the_published_tool(told):
    made, upstream = signal_log(told), told["upstream"]
    terms = find_scorer("bench2drive-0.0.3").score(made).terms
    assert speed_percentages(made, "x", 20) == upstream["percentages"]
    assert terms["comfort_pct"] == 100.0 * upstream["smoothness"]
    assert terms["efficiency_pct"] == upstream["efficiency"]


def test_sums_over_routes_are_those_of_the_merging_tool():
    scorer = find_scorer("bench2drive-0.0.3")
    cells = {(str(i), Trial(0)): (scorer.score(log_of(case)),) for i, case in enumerate(CASES)}
    merged = FIGURES["merged-bench2drive"]
    found = term_interval(scorer, "value", cells, 100).value
    assert found == pytest.approx(merged["driving score"], rel=1e-12)
    success = term_interval(scorer, "success_pct", cells, 100).value
    assert success == pytest.approx(100.0 * merged["success rate"], rel=1e-12)


def test_the_results_file_is_the_leaderboards_own():
    scorer = find_scorer("leaderboard-2.1")
    drives = []
    for index, case in enumerate(CASES):
        made = log_of(case, f"{index:03d}")
        scores = {scorer.name: scorer.score(made)}
        drives.append(ScoredDrive(result=made.result, events=made.events, scores=scores))
    found, expected = leaderboard_results(drives, scorer.name), FIGURES["results-2.1"]
    for record, case in zip(found["_checkpoint"]["records"], CASES, strict=True):
        told = case["name"]
        assert record["status"] == case["status"], told
        assert record["num_infractions"] == case["num_infractions"], told
        lists = {name: len(words) for name, words in record["infractions"].items() if words}
        assert lists == case["lists"], told
        keys = ("score_route", "score_penalty", "score_composed")
        assert [record["scores"][key] for key in keys] == case["upstream"][scorer.name], told
        assert {key: record["meta"][key] for key in case["meta"]} == case["meta"], told
    overall, theirs = found["_checkpoint"]["global_record"], expected["glob"]
    for key in ("index", "route_id", "status", "infractions", "scores_mean", "scores_std_dev"):
        assert overall[key] == theirs[key], key
    assert overall["meta"] == {**theirs["meta"], "duration_system": -1}
    for key in ("labels", "values", "entry_status", "eligible"):
        assert found[key] == expected[key], key
    assert found["_checkpoint"]["progress"] == expected["progress"]


def test_the_mean_of_1_0_is_that_of_the_public_statistics_code():
    scorer = find_scorer("leaderboard-1.0")
    values = [scorer.score(log_of(case)).value for case in CASES]
    expected = FIGURES["global-1.0"]["score_composed"]
    assert np.mean(values) == pytest.approx(expected, rel=1e-12)
