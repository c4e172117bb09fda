"""Policies that fail by themselves: their drives count as far as they came, and others go on."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dreamdrive.experiments.drive_jobs import Conditions, DriveJob, DriverSettings, route_name
from dreamdrive.experiments.drives import drive_path, load_drive
from dreamdrive.experiments.driving import RouteDriver
from dreamdrive.experiments.evaluate import EvaluateConfig, evaluate, plan
from dreamdrive.experiments.event_log import read_log
from dreamdrive.experiments.policies import NamedPolicy
from dreamdrive.experiments.policy_turn import PolicyFaultError, Turn

SHORT = Conditions(
    route_length_m=(60.0, 90.0), num_vehicles=0, time_limit_s=3.0, time_limit_s_per_m=0.0,
    blocked_s=15.0,
)  # fmt: skip
# What hangs or leaks counts in a fresh process only, which these two have as the first.
ODD = ("Endless", "Leaky", "Broken", "Blind", "Exiting")


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    config = EvaluateConfig(
        policies=(
            *(f"{name}=support.odd_policies:{name}" for name in ODD),
            "gentle=support.odd_policies:Gentle", "Stillborn=support.odd_policies:Stillborn",
        ),
        towns=("Dream07",), routes_per_town=1, conditions=SHORT, videos=0, workers=1, retries=0,
        policy_deadline_s=6.0, worker_memory_mib=500.0, out=tmp_path_factory.mktemp("odd"),
    )  # fmt: skip
    evaluate(config)
    return config


def results(config):
    paths = {
        job.policy.name: drive_path(config.out, job.policy.name, job.key) for job in plan(config)
    }
    return {name: load_drive(path) for name, path in paths.items()}


def test_each_fault_has_its_name_and_is_nobody_elses(evaluated):
    found = results(evaluated)
    causes = {name: found[name].cause for name in found}
    assert causes == {
        "gentle": "time_limit", "Stillborn": "policy_error", "Broken": "policy_error",
        "Blind": "policy_error", "Exiting": "policy_error", "Endless": "policy_timeout",
        "Leaky": "policy_lost",
    }  # fmt: skip
    words = {
        "Stillborn": "KeyError: 'weights'", "Broken": "ZeroDivisionError: the policy's own fault",
        "Blind": "not finite", "Exiting": "SystemExit", "Endless": "no action within 6 s",
        "Leaky": "above 500",
    }  # fmt: skip
    for name, said in words.items():
        assert said in found[name].policy_fault
    assert all(result.sim_errors == () for result in found.values())


def test_what_was_driven_before_the_fault_counts(evaluated):
    found = results(evaluated)
    whole = read_log(evaluated.out / "drives/gentle/Dream07-1-000-0.jsonl").ticks
    for name in ODD:
        result = found[name]
        assert result.decisions == 10
        assert result.progress_m == whole.column("progress_m")[10]
        assert result.time_s == 1.0
        assert result.length_m == found["gentle"].length_m
        assert result.mean_speed_mps == pytest.approx(
            np.abs(whole.column("speed_mps")[1:11]).mean(), abs=1e-3
        )
        log = read_log(evaluated.out / f"drives/{name}/Dream07-1-000-0.jsonl")
        assert (log.result, len(log.ticks)) == (result, 11)
    assert (found["Stillborn"].decisions, found["Stillborn"].completion_pct) == (0, 0.0)
    assert found["Stillborn"].length_m > 50.0


def test_faults_are_counted_and_scored(evaluated):
    summary = json.loads((evaluated.out / "summary.json").read_text())["policies"]
    for name in ODD:
        assert (summary[name]["num_policy_faults"], summary[name]["num_drives"]) == (1, 1)
        assert summary[name]["measures"]["driving_score"]["value"] is not None
    board = json.loads((evaluated.out / "leaderboard" / "Broken.json").read_text())
    assert board["_checkpoint"]["records"][0]["status"] == "Failed - Agent crashed"


def test_in_this_process_too(evaluated, tmp_path):
    (job,) = [job for job in plan(evaluated) if job.policy.name == "Broken"]
    with RouteDriver(DriverSettings(conditions=SHORT, num_routes=1)) as driver:
        result = driver.drive(job)
    assert (result.cause, result.decisions) == ("policy_error", 10)
    assert result.progress_m == results(evaluated)["Broken"].progress_m


@pytest.mark.slow
def test_what_a_policy_leaves_behind_is_charged_to_nobody(evaluated, tmp_path):
    hoarder, innocent = "support.odd_policies:Hoarder", "support.odd_policies:Innocent"
    config = replace(
        evaluated, policies=(f"a={hoarder}", f"b={hoarder}", f"innocent={innocent}"),
        worker_memory_mib=950.0, policy_deadline_s=20.0, out=tmp_path,
    )  # fmt: skip
    evaluate(config)
    whole = results(evaluated)["gentle"]
    for name, result in results(config).items():
        assert (result.cause, result.policy_fault) == ("time_limit", "")
        assert (result.progress_m, result.decisions) == (whole.progress_m, whole.decisions)
        assert len(result.sim_errors) == (name != "a")
        for error in result.sim_errors:
            assert error.startswith("in a process that had driven before: its process held")


def test_a_policy_that_leaves_the_working_folder_loses_no_file(evaluated, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wanderer = "wanderer=support.odd_policies:Wanderer"
    config = replace(evaluated, policies=(wanderer,), seeds=(0, 1), workers=0, out=Path("here"))
    evaluate(config)
    found = sorted((tmp_path / "here" / "drives").rglob("*.json"))
    assert len(found) == 2
    for path in found:
        assert read_log(path.with_suffix(".jsonl")).result == load_drive(path)


def test_a_server_that_keeps_a_policy_waiting_is_not_the_policys_fault(tmp_path, monkeypatch):
    monkeypatch.setenv("KILLS", str(tmp_path))
    job = DriveJob(
        policy=NamedPolicy("x", "support.odd_policies:WaitingForServer"), fingerprint="",
        town="Dream07", index=0, seed=0, route=route_name("Dream07", 1, 0),
    )  # fmt: skip
    with RouteDriver(DriverSettings(conditions=SHORT, num_routes=1)) as driver:
        result = driver.drive(job)
        assert (result.cause, len(result.sim_errors)) == ("time_limit", 1)
        assert "did not answer the policy: RuntimeError: time-out" in result.sim_errors[0]
        (tmp_path / "waited").unlink()
        by_itself = replace(job, policy=NamedPolicy("x", "support.odd_policies:Waiting"))
        result = driver.drive(by_itself)
    assert (result.cause, result.sim_errors) == ("policy_error", ())


def test_a_turn_tells_since_when_the_policy_has_it():
    since = [0.0]
    turn = Turn(since)
    with turn.of_policy():
        assert since[0] > 0.0
    assert since[0] == 0.0
    assert turn.thought_s > 0.0
    with pytest.raises(PolicyFaultError, match="ValueError: no"), turn.of_policy():
        raise ValueError("no")
    assert since[0] == 0.0
    with pytest.raises(KeyboardInterrupt), turn.of_policy():
        raise KeyboardInterrupt
