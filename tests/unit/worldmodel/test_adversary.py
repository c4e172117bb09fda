"""A critic leads dreams to what real frames look like, where a mean would look like none."""

import math

import pytest
import torch

from dreamdrive.worldmodel.adversary import AdversaryConfig, Clip, Critic, adversarial_loss

SHAPE = (1, 2, 2)
CONFIG = AdversaryConfig(width=8, judged=2, penalty=1.0)


def critic() -> Critic:
    torch.manual_seed(0)
    return Critic(CONFIG, latent_shape=SHAPE, vector_size=1, action_size=1)


def clips(latent: torch.Tensor) -> Clip:
    """Returns clips of two frames with nothing but their latents, (B, 2, 1, 2, 2)."""
    nothing = torch.zeros(len(latent), 2, 1)
    return Clip(latent, nothing, nothing)


def real_clips(count: int, generator: torch.Generator) -> Clip:
    """Returns clips whose latents are all about 1, or all about -1."""
    mode = 2.0 * torch.randint(0, 2, (count, 1, 1, 1, 1), generator=generator) - 1.0
    return clips(mode + 0.05 * torch.randn(count, 2, *SHAPE, generator=generator))


def test_a_critic_that_knows_nothing_costs_log_two_either_way() -> None:
    judge, generator = critic(), torch.Generator().manual_seed(0)
    torch.nn.init.zeros_(judge.verdict.weight)
    parts, facts = adversarial_loss(
        judge, real_clips(4, generator), clips(torch.zeros(4, 2, *SHAPE)), generator
    )
    assert float(parts["adversarial"].detach()) == pytest.approx(math.log(2.0))
    assert float(parts["critic"].detach()) == pytest.approx(math.log(2.0))
    assert facts["critic_right"] == 0.0


def test_neither_side_has_a_gradient_to_the_other() -> None:
    judge, generator = critic(), torch.Generator().manual_seed(0)
    dreamed = torch.zeros(4, 2, *SHAPE, requires_grad=True)
    parts, _ = adversarial_loss(judge, real_clips(4, generator), clips(dreamed), generator)
    (gradient,) = torch.autograd.grad(parts["adversarial"], dreamed, retain_graph=True)
    assert gradient.abs().sum() > 0.0
    assert all(p.grad is None for p in judge.parameters())
    parts["critic"].backward()
    assert dreamed.grad is None
    assert all(p.grad is not None for p in judge.parameters())


def test_dreams_come_to_look_like_something_real_and_stay_diverse() -> None:
    judge, generator = critic(), torch.Generator().manual_seed(0)
    dreamed = torch.nn.Parameter(0.2 * torch.randn(32, 2, *SHAPE, generator=generator))
    players = torch.optim.Adam([dreamed], 0.04, (0.5, 0.98))
    judges = torch.optim.Adam(judge.parameters(), 0.01, (0.5, 0.98))
    for _ in range(150):
        parts, _ = adversarial_loss(judge, real_clips(32, generator), clips(dreamed), generator)
        for optimizer in (players, judges):
            optimizer.zero_grad()
        (30.0 * parts["adversarial"] + parts["critic"]).backward()
        for optimizer in (players, judges):
            optimizer.step()
    mean = dreamed.detach().flatten(1).mean(1)
    assert float((mean.abs() - 1.0).abs().mean()) < 0.25
    assert 0.2 < float((mean > 0.0).float().mean()) < 0.8
    assert float(dreamed.detach().flatten(1).std(1).mean()) < 0.25


def test_a_critic_is_charged_for_being_sure_about_little() -> None:
    judge, generator = critic(), torch.Generator().manual_seed(0)
    real, dreamed = real_clips(64, generator), clips(torch.zeros(64, 2, *SHAPE))
    found = []
    for scale in (1.0, 2.0):
        torch.nn.init.zeros_(judge.verdict.bias)
        judge.verdict.weight.data.mul_(scale)
        with torch.no_grad():
            parts, _ = adversarial_loss(judge, real, dreamed, torch.Generator().manual_seed(1))
            gap = judge(*dreamed) - judge(*real)
            found.append(float(parts["critic"] - torch.nn.functional.softplus(gap).mean()))
    assert found[0] > 1e-4
    assert found[1] == pytest.approx(4.0 * found[0], rel=1e-3)


@pytest.mark.parametrize("size", [4, 5, 8])
def test_a_score_a_place_of_pictures_of_any_size(size: int) -> None:
    judge = Critic(CONFIG, latent_shape=(2, size, size), vector_size=3, action_size=2)
    action = torch.full((2, 2, 2), torch.nan)
    score = judge(torch.zeros(2, 2, 2, size, size), torch.zeros(2, 2, 3), action)
    assert score.shape == (2, (size + 1) // 2, (size + 1) // 2)
    assert torch.isfinite(score).all()


@pytest.mark.parametrize("wrong", [{"dreams": 0}, {"between": -1}, {"shake": 0.0}])
def test_sizes_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        AdversaryConfig(**wrong)
