import runpy
import sys
from pathlib import Path

import numpy as np
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


def racing_picture(*, aside: int, speed_rows: int) -> np.ndarray:
    picture = np.full((96, 96, 3), (102, 204, 102), np.uint8)
    picture[:84, 40 + aside : 56 + aside] = 105
    picture[84:] = 0
    picture[95 - speed_rows : 95, 13] = 255
    return picture


def test_the_driver_of_the_race_car_steers_for_the_road_and_holds_its_speed() -> None:
    driver = runpy.run_path(str(EXAMPLES / "racing_driver.py"))["medium"]()
    ahead, left, right = (
        driver.act(racing_picture(aside=aside, speed_rows=2)) for aside in (0, -20, 20)
    )
    assert abs(ahead[0]) < 0.1
    assert left[0] < -0.5
    assert right[0] > 0.5
    assert ahead[1] > left[1] == 0.0, "slower in a curve"
    _, gas, brake = driver.act(racing_picture(aside=0, speed_rows=5))
    assert gas == 0.0
    assert brake > 0.0
