"""`WorldModelDream-v0` as others meet it: Gymnasium, Stable-Baselines3, TorchRL."""

import json
import runpy
import subprocess
import sys
import warnings
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

import dreamdrive
from dreamdrive.envs.dream.vector import DreamVectorEnv
from dreamdrive.envs.spaces import driving_action_space, driving_observation_space
from dreamdrive.errors import CheckpointError, ConfigError
from support.tiny_world import save_tiny_world

ROOT = Path(__file__).resolve().parents[2]
NAME = "WorldModelDream-v0"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_tiny_world(tmp_path_factory.mktemp("contract") / "tiny"))


@pytest.fixture
def headless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")


def test_it_is_registered_with_both_entry_points() -> None:
    assert dreamdrive.__version__
    spec = gym.spec(NAME)
    assert spec.entry_point == "dreamdrive.envs.dream.env:DreamEnv"
    assert spec.vector_entry_point == "dreamdrive.envs.dream.vector:DreamVectorEnv"


@pytest.mark.parametrize("observations", ["pixels", "latent"])
def test_gymnasiums_checker_is_content(world: str, observations: str) -> None:
    env = gym.make(NAME, model=world, observations=observations)
    check_env(env.unwrapped, skip_render_check=True)


@pytest.mark.usefixtures("headless")
def test_it_renders_arrays_and_a_window(world: str) -> None:
    pytest.importorskip("pygame")
    env = gym.make(NAME, model=world, render_mode="rgb_array")
    env.reset(seed=0)
    frame = env.render()
    assert isinstance(frame, np.ndarray)
    assert frame.shape == (512, 512, 3)
    assert frame.std() > 1.0
    env.close()
    with warnings.catch_warnings():
        # pygame imports a part of setuptools that warns of its own end.
        warnings.simplefilter("ignore")
        shown = gym.make(NAME, model=world, render_mode="human")
        shown.reset(seed=0)
        shown.step(np.zeros(2, np.float32))
        assert shown.render() is None
        shown.close()


def test_a_missing_pygame_names_its_extra(world: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pygame", None)
    with pytest.raises(ImportError, match=r"dreamdrive\[human\]"):
        gym.make(NAME, model=world, render_mode="human")


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_make_vec_gives_the_batched_implementation(world: str, mode: AutoresetMode) -> None:
    envs = gym.make_vec(NAME, num_envs=3, model=world, autoreset_mode=mode.value)
    assert isinstance(envs.unwrapped, DreamVectorEnv)
    assert envs.metadata["autoreset_mode"] is mode
    assert envs.spec is not None
    json.loads(envs.spec.to_json())
    observation, _ = envs.reset(seed=0)
    assert observation in envs.observation_space
    observation, reward, terminated, truncated, _ = envs.step(envs.action_space.sample())
    assert observation in envs.observation_space
    assert (reward.shape, reward.dtype) == ((3,), np.float64)
    assert (terminated.dtype, truncated.dtype) == (np.bool_, np.bool_)
    envs.close()


def test_gymnasiums_vector_wrappers_work_on_it(world: str) -> None:
    envs = gym.make_vec(NAME, num_envs=2, model=world, max_steps=5, autoreset_mode="SameStep")
    counted = gym.wrappers.vector.RecordEpisodeStatistics(envs)
    counted.reset(seed=0)
    lengths = []
    for _ in range(12):
        *_, info = counted.step(np.zeros((2, 2), np.float32))
        if "episode" in info:
            lengths += list(info["episode"]["l"][info["_episode"]])
    assert lengths
    assert max(lengths) <= 5


def test_spaces_are_those_of_the_real_environment(world: str, monkeypatch) -> None:
    env = gym.make(NAME, model=world)
    assert env.observation_space == driving_observation_space()
    assert env.action_space == driving_action_space()
    pytest.importorskip("carla")
    from dreamdrive.envs.carla.connection import Connection
    from dreamdrive.envs.carla.env import CarlaDriveEnv

    monkeypatch.setattr(Connection, "ensure", lambda self: None)
    real = CarlaDriveEnv(port=1)
    assert real.observation_space == env.observation_space
    assert real.action_space == env.action_space


def test_a_dream_does_not_import_carla(world: str) -> None:
    code = (
        "import sys, gymnasium as gym; "
        f"env = gym.make('dreamdrive:{NAME}', model={world!r}); env.reset(seed=0); "
        "print('carla' in sys.modules, env.reset(seed=0)[0]['image'].shape)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout.strip() == "False (64, 64, 3)", done.stderr


def test_stable_baselines_checker_is_content(world: str) -> None:
    pytest.importorskip("stable_baselines3")
    from stable_baselines3.common.env_checker import check_env as check_sb3

    check_sb3(gym.make(NAME, model=world))


def test_ppo_trains_in_the_example(
    world: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("stable_baselines3")
    example = ROOT / "examples" / "ppo_in_dream.py"
    assert len(example.read_text().splitlines()) <= 25
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(example), "512", world])
    runpy.run_path(str(example), run_name="__main__")
    assert (tmp_path / "ppo_in_dream.zip").is_file()
    assert "reward of an episode" in capsys.readouterr().out


def test_the_sb3_adapter_keeps_the_last_observation_of_an_episode(world: str) -> None:
    pytest.importorskip("stable_baselines3")
    from dreamdrive.envs.dream.sb3 import DreamVecEnv

    env = DreamVecEnv(2, model=world, max_steps=3, termination="threshold")
    twin = DreamVectorEnv(2, model=world, max_steps=4, termination="threshold")
    env.seed(9)
    env.reset()
    twin.reset(seed=9)
    for _ in range(3):
        observation, _, dones, infos = env.step(np.zeros((2, 2), np.float32))
        wanted, *_ = twin.step(np.zeros((2, 2), np.float32))
    assert dones.all()
    for i in range(2):
        np.testing.assert_array_equal(infos[i]["terminal_observation"]["state"], wanted["state"][i])
        assert infos[i]["TimeLimit.truncated"] is True
        assert infos[i]["cause"] == "time_limit"
    assert not np.array_equal(observation["state"], wanted["state"])
    assert env.get_attr("max_steps") == [3, 3]
    with pytest.raises(ConfigError):
        env.set_attr("max_steps", 4, indices=[0])
    with pytest.raises(ConfigError):
        DreamVecEnv(2, model=world, as_torch=True)


def test_torchrl_opens_it(world: str) -> None:
    from torchrl.envs import GymEnv
    from torchrl.envs.utils import check_env_specs

    env = GymEnv(NAME, model=world)
    check_env_specs(env)
    rollout = env.rollout(5, break_when_any_done=False)
    # TorchRL calls an observation's `state` entry `observation`.
    assert rollout["next", "observation"].shape == (5, 14)
    assert rollout["next", "image"].shape == (5, 64, 64, 3)
    env.close()


def test_a_truncated_checkpoint_is_refused(world: str, tmp_path: Path) -> None:
    broken = save_tiny_world(tmp_path / "broken")
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(CheckpointError, match="truncated"):
        gym.make(NAME, model=str(broken))
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        gym.make_vec(NAME, num_envs=2, model="dreamdrive-nowhere")
