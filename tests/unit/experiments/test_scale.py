"""Scaling: exponents are found where they are known, runs are kept and measured alike."""

import json
import math

import numpy as np
import pytest

from dreamdrive.errors import ConfigError
from dreamdrive.experiments import scale as subject
from dreamdrive.experiments.scale import ScaleConfig, exponent, front, scale, sized
from dreamdrive.worldmodel.dynamics import DynamicsConfig
from support.tiny_episodes import save_tiny_episodes
from support.tiny_world import tiny_model


def run(x, loss, noise=0.0, seed=0):
    draws = np.random.default_rng(seed).normal(size=16)
    return {"flop": x, "parameters": x, "losses": list(loss * np.exp(noise * draws))}


def test_a_power_law_is_found_with_its_interval():
    sizes = [1e4, 3e4, 1e5, 3e5, 1e6]
    clean = [run(n, 5.0 * n**-0.1) for n in sizes]
    assert exponent(clean, "parameters") == pytest.approx((-0.1, -0.1, -0.1))
    noisy = [run(n, 5.0 * n**-0.1, 0.1, seed) for seed, n in enumerate(sizes)]
    value, low, high = exponent(noisy, "parameters")
    assert low < value < high
    assert low < -0.1 < high
    assert high - low > 0.005
    assert math.isnan(exponent([clean[0], clean[0]], "parameters")[0])


def test_the_front_is_what_nothing_cheaper_beats():
    runs = [run(1.0, 4.0), run(2.0, 5.0), run(3.0, 3.0), run(3.0, 2.0), run(9.0, 2.5)]
    assert [(r["flop"], round(np.mean(r["losses"]), 6)) for r in front(runs, "flop")] == [
        (1.0, 4.0), (3.0, 2.0),
    ]  # fmt: skip


def test_a_size_is_a_width_and_layers():
    config = sized(DynamicsConfig(window=7), "64x3")
    assert (config.width, config.num_layers, config.window) == (64, 3, 7)
    for wrong in ("64", "ax3", "65x3"):
        with pytest.raises(ConfigError, match="no size"):
            sized(DynamicsConfig(), wrong)
    with pytest.raises(ConfigError, match="two sizes"):
        ScaleConfig(sizes=("64x3",))


def test_it_trains_measures_keeps_and_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(subject, "BATCHES", 2)
    data = save_tiny_episodes(tmp_path / "episodes", steps=40)
    world = tmp_path / "world"
    tiny_model(lively=False).save_pretrained(world)
    config = ScaleConfig(
        data=(data,), test=(data,), init=world, sizes=("16x1", "32x2"), steps=(2, 4),
        batch_size=2, out=tmp_path / "out",
        transformer=DynamicsConfig(num_heads=2, num_key_heads=1, patch=4, window=4),
    )  # fmt: skip
    content = json.loads((scale(config) / "scale.json").read_text())
    runs = {(run["size"], run["steps"]): run for run in content["runs"]}
    assert len(runs) == 4
    small, long, large = runs["16x1", 2], runs["16x1", 4], runs["32x2", 2]
    assert small["parameters"] == long["parameters"] < large["parameters"]
    assert long["flop"] == pytest.approx(2.0 * small["flop"])
    assert large["flop"] > small["flop"]
    assert len(small["losses"]) == 2
    assert small["losses"] != large["losses"]
    monkeypatch.setattr(subject, "train_worldmodel", lambda *_: pytest.fail("trained again"))
    assert json.loads((scale(config) / "scale.json").read_text())["runs"] == content["runs"]
