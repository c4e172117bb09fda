"""The ablation: every variant changes what it says, runs are kept, differences are paired."""

import dataclasses
import json

import pytest
import torch

from dreamdrive.checkpoint import load_tensors
from dreamdrive.errors import ConfigError
from dreamdrive.experiments import ablate as subject
from dreamdrive.experiments.ablate import (
    DISTILLED,
    FULL,
    SHOWN,
    VARIANTS,
    AblateConfig,
    ablate,
    rows_of,
    run_folder,
)
from dreamdrive.experiments.latent_table import encoded_frames
from dreamdrive.experiments.train_worldmodel import (
    TrainWorldModelConfig,
    train_worldmodel,
)
from dreamdrive.experiments.truth_measures import MeasureConfig
from dreamdrive.worldmodel.dynamics import DynamicsConfig
from support.tiny_episodes import save_tiny_episodes
from support.tiny_world import tiny_model


def measures(gain, **others):
    return dict.fromkeys(SHOWN, gain) | {"parameters": 10.0, "cpu_seconds": 1.0} | others


def test_every_variant_but_the_full_one_changes_the_training():
    plain = TrainWorldModelConfig()
    changed = {name: change(plain) for name, change in VARIANTS.items()}
    assert changed.pop(FULL) == plain
    assert plain not in changed.values()
    assert len({repr(dataclasses.asdict(config)) for config in changed.values()}) == len(changed)


def test_differences_are_paired_by_seed_and_starred_where_all_agree():
    full = [measures(1.0), measures(5.0), measures(3.0)]
    better = [measures(1.1), measures(5.2), measures(3.3)]
    mixed = [measures(1.5), measures(4.9), measures(3.0)]
    head, first, second, third = rows_of({FULL: full, "a": better, "b": mixed}, SHOWN)
    assert head[2] == "psnr_gain_5"
    assert (first[2], second[2], third[2]) == ("3.000", "+0.200*", "+0.133")
    two = rows_of({FULL: full[:2], "a": better[:2]}, SHOWN)
    assert two[2][2] == "+0.150"  # two seeds agree too easily


def test_it_trains_measures_keeps_and_goes_on(tmp_path, monkeypatch):
    data = save_tiny_episodes(tmp_path / "episodes", steps=48)
    world = tmp_path / "world"
    tiny_model(lively=False).save_pretrained(world)
    config = AblateConfig(
        data=(data,), test=(data,), init=world, seeds=(0,), steps=3, batch_size=2,
        variants=("with four registers", DISTILLED),
        horizon=3, out=tmp_path / "out",
        transformer=DynamicsConfig(
            width=32, num_layers=2, num_heads=2, num_key_heads=1, patch=4, window=4
        ),
        measure=MeasureConfig(num_windows=4, num_event_windows=8),
    )  # fmt: skip
    ablate(config)
    content = json.loads((config.out / "ablation.json").read_text())
    assert list(content["variants"]) == [FULL, "with four registers", DISTILLED]
    full, registers, student = (rows[0] for rows in content["variants"].values())
    assert registers["parameters"] - full["parameters"] == 4 * 32
    assert student["parameters"] > full["parameters"]  # it is told the size of its steps
    card = json.loads((run_folder(config.out, DISTILLED, 0) / "model" / "config.json").read_text())
    assert card["teacher"] == str(run_folder(config.out, FULL, 0) / "model")
    assert (config.out / "ablation.md").read_text().count("\n") == 5
    monkeypatch.setattr(subject, "train_worldmodel", lambda *_: pytest.fail("trained again"))
    monkeypatch.setattr(subject, "train_student", lambda *_: pytest.fail("trained again"))
    ablate(config)


def test_frames_that_are_encoded_once_train_the_same_model(tmp_path):
    data = save_tiny_episodes(tmp_path / "episodes", steps=48)
    world = tmp_path / "world"
    tiny_model(lively=False).save_pretrained(world)
    sizes = DynamicsConfig(width=32, num_layers=2, num_heads=2, num_key_heads=1, patch=4, window=4)

    def trained(name, frames=None):
        config = TrainWorldModelConfig(
            data=(data,), init=world, out=tmp_path / name, steps=3, batch_size=2, horizon=3,
            transformer=sizes,
        )  # fmt: skip
        return load_tensors(train_worldmodel(config, frames), "model")

    plain, again = trained("plain"), trained("again", encoded_frames(world, (data,)))
    assert all(torch.equal(value, again[name]) for name, value in plain.items())
    others = encoded_frames(world, (save_tiny_episodes(tmp_path / "others", steps=40),))
    other = trained("other", others)
    assert any(not torch.equal(value, other[name]) for name, value in plain.items())


def test_an_unknown_variant_is_refused_by_name():
    with pytest.raises(ConfigError, match="no variant 'with luck'"):
        AblateConfig(variants=("with luck",))
    with pytest.raises(ConfigError, match="At least one seed"):
        AblateConfig(seeds=())
