"""The tokenizer's ablation: what a variant changes, what is measured, and that runs are kept."""

import dataclasses
import json

import pytest
import torch

from dreamdrive.errors import ConfigError
from dreamdrive.experiments import ablate_tokenizer as subject
from dreamdrive.experiments.ablate import FULL
from dreamdrive.experiments.ablate_tokenizer import (
    SHOWN,
    VARIANTS,
    AblateTokenizerConfig,
    ablate_tokenizer,
)
from dreamdrive.experiments.truth_pictures import round_trip
from dreamdrive.worldmodel.tokenizer import TokenizerConfig
from support.tiny_episodes import save_tiny_episodes
from support.tiny_world import tiny_model


def test_every_variant_but_the_default_changes_the_tokenizer():
    plain = TokenizerConfig()
    changed = {name: change(plain) for name, change in VARIANTS.items()}
    assert changed.pop(FULL) == plain
    assert plain not in changed.values()
    assert len({repr(dataclasses.asdict(config)) for config in changed.values()}) == len(changed)


CHOSEN = ("with ViViT's tubelets", "with dilated convolutions", "with four frames a latent")


def test_it_trains_each_measures_keeps_and_goes_on(tmp_path, monkeypatch):
    data = save_tiny_episodes(tmp_path / "episodes", steps=40)
    config = AblateTokenizerConfig(
        data=data, test=(data,), seeds=(0,), steps=2, batch_size=2, num_clips=4,
        variants=CHOSEN,
        tokenizer=TokenizerConfig(width=8, coarse_width=16), out=tmp_path / "out",
    )  # fmt: skip
    ablate_tokenizer(config)
    content = json.loads((config.out / "ablation.json").read_text())
    rows = {name: rows[0] for name, rows in content["variants"].items()}
    assert list(rows) == [FULL, *CHOSEN]
    assert all(set(SHOWN) < set(row) for row in rows.values())
    more = rows["with dilated convolutions"]["parameters"] - rows[FULL]["parameters"]
    assert more > 0.0
    assert (config.out / "ablation.md").read_text().count("\n") == len(CHOSEN) + 3
    monkeypatch.setattr(subject, "train_tokenizer", lambda *_: pytest.fail("trained again"))
    ablate_tokenizer(config)


def test_noise_on_latents_is_seen_in_the_picture():
    model = tiny_model(lively=False)
    size = model.config.tokenizer.image_size
    clips = torch.rand(3, 2, 3, size, size, generator=torch.Generator().manual_seed(1))
    plain, same, noisy = (round_trip(model, clips, noise=noise) for noise in (0.0, 0.0, 2.0))
    assert plain == same
    assert noisy["round_psnr"] != plain["round_psnr"]


def test_an_unknown_variant_is_refused_by_name():
    with pytest.raises(ConfigError, match="no variant 'with luck'"):
        AblateTokenizerConfig(variants=("with luck",))
