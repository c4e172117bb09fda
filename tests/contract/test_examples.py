import runpy
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_ppo_trains_in_carla_without_a_dream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("stable_baselines3")
    pytest.importorskip("carla")
    example = EXAMPLES / "ppo_in_carla.py"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(example), "1280", "0.05"])
    runpy.run_path(str(example), run_name="__main__")
    assert (tmp_path / "ppo_in_carla.zip").is_file()
    assert "Wrapping the env" in capsys.readouterr().out
