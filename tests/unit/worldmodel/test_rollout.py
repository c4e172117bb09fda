"""A fused rollout is the model's own, frames and gradients; what it cannot do is said."""

import numpy as np
import pytest
import torch
from torch import Tensor

from dreamdrive.errors import ConfigError
from dreamdrive.kernels import processor, processor_back, processor_space, processor_time
from dreamdrive.worldmodel.fused_rollout import FusedRollout
from dreamdrive.worldmodel.memory import MemoryConfig
from dreamdrive.worldmodel.model import WorldModel
from dreamdrive.worldmodel.packed import has_packed_products
from dreamdrive.worldmodel.rollout import Rollout, drawn
from dreamdrive.worldmodel.state import RolloutState
from support.lively import lively

pytestmark = pytest.mark.skipif(not has_packed_products(), reason="PyTorch without oneDNN")
B, T = 3, 7


def warm(model: WorldModel) -> RolloutState:
    """States after two frames, which fill a part of the ring."""
    generator, state = torch.Generator().manual_seed(0), model.init_state(B)
    with torch.no_grad():
        for _ in range(2):
            action = torch.rand(B, 2, generator=generator) * 2.0 - 1.0
            state, _ = model.imagine_step(state, action, generator=generator)
    return state


def learn(model: WorldModel, engine: str, precision: str = "float32") -> tuple[list[Tensor], ...]:
    """Returns what a rollout shows, its gradients in actions and first latent, and its end."""
    generator, start = torch.Generator().manual_seed(1), warm(model)
    given = torch.rand(T, B, 2, generator=generator) * 2.0 - 1.0
    given.requires_grad_()
    latent = start.latent_BCHW.clone().requires_grad_()
    rollout = Rollout(model, B, T, engine, precision)  # type: ignore[arg-type]

    # Of what is seen too, so that the gradient of a frame comes from more than one side.
    def choose(state: RolloutState, t: int) -> Tensor:
        return (given[t] + 0.1 * state.seen.mean((1, 2, 3))[:, None]).tanh()

    rolled = rollout(start._replace(latent_BCHW=latent), choose, drawn(generator))
    weights = torch.linspace(0.5, 1.5, T)
    loss = (rolled.reward_BT * weights).sum() + rolled.termination_BTJ[..., 1].sum()
    loss = loss + rolled.vector_BTK.square().mean() + rolled.seen_BTCHW.square().mean()
    gradients = list(torch.autograd.grad(loss, (given, latent)))
    shown = [x.detach() for x in rolled[:-1]]
    return shown, gradients, [x.detach() for x in rolled.end.leaves()]


def gap(mine: list[Tensor], theirs: list[Tensor]) -> float:
    """The largest difference, in parts of the largest value of each tensor."""
    pairs = zip(mine, theirs, strict=True)
    return max(float((a - b).abs().max() / (b.abs().max() + 1e-6)) for a, b in pairs)


@pytest.mark.parametrize(
    "config",
    [
        {}, {"has_step_size": True}, {"patch": 1, "time_every": 3},
        {"num_key_heads": 4, "window": 1},
        {"memory": MemoryConfig(num_slots=4, slot_width=8, controller_width=8)},
    ],
)  # fmt: skip
def test_a_fused_rollout_shows_and_teaches_what_the_model_does(config):
    model = lively(**config)
    mine, theirs = learn(model, "fused"), learn(model, "eager")
    assert all(float(x.abs().max()) > 1e-3 for x in theirs[1])
    for a, b in zip(mine, theirs, strict=True):
        assert gap(a, b) < 2e-5


def test_in_16_bits_it_teaches_nearly_the_same():
    model = lively()
    (mine,), (theirs,) = learn(model, "fused", "bfloat16")[1:2], learn(model, "eager")[1:2]
    assert 1e-4 < gap(mine, theirs) < 0.3


@pytest.mark.parametrize(
    ("loops", "name"),
    [
        (processor_back, "gated_back"), (processor, "gated_unit_back"),
        (processor_back, "modulate_back"), (processor_back, "affine_norm_back"),
        (processor_space, "turn_back"), (processor_space, "softmax_back"),
        (processor_space, "to_heads"), (processor_time, "read"), (processor_time, "read_back"),
        (processor_time, "score_back"), (processor_time, "softmax_back"),
        (processor_time, "turn_back"),
    ],
)  # fmt: skip
def test_a_wrong_loop_is_noticed(monkeypatch, loops, name):
    def wrong(*arguments) -> None:
        right(*arguments)
        arguments[-1][...] *= np.float32(1.5)

    model = lively()
    right = getattr(loops, name)
    monkeypatch.setattr(loops, name, wrong)
    assert gap(learn(model, "fused")[1], learn(model, "eager")[1]) > 1e-3


def test_without_gradients_it_is_the_same_and_leaves_the_start_whole():
    model, start = lively(), warm(lively())
    kept = start.clone()
    rollout = Rollout(model, B, T, "fused")

    def choose(state: RolloutState, t: int) -> Tensor:
        return state.seen.mean((2, 3))[:, :2].tanh()

    def roll():
        return rollout(start, choose, drawn(torch.Generator().manual_seed(2)), horizon=5)

    learned = roll()
    with torch.no_grad():
        plain = roll()
        forked = rollout(start.fork(1), choose, drawn(torch.Generator().manual_seed(2)), horizon=5)
    assert plain.reward_BT.shape == (B, 5)
    for a, b, c in zip(plain[:-1], learned[:-1], forked[:-1], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
        assert torch.equal(a, c)
    for a, b in zip(plain.end.leaves(), learned.end.leaves(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    for a, b in zip(start.leaves(), kept.leaves(), strict=True):
        assert torch.equal(a, b)


def test_what_it_cannot_do_is_said():
    model, start = lively(), warm(lively())
    fused, action = FusedRollout(model, B, 1), torch.zeros(B, 2, requires_grad=True)
    noise = torch.zeros_like(start.latent_BCHW), torch.zeros_like(start.vector_BK)
    with pytest.raises(ConfigError, match="one sampling step"):
        fused(fused.begin(start), action, noise=noise, num_steps=4)
    state, seen = fused(fused.begin(start), action, noise=noise)
    with pytest.raises(ConfigError, match="of 1 decisions is over"):
        fused(state, action, noise=noise)
    fused.begin(start)
    with pytest.raises(ConfigError, match="Another dream was begun"):
        seen.reward_B.sum().backward()
    with pytest.raises(ConfigError, match="begins at 3 states that are no branches"):
        fused.begin(model.init_state(2))
    with pytest.raises(ConfigError, match="begins at 3 states that are no branches"):
        fused.begin(start.fork(1))
    ring = start.memory._replace(key_BLNGWP=start.memory.key_BLNGWP.clone().requires_grad_())
    with pytest.raises(ConfigError, match="before a dream's start"):
        fused.begin(start._replace(memory=ring))
