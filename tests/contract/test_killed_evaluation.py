"""An evaluation that is killed again and again ends as one that was left alone."""

import contextlib
import json
import os
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from dreamdrive.experiments.drive_jobs import Conditions
from dreamdrive.experiments.drives import drive_path, load_drive
from dreamdrive.experiments.evaluate import EvaluateConfig, evaluate, plan
from dreamdrive.experiments.event_log import read_log

SHORT = Conditions(
    route_length_m=(60.0, 90.0), num_vehicles=2, time_limit_s=15.0, time_limit_s_per_m=0.0,
    blocked_s=10.0,
)  # fmt: skip
NEW_DRIVES = (0, 0, 1, 1, 2)
"""How many drives of its own a start may finish before it is killed, each as likely."""

DELAY_S = 2.0
"""Within this time after the last of them the kill comes, or after the start begins."""

EVALUATES = """
import sys
from pathlib import Path
from test_killed_evaluation import config
from dreamdrive.experiments.evaluate import evaluate
if __name__ == "__main__":
    made = config(Path(sys.argv[1]), int(sys.argv[2]))
    print("begins", file=sys.stderr, flush=True)
    evaluate(made)
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
        found[path.stem, job.policy.name] = (
            replace(result, ms_per_decision=0.0, lost_ticks=0),
            ticks,
        )
    return found


def count(made):
    """Returns how many results stand."""
    return len(list((made.out / "drives").rglob("*.json")))


def scores(made):
    summary = json.loads((made.out / "summary.json").read_text())["policies"]
    return {name: facts["measures"]["driving_score"] for name, facts in summary.items()}


# Fifty kills in all, cut into evaluations that a machine under load finishes in minutes.
BATCHES = [(0, 3, 3), *(pytest.param(n, 10, 5, marks=pytest.mark.slow) for n in range(1, 6))]


@pytest.mark.parametrize(("batch", "kills", "routes"), BATCHES)
@pytest.mark.timeout(900)
def test_random_kills_change_nothing(tmp_path, batch, kills, routes):
    whole, broken = config(tmp_path / "whole", routes), config(tmp_path / "broken", routes)
    evaluate(whole)
    draw = random.Random(batch)
    paths = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    program = tmp_path / "evaluates.py"
    program.write_text(EVALUATES)
    num_killed, standing = 0, [0]
    while num_killed < kills:
        assert len(standing) <= 3 * kills, "too many starts ended before they were killed"
        process = subprocess.Popen(
            [sys.executable, str(program), str(broken.out), str(routes)],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": paths},
        )  # fmt: skip
        assert "begins\n" in iter(process.stderr.readline, "")
        enough = standing[-1] + draw.choice(NEW_DRIVES)
        while process.poll() is None and count(broken) < enough:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.05)
        try:
            process.wait(draw.uniform(0.0, DELAY_S))
        except subprocess.TimeoutExpired:
            process.kill()
            num_killed += 1
        process.communicate()
        standing.append(count(broken))
    sys.stdout.write(f"killed {kills} of {len(standing) - 1} starts; drives after: {standing}\n")
    assert max(standing) > 0, "some kills must come after something was finished"
    assert standing == sorted(standing), "what is finished is never lost"
    evaluate(broken)
    assert results(broken) == results(whole)
    assert scores(broken) == scores(whole)
    assert not list(broken.out.rglob("*.part"))
