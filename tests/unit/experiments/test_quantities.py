"""Quantities: read from episodes, learned, kept with a model, told by its dreams."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from dreamdrive.driving.motion import MOTION, motion_of_states
from dreamdrive.envs.dream.contexts import Contexts
from dreamdrive.envs.dream.env import DreamEnv
from dreamdrive.errors import EpisodeError
from dreamdrive.experiments.quantities import quantities_of, quantity_names, telling
from dreamdrive.experiments.train_worldmodel import TrainWorldModelConfig, train_worldmodel
from dreamdrive.worldmodel.episodes import EpisodeStore, load_episode, save_episode
from dreamdrive.worldmodel.model import WorldModel
from support.tiny_episodes import save_tiny_episodes, tiny_episode
from support.tiny_world import save_tiny_world, tiny_model

COSTS = ("cost_collision", "cost_rule", "cost_progress", "cost_comfort")


@pytest.fixture
def told(tmp_path):
    """An episode that holds its motion and one that does not."""
    for seed, motion in ((0, np.arange(72, dtype=np.float32).reshape(24, 3)), (1, None)):
        episode = tiny_episode(seed)
        cost = np.full((24, 4), seed + 0.5, np.float32)
        save_episode(tmp_path / f"{seed}", replace(episode, cost=cost, motion=motion))
    return EpisodeStore(tmp_path)


def test_they_stand_at_the_outcome_of_their_decision(told):
    names = quantity_names(told, ("motion", "costs"))
    assert names == (*MOTION, *COSTS)
    found = quantities_of(told, names)
    assert found.shape == (50, 7)
    assert not found[[0, 25]].any(), "nothing led to a first frame"
    assert found[1:25, :3].flatten().tolist() == list(range(72))
    guess = torch.from_numpy(motion_of_states(told[1].state))
    torch.testing.assert_close(found[26:, :3], guess)
    assert found[26:, 3:].unique().tolist() == [1.5]


def test_a_motion_survives_a_file_and_must_fit(told, tmp_path):
    assert load_episode(told.paths[0]).motion[1].tolist() == [3.0, 4.0, 5.0]
    assert load_episode(told.paths[1]).motion is None
    for wrong in (np.zeros((23, 3), np.float32), np.full((24, 3), np.nan, np.float32)):
        with pytest.raises(EpisodeError, match="motion"):
            replace(tiny_episode(0), motion=wrong)


def test_what_episodes_do_not_tell_is_refused(tmp_path):
    plain = tiny_episode(0)
    meta = plain.meta | {"costs": ["a", "b", "c", "d"], "interface": {}}
    save_episode(tmp_path / "other", replace(plain, meta=meta))
    store = EpisodeStore(tmp_path)
    assert quantity_names(store, ("costs",)) == ("cost_a", "cost_b", "cost_c", "cost_d")
    for name in ("motion_ahead", "cost_progress"):
        with pytest.raises(EpisodeError, match=name):
            quantities_of(store, (name,))


def test_a_model_gets_a_head_and_keeps_all_else():
    model = tiny_model()
    data = torch.randn(100, 2) + 5.0
    made = telling(model, ("a", "b"), data)
    for name, value in model.state_dict().items():
        assert torch.equal(made.state_dict()[name], value), name
    assert made.config.quantities == ("a", "b")
    torch.testing.assert_close(made.heads.quantities.mean, data.mean(0))
    assert telling(made, ("a", "b"), data * 2.0) is made


def test_they_are_learned_kept_and_told_by_a_dream(tmp_path):
    data = save_tiny_episodes(tmp_path / "episodes")
    world = save_tiny_world(tmp_path / "world", lively=False)
    config = TrainWorldModelConfig(
        data=(data,), init=world, out=tmp_path / "run", steps=4, batch_size=4, window=5, context=2,
        horizon=3, save_every=2, fine_tune=True, quantities=("motion", "costs"),
    )  # fmt: skip
    folder = train_worldmodel(config)
    lines = (config.out / "metrics.jsonl").read_text().splitlines()
    assert all('"quantity"' in line for line in lines), "in both phases"
    assert WorldModel.from_pretrained(folder).config.quantities == (*MOTION, *COSTS)
    assert "motion_ahead" in (folder / "README.md").read_text()
    env = DreamEnv(model=folder, contexts=Contexts.load(world))
    _, info = env.reset(seed=0)
    assert info["quantities"] == dict.fromkeys((*MOTION, *COSTS), 0.0)
    info = env.step(np.zeros(2, np.float32))[-1]
    mean = quantities_of(EpisodeStore(data), ("motion_ahead",))[1:].mean()
    assert info["quantities"]["motion_ahead"] == pytest.approx(float(mean), rel=0.5)
    assert "doubt" not in info
    # A run that goes on from this model tells the same without being asked.
    again = train_worldmodel(
        replace(config, init=folder, out=tmp_path / "again", quantities=(), steps=1)
    )
    assert WorldModel.from_pretrained(again).config.quantities == (*MOTION, *COSTS)
