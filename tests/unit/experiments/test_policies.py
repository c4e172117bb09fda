import json
import sys
import zipfile

import gymnasium as gym
import numpy as np
import pytest

from dreamdrive.driving.state import STATE_HIGH, STATE_LOW
from dreamdrive.errors import CheckpointError, ConfigError, MissingExtraError
from dreamdrive.experiments.policies import (
    BaselinesPolicy,
    NamedPolicy,
    Privileged,
    fingerprint,
    make_policy,
    parse_policy,
)
from dreamdrive.planners.search import WIDE, SearchConfig
from support.odd_policies import GENTLE

SEEN = {"image": np.zeros((64, 64, 3), np.uint8), "state": np.zeros(14, np.float32)}


@pytest.mark.parametrize(
    ("text", "name", "spec"),
    [
        ("standing", "standing", "standing"),
        ("runs/a/policy", "policy", "runs/a/policy"),
        ("agent=runs/a/policy", "agent", "runs/a/policy"),
        ("agent#2=runs/a/policy", "agent#2", "runs/a/policy"),
        ("runs/ppo.zip", "ppo", "runs/ppo.zip"),
        ("planner:runs/x/model", "model", "planner:runs/x/model"),
        ("planner:runs/x=1/model", "model", "planner:runs/x=1/model"),
        ("my.module:make", "my.module-make", "my.module:make"),
    ],
)
def test_names(text, name, spec):
    assert parse_policy(text) == NamedPolicy(name, spec)


def test_runs_of_a_policy_share_a_group():
    assert parse_policy("agent#2=x").group == "agent"
    assert parse_policy("agent=x").group == "agent"


def test_the_yardsticks():
    np.testing.assert_array_equal(make_policy("standing").act(SEEN), [0.0, -1.0])
    np.testing.assert_array_equal(make_policy("straight").act(SEEN), [0.0, 0.5])
    np.testing.assert_array_equal(make_policy("mine=straight").act(SEEN), [0.0, 0.5])
    a, b, c = (make_policy("random", seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(a.act(SEEN), b.act(SEEN))
    assert not np.array_equal(a.act(SEEN), c.act(SEEN))


def test_the_expert_looks_at_the_environment():
    class Env:
        scene = drive = route = None

    policy = make_policy("expert")
    assert isinstance(policy, Privileged)
    assert not isinstance(make_policy("standing"), Privileged)
    noise = make_policy("driver:random", seed=4)
    noise.attach(Env())
    noise.reset()
    first = noise.act(SEEN)
    again = make_policy("driver:random", seed=4)
    again.attach(Env())
    again.reset()
    np.testing.assert_array_equal(first, again.act(SEEN))


@pytest.mark.parametrize("spec", ["clever", "no/such/folder", "planner-of-mine", ""])
def test_an_unknown_policy_names_what_is_possible(spec):
    with pytest.raises(ConfigError, match=r"no policy .*standing, random, straight, expert"):
        make_policy(spec)


def test_anybodys_own_policy():
    policy = make_policy("support.odd_policies:Gentle")
    np.testing.assert_array_equal(policy.act(SEEN), GENTLE)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("support.odd_policies:Absent", "no attribute 'Absent'"),
        ("support.absent:Gentle", "No module named"),
        ("support.odd_policies:Useless", "no reset"),
        ("driver:nobody", "no driver 'nobody'"),
    ],
)
def test_a_factory_that_does_not_fit_is_refused(spec, words):
    with pytest.raises(ConfigError, match=words):
        make_policy(spec)


@pytest.mark.parametrize("spec", ["planner:no/such/model", "policy_folder"])
def test_a_missing_checkpoint_is_said(spec, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "policy_folder").mkdir()
    with pytest.raises(CheckpointError):
        make_policy(spec)


def test_a_missing_archive_and_a_foreign_one(tmp_path):
    with pytest.raises(CheckpointError, match="no such file"):
        make_policy(f"{tmp_path}/none.zip")
    (tmp_path / "text.zip").write_text("not a zip")
    with pytest.raises(CheckpointError, match="no archive"):
        make_policy(f"{tmp_path}/text.zip")
    with zipfile.ZipFile(tmp_path / "dqn.zip", "w") as archive:
        archive.writestr("data", json.dumps({"exploration_rate": 0.1}))
    with pytest.raises(CheckpointError, match="none of Stable-Baselines3's PPO, SAC, DQN"):
        make_policy(f"{tmp_path}/dqn.zip")


def test_without_baselines_the_extra_is_named(tmp_path, monkeypatch):
    (tmp_path / "ppo.zip").write_bytes(b"")
    monkeypatch.setitem(__import__("sys").modules, "stable_baselines3", None)
    with pytest.raises(MissingExtraError, match=r"dreamdrive\[sb3\]"):
        make_policy(f"{tmp_path}/ppo.zip")


class Spaces(gym.Env):
    """The spaces of `CarlaDrive-v0`, and nothing in them."""

    observation_space = gym.spaces.Dict(
        {
            "image": gym.spaces.Box(0, 255, (64, 64, 3), np.uint8),
            "state": gym.spaces.Box(STATE_LOW, STATE_HIGH, dtype=np.float32),
        }
    )
    action_space = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)

    def reset(self, *, seed=None, options=None):
        return SEEN, {}

    def step(self, action):
        return SEEN, 0.0, False, True, {}


def test_a_stable_baselines_archive_acts_as_the_algorithm_that_it_holds(tmp_path):
    stable_baselines3 = pytest.importorskip("stable_baselines3")
    algorithm = stable_baselines3.PPO(
        "MultiInputPolicy", Spaces(), n_steps=8, batch_size=8, device="cpu", seed=0
    )
    algorithm.save(tmp_path / "ppo.zip")
    policy = make_policy(f"{tmp_path}/ppo.zip")
    assert isinstance(policy, BaselinesPolicy)
    policy.reset()
    action = policy.act(SEEN)
    assert Spaces.action_space.contains(action)
    np.testing.assert_allclose(action, algorithm.predict(SEEN, deterministic=True)[0], atol=1e-6)


def test_a_fingerprint_follows_the_files(tmp_path):
    folder = tmp_path / "policy"
    folder.mkdir()
    (folder / "weights").write_bytes(b"1")
    first = fingerprint(str(folder))
    assert fingerprint(f"name={folder}") == first
    (folder / "README.md").write_text("What it is.")
    assert fingerprint(str(folder)) == first
    (folder / "weights").write_bytes(b"2")
    assert fingerprint(str(folder)) != first
    assert fingerprint("standing") != fingerprint("straight")


def test_the_fingerprint_of_a_policy_covers_the_world_model_that_it_names(tmp_path):
    world, agent = tmp_path / "world", tmp_path / "agent"
    world.mkdir()
    agent.mkdir()
    (world / "config.json").write_text("{}")
    (agent / "config.json").write_text(
        json.dumps({"schema": 1, "class": "DreamPolicy", "config": {}, "worldmodel": str(world)})
    )
    first, planned = fingerprint(str(agent)), fingerprint(f"planner:{agent}")
    (world / "config.json").write_text('{"a": 1}')
    assert fingerprint(str(agent)) != first
    assert fingerprint(f"planner:{agent}") != planned


def test_a_planner_without_a_policy_searches_widely():
    alone, around = (
        make_policy(f"planner:{name}") for name in ("dreamdrive-cpu", "dreamdrive-cpu-agent")
    )
    assert alone.search.objective.base is None
    assert alone.search.config == WIDE
    assert around.search.objective.base is not None
    assert around.search.config == SearchConfig()


def test_a_policy_of_the_working_directory_is_found(tmp_path, monkeypatch):
    (tmp_path / "policy_beside_me.py").write_text(
        "class Mine:\n    def reset(self): ...\n    def act(self, observation): ...\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [p for p in sys.path if p])
    assert type(make_policy("policy_beside_me:Mine")).__name__ == "Mine"


def test_a_planners_fingerprint_follows_model_and_configuration(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    (tmp_path / "plan.json").write_text("{}")
    spec = f"planner:{tmp_path}/model"
    first = fingerprint(spec, tmp_path / "plan.json")
    (tmp_path / "plan.json").write_text('{"replan_every": 2}')
    second = fingerprint(spec, tmp_path / "plan.json")
    (tmp_path / "model" / "config.json").write_text('{"a": 1}')
    assert len({first, second, fingerprint(spec, tmp_path / "plan.json")}) == 3
