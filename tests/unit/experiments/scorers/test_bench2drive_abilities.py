"""Bench2Drive's abilities: by hand, and beside what its own tool says of the same drives."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from dreamdrive.envs.carla.scenarios.registry import SCENARIO_TYPES
from dreamdrive.errors import NotMeasuredError
from dreamdrive.experiments.drives import ScenarioResult
from dreamdrive.experiments.score_tables import summarise_scores
from dreamdrive.experiments.scored_drives import ScoredDrive
from dreamdrive.experiments.scorers.bench2drive_abilities import ABILITIES, SCORER
from support.logs import log, ticks

FIGURES = json.loads((Path(__file__).parent / "upstream_abilities.json").read_text())


def on(*kinds, causes=(), junction_m=100.0, result="solved", **fields):
    """Returns the log of a drive of 1 km with scenarios of these types."""
    scenarios = tuple(ScenarioResult(name=kind, type=kind, result=result) for kind in kinds)
    made = log(causes, ticks(20), scenarios=scenarios, **fields)
    return replace(made, first_junction_m=junction_m)


def told(made):
    return {name: value for name, value in SCORER.score(made).terms.items() if value is not None}


def test_every_type_that_is_played_here_asks_for_an_ability():
    assert set(SCENARIO_TYPES) <= set().union(*ABILITIES.values())


def test_a_route_counts_for_what_its_scenario_asks_alone():
    assert told(on("Accident")) == {"overtaking": 100.0}
    assert told(on("Accident", causes=["collision_vehicle"])) == {"overtaking": 0.0}
    assert told(on("YieldToEmergencyVehicle", completion=40.0)) == {"give_way": 0.0}
    assert told(on("PedestrianCrossing")) == {"emergency_brake": 100.0, "traffic_signs": 100.0}


def test_a_route_with_two_scenarios_counts_for_both():
    both = told(on("ParkedObstacle", "HighwayCutIn", causes=["red_light"]))
    assert both == {"overtaking": 0.0, "merging": 0.0}


def test_minimum_speed_is_no_failure_and_a_metre_outside_is_one():
    assert told(on("ControlLoss", causes=["min_speed"])) == {"emergency_brake": 100.0}
    assert told(on("ControlLoss", outside_m=1.0)) == {"emergency_brake": 0.0}


@pytest.mark.parametrize(
    ("facts", "heeds"),
    [
        ({"causes": ["collision_walker"]}, 100.0),
        ({"causes": ["collision_walker", "red_light"]}, 0.0),
        ({"causes": ["collision_walker", "stop_sign"]}, 0.0),
        ({"completion": 50.0, "junction_m": 491.4}, 100.0),
        ({"completion": 50.0, "junction_m": 491.6}, 0.0),
        ({"completion": 99.9, "junction_m": float("inf")}, 0.0),
    ],
)
def test_who_fails_otherwise_has_heeded_signs_beyond_the_first_junction(facts, heeds):
    found = told(on("VehicleTurningRoute", **facts))
    assert found == {"emergency_brake": 0.0, "traffic_signs": heeds}


def test_logs_that_do_not_know_the_junction_say_nothing_of_signs_be_it_success():
    assert told(on("BlockedIntersection", junction_m=None)) == {"emergency_brake": 100.0}


def test_a_route_without_a_scenario_that_could_be_played_has_no_ability():
    for made in (on(), on("Accident", result="absent"), on("mine:Breakdown")):
        with pytest.raises(NotMeasuredError, match="--scenarios all"):
            SCORER.score(made)


def test_the_mean_is_over_abilities_and_not_over_drives():
    kinds = ("Accident", "HighwayExit", "HardBreakRoute", "InvadingTurn", "T_Junction")
    drives = [on(kind, route=kind) for kind in kinds]
    drives += [on("Accident", route=f"more-{i}", causes=["stop_sign"]) for i in range(3)]
    assert means(drives)["mean"] == pytest.approx((25.0 + 4 * 100.0) / 5)
    assert means(drives)["value"] == pytest.approx(5 / 8 * 100.0)
    # One that no route asked for leaves the mean open.
    assert means(drives[1:5])["mean"] is None


def means(logs):
    scored = [
        ScoredDrive(result=made.result, scores={SCORER.name: SCORER.score(made)}) for made in logs
    ]
    summary = summarise_scores({"p": scored}, [SCORER], 100)
    terms = summary["scorers"][SCORER.name]["policies"]["p"]["terms"]
    return {name: interval["value"] for name, interval in terms.items()}


@pytest.mark.parametrize("batch", range(len(FIGURES["batches"])))
def test_abilities_are_those_of_the_public_tool(batch):
    cases = FIGURES["batches"][batch]["cases"]
    drives = []
    for i, (kind, length_m, junction_m, completion, outside_m, causes) in enumerate(cases):
        made = on(
            kind, causes=causes, junction_m=junction_m, completion=completion, route=f"r{i}",
            length_m=length_m, outside_m=outside_m,
        )  # fmt: skip
        if kind in set().union(*ABILITIES.values()):
            drives.append(made)
    found = means(drives)
    for name, share in FIGURES["batches"][batch]["upstream"].items():
        assert found[name.lower()] == pytest.approx(100.0 * share, abs=1e-9), name
