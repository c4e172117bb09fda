"""A fused rollout teaches a model's weights what autograd does."""

import numpy as np
import pytest
import torch
from torch import Tensor

from dreamdrive.kernels import processor, processor_back, processor_space, processor_time
from dreamdrive.worldmodel import fused_frames
from dreamdrive.worldmodel.fused_rollout import FusedRollout
from dreamdrive.worldmodel.memory import MemoryConfig
from dreamdrive.worldmodel.model import WorldModel
from dreamdrive.worldmodel.packed import has_packed_products
from support.lively import lively

pytestmark = pytest.mark.skipif(not has_packed_products(), reason="PyTorch without oneDNN")
B, T = 3, 7


def learn(model: WorldModel, rolling: FusedRollout | None, seed: int = 1) -> dict[str, Tensor]:
    """Returns the gradients of the dynamics' weights through T steps, some from true frames."""
    model.requires_grad_(True)
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    memory = model.dynamics.init_memory(B, model.device)
    step = model.dynamics.step
    if rolling is not None:
        memory, step = rolling.open(memory), rolling.step
    latent, vector = normal(B, *model.latent_shape), normal(B, 2)
    loss = torch.zeros(())
    for t in range(T):
        noise = normal(*latent.shape), normal(B, 2)
        action = normal(B, 2).tanh()
        if model.config.transformer.has_null_action:
            action[t % B] = torch.nan
        told = step(latent, vector, action, memory, noise)
        memory = told.memory
        loss = loss + (t + 1) * told.latent.square().mean() + told.vector.square().mean()
        loss = loss + (told.agent * normal(*told.agent.shape)).mean()
        is_true = t in (0, 3)
        latent = normal(*latent.shape) if is_true else told.latent
        vector = torch.where(torch.tensor([[is_true]]), normal(B, 2), told.vector)
    names, weights = zip(*model.dynamics.named_parameters(), strict=True)
    found = torch.autograd.grad(loss, weights, allow_unused=True)
    return {name: x for name, x in zip(names, found, strict=True) if x is not None}


def gaps(mine: dict[str, Tensor], theirs: dict[str, Tensor]) -> dict[str, float]:
    """The largest difference of each weight's gradient, in parts of its largest value."""
    assert mine.keys() == theirs.keys()
    return {k: float((mine[k] - x).abs().max() / x.abs().max()) for k, x in theirs.items()}


@pytest.mark.parametrize(
    "config",
    [
        {}, {"has_step_size": True}, {"patch": 1, "time_every": 3},
        {"num_key_heads": 4, "window": 2}, {"has_null_action": True},
        {"memory": MemoryConfig(num_slots=4, slot_width=8, controller_width=8)},
    ],
)  # fmt: skip
def test_every_weight_learns_what_autograd_teaches(config):
    model = lively(**config)
    theirs = learn(model, None)
    mine = learn(model, FusedRollout(model, B, T, learns=True))
    assert all(float(x.abs().max()) > 1e-5 for x in theirs.values())
    assert {k: v for k, v in gaps(mine, theirs).items() if v > 1e-4} == {}


def test_the_weights_are_those_that_hold_when_a_dream_begins():
    model = lively()
    rolling = FusedRollout(model, B, T, learns=True)
    learn(model, rolling)
    with torch.no_grad():
        for weight in model.dynamics.parameters():
            weight.mul_(0.9)
    theirs, mine = learn(model, None, seed=2), learn(model, rolling, seed=2)
    assert max(gaps(mine, theirs).values()) < 1e-4
    packed = rolling.parts[0].products
    again = learn(model, rolling, seed=2)
    assert rolling.parts[0].products is packed, "packed anew, though no weight has changed"
    assert all(torch.equal(again[name], x) for name, x in mine.items()), "sums begin anew"


def test_threads_share_the_dreams_out_and_add_up_what_they_learn():
    model, before = lively(), torch.get_num_threads()
    rolling = FusedRollout(model, B, T, learns=True, threads=2)
    assert [part.batch_size for part in rolling.parts] == [2, 1]
    assert torch.get_num_threads() == before
    assert max(gaps(learn(model, rolling), learn(model, None)).values()) < 1e-4


def test_in_16_bits_weights_learn_nearly_the_same():
    model = lively()
    mine = learn(model, FusedRollout(model, B, T, "bfloat16", learns=True))
    found = gaps(mine, learn(model, None))
    assert 1e-4 < max(found.values()) < 0.5


@pytest.mark.parametrize(
    ("loops", "name", "which"),
    [
        (processor, "gated_unit", -1), (processor, "modulate", -1),
        (processor_back, "modulate_back", -1), (processor_back, "gated_back", -1),
        (processor_space, "turn_back", -2), (processor_time, "turn_back", -2),
        (processor_time, "turn_back", -1), (fused_frames, "attend", -1),
    ],
)  # fmt: skip
def test_a_wrong_loop_is_noticed(monkeypatch, loops, name, which):
    """Loops that teach weights: what they read again, and what they add up."""

    def wrong(*arguments) -> None:
        right(*arguments)
        arguments[which][...] *= np.float32(1.5)

    model = lively()
    theirs = learn(model, None)
    right = getattr(loops, name)
    monkeypatch.setattr(loops, name, wrong)
    mine = learn(model, FusedRollout(model, B, T, learns=True))
    assert max(gaps(mine, theirs).values()) > 1e-3
