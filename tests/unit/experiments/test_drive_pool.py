"""Which core a process that drives keeps to."""

import os
import time
from dataclasses import replace

import pytest

from dreamdrive.experiments.drive_jobs import Conditions, DriverSettings
from dreamdrive.experiments.drive_pool import DrivePool, cores_of

SETTINGS = DriverSettings(conditions=Conditions(), num_routes=1)


def test_a_process_for_each_core_keeps_to_it(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {5, 2, 3}, raising=False)
    assert cores_of(3, SETTINGS) == [2, 3, 5]
    assert cores_of(2, SETTINGS) is None, "fewer are left to the system, which may have more to do"
    assert cores_of(4, SETTINGS) is None
    assert cores_of(3, replace(SETTINGS, server="unreal")) is None
    assert cores_of(3, replace(SETTINGS, port=2000)) is None
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {5}, raising=False)
    assert cores_of(1, SETTINGS) is None


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system cannot")
def test_who_takes_a_lost_processs_place_keeps_to_its_core():
    core = max(os.sched_getaffinity(0))
    pool = DrivePool(SETTINGS, 1)
    pool._cores = [core]
    pool._crew = [pool._start(0)]
    try:
        worker = pool._put_in_place_of(pool._crew[0])
        deadline = time.monotonic() + 60.0
        while os.sched_getaffinity(worker.process.pid) != {core}:
            assert time.monotonic() < deadline, "it may run anywhere"
            time.sleep(0.05)
    finally:
        pool.close()
