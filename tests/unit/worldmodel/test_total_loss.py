"""L = λ₁ reconstruction + λ₂ flow + λ₃ JEPA + λ₄ consistency: named, weighted, switchable."""

from dataclasses import replace

import pytest
import torch

from dreamdrive.worldmodel.losses import (
    LossConfig,
    flow_loss,
    rollout_loss,
    teacher_forcing_ratio,
)
from support.two_modes import two_mode_batch, two_mode_model


def lively():
    model = two_mode_model(has_step_size=True)
    torch.manual_seed(0)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    return model


def test_what_the_heads_say_in_a_rollout_is_consistent_where_the_rollout_is_the_truth() -> None:
    model = lively()
    batch = two_mode_batch(6, torch.Generator().manual_seed(0), length=5)
    config = LossConfig(consistency=1.0, reconstruction=0.0)
    found = {}
    for name, forced in (("truth", 1.0), ("dream", 0.0)):
        _, parts = rollout_loss(
            model, batch, config, torch.Generator().manual_seed(0), context=1,
            teacher_forcing=forced,
        )  # fmt: skip
        found[name] = parts["consistency"]
    assert float(found["truth"].detach()) == pytest.approx(0.0, abs=1e-6)
    assert float(found["dream"].detach()) > 1e-3
    found["dream"].backward()
    assert any(p.grad is not None and p.grad.any() for p in model.dynamics.parameters())


@pytest.mark.parametrize("way", ["flow", "rollout"])
def test_the_total_is_the_weighted_sum_and_each_part_has_a_switch(way: str) -> None:
    model = lively()
    batch = two_mode_batch(8, torch.Generator().manual_seed(0), length=5)
    config = LossConfig(consistency=0.7, reconstruction=0.0)

    def loss(config: LossConfig):
        generator = torch.Generator().manual_seed(0)
        if way == "flow":
            return flow_loss(model, batch, config, generator)
        return rollout_loss(model, batch, config, generator, context=2)

    total, parts = loss(config)
    expected = sum(getattr(config, name) * float(part.detach()) for name, part in parts.items())
    assert float(total.detach()) == pytest.approx(expected, rel=1e-5)
    for name, part in parts.items():
        without, _ = loss(replace(config, **{name: 0.0}))
        if name == "shortcut":
            continue
        assert float(without.detach()) == pytest.approx(
            expected - getattr(config, name) * float(part.detach()), rel=1e-4
        )
    off = loss(replace(config, consistency=0.0, shortcut=0.0))[1]
    assert off.keys() == parts.keys() - {"consistency", "shortcut"}


def test_the_truth_fades_linearly() -> None:
    assert [teacher_forcing_ratio(t, 4) for t in range(6)] == [1.0, 0.75, 0.5, 0.25, 0.0, 0.0]
    assert teacher_forcing_ratio(0, 0) == 0.0
