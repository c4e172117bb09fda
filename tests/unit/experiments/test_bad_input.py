"""What a world model is given and cannot use is refused by name, or has a defined meaning."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from dreamdrive.driving.actions import DECISION_DT_S
from dreamdrive.errors import CheckpointError, EpisodeError
from dreamdrive.experiments.train_tokenizer import TrainTokenizerConfig, train_tokenizer
from dreamdrive.experiments.train_worldmodel import TrainWorldModelConfig, train_worldmodel
from dreamdrive.worldmodel.episodes import EpisodeStore, load_episode, save_episode
from dreamdrive.worldmodel.fitting import check_episodes
from dreamdrive.worldmodel.model import WorldModel
from dreamdrive.worldmodel.tokenizer import TokenizerConfig
from support.tiny_episodes import save_tiny_episodes, tiny_episode
from support.tiny_world import tiny_model


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world") / "model"
    tiny_model(lively=False).save_pretrained(folder)
    return folder


def training(tmp_path, world, data, **fields):
    settings = {
        "steps": 2, "batch_size": 2, "window": 4, "context": 2, "horizon": 3, "fine_tune": True
    }  # fmt: skip
    return TrainWorldModelConfig(
        data=(data,), init=world, out=tmp_path / "run", **(settings | fields)
    )


def stored(tmp_path, **fields):
    save_episode(tmp_path / "data" / "odd", replace(tiny_episode(0), **fields))
    return tmp_path / "data"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"meta": tiny_episode(0).meta | {"step_s": 0.05}}, r"0\.05 s apart.*model 0\.1 s"),
        ({"image": np.zeros((25, 32, 32, 3), np.uint8)}, r"pictures have the shape \(32, 32, 3\)"),
        ({"state": np.zeros((25, 3), np.float32)}, r"states have the shape \(3,\)"),
        ({"action": np.zeros((24, 5), np.float32)}, r"actions have the shape \(5,\)"),
    ],
)
def test_episodes_of_another_environment_or_rate_are_refused(tmp_path, world, fields, words):
    config = training(tmp_path, world, stored(tmp_path, **fields))
    with pytest.raises(EpisodeError, match=words) as caught:
        train_worldmodel(config)
    assert "odd" in str(caught.value)
    assert not config.out.exists(), "nothing was begun"


def test_the_rate_that_is_recorded_is_that_of_the_model(tmp_path):
    meta = tiny_episode(0).meta | {"step_s": DECISION_DT_S}
    data = stored(tmp_path, meta=meta)
    check_episodes(EpisodeStore(data), tiny_model().config)


def test_clips_shorter_than_a_window_are_refused(tmp_path, world):
    data = save_tiny_episodes(tmp_path / "short", count=2, steps=3)
    with pytest.raises(EpisodeError, match="No episode has 9 frames"):
        train_worldmodel(training(tmp_path, world, data, window=9))


@pytest.mark.parametrize("name", ["state", "reward"])
def test_a_number_on_disk_that_is_not_finite_is_named_with_its_episode(tmp_path, name):
    save_episode(tmp_path / "a", tiny_episode(0))
    (path,) = (tmp_path / "a").rglob(f"{name}.memmap")
    values = np.fromfile(path, np.float32)
    values[5] = np.nan
    values.tofile(path)
    with pytest.raises(EpisodeError, match=f"'{name}' holds a number that is not finite") as caught:
        load_episode(tmp_path / "a")
    assert str(tmp_path / "a") in str(caught.value)


def test_constant_frames_train_to_finite_weights(tmp_path):
    plain = tiny_episode(0)
    for number in range(2):
        episode = replace(
            plain, image=np.full_like(plain.image, 90), state=np.ones_like(plain.state),
            action=np.zeros_like(plain.action), reward=np.zeros_like(plain.reward),
        )  # fmt: skip
        save_episode(tmp_path / "data" / f"{number}", episode)
    tokenizer = train_tokenizer(
        TrainTokenizerConfig(
            data=tmp_path / "data", out=tmp_path / "tokenizer", steps=2, batch_size=2,
            tokenizer=TokenizerConfig(latent_channels=2, width=4, coarse_width=8),
        )
    )  # fmt: skip
    made = training(tmp_path, tokenizer, tmp_path / "data", fine_tune=False)
    small = tiny_model().config.transformer
    model = WorldModel.from_pretrained(train_worldmodel(replace(made, transformer=small)))
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())
    assert float(model.latent_std.min()) > 0.0
    assert float(model.vector_std.min()) > 0.0


def test_a_checkpoint_with_another_latent_shape_is_refused(tmp_path, world):
    model = WorldModel.from_pretrained(world)
    model.save_pretrained(tmp_path / "m")
    header = json.loads((tmp_path / "m" / "config.json").read_text())
    header["config"]["tokenizer"]["latent_channels"] += 2
    (tmp_path / "m" / "config.json").write_text(json.dumps(header))
    with pytest.raises(CheckpointError, match="do not fit"):
        WorldModel.from_pretrained(tmp_path / "m")


def test_a_rollout_far_beyond_the_horizon_stays_finite_and_counts_on():
    model = tiny_model()
    state, generator = model.init_state(1), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for _ in range(300):
            action = torch.rand(1, 2, generator=generator)
            state, seen = model.imagine_step(state, action, generator=generator, in_place=True)
    assert all(torch.isfinite(leaf).all() for leaf in state.leaves())
    assert state.memory.count_B.tolist() == [300]
    assert 0.0 <= float(seen.termination_BC.sum()) <= 1.0


@pytest.mark.parametrize("kind", ["transformer", "rssm"])
def test_in_16_bits_it_learns_nearly_the_same_and_keeps_32_bit_weights(tmp_path, world, kind):
    data = save_tiny_episodes(tmp_path / "data", count=2, steps=12)
    found = {}
    for precision in ("float32", "bfloat16"):
        config = training(tmp_path, world, data, precision=precision, kind=kind, fine_tune=False)
        config = replace(
            config, out=tmp_path / precision, transformer=tiny_model().config.transformer
        )
        model = WorldModel.from_pretrained(train_worldmodel(config))
        assert {x.dtype for x in model.parameters()} == {torch.float32}
        lines = (config.out / "metrics.jsonl").read_text().splitlines()
        found[precision] = [json.loads(line)["loss"] for line in lines]
    assert found["bfloat16"] == pytest.approx(found["float32"], rel=0.05)
    assert found["bfloat16"] != found["float32"]
