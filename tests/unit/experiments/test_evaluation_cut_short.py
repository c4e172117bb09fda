"""An evaluation that ends at any of its writes goes on as if nothing had been."""

import json
from pathlib import Path

import pytest

from dreamdrive.experiments.drive_pool import DrivePool
from dreamdrive.experiments.evaluate import EvaluateConfig, evaluate
from dreamdrive.experiments.log_writer import LogWriter
from dreamdrive.experiments.scored_drives import drives_in, load_log
from support.drives import CONDITIONS, drive

WRITES = ("replace", "unlink")


class KilledError(BaseException):
    """Nobody catches it, as nobody catches a kill."""


@pytest.fixture
def driven(monkeypatch):
    """Replaces driving by results that depend on the job alone; returns what was driven."""
    jobs_driven = []

    def drive_all(pool, jobs):
        for job in jobs:
            jobs_driven.append(job.key)
            start = {"route": job.route, "length_m": 1000.0, "tick_s": 0.1}
            size = {"ego_half_length_m": 2.5, "ego_half_width_m": 1.0}
            with LogWriter(job.log, start | size):
                pass
            yield drive(
                job.policy.name, job.route, job.seed, 50.0 + job.index, spec=job.policy.spec,
                town=job.town, fingerprint=job.fingerprint,
            )  # fmt: skip

    monkeypatch.setattr(DrivePool, "drive", drive_all)
    monkeypatch.setattr("dreamdrive.experiments.report.report", lambda made: made.run / "r.html")
    return jobs_driven


def config(out):
    return EvaluateConfig(
        policies=("standing",), towns=("Dream07",), routes_per_town=2, conditions=CONDITIONS,
        videos=0, workers=0, bootstrap_samples=100, out=out,
    )  # fmt: skip


def content(out):
    """Returns all that stands but for what tells of time and of the run itself."""
    told = ("metrics.jsonl", "run.json", ".lock")
    found = {}
    for path in out.rglob("*"):
        if path.is_file() and "tfevents" not in path.name and path.name not in told:
            found[str(path.relative_to(out))] = path.read_text()
    summary = json.loads(found["summary.json"])
    del summary["facts"]
    return found | {"summary.json": summary}


def count_writes(monkeypatch, last=-1, *, is_done=False):
    """Has the `last` of all renames and removals end the process, after it is done or before."""
    count = [0]
    for name in WRITES:
        real = getattr(Path, name)

        def write(self, *args, real=real, **kwargs):
            count[0] += 1
            if count[0] - 1 == last and not is_done:
                raise KilledError
            found = real(self, *args, **kwargs)
            if count[0] - 1 == last:
                raise KilledError
            return found

        monkeypatch.setattr(Path, name, write)
    return count


def test_it_may_end_at_every_write(tmp_path, driven, monkeypatch):
    with monkeypatch.context() as patch:
        count = count_writes(patch)
        evaluate(config(tmp_path / "whole"))
    whole = content(tmp_path / "whole")
    assert count[0] >= 10
    assert len(driven) == 2
    for number in range(count[0]):
        for is_done in (False, True):
            out = tmp_path / f"{number}-{is_done}"
            driven.clear()
            with monkeypatch.context() as patch:
                count_writes(patch, number, is_done=is_done)
                with pytest.raises(KilledError):
                    evaluate(config(out))
            evaluate(config(out))
            assert content(out) == whole
            assert 2 <= len(driven) <= 3
            for path in drives_in(out)["standing"]:
                load_log(path)
