import runpy
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.slow
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


@pytest.mark.slow
def test_dqn_trains_on_the_grid_of_actions_and_drives_in_the_evaluation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("stable_baselines3")
    pytest.importorskip("carla")
    from dreamdrive.driving.actions import DISCRETE_ACTIONS
    from dreamdrive.envs.spaces import driving_observation_space
    from dreamdrive.experiments.policies import make_policy

    example = EXAMPLES / "dqn_in_carla.py"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(example), "300"])
    runpy.run_path(str(example), run_name="__main__")
    assert "m an episode" in capsys.readouterr().out
    policy = make_policy("dqn_in_carla.zip")
    policy.reset()
    action = policy.act(driving_observation_space().sample())
    assert action.tolist() in DISCRETE_ACTIONS.tolist()
