"""CARLA's own agents as policies: through a stand-in, and the real ones where a CARLA is there."""

import os
import sys
from pathlib import Path

import pytest

from dreamdrive.envs.carla.doors.carla_agents import find_agents
from dreamdrive.errors import ConfigError
from dreamdrive.experiments.drive_jobs import Conditions
from dreamdrive.experiments.drives import drive_path, load_drive
from dreamdrive.experiments.evaluate import EvaluateConfig, evaluate, plan
from dreamdrive.experiments.policies import make_policy, parse_policy

STAND_IN = Path(__file__).parents[1] / "support/carla_api"
SHORT = Conditions(route_length_m=(60.0, 90.0), num_vehicles=0, time_limit_s=40.0)


@pytest.fixture(autouse=True)
def no_carla(monkeypatch):
    """Forgets CARLA's agents before and after, and where one might be."""
    real = os.environ.get("CARLA_ROOT")
    monkeypatch.delenv("CARLA_ROOT", raising=False)
    monkeypatch.setattr(sys, "path", [*sys.path])
    kept = {name: m for name, m in sys.modules.items() if name.split(".")[0] == "agents"}
    for name in kept:
        del sys.modules[name]
    yield real
    for name in [n for n in sys.modules if n.split(".")[0] == "agents"]:
        del sys.modules[name]
    sys.modules.update(kept)


def drives_of(policies, out):
    config = EvaluateConfig(
        policies=policies, towns=("Dream06",), routes_per_town=1, conditions=SHORT, videos=0,
        workers=0, out=out,
    )  # fmt: skip
    evaluate(config)
    paths = (drive_path(out, job.policy.name, job.key) for job in plan(config))
    return {drive.policy: drive for drive in map(load_drive, paths)}


def test_they_drive_routes_each_in_its_way(tmp_path, monkeypatch):
    monkeypatch.setenv("CARLA_ROOT", str(STAND_IN))
    found = drives_of(("basic-agent", "behavior-agent:cautious"), tmp_path)
    for drive in found.values():
        assert (drive.cause, drive.policy_fault) == ("route_finished", "")
        assert {event.cause for event in drive.events} <= {"red_light", "stop_sign"}
    assert 4.0 < found["basic-agent"].mean_speed_mps < 7.5
    assert 1.5 < found["behavior-agent-cautious"].mean_speed_mps < 3.2


@pytest.mark.parametrize(
    ("text", "name", "style"),
    [
        ("basic-agent:{}", "basic-agent", None),
        ("behavior-agent:{}", "behavior-agent", "normal"),
        ("behavior-agent:aggressive:{}", "behavior-agent-aggressive", "aggressive"),
    ],
)
def test_style_and_folder_stand_in_the_spec(text, name, style):
    spec = text.format(STAND_IN)
    assert parse_policy(spec).name == name
    assert make_policy(spec)._style == style


def test_where_carla_is_not_it_says_so_and_what_to_do(tmp_path):
    with pytest.raises(ConfigError, match="neither shipped here") as caught:
        make_policy("basic-agent")
    assert "CARLA_ROOT" in caught.value.do
    with pytest.raises(ConfigError, match="neither shipped here"):
        make_policy(f"behavior-agent:{tmp_path}")
    with pytest.raises(ConfigError, match="cannot be 'brisk'"):
        make_policy(f"behavior-agent:brisk:{STAND_IN}")


def test_what_they_import_and_is_not_there_is_named(tmp_path):
    folder = tmp_path / "agents/navigation"
    folder.mkdir(parents=True)
    for package in (folder, folder.parent):
        (package / "__init__.py").touch()
    (folder / "basic_agent.py").write_text("import nowhere_to_be_found\n")
    with pytest.raises(ConfigError, match="nowhere_to_be_found") as caught:
        make_policy(f"basic-agent:{tmp_path}")
    assert "networkx" in caught.value.do


def test_the_folder_of_a_whole_carla_will_do(tmp_path):
    (tmp_path / "PythonAPI").mkdir()
    (tmp_path / "PythonAPI/carla").symlink_to(STAND_IN)
    assert find_agents(tmp_path) == STAND_IN.resolve()


def test_carlas_own_agents_drive(tmp_path, monkeypatch, no_carla):
    pytest.importorskip("networkx")
    pytest.importorskip("shapely")
    if not no_carla or not (Path(no_carla) / "PythonAPI/carla/agents").is_dir():
        pytest.skip("CARLA_ROOT names no CARLA with its agents")
    monkeypatch.setenv("CARLA_ROOT", no_carla)
    found = drives_of(("basic-agent", "behavior-agent"), tmp_path)
    assert {drive.cause for drive in found.values()} == {"route_finished"}
