"""A missing action: its embedding, learned from dropped ones, and dreams guided away from it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from dreamdrive.errors import ConfigError, EpisodeError
from dreamdrive.worldmodel.episodes import EpisodeStore, FrameTable, save_episode
from dreamdrive.worldmodel.losses import Batch, LossConfig, flow_loss, rollout_loss
from dreamdrive.worldmodel.model import WorldModel
from support.tiny_episodes import tiny_episode
from support.two_modes import two_mode_model

UNKNOWN = torch.nan


def steered(count: int, generator: torch.Generator) -> Batch:
    """Windows of two frames: the second is the action that led to it, everywhere."""
    action = torch.randint(0, 2, (count, 2, 1), generator=generator) * 2.0 - 1.0
    latent = action[..., None, None].expand(count, 2, 1, 2, 2).clone()
    latent[:, 0] = 0.0
    zero = torch.zeros(count, 2)
    return Batch(latent, zero[..., None], action, zero, zero.long())


@pytest.fixture(scope="module")
def trained() -> WorldModel:
    model = two_mode_model(has_null_action=True)
    optimiser = torch.optim.Adam(model.dynamics.parameters(), 4e-3)
    generator = torch.Generator().manual_seed(0)
    config = LossConfig(history_noise=0.0, noise_free_share=1.0, action_drop=0.3)
    for _ in range(150):
        loss, _ = flow_loss(model, steered(64, generator), config, generator)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model.eval().requires_grad_(False)


def dreamed(model: WorldModel, action: float) -> float:
    state = model.observe_latent(model.init_state(4), torch.zeros(4, 1, 2, 2), torch.zeros(4, 1))
    noise = (torch.zeros(4, 1, 2, 2), torch.zeros(4, 1))
    _, seen = model.imagine_step(state, torch.full((4, 1), action), noise=noise)
    return float(seen.latent_BCHW.mean())


def test_without_an_action_a_dream_shows_the_mean_over_actions(trained: WorldModel) -> None:
    assert dreamed(trained, 1.0) > 0.8
    assert dreamed(trained, -1.0) < -0.8
    assert abs(dreamed(trained, UNKNOWN)) < 0.3


def test_guidance_moves_a_dream_along_what_the_action_changes(trained: WorldModel) -> None:
    nothing, something = dreamed(trained, UNKNOWN), dreamed(trained, 1.0)
    dynamics = trained.dynamics
    try:
        for guidance in (0.0, 0.5, 2.0):
            dynamics.guidance = guidance
            expected = nothing + guidance * (something - nothing)
            assert dreamed(trained, 1.0) == pytest.approx(expected, abs=1e-4)
    finally:
        dynamics.guidance = 1.0
    plain = two_mode_model()
    plain.dynamics.guidance = 2.0
    with pytest.raises(ConfigError, match="no null action"):
        dreamed(plain, 1.0)


def test_what_is_not_configured_is_not_there() -> None:
    names = two_mode_model().state_dict().keys()
    extra = two_mode_model(has_null_action=True).state_dict().keys() - names
    assert extra == {"dynamics.network.null_action"}


def parts_of(batch: Batch, way: str) -> dict[str, Tensor]:
    model = two_mode_model(has_null_action=True)
    generator = torch.Generator().manual_seed(0)
    config = LossConfig(action_drop=0.0, reconstruction=0.0)
    if way == "flow":
        return flow_loss(model, batch, config, generator)[1]
    return rollout_loss(model, batch, config, generator, context=1)[1]


@pytest.mark.parametrize("way", ["flow", "rollout"])
def test_video_without_actions_teaches_pictures_and_no_outcomes(way: str) -> None:
    batch = steered(4, torch.Generator().manual_seed(0))
    none = batch._replace(action=torch.full_like(batch.action, UNKNOWN))
    parts = parts_of(none, way)
    assert all(torch.isfinite(part) for part in parts.values())
    assert float(parts["reward"].detach()) == float(parts["cause"].detach()) == 0.0
    # Of a mixture, the rewards of the rows without actions do not count.
    half = batch._replace(action=batch.action.clone())
    half.action[2:] = UNKNOWN
    other = half._replace(reward=half.reward.clone())
    other.reward[2:] = 1.0
    assert torch.equal(parts_of(half, way)["reward"], parts_of(other, way)["reward"])
    other.reward[:2] = 1.0
    assert not torch.equal(parts_of(half, way)["reward"], parts_of(other, way)["reward"])


def test_episodes_without_actions_are_read_where_they_are_of_use(tmp_path) -> None:
    episode = tiny_episode(0, 5)
    bare = replace(episode, action=np.full_like(episode.action, np.nan))
    assert not bare.has_actions
    save_episode(tmp_path / "a", bare)
    store = EpisodeStore(tmp_path)
    with pytest.raises(EpisodeError, match="video without actions"):
        FrameTable.load(store, ())
    table = FrameTable.load(store, (), may_lack_actions=True)
    assert bool(table.action_NA[1:].isnan().all())
    gap = episode.action.copy()
    gap[2] = np.nan
    with pytest.raises(EpisodeError, match="not finite"):
        replace(episode, action=gap)
