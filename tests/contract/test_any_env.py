"""From somebody's environment to a dream of it and back: the real commands, at their smallest."""

import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from PIL import Image

from dreamdrive.driving.palette import PALETTE
from dreamdrive.envs.dream.env import DreamEnv
from dreamdrive.errors import CheckpointError, ConfigError
from dreamdrive.experiments.cli import main
from dreamdrive.worldmodel.episodes import EpisodeStore
from dreamdrive.worldmodel.model import WorldModel
from support.point_env import ID, LIMIT


def run(*words: Any) -> None:
    assert main([str(word) for word in words]) == 0


@pytest.fixture(scope="module")
def point(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with episodes, a tokenizer, a world model and an agent of the point's world."""
    folder = tmp_path_factory.mktemp("point")
    data, model = folder / "data", folder / "worldmodel"
    run(
        "collect", "--env", ID, "--out", data, "--episodes", 6, "--workers", 1,
        "--image-size", 32, "--max-steps", 15,
    )  # fmt: skip
    run(
        "train", "tokenizer", "--data", data, "--out", folder / "tokenizer", "--steps", 2,
        "--tokenizer.image-size", 32,
    )  # fmt: skip
    run(
        "train", "worldmodel", "--data", data, "--init", folder / "tokenizer/model", "--out", model,
        "--steps", 4, "--window", 6, "--horizon", 4, "--batch-size", 4,
    )  # fmt: skip
    run(
        "train", "agent", "--data", data, "--model", model / "model", "--out", folder / "agent",
        "--updates", 1, "--num-starts", 16, "--batch-size", 4, "--agent.horizon", 3,
    )  # fmt: skip
    return folder


def test_episodes_hold_the_interface_and_the_models_form(point: Path) -> None:
    store = EpisodeStore(point / "data")
    episode = store[0]
    assert episode.image.shape[1:] == (32, 32, 3)
    assert episode.state.shape[1:] == (3,)
    assert episode.meta["interface"]["env_id"] == ID
    assert {store[i].meta["driver"] for i in range(len(store))} == {"held", "random"}
    # The line of the camera stands where the vector says the point is.
    row = episode.image[0, 16, :, 0]
    expected = (episode.state[0, 0] + 1.0) / 2.0 * 32
    assert abs(float((row * np.arange(32)).sum() / row.sum()) - expected) <= 1.0


def test_collecting_goes_on_and_gives_the_same_episodes(point: Path, tmp_path: Path) -> None:
    for episodes in (2, 6):
        run(
            "collect", "--env", ID, "--out", tmp_path, "--episodes", episodes, "--workers", 1,
            "--image-size", 32, "--max-steps", 15,
        )  # fmt: skip
    mine, theirs = EpisodeStore(tmp_path), EpisodeStore(point / "data")
    for one, other in zip(mine.paths, theirs.paths, strict=True):
        assert one.name == other.name
    for i in range(6):
        np.testing.assert_array_equal(mine[i].state, theirs[i].state)
        np.testing.assert_array_equal(mine[i].action, theirs[i].action)


@pytest.mark.filterwarnings("ignore:.*(A Box|For Box|Box) (observation|action) space")
@pytest.mark.filterwarnings("ignore:.*we recommend:UserWarning")
@pytest.mark.filterwarnings("ignore:.*symmetric and normalized space:UserWarning")
def test_the_dream_has_the_environments_own_spaces(point: Path) -> None:
    dream = gym.make("dreamdrive:WorldModelDream-v0", model=str(point / "worldmodel/model"))
    real = gym.make(ID)
    assert dream.observation_space == real.observation_space
    assert dream.action_space == real.action_space
    assert dream.unwrapped._batch.max_steps == LIMIT
    check_env(dream.unwrapped, skip_render_check=True)
    observation, info = dream.reset(seed=3)
    assert info["cost"] == {}
    for _ in range(LIMIT):
        observation, _, terminated, truncated, info = dream.step(dream.action_space.sample())
        assert dream.observation_space.contains(observation)
        if terminated or truncated:
            break
    assert info["cause"] in ("terminated", "time_limit")


def test_a_policy_sees_and_acts_as_it_learned(
    point: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["evaluate", "--env", ID, "--policies", point / "agent/policy", "--episodes", 1]
    words += ["--workers", 1, "--max-steps", 5, "--out", tmp_path]
    for other, said in (
        (["--action-repeat", 2, "--image-size", 32], "--action-repeat 1"),
        (["--image-size", 64], "--image-size 32"),
    ):
        assert main([str(word) for word in words + other]) != 0
        assert said in capsys.readouterr().err
    run(*words, "--image-size", 32)


def test_episodes_of_held_and_interrupted_actions_are_recorded(tmp_path: Path) -> None:
    run(
        "collect", "--env", ID, "--out", tmp_path, "--episodes", 2, "--workers", 1,
        "--action-repeat", 4, "--interruptions", 0.5, "--image-size", 32,
    )  # fmt: skip
    episode = EpisodeStore(tmp_path)[0]
    assert len(episode) <= LIMIT / 4
    assert episode.meta["interface"]["action_repeat"] == 4


def test_the_truth_of_such_a_dream_is_measured(point: Path, tmp_path: Path) -> None:
    run(
        "truth", "--model", f"mine={point / 'worldmodel/model'}", "--data", point / "data",
        "--out", tmp_path, "--measure.num-windows", 8, "--measure.context", 4,
    )  # fmt: skip
    models = json.loads((tmp_path / "truth.json").read_text())["models"]
    # Untrained dynamics repeat the last frame; both models share its pictures' tokenizer.
    assert models["untrained"]["vector_skill_5"] == pytest.approx(0.0, abs=1e-6)
    assert models["untrained"]["shuffled_ratio_5"] == pytest.approx(1.0)
    assert models["mine"]["vector_skill_5"] != 0.0
    assert {"psnr_gain_1", "reward_skill"} <= models["mine"].keys()
    # No episode is long enough for fifteen steps after the context and one window.
    assert "vector_skill_30" not in models["mine"]


def test_a_film_of_such_a_dream_claims_nothing_of_driving(point: Path, tmp_path: Path) -> None:
    run(
        "dream", "--model", point / "worldmodel/model", "--data", point / "data", "--scenes", 2,
        "--context", 3, "--horizon", 6, "--out", tmp_path,
    )  # fmt: skip
    scores = json.loads((tmp_path / "dream.json").read_text())
    assert len(scores["psnr_dream_db"]) == 6
    with Image.open(tmp_path / "dream.png") as strip:
        colours = {colour for _, colour in strip.convert("RGB").getcolors(2**20)}
    assert PALETTE["stop_sign"] not in colours


def test_a_dream_begins_with_a_recorded_frame(point: Path) -> None:
    dream = DreamEnv(model=str(point / "worldmodel/model"))
    seen, _ = dream.reset(options={"context": 2})
    store = EpisodeStore(point / "data")
    states = np.concatenate([store[i].state for i in range(len(store))])
    vector = np.concatenate([seen["place"], seen["speed"].ravel()])
    assert np.abs(states - vector).max(1).min() < 1e-6


def test_rewards_are_in_the_environments_units(point: Path) -> None:
    model = WorldModel.from_pretrained(point / "worldmodel/model")
    store = EpisodeStore(point / "data")
    largest = max(float(np.abs(store[i].reward).max()) for i in range(len(store)))
    assert model.config.reward_scale == pytest.approx(largest)
    dream, twice = (DreamEnv(model=model, contexts=point / "worldmodel/model") for _ in range(2))
    twice._batch._program.reward_scale = 2.0 * model.config.reward_scale
    action = np.float32([[1.0]])
    rewards = []
    for env in (dream, twice):
        env.reset(seed=0)
        rewards.append(env.step(action)[1])
    assert rewards[1] == pytest.approx(2.0 * rewards[0])
    assert rewards[0] != 0.0


def test_tensors_come_out_in_the_environments_shapes(point: Path) -> None:
    dreams = gym.make_vec(
        "dreamdrive:WorldModelDream-v0", num_envs=2, model=str(point / "worldmodel/model"),
        as_torch=True,
    )  # fmt: skip
    dreams.reset(seed=0)
    observation, reward, *_ = dreams.step(torch.zeros(2, 1, 1))
    assert observation["camera"].shape == (2, 24, 48, 1)
    assert observation["camera"].dtype == torch.uint8
    assert observation["place"].dtype == torch.float64
    assert reward.shape == (2,)
    dreams.close()


def test_an_agent_is_evaluated_in_the_environment(point: Path, tmp_path: Path) -> None:
    def evaluate(episodes: int) -> dict[str, Any]:
        run(
            "evaluate", "--env", ID, "--policies", "random", f"agent={point / 'agent/policy'}",
            "--episodes", episodes, "--workers", 1, "--image-size", 32, "--out", tmp_path,
        )  # fmt: skip
        summary: dict[str, Any] = json.loads((tmp_path / "summary.json").read_text())["policies"]
        return summary

    first = evaluate(2)
    kept = tmp_path / "episodes/agent/000000.json"
    written = kept.stat().st_mtime_ns
    both = evaluate(4)
    assert kept.stat().st_mtime_ns == written
    assert first["random"]["episodes"] == 2
    for row in both.values():
        assert row["episodes"] == 4
        assert row["low"] <= row["return"] <= row["high"]
        assert 0 < row["length"] <= LIMIT
    # All play the same episodes: the same policy under another name gains the same.
    again = tmp_path / "again"
    run(
        "evaluate", "--env", ID, "--policies", f"same={point / 'agent/policy'}", "--episodes", 4,
        "--workers", 1, "--image-size", 32, "--out", again,
    )  # fmt: skip
    same = json.loads((again / "summary.json").read_text())["policies"]["same"]
    assert same["return"] == both["agent"]["return"]


def test_an_agent_of_another_world_is_refused(
    point: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for spec in ("dreamdrive-cpu-agent", str(point / "agent/policy")):
        words = ["evaluate", "--env", "Pendulum-v1", "--pictures", "none", "--policies", spec]
        assert main([*words, "--out", str(tmp_path)]) == 2
        assert "trained in a dream of" in capsys.readouterr().err


def test_episodes_of_two_environments_do_not_mix(point: Path, tmp_path: Path) -> None:
    from dreamdrive.experiments.train_tokenizer import model_of
    from dreamdrive.worldmodel.tokenizer import TokenizerConfig

    run(
        "collect", "--env", "CartPole-v1", "--pictures", "none", "--episodes", 1, "--workers", 1,
        "--image-size", 32, "--out", tmp_path,
    )  # fmt: skip
    small = TokenizerConfig(image_size=32)
    with pytest.raises(ConfigError, match="different spaces"):
        model_of(EpisodeStore(point / "data", tmp_path), small)
    with pytest.raises(ConfigError, match="32 pixels"):
        model_of(EpisodeStore(tmp_path), TokenizerConfig())
    config = model_of(EpisodeStore(tmp_path), small)
    assert (config.action_size, config.vector_size, config.reward_scale) == (2, 4, 1.0)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--policies", "nobody"], "no policy 'nobody'"),
        (["--policies", "no/folder"], "no trained policy here"),
        (["--policies", "math:sqrt"], "math:sqrt"),
        (["--env-options", "{"], "no options"),
        (["--env-options", "[1]"], "JSON object"),
    ],
)
def test_bad_words_are_explained(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["collect", "--env", ID, "--out", str(tmp_path), *words]) == 2
    assert said in capsys.readouterr().err


def test_an_environment_that_observes_nothing_finite_is_named(tmp_path: Path) -> None:
    from dreamdrive.envs.interface import read_interface
    from dreamdrive.errors import EpisodeError
    from dreamdrive.experiments.collect_env import play
    from dreamdrive.experiments.env_policies import RandomActions
    from support.point_env import PointEnv

    class Broken(PointEnv):
        def _observe(self) -> dict[str, Any]:
            return super()._observe() | {"speed": np.float32([[np.nan]])}

    env = Broken()
    with pytest.raises(EpisodeError, match="Broken-v0"):
        play(
            env, read_interface(env, "Broken-v0", {}), RandomActions(env.action_space, 1),
            image_size=32, max_steps=5, seed=0,
        )  # fmt: skip


def test_a_model_without_a_vector_of_driving_and_without_an_interface_is_refused() -> None:
    from dreamdrive.worldmodel.model import WorldModelConfig

    model = WorldModel(WorldModelConfig(vector_names=("x",), causes=("terminated",)))
    with pytest.raises(ConfigError, match="collect --env"):
        DreamEnv(model=model)
    with pytest.raises(CheckpointError):
        DreamEnv(model="no/such/folder")
