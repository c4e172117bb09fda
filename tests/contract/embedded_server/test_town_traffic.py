"""CARLA's Traffic Manager drives in the towns of every style, and in a map of CARLA's own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dreamdrive.envs.embedded.styles import STYLED
from support import long_traffic
from support.server import server_process

pytest.importorskip("carla")
TOWN01 = Path(__file__).resolve().parents[4] / "shared" / "data" / "Town01.xodr"


def driven(town, num_vehicles, seconds, timeout_s):
    """Returns what became of the vehicles; a Traffic Manager that is stuck gets two more tries."""
    for _ in range(3):
        with server_process("--port", "0", "--sync", "--town", str(town)) as process:
            line = process.stdout.readline()
            assert line.startswith("ready "), process.stderr.read()
            port = line.rsplit(":", 1)[1].strip()
            try:
                done = subprocess.run(
                    [sys.executable, long_traffic.__file__, port, str(num_vehicles), str(seconds)],
                    capture_output=True, text=True, timeout=timeout_s, check=True,
                )  # fmt: skip
            except subprocess.TimeoutExpired:
                continue
            return json.loads(done.stdout.splitlines()[-1])
    pytest.fail("the Traffic Manager was stuck three times")


def check(found, num_vehicles):
    assert found["vehicles"] == num_vehicles
    assert found["lost"] == {}
    # Whoever stands for a minute drives in the next.
    assert all(a == 0 or b < a for a, b in zip(found["stood"], found["stood"][1:], strict=False))
    assert found["stood"][-1] <= 1
    assert found["last_minute_mps"] > 3.0


def test_twenty_vehicles_drive_a_minute_on_the_motorway():
    found = driven("DreamMotorway", 20, 60, 60.0)
    check(found, 20)
    assert found["slowest_m"][0] > 100.0


@pytest.mark.slow
@pytest.mark.timeout(800)
@pytest.mark.parametrize("town", STYLED)
def test_twenty_vehicles_drive_for_ten_minutes_in_a_town_of_any_style(town):
    check(driven(town, 20, 600, 240.0), 20)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not TOWN01.is_file(), reason="CARLA's Town01 is not shipped")
def test_fifty_vehicles_drive_for_twenty_minutes_in_town01():
    check(driven(TOWN01, 50, 1200, 540.0), 50)
