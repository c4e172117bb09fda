"""Anybody's leaderboard agent drives in our evaluator, through its sensors and at each tick."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dreamdrive.errors import ConfigError
from dreamdrive.experiments.drive_jobs import Conditions
from dreamdrive.experiments.drives import drive_path, load_drive
from dreamdrive.experiments.evaluate import EvaluateConfig, evaluate, plan
from dreamdrive.experiments.leaderboard import AGENT

AGENTS = Path(__file__).parents[1] / "support/leaderboard_agents"
SHORT = Conditions(route_length_m=(60.0, 90.0), num_vehicles=2, time_limit_s=40.0)


def drives_of(config):
    evaluate(config)
    return {
        job.policy.name: load_drive(drive_path(config.out, job.policy.name, job.key))
        for job in plan(config)
    }


@pytest.fixture(scope="module")
def followed(tmp_path_factory, compiled_sensors):
    folder = tmp_path_factory.mktemp("follower")
    told, notes = folder / "config.json", folder / "notes.json"
    told.write_text(json.dumps({"notes": str(notes)}))
    config = EvaluateConfig(
        policies=(f"follower=leaderboard:{AGENTS}/follower.py:{told}",), towns=("Dream07",),
        routes_per_town=1, conditions=SHORT, videos=0, workers=0, out=folder / "out",
    )  # fmt: skip
    return drives_of(config)["follower"], json.loads(notes.read_text())


def test_it_drives_its_route_by_its_sensors_alone(followed):
    drive, _ = followed
    assert (drive.cause, drive.policy_fault) == ("route_finished", "")
    assert {event.cause for event in drive.events} <= {"red_light"}  # it does not look at lights
    assert 3.0 < drive.mean_speed_mps < 5.6


def test_it_is_asked_at_every_tick_with_data_of_that_tick(followed):
    drive, notes = followed
    steps = notes["steps"]
    assert len(steps) == 2 * drive.decisions
    assert [step["time_s"] for step in steps] == pytest.approx(0.05 * np.arange(len(steps)))
    frames = [frame for step in steps for frame in step["frames"]]
    assert frames == list(range(frames[0], frames[0] + len(steps)))


def test_data_have_the_leaderboards_shapes_and_axes(followed):
    steps = followed[1]["steps"]
    shapes = steps[-1]["shapes"]
    assert shapes["eye"] == [48, 64, 4]
    assert (shapes["gnss"], shapes["imu"]) == ([3], [7])
    assert shapes["lidar"][0] > 5000
    assert (shapes["lidar"][1], shapes["radar"][1]) == (4, 4)
    assert min(step["brightest"] for step in steps) > 100
    assert max(step["speed"] for step in steps) > 4.5


def test_the_plans_fixes_are_where_the_gnss_says_it_starts(followed):
    _, notes = followed
    fixes = np.array([step["gnss"] for step in notes["steps"][:8]])
    told = [notes["first"]["lat"], notes["first"]["lon"]]
    assert fixes[:, :2].mean(0) == pytest.approx(
        told, abs=6e-6
    )  # three deviations of the mean, 0.6 m


@pytest.fixture(scope="module")
def through_both_doors(tmp_path_factory, compiled_sensors):
    """The expert, and the expert as a leaderboard agent that is driven as one."""
    config = EvaluateConfig(
        policies=("expert", f"door=leaderboard:{AGENT}:expert"), towns=("Dream07",),
        routes_per_town=1, conditions=SHORT, videos=0, workers=0,
        out=tmp_path_factory.mktemp("doors"),
    )  # fmt: skip
    return drives_of(config)


def test_our_policies_drive_as_leaderboard_agents_as_they_drive_here(through_both_doors):
    expert, door = through_both_doors["expert"], through_both_doors["door"]
    assert (door.cause, door.events, door.policy_fault) == ("route_finished", (), "")
    assert (expert.cause, expert.events) == ("route_finished", ())
    # It sees the same, and begins a tick later, since its sensors had to begin to send.
    assert door.time_s == pytest.approx(expert.time_s, rel=0.03)
    assert door.mean_speed_mps == pytest.approx(expert.mean_speed_mps, rel=0.03)


def test_wrong_agents_are_named_with_what_to_do(tmp_path):
    def refused(text, spec):
        config = EvaluateConfig(
            policies=(spec,), towns=("Dream07",), routes_per_town=1, conditions=SHORT, videos=0,
            workers=0, out=tmp_path / text.replace(" ", "-"),
        )  # fmt: skip
        with pytest.raises(ConfigError, match=text) as caught:
            evaluate(config)
        assert caught.value.do

    refused("no such file of an agent", "leaderboard:nowhere/agent.py")
    (tmp_path / "mute.py").write_text("")
    refused("no function get_entry_point", f"leaderboard:{tmp_path}/mute.py")
    (tmp_path / "wrong.py").write_text("def get_entry_point():\n    return 'Nobody'\n")
    refused("names 'Nobody', which is no class", f"leaderboard:{tmp_path}/wrong.py")
    (tmp_path / "broken.py").write_text("import nowhere_to_be_found\n")
    refused("cannot be imported: ModuleNotFoundError", f"leaderboard:{tmp_path}/broken.py")
    refused("gives agents no 'sensor.camera.depth'", f"leaderboard:{AGENTS}/odd.py:sensor")


def test_a_single_sensor_is_read_at_its_first_tick_too(tmp_path, compiled_sensors):
    config = EvaluateConfig(
        policies=(f"one=leaderboard:{AGENTS}/odd.py:one",), towns=("Dream07",),
        routes_per_town=1, videos=0, workers=0, out=tmp_path, retries=0, tick_deadline_s=5.0,
        conditions=Conditions(
            route_length_m=(60.0, 90.0), num_vehicles=0, time_limit_s=2.0, time_limit_s_per_m=0.0
        ),
    )  # fmt: skip
    drive = drives_of(config)["one"]
    assert (drive.cause, drive.decisions, drive.policy_fault) == ("time_limit", 20, "")


def test_what_an_agent_does_wrong_on_the_way_is_its_own_fault(tmp_path):
    faults = {
        "setup": ("the agent's own weights are gone", 0),
        "raises": ("time-out of the agent's own", 5),
        "nan": ("not finite", 5),
        "none": ("run_step returned a NoneType", 5),
    }
    config = EvaluateConfig(
        policies=tuple(f"{name}=leaderboard:{AGENTS}/odd.py:{name}" for name in faults),
        towns=("Dream07",), routes_per_town=1, conditions=SHORT, videos=0, workers=0,
        out=tmp_path,
    )  # fmt: skip
    found = drives_of(config)
    for name, (told, decisions) in faults.items():
        drive = found[name]
        assert (drive.cause, drive.decisions, drive.sim_errors) == ("policy_error", decisions, ())
        assert told in drive.policy_fault


def test_the_leaderboards_own_base_is_used_where_it_is_on_the_path(tmp_path):
    package = tmp_path / "leaderboard/autoagents"
    package.mkdir(parents=True)
    for folder in (package, package.parent):
        (folder / "__init__.py").touch()
    (package / "autonomous_agent.py").write_text("class AutonomousAgent: pass\n")
    (tmp_path / "agent.py").write_text(
        "from leaderboard.autoagents.autonomous_agent import AutonomousAgent\n"
        "def get_entry_point(): return 'Mine'\n"
        "class Mine(AutonomousAgent):\n"
        "    def setup(self, path): pass\n"
        "    def sensors(self): return []\n"
        "    def run_step(self, input_data, timestamp): pass\n"
    )
    program = (
        "from pathlib import Path\n"
        "from dreamdrive.envs.carla.doors.foreign_agent import load_agent_class\n"
        f"found = load_agent_class(Path({str(tmp_path / 'agent.py')!r}))\n"
        "print(found.__mro__[1].__module__, hasattr(found, 'set_global_plan'))\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, sys.path)])},
    )  # fmt: skip
    assert told.stdout.split() == ["leaderboard.autoagents.autonomous_agent", "False"]
