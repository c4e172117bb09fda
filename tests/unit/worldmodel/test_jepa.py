"""Masked prediction in latent space: it collapses without its guard, and not with it."""

import math

import pytest
import torch
from torch import Tensor, nn

from dreamdrive.worldmodel.dynamics import Dynamics, DynamicsConfig, Frames
from dreamdrive.worldmodel.jepa import Jepa, JepaConfig, collapse, guard, hide, jepa_loss

FEATURES = 8


def windows(count: int, generator: torch.Generator, length: int = 6) -> Frames:
    """Pictures of four patterns whose strengths change slowly, under noise."""
    patterns = torch.randn(4, 1, 4, 4, generator=torch.Generator().manual_seed(9))
    strength = [torch.randn(count, 4, generator=generator)]
    for _ in range(length):
        change = torch.randn(count, 4, generator=generator)
        strength.append(0.9 * strength[-1] + math.sqrt(1.0 - 0.9**2) * change)
    latent = torch.einsum("btk,kchw->btchw", torch.stack(strength, 1), patterns) / 2.0
    latent = latent + 0.3 * torch.randn(latent.shape, generator=generator)
    zero = torch.zeros(count, length, 1)
    return Frames(latent[:, 1:], zero, latent[:, :-1], zero, zero, zero[..., 0])


def small_network() -> Dynamics:
    network = Dynamics(
        DynamicsConfig(width=32, num_layers=2, num_heads=2, num_key_heads=1, window=4),
        latent_shape=(1, 4, 4), vector_size=1, action_size=1,
    )  # fmt: skip
    for parameter in network.parameters():
        if parameter.dim() > 1:
            nn.init.normal_(parameter, std=0.15)
    return network


def trained(weight: float, steps: int = 60) -> dict[str, float]:
    torch.manual_seed(0)
    network = small_network()
    jepa = Jepa(JepaConfig(features=FEATURES, width=32, guard=weight), 32)
    both = nn.ModuleDict({"network": network, "project": jepa.project})
    average = {name: value.clone() for name, value in both.state_dict().items()}
    optimiser = torch.optim.AdamW([*network.parameters(), *jepa.parameters()], 5e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        loss, parts, health = jepa_loss(network, jepa, average, windows(16, generator), generator)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        for name, value in both.state_dict().items():
            average[name].lerp_(value, 0.1)
    return health | {name: float(value.detach()) for name, value in parts.items()}


def test_it_collapses_without_the_guard_and_not_with_it() -> None:
    bare, guarded = trained(0.0), trained(1.0)
    # Alike everywhere, the features are foreseen without fault, and say nothing.
    assert bare["jepa"] < 0.01
    assert bare["jepa_spread"] < 0.05
    assert guarded["jepa_spread"] > 0.5
    assert guarded["jepa_rank"] > bare["jepa_rank"] + 0.1


def test_the_guard_is_zero_for_white_features_and_counts_what_is_missing() -> None:
    axes = math.sqrt(2.5) * torch.cat([torch.eye(3), -torch.eye(3)])
    assert float(guard(axes)) == pytest.approx(0.0, abs=1e-4)
    assert float(guard(torch.ones(6, 3))) == pytest.approx(1.0 - 1e-2)
    twin = torch.tensor([-1.0, 0.0, 1.0])[:, None].expand(3, 2)
    assert float(guard(twin)) == pytest.approx(1.0, abs=1e-4)


def test_collapse_is_seen_in_spread_and_rank() -> None:
    white = torch.cat([torch.eye(4), -torch.eye(4)])
    assert collapse(white) == (pytest.approx(math.sqrt(2 / 7)), pytest.approx(1.0))
    line = torch.randn(50, 1, generator=torch.Generator().manual_seed(0)) * torch.ones(1, 4)
    assert collapse(line)[1] == pytest.approx(0.25, abs=1e-3)
    assert collapse(torch.ones(5, 4)) == (0.0, 0.0)


def test_the_same_places_are_hidden_in_all_frames() -> None:
    frames = windows(40, torch.Generator().manual_seed(0))
    hidden = hide(frames, 2, 0.5, torch.Generator().manual_seed(1))
    gone = hidden.latent == 0.0
    assert torch.equal(gone, (hidden.previous_latent == 0.0))
    assert torch.equal(gone, gone[:, :1].expand_as(gone))
    assert 0.35 < float(gone.float().mean()) < 0.65
    patches = gone[:, 0, 0].unfold(1, 2, 2).unfold(2, 2, 2).flatten(-2).float().mean(-1)
    assert set(patches.flatten().tolist()) == {0.0, 1.0}
    shown: Tensor = torch.where(gone, frames.latent, hidden.latent)
    assert torch.equal(shown, frames.latent)


def test_the_target_is_the_average_and_gets_no_gradient() -> None:
    torch.manual_seed(0)
    network, jepa = small_network(), Jepa(JepaConfig(features=FEATURES, width=32), 32)
    both = nn.ModuleDict({"network": network, "project": jepa.project})
    other = {name: torch.zeros_like(value) for name, value in both.state_dict().items()}
    frames, generator = windows(4, torch.Generator().manual_seed(0)), torch.Generator()
    jepa.predict[2].weight.data.zero_()
    jepa.predict[2].bias.data.zero_()
    # An average of zeros says zero everywhere, which is what this prediction names.
    _, parts, health = jepa_loss(network, jepa, other, frames, generator)
    assert float(parts["jepa"].detach()) == 0.0
    assert health["jepa_spread"] == 0.0
    average = {name: value.clone() for name, value in both.state_dict().items()}
    _, _, own = jepa_loss(network, jepa, average, frames, generator)
    for name in average:
        if name.startswith("network."):
            average[name] *= 0.5
    _, parts, health = jepa_loss(network, jepa, average, frames, generator)
    assert abs(health["jepa_spread"] - own["jepa_spread"]) > 0.01
    parts["jepa"].backward()
    # The prediction ignores z here: only through the target could a gradient reach the network.
    assert all(p.grad is None or not p.grad.any() for p in network.parameters())


def test_windows_that_are_too_short_are_refused() -> None:
    network, jepa = small_network(), Jepa(JepaConfig(ahead=6, features=2), 32)
    with pytest.raises(ValueError, match="6 frames ahead in windows of 6"):
        jepa_loss(network, jepa, {}, windows(2, torch.Generator()), torch.Generator())
    with pytest.raises(ValueError, match="hidden_share"):
        JepaConfig(hidden_share=1.0)
