"""Options of the flow's loss: noise levels, ramp, velocities, segments."""

import dataclasses

import pytest
import torch

from dreamdrive.worldmodel.dynamics import DynamicsConfig, Frames
from dreamdrive.worldmodel.losses import Batch, LossConfig, flow_loss, rollout_loss
from dreamdrive.worldmodel.model import WorldModel
from support.tiny_world import tiny_model

PLAIN = LossConfig(noise_free_share=0.0)


def random_batch(model: WorldModel, batch: int = 4, time: int = 9) -> Batch:
    g = torch.Generator().manual_seed(3)
    K = model.config.vector_size
    return Batch(
        torch.randn(batch, time, *model.latent_shape, generator=g),
        torch.randn(batch, time, K, generator=g), torch.randn(batch, time, 2, generator=g),
        torch.zeros(batch, time), torch.zeros(batch, time, dtype=torch.long),
    )  # fmt: skip


def loss_of(config: LossConfig, **options: object) -> tuple[dict[str, float], list[Frames]]:
    """Returns the parts of the loss, and what the network was shown."""
    sizes = dataclasses.replace(tiny_model().config.transformer, **options)
    torch.manual_seed(0)
    model = WorldModel(dataclasses.replace(tiny_model().config, transformer=sizes))
    for parameter in model.dynamics.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.1)
    seen: list[Frames] = []
    model.dynamics.network.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    _, parts = flow_loss(model, random_batch(model), config, torch.Generator().manual_seed(0))
    return {name: float(value.detach()) for name, value in parts.items()}, seen


def test_frames_have_noise_levels_of_their_own_unless_told_otherwise() -> None:
    _, [forced] = loss_of(PLAIN)
    _, [alike] = loss_of(dataclasses.replace(PLAIN, diffusion_forcing=False))
    assert len(forced.tau.unique()) == forced.tau.numel()
    assert [len(row.unique()) for row in alike.tau] == [1] * 4
    assert len(alike.tau.unique()) == 4


def test_the_ramp_weighs_each_frame_by_its_noise_level() -> None:
    # A new network predicts the frame before: its error does not depend on the noise level.
    model = WorldModel(tiny_model().config)
    batch = random_batch(model)
    tau = []
    model.dynamics.network.register_forward_pre_hook(lambda _, given: tau.append(given[0].tau))
    found = {}
    for ramp in (False, True):
        config = dataclasses.replace(PLAIN, ramp=ramp, history_noise=0.0)
        _, parts = flow_loss(model, batch, config, torch.Generator().manual_seed(0))
        found[ramp] = float(parts["flow"].detach())
    error = (batch.latent[:, 1:] - batch.latent[:, :-1]).square().mean((2, 3, 4))
    assert found[False] == pytest.approx(float(error.mean()), rel=1e-4)
    assert found[True] == pytest.approx(float((error * (0.9 * tau[1] + 0.1)).mean()), rel=1e-4)


def test_the_loss_of_a_velocity_is_its_squared_error() -> None:
    torch.manual_seed(0)
    sizes = dataclasses.replace(tiny_model().config.transformer, predicts="velocity")
    model = WorldModel(dataclasses.replace(tiny_model().config, transformer=sizes))
    batch = random_batch(model)
    config = dataclasses.replace(PLAIN, noise_free_share=1.0)
    shown: list[Frames] = []
    model.dynamics.network.register_forward_pre_hook(lambda _, given: shown.append(given[0]))
    _, parts = flow_loss(model, batch, config, torch.Generator().manual_seed(0))
    # A new network says v = 0 where z_1 - z_0 is right, and z_0 is what it was shown at τ = 0.
    expected = (batch.latent[:, 1:] - shown[0].latent).square().mean()
    assert float(parts["flow"].detach()) == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.parametrize("attention", ["factorised", "dense"])
def test_segments_see_what_the_whole_window_would(attention: str) -> None:
    whole, [one] = loss_of(PLAIN, attention=attention)
    parts, several = loss_of(dataclasses.replace(PLAIN, segments=3), attention=attention)
    assert [x.latent.shape[1] for x in several] == [3, 3, 2]
    assert torch.equal(torch.cat([x.latent for x in several], 1), one.latent)
    assert parts == pytest.approx(whole, rel=1e-3)


@pytest.mark.parametrize("loss", ["flow", "rollout"])
def test_without_class_weights_all_places_count_alike(loss: str) -> None:
    model = WorldModel(tiny_model().config)
    batch = random_batch(model, time=4)
    image = torch.rand(4, 4, 3, 64, 64, generator=torch.Generator().manual_seed(4))
    heavy = torch.full((4, 4, *model.latent_shape[1:]), 3.0)

    def parts(is_weighted: bool, class_weights: bool) -> dict[str, torch.Tensor]:
        config = dataclasses.replace(PLAIN, class_weights=class_weights)
        model.tokenizer.colour_weight.fill_(3.0 if is_weighted else 1.0)
        given = batch._replace(weight=heavy if is_weighted else None, image=image)
        generator = torch.Generator().manual_seed(0)
        if loss == "flow":
            return flow_loss(model, given, config, generator)[1]
        return rollout_loss(model, given, config, generator, context=2)[1]

    plain, weighed, ignored = parts(False, True), parts(True, True), parts(True, False)
    names = {"flow": ("flow",), "rollout": ("latent", "reconstruction")}[loss]
    for name in names:
        torch.testing.assert_close(weighed[name], 3.0 * plain[name])
        torch.testing.assert_close(ignored[name], plain[name])


def test_defaults_are_the_plain_loss() -> None:
    assert (LossConfig().diffusion_forcing, LossConfig().ramp, LossConfig().segments) == (
        True, False, 1,
    )  # fmt: skip
    assert DynamicsConfig().predicts == "data"
