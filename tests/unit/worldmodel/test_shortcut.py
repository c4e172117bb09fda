"""Shortcut models: two half steps are one step, and the network learns that from nothing else."""

import pytest
import torch
from torch import Tensor

from dreamdrive.errors import ConfigError
from dreamdrive.worldmodel.losses import LossConfig, flow_loss
from dreamdrive.worldmodel.shortcut import FINEST, NUM_STEPS, Parts, along, draw_steps, two_halves
from support.two_modes import two_mode_batch, two_mode_draws, two_mode_model

MEAN, STD = 1.5, 0.3


def moved(z: Tensor, tau: Tensor, later: Tensor) -> Tensor:
    """Where the exact flow from N(0, 1) to N(MEAN, STD²) carries z from τ to a later τ'."""
    spread, after = (((1 - t) ** 2 + (t * STD) ** 2).sqrt() for t in (tau, later))
    return later * MEAN + after / spread * (z - tau * MEAN)


def exact(z: Parts, tau: Tensor, step: Tensor) -> Parts:
    """Clean data from the average velocity over the step."""
    t, d = along(tau, z[0]), along(step, z[0])
    return (z[0] + (1 - t) * (moved(z[0], t, t + d) - z[0]) / d,)


def test_the_exact_average_velocity_of_a_gaussian_is_its_own_target() -> None:
    generator = torch.Generator().manual_seed(0)
    tau, step = draw_steps((4, 50), generator, torch.device("cpu"))
    z = (torch.randn(4, 50, 3, generator=generator),)
    target = two_halves(exact, z, tau, step)
    torch.testing.assert_close(target[0], exact(z, tau, step)[0], atol=1e-5, rtol=1e-5)

    def instantaneous(z: Parts, tau: Tensor, step: Tensor) -> Parts:
        return exact(z, tau, torch.full_like(step, 1e-3))

    wrong = two_halves(instantaneous, z, tau, step)
    assert float((wrong[0] - instantaneous(z, tau, step)[0]).abs().max()) > 0.1


def test_a_sampler_reaches_every_flow_time_that_is_learned() -> None:
    tau, step = draw_steps((5000,), torch.Generator().manual_seed(0), torch.device("cpu"))
    drawn = {(float(d), float(t)) for d, t in zip(step, tau, strict=True)}
    assert drawn == {(1 / n, i / n) for n in NUM_STEPS[:-1] for i in range(n)}
    assert max(NUM_STEPS) * FINEST == 1.0


def test_one_step_draws_where_it_would_be_the_mean() -> None:
    spread = {}
    for name, has_step_size in (("shortcut", True), ("plain", False)):
        model = two_mode_model(has_step_size=has_step_size)
        optimiser = torch.optim.Adam(model.dynamics.parameters(), 4e-3)
        generator = torch.Generator().manual_seed(0)
        config = LossConfig(history_noise=0.0, noise_free_share=0.2, shortcut_share=0.4)
        for _ in range(200 if has_step_size else 60):
            loss, parts = flow_loss(model, two_mode_batch(48, generator), config, generator)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.dynamics.parameters(), 1.0)
            optimiser.step()
        assert ("shortcut" in parts) == has_step_size
        spread[name] = [float(two_mode_draws(model, 512, n).std()) for n in NUM_STEPS]
    assert spread["plain"][0] < 0.2
    assert spread["shortcut"][0] > 0.6
    assert min(spread["shortcut"]) > 0.6


def test_a_new_input_begins_without_effect_and_only_where_it_is_configured() -> None:
    told, plain = two_mode_model(has_step_size=True), two_mode_model()
    extra = told.state_dict().keys() - plain.state_dict().keys()
    assert extra
    assert all(name.startswith("dynamics.network.embed_step.") for name in extra)
    told.load_state_dict(plain.state_dict(), strict=False)
    for n in NUM_STEPS:
        assert torch.equal(two_mode_draws(told, 8, n), two_mode_draws(plain, 8, n))


def test_steps_that_were_never_learned_are_refused() -> None:
    model = two_mode_model(has_step_size=True)
    with pytest.raises(ConfigError, match="not in 3"):
        two_mode_draws(model, 2, 3)
    assert two_mode_draws(two_mode_model(), 2, 3).shape == (2,)
    generator = torch.Generator().manual_seed(0)
    batch = two_mode_batch(8, generator)
    for off in (LossConfig(shortcut=0.0), LossConfig(shortcut_share=0.0)):
        assert "shortcut" not in flow_loss(model, batch, off, generator)[1]
