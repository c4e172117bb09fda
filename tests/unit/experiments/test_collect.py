"""Collecting: what fixes an episode, and what an interrupted run leaves."""

import collections
from types import SimpleNamespace

import numpy as np
import pytest

from dreamdrive.agents.artefact import DreamPolicy, save_policy
from dreamdrive.agents.networks import Actor, NetworkConfig
from dreamdrive.driving.causes import CAUSES
from dreamdrive.driving.motion import motion_of_states
from dreamdrive.errors import ConfigError, StorageError
from dreamdrive.experiments import collect as module
from dreamdrive.experiments.collect import (
    CollectConfig,
    EpisodePlan,
    PolicyDriver,
    collect,
    plan_episode,
)
from dreamdrive.worldmodel.episodes import EpisodeStore
from support.tiny_world import tiny_contexts, tiny_model


def small(out, **fields):
    return CollectConfig(
        out=out, towns=("Dream01",), vehicles=(1, 2), walkers=(0, 0), max_steps=12, workers=1,
        **fields,
    )  # fmt: skip


def test_a_number_fixes_an_episode_however_many_workers_there_are():
    config = CollectConfig(episodes=50)
    plans = [plan_episode(config, number) for number in range(50)]
    assert plans == [
        plan_episode(CollectConfig(episodes=50, workers=7), number) for number in range(50)
    ]
    assert len({plan.seed for plan in plans}) == 50
    assert plan_episode(CollectConfig(episodes=50, seed=1), 0).seed != plans[0].seed


def test_shares_and_bounds_are_kept():
    config = CollectConfig(episodes=2000, shares={"expert": 3.0, "random": 1.0}, vehicles=(2, 5))
    plans = [plan_episode(config, number) for number in range(2000)]
    drivers = collections.Counter(plan.driver for plan in plans)
    assert set(drivers) == {"expert", "random"}
    assert drivers["expert"] / 2000 == pytest.approx(0.75, abs=0.04)
    assert {plan.num_vehicles for plan in plans} == {2, 3, 4, 5}
    towns = collections.Counter(plan.town for plan in plans)
    assert set(towns.values()) == {400}


def test_a_policy_drives_its_share(tmp_path):
    config = CollectConfig(episodes=1000, policy=tmp_path, policy_share=0.6)
    drivers = [plan_episode(config, number).driver for number in range(1000)]
    assert drivers.count("agent") / 1000 == pytest.approx(0.6, abs=0.05)


def test_episodes_hold_what_happened_and_a_second_run_adds_only_what_is_missing(
    tmp_path, monkeypatch
):
    folder = collect(small(tmp_path / "data", episodes=3))
    store = EpisodeStore(folder)
    assert len(store) == 3
    episode = store[0]
    assert episode.image.shape == (len(episode) + 1, 64, 64, 3)
    assert episode.state.shape == (len(episode) + 1, 14)
    assert episode.meta["causes"] == list(CAUSES)
    assert episode.meta["step_s"] == tiny_model().config.step_s
    told, guessed = episode.motion, motion_of_states(episode.state)
    assert np.abs(told - guessed).max() < 0.05, "its poses agree with its speeds and yaw rates"
    assert np.abs(told[:, 0]).max() > 0.05
    assert bool(episode.terminated[-1] | episode.truncated[-1])
    assert not (episode.terminated | episode.truncated)[:-1].any()
    lost = store.paths[1]
    before = {path: np.array(store[i].image) for i, path in enumerate(store.paths)}
    for file in sorted(lost.rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()
    lost.rmdir()
    driven: list[EpisodePlan] = []
    drive = module.drive_episode
    monkeypatch.setattr(
        module,
        "drive_episode",
        lambda env, driver, plan: driven.append(plan) or drive(env, driver, plan),
    )
    collect(small(tmp_path / "data", episodes=3))
    assert [plan.name.split("/")[1] for plan in driven] == [lost.name]
    for path, image in before.items():
        np.testing.assert_array_equal(
            EpisodeStore(folder)[EpisodeStore(folder).paths.index(path)].image, image
        )


def test_a_full_disk_loses_nothing_that_stands(tmp_path, monkeypatch):
    save = module.save_episode
    written = []

    def fails_at_the_third(path, episode):
        if len(written) == 2:
            raise StorageError("No space left on device", where=path)
        written.append(path)
        save(path, episode)

    monkeypatch.setattr(module, "save_episode", fails_at_the_third)
    with pytest.raises(StorageError, match="No space"):
        collect(small(tmp_path / "data", episodes=4))
    assert len(EpisodeStore(tmp_path / "data")) == 2


def test_impossible_settings_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="no driver 'ghost'"):
        collect(small(tmp_path, episodes=1, shares={"ghost": 1.0}))
    for fields in (
        {"episodes": 0},
        {"shares": {}},
        {"policy_share": 2.0},
        {"port": 1, "workers": 2},
    ):
        with pytest.raises(ValueError, match=r"\w"):
            CollectConfig(**fields)


def test_an_agent_that_collects_is_by_turns_its_mode_its_draws_and_interrupted(tmp_path):
    model = tiny_model()
    actor = Actor.for_model(model, NetworkConfig(width=16, channels=4, num_layers=1))
    save_policy(tmp_path / "policy", actor, model)
    clip = tiny_contexts()
    env = SimpleNamespace(observation={"image": clip.image[0, 0], "state": clip.vector[0, 0]})
    plain = DreamPolicy(actor, model)
    mode = np.array([plain.act(env.observation) for _ in range(60)])
    driver = PolicyDriver(tmp_path / "policy")
    found = set()
    for seed in range(12):
        driver.reset(np.random.default_rng(seed))
        drawn = np.array([driver.act(env) for _ in range(60)]) != mode
        found.add(("draws" if drawn[:, 0].any() else "mode", bool(drawn[:, 1].any())))
    assert found == {("mode", False), ("draws", True), ("mode", True)}
    driver = PolicyDriver(tmp_path / "policy", explores=False)
    for seed in range(6):
        driver.reset(np.random.default_rng(seed))
        assert (np.array([driver.act(env) for _ in range(60)]) == mode).all()
