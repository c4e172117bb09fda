"""The command that drives a policy under the public leaderboard, with a stand-in for it."""

import json
import sys

import pytest

from dreamdrive.errors import ConfigError, WorkerError
from dreamdrive.experiments.leaderboard import AGENT, LeaderboardConfig, leaderboard

STAND_IN = """
import json, os, sys
options = dict(zip(sys.argv[1::2], sys.argv[2::2]))
print("asked", json.dumps(options))
if options["--agent-config"] == "broken":
    raise SystemExit("no module named py_trees")
record = {
    "route_id": "RouteScenario_0_rep0", "status": "Completed",
    "scores": {"score_route": 100.0, "score_penalty": 0.6, "score_composed": 60.0},
    "infractions": {"collisions_vehicle": ["hit a car"], "red_light": []},
}
told = {
    "_checkpoint": {"records": [record], "global_record": {"scores_mean": {"score_composed": 60}}},
    "entry_status": "Finished",
    "path": os.environ["PYTHONPATH"].split(":"), "runner": os.environ["SCENARIO_RUNNER_ROOT"],
    "options": options,
}
json.dump(told, open(options["--checkpoint"], "w"))
"""


@pytest.fixture
def config(tmp_path):
    for folder in ("lb/leaderboard", "sr/srunner/scenariomanager", "api/agents/navigation"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "lb/leaderboard/leaderboard_evaluator.py").write_text(STAND_IN)
    (tmp_path / "routes.xml").write_text("<routes/>")

    def make(**fields):
        told = {
            "leaderboard": tmp_path / "lb", "scenario_runner": tmp_path / "sr",
            "carla": tmp_path / "api", "routes": tmp_path / "routes.xml", "port": 2000,
            "out": tmp_path / "out",
        }  # fmt: skip
        return LeaderboardConfig(**(told | fields))

    return make


def test_the_evaluator_is_asked_as_its_documentation_has_it(config, tmp_path):
    made = config(policy="expert", subset="0-3")
    told = leaderboard(made)
    options = told["options"]
    assert options["--agent"] == str(AGENT)
    assert (options["--agent-config"], options["--routes-subset"]) == ("expert", "0-3")
    assert (options["--port"], options["--traffic-manager-port"]) == ("2000", "8000")
    assert options["--track"] == "MAP"
    assert told["path"][:3] == [str(tmp_path / name) for name in ("lb", "sr", "api")]
    assert told["runner"] == str(tmp_path / "sr")
    summary = json.loads((made.out / "summary.json").read_text())
    assert summary["routes"]["RouteScenario_0_rep0"] == {
        "status": "Completed", "score_route": 100.0, "score_penalty": 0.6, "score_composed": 60.0,
        "infractions": {"collisions_vehicle": 1},
    }  # fmt: skip


def test_an_evaluator_that_ends_without_results_is_told_with_its_last_words(config):
    with pytest.raises(WorkerError, match="no module named py_trees") as caught:
        leaderboard(config(policy="broken"))
    assert "pip install py-trees" in caught.value.do


def test_results_of_an_earlier_run_are_not_taken_for_its_own(config):
    leaderboard(config(policy="expert"))
    with pytest.raises(WorkerError):
        leaderboard(config(policy="broken"))


@pytest.mark.parametrize(
    ("field", "told"),
    [("leaderboard", "no leaderboard/leaderboard_evaluator.py"), ("carla", "no agents/navigation")],
)
def test_folders_that_are_something_else_are_refused(config, tmp_path, field, told):
    with pytest.raises(ConfigError, match=told):
        leaderboard(config(**{field: tmp_path}))


def test_the_agents_folder_shadows_nothing():
    names = {path.stem for path in AGENT.parent.glob("*.py")} - {"__init__"}
    assert names == {"dreamdrive_agent"}
    assert sys.modules.get("dreamdrive_agent") is None
