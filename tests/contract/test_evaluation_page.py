"""The examples of docs/evaluation.md, run as a reader would run them."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dreamdrive.envs.carla.scenarios.registry import check_types
from dreamdrive.errors import ConfigError
from dreamdrive.experiments.drives import drive_path, save_drive
from dreamdrive.experiments.event_log import TICK_COLUMNS
from dreamdrive.experiments.scorers.registry import MODULES
from support.logs import lines_of, log, ticks

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "evaluation.md").read_text()


def example(heading):
    """Returns the code below a heading, which is thirty lines at most."""
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    (code,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    assert len(code.splitlines()) <= 30
    return code


def test_the_scorer_of_the_page_scores(tmp_path):
    (tmp_path / "lawful_speed.py").write_text(example("A scorer of your own"))
    speed = [9.0] * 60 + [11.0] * 40
    made = log([], ticks(100, speed_mps=speed), policy="p", completion=50.0)
    out = tmp_path / "out"
    save_drive(out, made.result)
    path = drive_path(out, "p", made.result.key)
    path.with_suffix(".jsonl").write_text("\n".join(lines_of(made)) + "\n")
    words = ["rescore", str(out), "--scorers", "lawful_speed:SCORER"]
    done = subprocess.run(
        [sys.executable, "-c", "from dreamdrive.experiments.cli import main; main()", *words],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert "lawful-speed-1" in done.stdout
    terms = json.loads((out / "scores.json").read_text())["drives"][0]["scores"]["lawful-speed-1"]
    assert terms == {"value": 30.0, "completion_pct": 50.0, "lawful": 0.6, "worst_mps": 1.0}


def test_the_scenario_of_the_page_is_solved_by_looking_and_failed_without(tmp_path):
    (tmp_path / "breakdown.py").write_text(example("A scenario of your own"))
    (line,) = re.findall(r"PYTHONPATH=\. dreamdrive (evaluate --scenarios .*)", PAGE)
    few = "--towns Dream02 --routes-per-town 1 --workers 0 --videos 0 --bootstrap-samples 100"
    conditions = "--conditions.num-vehicles 0 --conditions.route-length-m 80 200"
    words = [*line.split(), *few.split(), *conditions.split(), "--out", "out"]
    subprocess.run(
        [sys.executable, "-c", "from dreamdrive.experiments.cli import main; main()", *words],
        cwd=tmp_path, capture_output=True, text=True, timeout=240, check=True,
    )  # fmt: skip
    told = {}
    for path in (tmp_path / "out" / "drives").glob("*/*.json"):
        (scenario,) = json.loads(path.read_text())["scenarios"]
        told[path.parent.name] = (scenario["type"], scenario["result"], scenario["cause"])
    kind = "breakdown:Breakdown"
    assert told == {
        "expert": (kind, "solved", ""), "driver-blind": (kind, "failed", "collision_vehicle"),
    }  # fmt: skip


def test_a_scenario_that_is_none_is_refused_by_its_name():
    for kind, words in (("nowhere:X", "no scenario 'nowhere:X'"), ("json:loads", "is no Scenario")):
        with pytest.raises(ConfigError, match=words):
            check_types([kind])


def test_the_page_names_every_scorer():
    assert all(f"`{name}`" in PAGE for name in MODULES)
    assert "speed_limit_mps" in TICK_COLUMNS
