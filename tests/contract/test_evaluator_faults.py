"""What an evaluation survives that is no policy's fault: servers, processes, disks and clocks."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from dreamdrive.envs.carla.session import Session
from dreamdrive.errors import ConfigError
from dreamdrive.experiments import evaluate as subject
from dreamdrive.experiments.drive_jobs import Conditions
from dreamdrive.experiments.drives import drive_path, load_drive
from dreamdrive.experiments.evaluate import EvaluateConfig, evaluate, plan
from dreamdrive.experiments.folder_lock import only_one
from support.unreal import launcher, starts

SHORT = Conditions(
    route_length_m=(60.0, 90.0), num_vehicles=0, time_limit_s=6.0, time_limit_s_per_m=0.0,
    blocked_s=15.0,
)  # fmt: skip


def config(out, **fields):
    return EvaluateConfig(
        **{
            "policies": ("x=support.odd_policies:Gentle",), "towns": ("Dream07",),
            "routes_per_town": 1, "conditions": SHORT, "videos": 0, "workers": 1,
            "tick_deadline_s": 20.0, "out": out,
        }
        | fields
    )  # fmt: skip


def results(made):
    """Returns what stands, by policy, without what differs from run to run."""
    found = {}
    for job in plan(made):
        result = load_drive(drive_path(made.out, job.policy.name, job.key))
        found[job.policy.name] = result and replace(
            result,
            ms_per_decision=0.0,
            policy="",
            spec="",
            fingerprint="",
            sim_errors=(),
            lost_ticks=0,
            server="",
        )
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    made = config(tmp_path_factory.mktemp("whole"), workers=0)
    evaluate(made)
    return results(made)["x"]


def test_a_process_that_somebody_ends_is_replaced_and_the_policy_not_charged(
    whole, tmp_path, monkeypatch
):
    monkeypatch.setenv("KILLS", str(tmp_path))
    made = config(tmp_path / "out", policies=("x=support.odd_policies:Unlucky",), retries=1)
    evaluate(made)
    assert (tmp_path / "unlucky").exists()
    assert results(made)["x"] == whole


def test_a_drive_says_that_its_traffic_lost_a_tick(whole, tmp_path, monkeypatch, capsys):
    told = iter([4, 6])  # as the drive begins, and as it ends
    monkeypatch.setattr(Session, "num_lost_ticks", property(lambda _: next(told)))
    made = config(tmp_path / "out", workers=0)
    evaluate(made)
    drive = load_drive(drive_path(made.out, "x", plan(made)[0].key))
    assert (drive.lost_ticks, drive.sim_errors) == (2, ())
    assert "lost 2 of its ticks" in (made.out / "report.html").read_text()
    assert "Traffic Manager lost ticks in drives of x 1" in " ".join(
        capsys.readouterr().out.split()
    )


@pytest.mark.slow
def test_a_server_that_dies_while_a_result_is_written_costs_nothing(whole, tmp_path, monkeypatch):
    pools, killed = [], []

    def note(made, settings, make=subject._pool):
        pools.append(make(made, settings))
        return pools[-1]

    def save(out, result, write=subject.save_drive):
        killed.append(pools[0]._crew[0].server_pid)
        os.killpg(killed[-1], signal.SIGKILL)
        write(out, result)

    monkeypatch.setattr(subject, "_pool", note)
    monkeypatch.setattr(subject, "save_drive", save)
    policies = ("x=support.odd_policies:Gentle", "y=support.odd_policies:Gentle")
    made = config(tmp_path, policies=policies, retries=1)
    evaluate(made)
    assert results(made) == {"x": whole, "y": whole}
    assert len(set(killed)) == 2


@pytest.mark.slow
def test_servers_that_die_freeze_leak_and_babble_cost_attempts_and_nothing_else(whole, tmp_path):
    healthy = config(tmp_path / "healthy", server=str(launcher(tmp_path / "a")))
    evaluate(healthy)
    assert results(healthy)["x"] == whole
    faults = ("dies:60", "freezes:60", "leaks:60", "garbles:60", "slow")
    made = config(
        tmp_path / "out", server=str(launcher(tmp_path / "b", *faults)), retries=4,
        server_memory_mib=800.0, tick_deadline_s=2.0,
    )  # fmt: skip
    evaluate(made)
    assert results(made)["x"] == whole
    job = plan(made)[0]
    errors = load_drive(drive_path(made.out, "x", job.key)).sim_errors
    assert len(errors) == 4
    for words, error in zip(("exit code", "alive", "may hold 800", ""), errors, strict=True):
        assert words in error
    assert starts(tmp_path / "b") == 5


def test_two_evaluations_never_share_a_folder(tmp_path):
    made = config(tmp_path / "out")
    holder = subprocess.Popen(
        [
            sys.executable, "-c",
            "import sys; from dreamdrive.experiments.folder_lock import only_one\n"
            "with only_one(sys.argv[1]): print('held', flush=True); sys.stdin.read()",
            str(made.out),
        ],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(ConfigError, match=f"Process {holder.pid} works in this folder"):
        evaluate(made)
    assert not (made.out / "run.json").exists()
    holder.kill()
    holder.communicate()
    with only_one(made.out):
        pass


EVALUATES = """
import sys
from pathlib import Path
from dreamdrive.experiments.evaluate import evaluate
from test_evaluator_faults import disk_config
evaluate(disk_config(Path(sys.argv[1])))
"""


def disk_config(out, **fields):
    policies = ("standing", "x=support.odd_policies:DiskFiller")
    return config(out, policies=policies, workers=0, **fields)


def test_a_full_disk_stops_it_and_loses_nothing(whole, tmp_path, monkeypatch):
    monkeypatch.setenv("KILLS", str(tmp_path))
    made = disk_config(tmp_path / "out")
    paths = os.pathsep.join([os.path.dirname(__file__), *sys.path])
    full = subprocess.run(
        [sys.executable, "-c", EVALUATES, str(made.out)],
        capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "PYTHONPATH": paths},
    )  # fmt: skip
    assert full.returncode == 1
    assert "StorageError: Could not write the event log: File too large" in full.stderr
    assert "then run the same command again" in full.stderr
    before = results(made)
    assert before["standing"].decisions == 60
    assert before["x"] is None
    evaluate(made)
    after = results(made)
    assert after == {"standing": before["standing"], "x": whole}
    assert not list(made.out.rglob("*.part"))


def test_clocks_that_jump_change_nothing(whole, tmp_path, monkeypatch):
    hours = iter(range(10**9))
    real = time.time

    def jumping():
        return real() + (-1) ** next(hours) * 3600.0 * 24.0 * 400.0

    monkeypatch.setattr(time, "time", jumping)
    made = config(tmp_path, workers=0)
    evaluate(made)
    assert results(made)["x"] == whole
