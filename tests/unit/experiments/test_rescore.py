import json
from dataclasses import replace

import pytest

from dreamdrive.errors import ConfigError, EventLogError
from dreamdrive.experiments.drives import ScenarioResult, drive_path, save_drive
from dreamdrive.experiments.event_log import log_of_result
from dreamdrive.experiments.leaderboard_json import leaderboard_results
from dreamdrive.experiments.rescore import RescoreConfig, rescore
from dreamdrive.experiments.score_tables import summarise_scores, tables_of
from dreamdrive.experiments.scored_drives import ScoredDrive, load_log, score_drive
from dreamdrive.experiments.scorers.registry import MODULES, find_scorer
from support.drives import drive
from support.logs import event, lines_of, log, ticks


def keep(out, made, with_log=True):
    """Writes result and log as an evaluation does."""
    result = made.result
    save_drive(out, result)
    path = drive_path(out, result.policy, result.key)
    if with_log:
        path.with_suffix(".jsonl").write_text("\n".join(lines_of(made)) + "\n")
    return path


def scored(out, *logs, scorers=("leaderboard-2.1",), with_log=True):
    for made in logs:
        keep(out, made, with_log)
    found = rescore(RescoreConfig(folder=out, scorers=scorers, bootstrap_samples=100))
    return json.loads(found.read_text())


def test_every_scorer_scores_from_the_log(tmp_path, capsys):
    logs = [log(["red_light"], ticks(50), route=f"T-1-00{i}", completion=50.0) for i in range(3)]
    summary = scored(tmp_path, *logs, scorers=tuple(MODULES))
    assert list(summary["scorers"]) == list(MODULES)
    values = {
        name: facts["policies"]["p"]["terms"]["value"]["value"]
        for name, facts in summary["scorers"].items()
    }
    assert values["leaderboard-1.0"] == pytest.approx(35.0)
    assert values["leaderboard-2.1"] == pytest.approx(50.0 / 1.4)
    assert values["bench2drive-0.0.3"] == pytest.approx(3 * 35.0 / 220)
    assert values["bench2drive-corrected"] == pytest.approx(35.0)
    printed = capsys.readouterr().out
    assert all(name in printed for name in MODULES)


def test_abilities_are_told_unasked_where_scenarios_ask_for_them(tmp_path, capsys):
    kinds = [ScenarioResult(name="x", type="ParkedObstacle", result="failed", cause="blocked")]
    scored(tmp_path, log([], ticks(50), route="T-1-000", completion=50.0))
    assert "bench2drive" not in capsys.readouterr().out
    again = log([], ticks(50), route="T-1-001", completion=50.0, scenarios=tuple(kinds))
    summary = scored(tmp_path, again)
    assert list(summary["scorers"]) == ["leaderboard-2.1", "bench2drive-abilities-0.0.3"]
    abilities = summary["scorers"]["bench2drive-abilities-0.0.3"]["policies"]["p"]
    assert abilities["terms"]["overtaking"]["value"] == 0.0
    assert (abilities["num_drives"], abilities["num_without_score"]) == (1, 1)
    assert "overtaking" in capsys.readouterr().out
    # Who chooses gets what was chosen.
    assert list(scored(tmp_path, scorers=("nuplan-comfort",))["scorers"]) == ["nuplan-comfort"]


def test_results_without_a_log_keep_their_leaderboard_scores(tmp_path, capsys):
    made = [log_of_result(drive(route=name, causes=["stop_sign"])) for name in "ab"]
    names = ("leaderboard-2.1", "nuplan-comfort")
    summary = scored(tmp_path, *made, scorers=names, with_log=False)
    leaderboard, comfort = (summary["scorers"][name]["policies"]["p"] for name in names)
    assert leaderboard["terms"]["value"]["value"] == pytest.approx(80.0)
    assert leaderboard["not_measured"] == ["min_speed", "scenario_timeout", "yield_emergency"]
    assert (comfort["num_drives"], comfort["num_without_score"]) == (0, 2)
    assert comfort["terms"]["value"]["value"] is None
    printed = " ".join(capsys.readouterr().out.split())
    assert "Not measured, and at no cost here: min_speed" in printed
    assert "needs every tick" in printed


def test_two_contacts_at_one_moment_are_the_same_drive_in_either_order(tmp_path):
    contacts = [
        replace(event("collision_walker", 5.0, other=3), detail="walker.0012"),
        replace(event("collision_walker", 5.0, other=9), detail="walker.0006"),
    ]
    made = log([], ticks(90), contacts)
    for events in (made.result.events, made.result.events[::-1]):
        path = keep(tmp_path, replace(made, result=replace(made.result, events=events)))
        assert [e.detail for e in load_log(path).events] == ["walker.0012", "walker.0006"]
    other = replace(made.result, events=made.result.events[:1])
    path = keep(tmp_path, made)
    save_drive(tmp_path, other)
    with pytest.raises(EventLogError, match="another drive"):
        load_log(path)


def test_training_runs_are_also_scored_together(tmp_path):
    logs = [
        log([], ticks(9), policy=f"a#{run}", route=route, completion=40.0 + 20.0 * run)
        for run in (0, 1)
        for route in "xy"
    ]
    policies = scored(tmp_path, *logs)["scorers"]["leaderboard-2.1"]["policies"]
    assert list(policies) == ["a", "a#0", "a#1"]
    assert policies["a"]["terms"]["value"]["value"] == pytest.approx(50.0)


def test_a_drive_that_the_server_ended_has_no_score(tmp_path):
    lost = log([], ticks(9), route="b", cause="sim_error", completion=0.0)
    summary = scored(tmp_path, log([], ticks(9)), lost)
    assert summary["scorers"]["leaderboard-2.1"]["policies"]["p"]["num_drives"] == 1
    told = json.loads((tmp_path / "leaderboard" / "p.json").read_text())
    assert told["_checkpoint"]["progress"] == [1, 2]
    assert told["entry_status"] == "Crashed"


def test_terms_that_a_drive_does_not_answer_are_left_out_of_the_mean(tmp_path):
    scorer = find_scorer("bench2drive-corrected")
    some, none = log([], ticks(9), route="a"), log([], ticks(9, traffic_mps=float("nan")))
    drives = {"p": [score_drive(keep(tmp_path, made), [scorer]) for made in (some, none)]}
    told = summarise_scores(drives, [scorer], 100)
    terms = told["scorers"][scorer.name]["policies"]["p"]["terms"]
    assert terms["efficiency_pct"]["value"] == pytest.approx(125.0)
    assert len(tables_of(told)) == 1


def test_broken_files_are_said(tmp_path):
    path = keep(tmp_path, log(["red_light"], ticks(9)))
    save_drive(tmp_path, drive(completion=3.0))
    with pytest.raises(EventLogError, match="another drive"):
        load_log(path)
    path.write_text("{")
    with pytest.raises(EventLogError, match="result cannot be read"):
        load_log(path)
    with pytest.raises(ConfigError, match="No drives"):
        rescore(RescoreConfig(folder=tmp_path / "none"))
    with pytest.raises(ConfigError, match="at least 100"):
        RescoreConfig(folder=tmp_path, bootstrap_samples=1)


def test_the_leaderboards_own_form():
    scorer = find_scorer("leaderboard-2.1")
    hit = replace(event("collision_vehicle", 3.0, other=7), x=1.5, y=2.5, detail="vehicle.a.b")
    slow = event("min_speed", value=60.0)
    logs = [
        log([], events=[hit, slow], route="a", outside_route_m=100.0, length_m=2000.0),
        log(route="b"),
        log(route="c", completion=50.0, cause="blocked"),
    ]
    drives = [
        ScoredDrive(result=m.result, events=m.events, scores={scorer.name: scorer.score(m)})
        for m in logs
    ]
    told = leaderboard_results(drives, scorer.name)
    first, clean, stuck = told["_checkpoint"]["records"]
    assert [r["status"] for r in (first, clean, stuck)] == [
        "Completed", "Perfect", "Failed - Agent got blocked",
    ]  # fmt: skip
    assert first["infractions"]["collisions_vehicle"] == [
        "Agent collided against object with type=vehicle.a.b and id=7 at (x=1.5, y=-2.5)"
    ]
    assert first["infractions"]["min_speed_infractions"][0].startswith("Average speed is 60.0%")
    assert "100.000 meters (5.00% of" in first["infractions"]["outside_route_lanes"][0]
    assert (first["num_infractions"], clean["num_infractions"]) == (3, 0)
    assert first["scores"]["score_composed"] == pytest.approx(95.0 / (1.0 + 0.7 + 0.16))
    assert first["scores"]["score_penalty"] == pytest.approx(0.95 / 1.86)
    overall = told["_checkpoint"]["global_record"]
    assert overall["infractions"]["collisions_vehicle"] == 0.286
    assert overall["infractions"]["outside_route_lanes"] == 0.1
    assert overall["scores_mean"]["score_route"] == 83.333333
    assert overall["scores_std_dev"]["score_route"] == pytest.approx(28.8675, abs=1e-3)
    assert overall["meta"]["exceptions"] == [
        ["RouteScenario_2_rep0", 2, "Failed - Agent got blocked"]
    ]
    assert len(told["values"]) == len(told["labels"]) == 15
    assert (told["scorer"], told["entry_status"]) == ("leaderboard-2.1", "Finished")
