import math

import pytest
import torch
from torch.distributions import (
    Independent,
    Normal,
    TanhTransform,
    TransformedDistribution,
    kl_divergence,
)

from dreamdrive.agents.networks import (
    Actor,
    Critic,
    FeatureSpec,
    NetworkConfig,
    TanhGaussian,
    log_tanh_slope,
)
from dreamdrive.worldmodel.two_hot import symexp, symlog, two_hot
from support.point_mass import PointMassWorld

SPEC = FeatureSpec((3, 5, 4), 6, 2)
SMALL = NetworkConfig(width=16, channels=4)


def features(B: int = 7) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    return torch.randn(B, 3, 5, 4, generator=g), torch.randn(B, 6, generator=g)


def test_two_hot_of_a_value_between_two_bins() -> None:
    """Interpolation is in raw space: 2 lies a third of the way from 1 to 4."""
    bins = torch.tensor([-4.0, -1.0, 0.0, 1.0, 4.0])
    weights = two_hot(torch.tensor([2.0, -0.25, 9.0]), bins)
    expected = [[0, 0, 0, 2 / 3, 1 / 3], [0, 0.25, 0.75, 0, 0], [0, 0, 0, 0, 1]]
    torch.testing.assert_close(weights, torch.tensor(expected, dtype=torch.float32))


def test_symlog_of_known_values_and_its_inverse() -> None:
    x = torch.tensor([0.0, math.e - 1.0, 1.0 - math.e**2, 1e4])
    torch.testing.assert_close(symlog(x)[:3], torch.tensor([0.0, 1.0, -2.0]))
    torch.testing.assert_close(symexp(symlog(x)), x, rtol=1e-4, atol=1e-6)


def test_the_density_of_an_action_is_that_of_torch() -> None:
    g = torch.Generator().manual_seed(1)
    mean, std = torch.randn(5, 2, generator=g), torch.rand(5, 2, generator=g) + 0.1
    ours = TanhGaussian(mean, std)
    raw = ours.sample(torch.randn(5, 2, generator=g))
    theirs = Independent(TransformedDistribution(Normal(mean, std), [TanhTransform()]), 1)
    torch.testing.assert_close(
        ours.log_prob(raw), theirs.log_prob(raw.tanh()), rtol=1e-3, atol=1e-3
    )
    torch.testing.assert_close(ours.mode, mean.tanh())
    other = TanhGaussian(mean.roll(1, 0), std.roll(2, 0))
    expected = kl_divergence(Normal(mean, std), Normal(other.mean, other.std)).sum(-1)
    torch.testing.assert_close(ours.divergence(other), expected)
    torch.testing.assert_close(ours.divergence(ours), torch.zeros(5), atol=1e-6, rtol=0.0)


def test_a_narrow_gaussian_at_zero_has_the_entropy_of_a_gaussian() -> None:
    std = torch.full((200_000, 1), 0.02)
    noise = torch.randn(std.shape, generator=torch.Generator().manual_seed(0))
    entropy = TanhGaussian(torch.zeros_like(std), std).entropy(noise).mean().item()
    assert entropy == pytest.approx(0.5 * math.log(2 * math.pi * math.e * 0.02**2), abs=0.01)


def test_the_slope_of_tanh_keeps_its_digits_far_out() -> None:
    u = torch.tensor([0.0, 1.0, 50.0, -50.0])
    expected = [
        0.0,
        math.log(1 - math.tanh(1.0) ** 2),
        2 * (math.log(2) - 50),
        2 * (math.log(2) - 50),
    ]
    torch.testing.assert_close(log_tanh_slope(u), torch.tensor(expected), rtol=1e-5, atol=1e-6)


def test_an_untrained_actor_coasts_straight_with_the_initial_spread() -> None:
    torch.manual_seed(0)
    policy = Actor(SPEC, NetworkConfig(width=16, channels=4, initial_std=0.2))(*features())
    assert policy.mean.shape == (7, 2)
    assert float(policy.mode.detach().abs().max()) < 0.2
    assert float((policy.std.detach() - 0.2).abs().max()) < 0.05


def test_wild_features_give_bounded_actions() -> None:
    torch.manual_seed(0)
    actor = Actor(SPEC, SMALL)
    latent, vector = features()
    policy = actor(1e6 * latent, 1e9 * vector)
    assert policy.mean.isfinite().all()
    assert float(policy.mean.detach().abs().max()) <= 3.0
    assert float(policy.std.detach().min()) >= SMALL.min_std
    assert float(policy.std.detach().max()) <= SMALL.max_std


def test_without_the_image_the_latent_has_no_effect() -> None:
    torch.manual_seed(0)
    latent, vector = features()
    blind, seeing = (Actor(SPEC, NetworkConfig(width=16, channels=4, use_image=x)) for x in (0, 1))
    assert torch.equal(blind(latent, vector).mean, blind(latent + 1.0, vector).mean)
    assert not torch.equal(seeing(latent, vector).mean, seeing(latent + 1.0, vector).mean)


def test_vectors_are_normalised_with_the_models_statistics() -> None:
    world = PointMassWorld()
    plain = Actor(FeatureSpec.of(world), SMALL)
    ours = Actor.for_model(world, SMALL)
    statistics = {k: v for k, v in ours.state_dict().items() if k.startswith("trunk.vector_")}
    plain.load_state_dict({k: v for k, v in ours.state_dict().items() if k not in statistics},
                          strict=False)  # fmt: skip
    state = world.start(3, speed=4.0)
    scaled = (state.vector_BK - world.vector_mean) / world.vector_std
    torch.testing.assert_close(
        ours(state.seen, state.vector_BK).mean, plain(state.seen, scaled).mean
    )


def test_an_untrained_critic_promises_nothing_and_learns_a_value_between_bins() -> None:
    torch.manual_seed(0)
    critic = Critic(SPEC, SMALL)
    latent, vector = features()
    torch.testing.assert_close(critic.value(latent, vector), torch.zeros(7), atol=1e-4, rtol=0.0)
    even = critic.loss(latent, vector, torch.zeros(7))
    torch.testing.assert_close(even, torch.full((7,), math.log(127.0)))
    target = torch.linspace(-1.0, 3.3, 7)
    optimizer = torch.optim.Adam(critic.parameters(), 1e-2)
    for _ in range(150):
        loss = critic.loss(latent, vector, target).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    torch.testing.assert_close(critic.value(latent, vector), target, atol=0.1, rtol=0.0)


@pytest.mark.parametrize(
    "fields",
    [{"width": 0}, {"num_bins": 64}, {"min_std": 0.5}, {"max_std": 0.2}, {"value_limit": 0.001}],
)
def test_impossible_sizes_are_refused(fields: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"must|need"):
        NetworkConfig(**fields)
