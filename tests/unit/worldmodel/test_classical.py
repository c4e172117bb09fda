"""The MDN-RNN of World Models and the RSSM of DreamerV3, against closed forms."""

import math

import pytest
import torch
from torch import Tensor

from dreamdrive.worldmodel.losses import Batch, LossConfig, sequence_loss
from dreamdrive.worldmodel.mdnrnn import MDNRNNConfig, Mixture
from dreamdrive.worldmodel.model import Kind, WorldModel, WorldModelConfig
from dreamdrive.worldmodel.rssm import RSSMConfig, RSSMDynamics, divergence
from dreamdrive.worldmodel.tokenizer import TokenizerConfig

KINDS: tuple[Kind, ...] = ("mdnrnn", "rssm")
SMALL = WorldModelConfig(
    vector_names=("a", "b"),
    causes=("end",),
    action_size=1,
    tokenizer=TokenizerConfig(image_size=16, latent_channels=2, width=8, coarse_width=8),
    mdnrnn=MDNRNNConfig(width=32, hidden=32),
    rssm=RSSMConfig(width=32, hidden=32, num_variables=4, num_classes=4),
)


def small(kind: Kind) -> WorldModel:
    torch.manual_seed(0)
    return WorldModel(WorldModelConfig(**{**_fields(SMALL), "kind": kind}))


def _fields(config: WorldModelConfig) -> dict:
    return {name: getattr(config, name) for name in WorldModelConfig.__dataclass_fields__}


def two_bumps() -> Mixture:
    weight = torch.tensor([0.25, 0.75])[:, None]
    mean = torch.tensor([-2.0, 1.0])[:, None]
    std = torch.tensor([0.5, 0.1])[:, None]
    return Mixture(weight.log(), mean, std.log())


def test_the_likelihood_of_a_mixture_is_that_of_its_components() -> None:
    target = torch.tensor([0.9])
    density = sum(
        share * math.exp(-0.5 * ((0.9 - mean) / std) ** 2) / (std * math.sqrt(2.0 * math.pi))
        for share, mean, std in ((0.25, -2.0, 0.5), (0.75, 1.0, 0.1))
    )
    error = two_bumps().negative_log_likelihood(target)
    torch.testing.assert_close(error, torch.tensor([-math.log(density)]))


def test_draws_of_a_mixture_have_its_moments() -> None:
    mixture = two_bumps()
    n = 200_000
    many = Mixture(*(part.expand(n, 2, 1) for part in mixture))
    drawn = many.sample(torch.randn(n, 1, generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(mixture.expectation(), torch.tensor([0.25]))
    assert float(drawn.mean()) == pytest.approx(0.25, abs=0.02)
    # E x² = Σ π (μ² + σ²) = 0.25 · 4.25 + 0.75 · 1.01
    assert float(drawn.square().mean()) == pytest.approx(1.82, abs=0.02)
    low = drawn[drawn < -0.5]
    assert len(low) / n == pytest.approx(0.25, abs=0.01)
    assert float(low.mean()) == pytest.approx(-2.0, abs=0.02)
    assert float(low.std()) == pytest.approx(0.5, abs=0.02)


def test_a_divergence_is_that_of_the_closed_form() -> None:
    q, p = torch.tensor([[0.5, 0.5]]), torch.tensor([[0.9, 0.1]])
    expected = 0.5 * math.log(0.5 / 0.9) + 0.5 * math.log(0.5 / 0.1)
    torch.testing.assert_close(divergence(q.log(), p.log()), torch.tensor(expected))
    assert float(divergence(q.log(), q.log())) == 0.0


def test_probabilities_hold_a_share_of_the_uniform() -> None:
    rssm = small("rssm").dynamics
    assert isinstance(rssm, RSSMDynamics)
    sure = torch.zeros(1, 16)
    sure[0, ::4] = 1000.0
    probability = rssm.log_probabilities(sure).exp()
    torch.testing.assert_close(probability[0, 0], torch.tensor([0.9925, 0.0025, 0.0025, 0.0025]))


def test_the_gradient_of_a_draw_is_that_of_the_probabilities() -> None:
    rssm = small("rssm").dynamics
    assert isinstance(rssm, RSSMDynamics)
    logits = torch.randn(3, 16, requires_grad=True)
    worth = torch.randn(16)
    drawn = rssm.draw(rssm.log_probabilities(logits), torch.rand(3, 4))
    assert torch.equal(drawn.detach().unflatten(-1, (4, 4)).sum(-1).round(), torch.ones(3, 4))
    (given,) = torch.autograd.grad((drawn * worth).sum(), logits)
    soft = rssm.log_probabilities(logits).exp().flatten(-2)
    (expected,) = torch.autograd.grad((soft * worth).sum(), logits)
    torch.testing.assert_close(given, expected)


def swing(count: int, length: int, seed: int) -> Batch:
    """Windows of a point that the action moves, shown in the vector and in one latent channel."""
    generator = torch.Generator().manual_seed(seed)
    action = torch.rand(count, length, 1, generator=generator) * 2.0 - 1.0
    place = torch.randn(count, 1, 1, generator=generator) + 0.5 * action.cumsum(1)
    vector = torch.cat([place, -place], -1)
    latent = place[..., None, None].expand(count, length, 2, 2, 2)
    end = torch.zeros(count, length, dtype=torch.long)
    return Batch(latent, vector, action, 0.1 * place[..., 0], end)


def foreseen(model: WorldModel, batch: Batch) -> float:
    """Returns the squared error of the vector five steps ahead of two true frames."""
    state = model.init_state(len(batch.latent))
    for t in range(2):
        action = batch.action[:, t] if t else None
        state = model.observe_latent(state, batch.latent[:, t], batch.vector[:, t], action)
    for t in range(2, 7):
        state, seen = model.imagine_step(state, batch.action[:, t])
    return float((seen.vector_BK - batch.vector[:, 6]).square().mean())


@pytest.mark.parametrize(("kind", "steps", "rate"), [("mdnrnn", 60, 1e-2), ("rssm", 250, 4e-3)])
def test_they_learn_what_an_action_leads_to(kind: Kind, steps: int, rate: float) -> None:
    model = small(kind)
    optimiser = torch.optim.Adam(model.parameters(), rate)
    generator = torch.Generator().manual_seed(0)
    test = swing(64, 8, seed=10_000)
    copy = float((test.vector[:, 1] - test.vector[:, 6]).square().mean())
    for step in range(steps):
        loss, parts = sequence_loss(model, swing(32, 8, step), LossConfig(), generator)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert all(torch.isfinite(part) for part in parts.values())
    with torch.no_grad():
        ours = foreseen(model, test)
        wrong = foreseen(model, test._replace(action=test.action.flip(0)))
    assert ours < 0.4 * copy
    assert wrong > 2.0 * ours


@pytest.mark.parametrize("kind", KINDS)
def test_a_dream_can_be_learned_from(kind: Kind) -> None:
    model = small(kind)
    # An untrained mixture shows the frame before, whatever is done.
    with torch.no_grad():
        for parameter in model.dynamics.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    batch = swing(4, 8, 0)
    state = model.observe_latent(model.init_state(4), batch.latent[:, 0], batch.vector[:, 0])
    action = torch.zeros(4, 1, requires_grad=True)
    for _ in range(3):
        state, seen = model.imagine_step(state, action, num_steps=4)
    (gradient,) = torch.autograd.grad(seen.vector_BK.sum(), action)
    assert float(gradient.abs().min()) > 0.0


@pytest.mark.parametrize("kind", KINDS)
def test_one_step_is_certain_and_several_draw(kind: Kind) -> None:
    model = small(kind)
    batch = swing(2, 8, 0)
    state = model.observe_latent(model.init_state(2), batch.latent[:, 0], batch.vector[:, 0])

    def vector(seed: int, num_steps: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        after = state
        for t in range(1, 5):
            after, seen = model.imagine_step(
                after, batch.action[:, t], generator=generator, num_steps=num_steps
            )
        return seen.vector_BK

    assert torch.equal(vector(0, 1), vector(1, 1))
    assert torch.equal(vector(0, 4), vector(0, 4))
    assert not torch.equal(vector(0, 4), vector(1, 4))


def test_the_rssm_goes_on_from_its_own_state_in_a_dream_and_from_what_it_sees_outside() -> None:
    model = small("rssm")
    model.vector_mean += 0.3
    model.vector_std *= 1.7
    rssm = model.dynamics
    assert isinstance(rssm, RSSMDynamics)
    batch = swing(2, 8, 0)
    state = model.observe_latent(model.init_state(2), batch.latent[:, 0], batch.vector[:, 0])
    state, _ = model.imagine_step(state, batch.action[:, 1], num_steps=4)
    action = batch.action[:, 2]
    after, _ = model.imagine_step(state, action)
    expected = rssm.advance(state.memory.hidden_BD, state.memory.sample_BS, action)
    torch.testing.assert_close(after.memory.hidden_BD, expected)
    # One value that differs makes its row a frame that is seen; the other goes on dreaming.
    latent = state.latent_BCHW.clone()
    latent[1, 0, 0, 0] += 1.0
    after, _ = model.imagine_step(state._replace(latent_BCHW=latent), action)
    torch.testing.assert_close(after.memory.hidden_BD[0], expected[0])
    entries = torch.cat([latent.flatten(1), model.normalise_vector(state.vector_BK)], -1)
    posterior = rssm.draw(rssm.representation(state.memory.hidden_BD, entries), None)
    seen = rssm.advance(state.memory.hidden_BD, posterior, action)
    torch.testing.assert_close(after.memory.hidden_BD[1], seen[1])
    assert not torch.equal(seen[1], expected[1])


def test_the_transformer_has_no_such_loss() -> None:
    with pytest.raises(TypeError):
        sequence_loss(small("transformer"), swing(2, 4, 0), LossConfig(), torch.Generator())
