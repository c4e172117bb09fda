"""Calibrating a model: fitted on one half, measured on the other, told by its dreams."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode

from dreamdrive.envs.dream.env import DreamEnv
from dreamdrive.envs.dream.vector import DreamVectorEnv
from dreamdrive.errors import ConfigError, EpisodeError
from dreamdrive.experiments.calibrate import CalibrateConfig, Errors, calibrate, scores_of
from dreamdrive.worldmodel.calibration import Calibration, Doubt
from dreamdrive.worldmodel.model import WorldModel
from support.tiny_episodes import save_tiny_episodes
from support.tiny_world import save_tiny_world


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Path:
    return save_tiny_world(tmp_path_factory.mktemp("plain") / "world")


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory, plain) -> Path:
    folder = tmp_path_factory.mktemp("calibrated")
    return calibrate(
        CalibrateConfig(
            model=str(plain), data=(save_tiny_episodes(folder / "episodes"),), out=folder / "run",
            num_windows=16, context=3, horizon=4,
        )
    )  # fmt: skip


def test_only_the_calibration_is_new(plain, calibrated):
    before, after = WorldModel.from_pretrained(plain), WorldModel.from_pretrained(calibrated)
    assert before.config.calibration is None
    for name, value in before.state_dict().items():
        assert torch.equal(after.state_dict()[name], value), name
    scores = json.loads((calibrated / "config.json").read_text())["scores"]
    assert scores["doubt_threshold"] == after.config.calibration.threshold
    assert 0.0 <= scores["doubt_ece"] <= 1.0
    page = (calibrated / "README.md").read_text()
    assert "it is no probability" not in page
    assert "doubt_ece" in page
    assert (calibrated / "contexts.safetensors").is_file()


def test_a_dream_tells_its_doubt_and_ends_on_it(calibrated):
    env = DreamEnv(model=calibrated, termination="threshold")
    assert env.reset(seed=0)[1]["doubt"] == 0.0
    info = env.step(np.zeros(2, np.float32))[-1]
    curve = WorldModel.from_pretrained(calibrated).config.calibration
    doubt = float(Doubt(curve)(torch.tensor(info["uncertainty"])))
    assert info["doubt"] == pytest.approx(doubt, rel=1e-4)
    for limit, is_cut in ((doubt / 2, True), (min(1.0, doubt * 1.5), False)):
        env = DreamEnv(model=calibrated, termination="threshold", doubt_limit=limit)
        env.reset(seed=0)
        _, _, terminated, truncated, info = env.step(np.zeros(2, np.float32))
        assert (terminated, truncated) == (False, is_cut)
        assert info["cause"] == ("uncertain" if is_cut else "")


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_a_doubt_goes_with_its_episode(calibrated, mode):
    env = DreamVectorEnv(
        2, model=calibrated, doubt_limit=0.0, termination="threshold", autoreset_mode=mode
    )
    env.reset(seed=0)
    info = env.step(np.zeros((2, 2), np.float32))[-1]
    ended = info["final_info"] if mode is AutoresetMode.SAME_STEP else info
    assert (ended["doubt"] > 0.0).all()
    assert list(ended["cause"]) == ["uncertain"] * 2
    if mode is AutoresetMode.SAME_STEP:
        assert not info["doubt"].any()


def test_a_model_that_was_not_calibrated_has_no_doubt(plain):
    with pytest.raises(ConfigError, match="not calibrated"):
        DreamEnv(model=plain, doubt_limit=0.5)


def test_one_episode_cannot_fit_and_test(plain, tmp_path):
    with pytest.raises(EpisodeError, match="two at least"):
        calibrate(
            CalibrateConfig(
                model=str(plain), out=tmp_path / "run",
                data=(save_tiny_episodes(tmp_path / "one", count=1),),
            )
        )  # fmt: skip


def test_scores_tell_a_doubt_that_knows_from_one_that_does_not():
    g = torch.Generator().manual_seed(0)
    chance = torch.rand(4000, 1, generator=g)
    error = (torch.rand(4000, 1, generator=g) < chance).float()
    grid = torch.linspace(0.001, 1.0, 500).tolist()
    knows = Doubt(Calibration(threshold=0.5, disagreement=tuple(grid), probability=tuple(grid)))
    flat = Doubt(Calibration(threshold=0.5, disagreement=(1.0,), probability=(0.5,)))
    good, bad = (scores_of(doubt, Errors(chance, error), 0.5) for doubt in (knows, flat))
    assert good["doubt_ece"] < 0.03
    assert good["doubt_brier_skill"] == pytest.approx(1.0 / 3.0, abs=0.05)
    assert good["doubt_auc"] == pytest.approx(5.0 / 6.0, abs=0.03)
    assert bad["doubt_auc"] == 0.5
    assert bad["doubt_brier_skill"] == pytest.approx(0.0, abs=0.01)
