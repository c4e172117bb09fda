"""Faults that are planted into a copy of the project, each of which some test has to notice.

A suite that passes says little until it is known to fail: `pytest -m slow tests/faults`.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from faults import elsewhere, in_the_server
from faults.fault import Fault

FAULTS = [*elsewhere.FAULTS, *in_the_server.FAULTS]
ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("agents", "dreamdrive", "envs", "experiments", "kernels", "planners", "worldmodel")
VERDICT = """
import os, sys, pytest
verdict = pytest.main(sys.argv[1:])
sys.stdout.flush()
os._exit(verdict)
"""
"""Ends with what pytest says: where a test fails with sensors alive, CARLA's client may abort a
process that is taken down in order."""


def test_every_fault_has_the_one_place_where_it_is_planted() -> None:
    found = {fault.what: (ROOT / fault.file).read_text().count(fault.right) for fault in FAULTS}
    assert {what: count for what, count in found.items() if count != 1} == {}
    assert len(found) == len(FAULTS)


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS, ids=[fault.what.replace(" ", "-") for fault in FAULTS])
def test_a_planted_fault_is_noticed(fault: Fault, tmp_path: Path) -> None:
    for name in (*PACKAGES, "tests", "pyproject.toml"):
        source = ROOT / name
        if source.is_dir():
            leave = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, tmp_path / name, symlinks=True, ignore=leave)
        else:
            shutil.copy(source, tmp_path)
    path = tmp_path / fault.file
    text = path.read_text()
    assert text.count(fault.right) == 1, f"{fault.file} has no longer one {fault.right!r}"
    path.write_text(text.replace(fault.right, fault.wrong))
    done = subprocess.run(
        [sys.executable, "-c", VERDICT, "-x", "-q", "-p", "no:cacheprovider"]
        + [f"tests/{name}" for name in fault.tests.split()],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(tmp_path)}, text=True,
        capture_output=True, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout[-2000:]
    assert "failed" in done.stdout
