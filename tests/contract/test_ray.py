"""An evaluation on a Ray cluster of several workers, some of which are killed in the middle.

Needs `pip install 'dreamdrive[ray]'`, which the extra `dev` leaves out for its size.
"""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from dreamdrive.experiments.drive_jobs import Conditions
from dreamdrive.experiments.drives import drive_path, load_drive
from dreamdrive.experiments.evaluate import EvaluateConfig, evaluate, plan

SHORT = Conditions(
    route_length_m=(60.0, 90.0), num_vehicles=2, time_limit_s=4.0, time_limit_s_per_m=0.0,
    blocked_s=15.0,
)  # fmt: skip
POLICIES = ("expert", "gentle=support.odd_policies:Orphaned", "random")


def config(out, **fields):
    return EvaluateConfig(
        **{
            "policies": POLICIES, "towns": ("Dream07",), "routes_per_town": 2, "conditions": SHORT,
            "videos": 1, "workers": 1, "out": out,
        }
        | fields
    )  # fmt: skip


def results(made):
    """Returns what stands, without what differs from run to run."""
    found = {}
    for job in plan(made):
        result = load_drive(drive_path(made.out, job.policy.name, job.key))
        found[job.policy.name, job.route] = replace(
            result, ms_per_decision=0.0, sim_errors=(), lost_ticks=0
        )
    return found


def files(made):
    """Returns the names of all files, and the logs' lines up to the last, and the films."""
    here = [path for path in made.out.rglob("*") if path.is_file() and "tfevents" not in path.name]
    logs = {path.name: path.read_text().splitlines()[:-1] for path in here if ".jsonl" in path.name}
    logs.pop("metrics.jsonl")
    films = {path.name: path.read_bytes() for path in here if path.suffix == ".mp4"}
    return sorted(str(path.relative_to(made.out)) for path in here), logs, films


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_cluster_leaves_what_one_machine_does_and_lost_workers_cost_attempts(
    tmp_path, monkeypatch
):
    pytest.importorskip("ray", reason="pip install 'dreamdrive[ray]' and run this again")
    (tmp_path / "orphaned").touch()
    monkeypatch.setenv("KILLS", str(tmp_path))
    alone = config(tmp_path / "alone")
    evaluate(alone)
    (tmp_path / "orphaned").unlink()

    cursed = "x=support.odd_policies:Cursed"
    made = config(
        tmp_path / "cluster", policies=(*POLICIES, cursed), ray="local", workers=3, retries=1
    )
    evaluate(made)
    found = results(made)
    of_cursed = [found.pop(key) for key in list(found) if key[0] == "x"]
    assert found == results(alone)
    assert (tmp_path / "orphaned").exists()
    lost = {
        path.parent.name: json.loads(path.read_text())["sim_errors"]
        for path in sorted((made.out / "drives").rglob("*-000-0.json"))
    }
    assert {name: len(errors) for name, errors in lost.items()} == {
        "expert": 0, "gentle": 1, "random": 0, "x": 2,
    }  # fmt: skip
    assert "Ray worker was lost" in lost["gentle"][0]
    assert {result.cause for result in of_cursed} == {"sim_error"}
    assert len(list(tmp_path.glob("cursed-*"))) == 4

    names, logs, films = files(made)
    others = [name for name in names if "/x/" not in name and "x.json" not in name]
    assert (others, films) == files(alone)[::2]
    assert logs == files(alone)[1]
    summary = json.loads((made.out / "summary.json").read_text())["policies"]
    assert {name: facts["num_drives"] for name, facts in summary.items()} == {
        "expert": 2, "gentle": 2, "random": 2, "x": 0,
    }  # fmt: skip
    assert not [path for path in Path("/proc").glob("[0-9]*") if _serves_for(path, os.getpid())]


def _serves_for(process, parent):
    """Whether a process is an embedded server or a driver that somebody left behind."""
    try:
        words = (process / "cmdline").read_bytes()
        fields = (process / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return False
    return b"dreamdrive.envs.embedded" in words and int(fields[1]) in (1, parent)
