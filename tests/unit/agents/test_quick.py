"""An agent learns the same from fused dreams and by faster products as from the model itself."""

import copy

import pytest
import torch

from dreamdrive.agents.actor_critic import ActorCritic, ActorCriticConfig
from dreamdrive.agents.networks import Actor, Critic, NetworkConfig
from dreamdrive.agents.quick import quicken
from dreamdrive.errors import ConfigError
from dreamdrive.worldmodel.packed import has_packed_products
from dreamdrive.worldmodel.quick import quick_product
from support.lively import lively

pytestmark = pytest.mark.skipif(not has_packed_products(), reason="PyTorch without oneDNN")
NETWORK = NetworkConfig(width=16, channels=4, num_bins=15)


@pytest.mark.parametrize(("rows", "has_bias"), [((5,), True), ((2, 3, 4), False)])
def test_its_gradients_are_those_of_the_product(rows, has_bias):
    generator = torch.Generator().manual_seed(0)
    x, weight, bias = (torch.randn(s, generator=generator) for s in ((*rows, 3), (4, 3), (4,)))
    parts = [part.requires_grad_() for part in (x, weight, bias)][: 3 if has_bias else 2]
    change = torch.randn(*rows, 4, generator=generator)
    given = parts if has_bias else [*parts, None]
    mine = torch.autograd.grad(quick_product(*given), parts, change)
    theirs = torch.autograd.grad(torch.nn.functional.linear(*parts), parts, change)
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("use_image", [True, False])
def test_networks_and_their_files_stay_the_same(use_image):
    model = lively()
    config = NetworkConfig(width=16, channels=4, num_bins=15, use_image=use_image)
    actor, critic = Actor.for_model(model, config), Critic.for_model(model, config)
    quick = quicken(copy.deepcopy(actor)), quicken(copy.deepcopy(critic))
    seen, vector = torch.randn(6, 4, 4, 4), torch.randn(6, 2)
    torch.testing.assert_close(quick[0](seen, vector).mean, actor(seen, vector).mean)
    torch.testing.assert_close(quick[1](seen, vector), critic(seen, vector))
    for a, b in zip(quick, (actor, critic), strict=True):
        assert list(a.state_dict()) == list(b.state_dict())
        assert all(x.is_contiguous() for x in a.state_dict().values())


@pytest.mark.parametrize("gradient", ["dynamics", "score"])
def test_an_agent_learns_the_same_in_fused_dreams(gradient):
    model = lively()
    config = ActorCriticConfig(
        network=NETWORK, gradient=gradient, horizon=5, critic_steps=2, scale_floor=1.0
    )
    told, weights = [], []
    for engine in ("eager", "fused"):
        learner = ActorCritic(model, config, seed=0, engine=engine)
        told.append([learner.update(model.init_state(4)) for _ in range(4)])
        weights.append(torch.cat([x.flatten() for x in learner.mean_actor.parameters()]))
    for eager, fused in zip(*told, strict=True):
        assert fused == pytest.approx(eager, rel=2e-3, abs=2e-4)
    assert told[0][0]["actor_norm"] > 1e-4
    torch.testing.assert_close(weights[1], weights[0], atol=2e-3, rtol=0.0)


def test_gradients_through_several_sampling_steps_are_refused_in_words():
    config = ActorCriticConfig(network=NETWORK, num_steps=4)
    with pytest.raises(ConfigError, match=r"one sampling step.*eager"):
        ActorCritic(lively(), config, seed=0, engine="fused")
