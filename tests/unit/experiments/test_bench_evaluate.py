from dataclasses import replace

import pytest

from dreamdrive.errors import ServerError
from dreamdrive.experiments import bench_evaluate as subject
from dreamdrive.experiments.bench import BenchConfig
from dreamdrive.experiments.drive_jobs import blank_result

CONFIG = BenchConfig(repeats=2, num_drives=4)


class Clock:
    """Time that passes only when somebody drives."""

    def __init__(self):
        self.now = self.used = 0.0

    def perf_counter(self):
        return self.now


@pytest.fixture
def drives(monkeypatch):
    """Has each drive last 30 s in the world, and real time of its own: returns what was asked for.

    One worker takes 2 s for a drive and 2.4 s of processor, two 1.25 s each and as much. Of 1.08 s
    of a drive 0.9 pass in the environment, and 0.1 in the policy's turns.
    """
    clock, asked = Clock(), {"pool": [], "closed": 0, "alone": [], "errors": ()}

    class Pool:
        def __init__(self, settings, workers, keep):
            self.settings, self.workers = settings, workers
            assert keep
            assert settings.conditions.num_vehicles == 20

        def drive(self, jobs):
            for job in jobs:
                clock.now += {1: 2.0, 2: 1.25}[self.workers]
                clock.used += 2.4
                asked["pool"].append((self.workers, job.route, job.seed, job.repetition))
                assert str(job.repetition) in job.log.stem or not job.repetition
                yield result(job, self.settings, asked["errors"])

        def close(self):
            asked["closed"] += 1

    class Env:
        def reset(self):
            clock.now += 0.3

        def step(self, action):
            clock.now += 0.2
            return action

    class Driver:
        def __init__(self, settings, turn):
            self.settings, self.turn, self.env = settings, turn, Env()

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def environment(self, town):
            return self.env

        def drive(self, job):
            asked["alone"].append((job.route, job.seed))
            self.env.reset()
            assert [self.env.step(action) for action in range(3)] == [0, 1, 2]
            self.turn.thought_s = 0.1
            clock.now += 0.1 + 0.08
            return result(job, self.settings, asked["errors"])

    monkeypatch.setattr(subject, "time", clock)
    monkeypatch.setattr(subject, "processor_s", lambda pid: clock.used)
    monkeypatch.setattr(subject, "DrivePool", Pool)
    monkeypatch.setattr(subject, "RouteDriver", Driver)
    return asked


def result(job, settings, errors):
    blank = blank_result(job, settings, list(errors))
    return replace(blank, cause="route_finished", decisions=300, time_s=30.0)


def test_speeds_their_ratio_and_the_overhead(drives):
    one, two, ratio, busy, of_two, overhead = subject.evaluate_rows(CONFIG, 2)
    assert one.samples == (15.0, 15.0)
    assert two.samples == (24.0, 24.0)
    assert ratio.samples == (1.6, 1.6)
    assert busy.samples == pytest.approx((1.2, 1.2))
    assert of_two.samples == pytest.approx((1.92, 1.92))
    assert "keeps to a core" in ratio.note
    assert (busy.holds, of_two.holds) == (None, None)
    assert overhead.samples == pytest.approx((8.0, 8.0))
    assert (one.holds, two.holds, ratio.holds, overhead.holds) == (True, None, False, True)
    assert subject.evaluate_rows(CONFIG, 1)[2].floor is None


def test_both_drive_the_same_after_a_warm_up(drives):
    subject.evaluate_rows(CONFIG, 2)
    of = {n: [made for w, *made in drives["pool"] if w == n] for n in (1, 2)}
    assert of[2][2:] == [[*made[:2], again] for made in of[1][1:] for again in (0, 1)]
    assert len(set(map(tuple, of[1][1:]))) == 8
    assert len(drives["alone"]) == 3
    assert drives["closed"] == 4


def test_a_lost_server_is_no_measurement(drives):
    drives["errors"] = ("it froze",)
    with pytest.raises(ServerError, match="lost in the measurement: it froze"):
        subject.evaluate_rows(CONFIG, 2)
