"""The example of docs/evaluation.md, run as a reader would run it."""

import json
import re
import subprocess
import sys
from pathlib import Path

from dreamdrive.experiments.drives import drive_path, save_drive
from dreamdrive.experiments.event_log import TICK_COLUMNS
from dreamdrive.experiments.scorers.registry import MODULES
from support.logs import lines_of, log, ticks

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "evaluation.md").read_text()


def test_the_scorer_of_the_page_scores(tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(code.splitlines()) <= 30
    (tmp_path / "lawful_speed.py").write_text(code)
    speed = [9.0] * 60 + [11.0] * 40
    made = log([], ticks(100, speed_mps=speed), policy="p", completion=50.0)
    out = tmp_path / "out"
    save_drive(out, made.result)
    path = drive_path(out, "p", made.result.key)
    path.with_suffix(".jsonl").write_text("\n".join(lines_of(made)) + "\n")
    words = ["rescore", str(out), "--scorers", "lawful_speed:SCORER"]
    done = subprocess.run(
        [sys.executable, "-c", "from dreamdrive.experiments.cli import main; main()", *words],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert "lawful-speed-1" in done.stdout
    terms = json.loads((out / "scores.json").read_text())["drives"][0]["scores"]["lawful-speed-1"]
    assert terms == {"value": 30.0, "completion_pct": 50.0, "lawful": 0.6, "worst_mps": 1.0}


def test_the_page_names_every_scorer():
    assert all(f"`{name}`" in PAGE for name in MODULES)
    assert "speed_limit_mps" in TICK_COLUMNS
