"""Distillation against the exact flow to two modes, and on a transformer that has learned them."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from dreamdrive.errors import ConfigError
from dreamdrive.worldmodel.distillation import (
    DistillationConfig,
    distillation_loss,
    diversity,
    integrate,
    on_the_way,
    squared_error,
    student_of,
    teacher_pairs,
)
from dreamdrive.worldmodel.heads import NUM_BINS, OutcomeHeads
from dreamdrive.worldmodel.losses import LossConfig, flow_loss
from dreamdrive.worldmodel.model import WorldModel
from dreamdrive.worldmodel.shortcut import NUM_STEPS, Parts
from support.two_modes import MODE, SPREAD, two_mode_batch, two_mode_draws, two_mode_model


def exact(z: Parts, tau: Tensor, step: Tensor) -> Parts:
    """E[z₁ | z_τ] where z₁ is N(MODE, SPREAD²) or N(-MODE, SPREAD²), equally likely."""
    (x,), t = z, tau[..., None]
    variance = (1 - t) ** 2 + (t * SPREAD) ** 2
    likely = torch.sigmoid(2.0 * t * MODE * x / variance)
    up, down = (m + t * SPREAD**2 / variance * (x - t * m) for m in (MODE, -MODE))
    return (likely * up + (1 - likely) * down,)


class Curve(nn.Module):
    """A network of one number."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(3, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 1)
        )

    def forward(self, z: Parts, tau: Tensor, step: Tensor) -> Parts:
        return (self.layers(torch.cat([z[0], tau[..., None], step[..., None]], -1)),)


def distilled(*, paired: bool) -> Curve:
    torch.manual_seed(0)
    student, generator = Curve(), torch.Generator().manual_seed(0)
    optimiser = torch.optim.Adam(student.parameters(), 5e-3)
    for _ in range(250):
        noise = (torch.randn(256, 1, generator=generator),)
        other = noise if paired else (torch.randn(256, 1, generator=generator),)
        endpoint = integrate(exact, other, 4)
        whole = torch.ones(256)
        loss = squared_error(student(noise, 0 * whole, whole), endpoint)
        z, tau, step = on_the_way(noise, endpoint, (2,), generator)
        loss = loss + squared_error(student(z, tau, step), endpoint)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return student.requires_grad_(False)


def test_the_exact_flow_needs_many_steps_and_gives_the_mean_in_one() -> None:
    noise = (torch.randn(4000, 1, generator=torch.Generator().manual_seed(1)),)
    one, many = integrate(exact, noise, 1)[0], integrate(exact, noise, 256)[0]
    assert float(one.abs().max()) < 1e-6
    assert float(many.std()) == pytest.approx((MODE**2 + SPREAD**2) ** 0.5, rel=0.03)
    assert float(many.abs().std()) == pytest.approx(SPREAD, rel=0.15)
    assert torch.equal(many.sign(), noise[0].sign())


def test_a_student_of_one_step_ends_where_its_teacher_does() -> None:
    noise = (torch.randn(2000, 1, generator=torch.Generator().manual_seed(1)),)
    target = integrate(exact, noise, 4)[0]
    student = distilled(paired=True)
    for num_steps in (1, 2):
        found = integrate(student, noise, num_steps)[0]
        assert float((found - target).square().mean()) < 0.03
        assert float(found.std()) == pytest.approx(float(target.std()), rel=0.05)
    unpaired = integrate(distilled(paired=False), noise, 1)[0]
    assert float(unpaired.std()) < 0.3


@pytest.fixture(scope="module")
def teacher() -> WorldModel:
    model = two_mode_model()
    optimiser = torch.optim.Adam(model.dynamics.parameters(), 4e-3)
    generator = torch.Generator().manual_seed(0)
    config = LossConfig(history_noise=0.0, noise_free_share=0.2)
    for _ in range(150):
        loss, _ = flow_loss(model, two_mode_batch(64, generator), config, generator)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model.eval().requires_grad_(False)


def test_a_transformer_keeps_its_diversity_in_one_step(teacher: WorldModel) -> None:
    student = student_of(teacher)
    optimiser = torch.optim.Adam(student.dynamics.parameters(), 3e-3)
    generator = torch.Generator().manual_seed(0)
    config = DistillationConfig(generated=0.0)
    for _ in range(80):
        batch = two_mode_batch(64, generator)
        loss, parts = distillation_loss(student, teacher, batch, config, generator)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert parts.keys() == {"distillation", "consistency", "reflow", "kept"}
    batch = two_mode_batch(16, generator)

    def spread(model: WorldModel, num_steps: int) -> float:
        return diversity(model, batch, num_steps=num_steps, draws=32, horizon=1, seed=0)

    four = spread(teacher, 4)
    assert spread(teacher, 1) < 0.2 * four
    for num_steps in NUM_STEPS:
        assert spread(student, num_steps) > 0.8 * four
    same = two_mode_draws(student, 256, 1).sign() == two_mode_draws(teacher, 256, 4).sign()
    assert float(same.float().mean()) > 0.9


def test_a_student_begins_as_its_teacher(teacher: WorldModel) -> None:
    student = student_of(teacher)
    for num_steps in NUM_STEPS:
        torch.testing.assert_close(
            two_mode_draws(student, 16, num_steps), two_mode_draws(teacher, 16, num_steps)
        )
    config = DistillationConfig(generated=0.0, reflow=0.0, distillation=0.0)
    _, parts = distillation_loss(
        student, teacher, two_mode_batch(8, torch.Generator()), config, torch.Generator()
    )
    assert parts.keys() == {"kept", "consistency"}
    assert float(parts["kept"].detach()) < 1e-10


def test_pairs_are_what_the_sampler_gives_and_a_teacher_can_follow_itself(
    teacher: WorldModel,
) -> None:
    batch = two_mode_batch(6, torch.Generator().manual_seed(3), length=4)
    pairs = teacher_pairs(
        teacher, batch, DistillationConfig(generated=0.0), torch.Generator().manual_seed(0)
    )
    assert torch.equal(pairs.previous[0], batch.latent[:, :-1])
    state = teacher.observe_latent(
        teacher.init_state(6), batch.latent[:, 0], teacher.unnormalise_vector(batch.vector[:, 0])
    )
    noise = (pairs.noise[0][:, 0], pairs.noise[1][:, 0])
    _, seen = teacher.imagine_step(state, batch.action[:, 1], noise=noise, num_steps=4)
    torch.testing.assert_close(pairs.endpoint[0][:, 0], seen.latent_BCHW)
    pairs = teacher_pairs(
        teacher, batch, DistillationConfig(generated=1.0), torch.Generator().manual_seed(0)
    )
    assert torch.equal(pairs.previous[0][:, 1:], pairs.endpoint[0][:, :-1])


def test_the_divergence_of_heads_is_that_of_their_distributions() -> None:
    torch.manual_seed(0)
    mine, theirs = OutcomeHeads(8, 2), OutcomeHeads(8, 2)
    agent, other = torch.randn(5, 8), torch.randn(5, 8)
    expected = torch.zeros(())
    for a, b in zip(mine.members, theirs.members, strict=True):
        for part in (slice(None, NUM_BINS), slice(NUM_BINS, None)):
            q = torch.distributions.Categorical(logits=a(agent)[:, part])
            p = torch.distributions.Categorical(logits=b(other)[:, part])
            expected = expected + torch.distributions.kl_divergence(q, p).mean()
    found = mine.divergence(agent, theirs, other)
    torch.testing.assert_close(found, expected / len(mine.members))
    assert float(mine.divergence(agent, mine, agent).detach()) == pytest.approx(0.0, abs=1e-6)
    found.backward()
    assert all(p.grad is None for p in theirs.parameters())


def test_what_cannot_be_distilled_is_refused() -> None:
    config = replace(two_mode_model().config, kind="recurrent")
    with pytest.raises(ConfigError, match="recurrent"):
        student_of(WorldModel(config))
    with pytest.raises(ValueError, match="reflow"):
        DistillationConfig(kept_from=2)
    with pytest.raises(ValueError, match="kept_from"):
        DistillationConfig(kept_from=3)
