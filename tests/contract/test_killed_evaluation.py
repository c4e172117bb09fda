"""An evaluation that is killed again and again ends as one that was left alone."""

import json
import os
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from dreamdrive.experiments.drives import drive_path, load_drive
from dreamdrive.experiments.driving import Conditions
from dreamdrive.experiments.evaluate import EvaluateConfig, evaluate, plan
from dreamdrive.experiments.event_log import read_log

SHORT = Conditions(
    route_length_m=(60.0, 90.0), num_vehicles=2, time_limit_s=15.0, time_limit_s_per_m=0.0,
    blocked_s=10.0,
)  # fmt: skip
LONGEST_S = 6.0
"""Later kills find everything driven."""

EVALUATES = """
import sys
from pathlib import Path
from test_killed_evaluation import config
from dreamdrive.experiments.evaluate import evaluate
if __name__ == "__main__":
    evaluate(config(Path(sys.argv[1]), int(sys.argv[2])))
"""


def config(out, routes):
    return EvaluateConfig(
        policies=("expert", "straight"), towns=("Dream07",), routes_per_town=routes,
        conditions=SHORT, videos=0, workers=1, out=out,
    )  # fmt: skip


def results(made):
    """Returns what stands, with how many ticks its log has, less what no two runs share."""
    found = {}
    for job in plan(made):
        path = drive_path(made.out, job.policy.name, job.key)
        result = load_drive(path)
        assert result is not None
        ticks = len(read_log(path.with_suffix(".jsonl")).ticks)
        found[path.stem, job.policy.name] = replace(result, ms_per_decision=0.0), ticks
    return found


def scores(made):
    summary = json.loads((made.out / "summary.json").read_text())["policies"]
    return {name: facts["measures"]["driving_score"] for name, facts in summary.items()}


@pytest.mark.parametrize(
    ("kills", "routes"), [(3, 1), pytest.param(50, 12, marks=pytest.mark.slow)]
)
@pytest.mark.timeout(1800)
def test_random_kills_change_nothing(tmp_path, kills, routes):
    whole, broken = config(tmp_path / "whole", routes), config(tmp_path / "broken", routes)
    evaluate(whole)
    draw = random.Random(kills)
    paths = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    program = tmp_path / "evaluates.py"
    program.write_text(EVALUATES)
    num_killed = 0
    for _ in range(kills):
        process = subprocess.Popen(
            [sys.executable, str(program), str(broken.out), str(routes)],
            stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": paths},
        )  # fmt: skip
        try:
            process.wait(draw.uniform(0.5, LONGEST_S))
        except subprocess.TimeoutExpired:
            process.kill()
            num_killed += 1
        process.wait()
    assert num_killed > 0
    evaluate(broken)
    assert results(broken) == results(whole)
    assert scores(broken) == scores(whole)
    assert not list(broken.out.rglob("*.part"))
