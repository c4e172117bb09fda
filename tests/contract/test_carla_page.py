"""docs/carla-drive.md: its program runs, and it names what there is."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("carla")
from dreamdrive.driving.actions import PEDAL_GRID, STEER_GRID
from dreamdrive.driving.objects import OBJECT_CLASSES, OBJECT_FIELDS
from dreamdrive.driving.rewards import REWARDS
from dreamdrive.envs.carla.observer import BOTH, PARTS
from dreamdrive.envs.carla.setup import OPTIONS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "carla-drive.md").read_text()


def test_the_program_of_the_page_runs(tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    program = tmp_path / "program.py"
    program.write_text(code)
    done = subprocess.run(
        [sys.executable, str(program)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "'position'" in done.stdout


def test_the_page_names_every_choice():
    for names in (OPTIONS, PARTS, [BOTH], REWARDS, [field.name for field in OBJECT_FIELDS]):
        assert all(f"`{name}`" in PAGE for name in names)
    assert ", ".join(f"{steer:g}" for steer in STEER_GRID) in PAGE
    assert ", ".join(f"{pedal:g}" for pedal in PEDAL_GRID) in PAGE
    told = ", ".join(f"{i} {name.replace('_', ' ')}" for i, name in enumerate(OBJECT_CLASSES))
    assert told in PAGE
