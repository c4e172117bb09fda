from dataclasses import replace

import pytest
import torch
from torch import nn

from dreamdrive.experiments.train_tokenizer import driving_model
from dreamdrive.worldmodel.model import WorldModel
from dreamdrive.worldmodel.presets import PRESETS

STATED = {
    "cpu": (0.44, 1.06, 16), "nano": (0.90, 4.19, 64),
    "base": (5.2, 87, 256), "large": (13, 289, 256),
}  # fmt: skip
"""Millions of parameters of tokenizer and dynamics, and patches of a frame, as the module says."""


def millions(module: nn.Module) -> float:
    return sum(x.numel() for x in module.parameters()) / 1e6


def built(name: str) -> WorldModel:
    preset = PRESETS[name]
    config = replace(driving_model(preset.tokenizer), transformer=preset.transformer)
    with torch.device("meta"):
        return WorldModel(config)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_as_large_as_it_says(name: str) -> None:
    model, preset = built(name), PRESETS[name]
    tokenizer, dynamics, patches = STATED[name]
    assert millions(model.tokenizer) == pytest.approx(tokenizer, rel=0.05)
    assert millions(model.dynamics) == pytest.approx(dynamics, rel=0.05)
    assert (preset.latent_shape[1] // preset.transformer.patch) ** 2 == patches
    assert model.latent_shape == preset.latent_shape


def test_nano_fits_into_12_mib_in_16_bits() -> None:
    assert 2 * 1e6 * millions(built("nano")) < 12 * 2**20
