"""How drives are shared out over Ray's workers, with a stand-in whose workers do as a test says."""

import math
import sys
import types
from dataclasses import replace

import pytest

from dreamdrive.errors import ConfigError, MissingExtraError, ServerError, WorkerError
from dreamdrive.experiments import ray_pool
from dreamdrive.experiments.drive_jobs import DriveJob, DriverSettings, blank_result
from dreamdrive.experiments.log_writer import unfinished
from dreamdrive.experiments.policies import NamedPolicy
from dreamdrive.experiments.ray_driver import Delivery
from dreamdrive.experiments.ray_pool import RayConfig, RayPool
from support.drives import CONDITIONS

SETTINGS = DriverSettings(conditions=CONDITIONS, num_routes=1, retries=1)
HERE = {"the code of dreamdrive": "1", "the version of numpy": "2"}


class LostError(Exception):
    """What Ray raises of a worker that is gone."""


class Cluster(types.ModuleType):
    """Ray, as far as it is used. Each call's end is taken from `script`, in turn.

    `script(what, job)` returns what a worker says, or raises LostError. A call is over as soon as
    it is waited for.
    """

    def __init__(self, script):
        super().__init__("ray")
        self.exceptions = types.SimpleNamespace(RayError=LostError)
        self.script, self.started, self.killed, self.is_up = script, [], [], False

    def is_initialized(self):
        return False

    def init(self, **how):
        self.is_up, self.how = True, how

    def shutdown(self):
        self.is_up = False

    def remote(self, **options):
        self.options = options
        return lambda kind: types.SimpleNamespace(remote=self._start)

    def _start(self, settings, folder, paths):
        actor = types.SimpleNamespace()
        for what in ("greet", "drive"):
            call = lambda given, what=what: (what, given, object())  # noqa: E731
            setattr(actor, what, types.SimpleNamespace(remote=call))
        self.started.append(actor)
        return actor

    def wait(self, refs, num_returns, timeout):
        assert all(ref is not None for ref in refs)
        return refs[:1], refs[1:]

    def get(self, ref):
        return self.script(ref[0], ref[1])

    def kill(self, actor):
        assert all(actor is not other for other in self.killed)
        self.killed.append(actor)


@pytest.fixture
def pool(monkeypatch):
    """Returns a function that makes a pool over a stand-in with a script."""
    monkeypatch.setattr(ray_pool, "ingredients", lambda settings, policies: HERE)

    def make(script, workers=2):
        cluster = Cluster(script)
        monkeypatch.setitem(sys.modules, "ray", cluster)
        said = []
        made = RayPool(SETTINGS, workers, RayConfig(address="auto"), (), said.append)
        return made, cluster

    return make


def jobs(tmp_path, count=3):
    return [
        DriveJob(
            policy=NamedPolicy("p", "standing"), fingerprint="f", town="T", index=i, seed=0,
            route=f"r{i}", log=tmp_path / f"r{i}.jsonl", video=tmp_path / f"r{i}.mp4",
        )
        for i in range(count)
    ]  # fmt: skip


def delivery(job, **changes):
    result = replace(blank_result(job, SETTINGS, []), cause="time_limit", **changes)
    return Delivery(result=result, log=job.route.encode(), film=b"film of " + job.route.encode())


def test_results_come_once_each_with_log_and_film(pool, tmp_path):
    made, cluster = pool(lambda what, given: HERE if what == "greet" else delivery(given))
    found = list(made.drive(jobs(tmp_path)))
    assert sorted(result.route for result in found) == ["r0", "r1", "r2"]
    assert all(result.sim_errors == () for result in found)
    assert unfinished(tmp_path / "r1.jsonl").read_bytes() == b"r1"
    assert (tmp_path / "r2.mp4").read_bytes() == b"film of r2"
    assert len(cluster.started) == len(cluster.killed) == 2
    assert not cluster.is_up
    assert (cluster.how["address"], cluster.options["num_cpus"]) == ("auto", 1.0)


def test_a_cluster_that_has_no_room_is_told_with_what_it_has():
    said = []
    made = RayPool(SETTINGS, 2, RayConfig(address="auto", gpus=0.5), (), said.append)
    cluster = types.SimpleNamespace(
        cluster_resources=lambda: {"CPU": 8.0}, available_resources=lambda: {"CPU": 3.0}
    )
    made._explain(cluster, -math.inf)
    assert said == [
        "No worker of Ray's drives yet. Each takes 1 CPU of 8 in the cluster, 3 free, 0.5 GPU of 0 "
        "in the cluster, 0 free. What was taken is starting."
    ]


def test_a_lost_worker_costs_an_attempt_and_in_the_end_the_drive(pool, tmp_path):
    attempts = []

    def script(what, given):
        if what == "greet":
            return HERE
        attempts.append(given.route)
        if given.route == "r0" or (given.route == "r1" and attempts.count("r1") == 1):
            raise LostError("its machine is gone")
        return delivery(given, sim_errors=("a server froze",))

    made, cluster = pool(script)
    found = {result.route: result for result in made.drive(jobs(tmp_path))}
    assert sorted(attempts) == ["r0", "r0", "r1", "r1", "r2"]
    assert {route: result.cause for route, result in found.items()} == {
        "r0": "sim_error", "r1": "time_limit", "r2": "time_limit",
    }  # fmt: skip
    lost = "its Ray worker was lost: its machine is gone"
    assert found["r0"].sim_errors == (lost, lost)
    assert found["r1"].sim_errors == (lost, "a server froze")
    assert found["r2"].sim_errors == ("a server froze",)
    assert not unfinished(tmp_path / "r0.jsonl").exists()
    assert len(cluster.started) == len(cluster.killed) == 5


def test_a_machine_with_other_files_is_refused_before_it_drives(pool, tmp_path):
    def script(what, given):
        assert what == "greet"
        return HERE | {"the code of dreamdrive": "another"}

    made, cluster = pool(script)
    with pytest.raises(ConfigError, match=r"not the same as this one: the code of dreamdrive\."):
        list(made.drive(jobs(tmp_path)))
    assert len(cluster.killed) == 2
    assert not cluster.is_up


def test_workers_that_end_before_they_drive_are_not_started_for_ever(pool, tmp_path):
    def script(what, given):
        raise LostError("No module named 'dreamdrive'")

    made, cluster = pool(script)
    with pytest.raises(WorkerError, match=r"end before they can drive.*No module named 'dreamdri"):
        list(made.drive(jobs(tmp_path)))
    assert len(cluster.started) == len(cluster.killed) == 6


def test_what_a_drive_raises_ends_it(pool, tmp_path):
    def script(what, given):
        if what == "greet":
            return HERE
        return delivery(given) if given.route == "r0" else ServerError("There is no such town")

    made, _ = pool(script, workers=1)
    drives = made.drive(jobs(tmp_path))
    assert next(drives).route == "r0"
    with pytest.raises(ServerError, match="no such town"):
        next(drives)


def test_without_ray_it_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    made = RayPool(SETTINGS, 1, RayConfig(address="auto"), ())
    with pytest.raises(MissingExtraError, match=r"pip install 'dreamdrive\[ray\]'"):
        list(made.drive(jobs(tmp_path)))
    assert list(made.drive([])) == []


def test_impossible_shares_are_refused():
    with pytest.raises(ConfigError, match="more than 0 CPUs"):
        RayConfig(address="auto", cpus=0.0)
