"""Surroundings: they condition, may be unknown, go with a rollout, and are learned."""

import dataclasses

import numpy as np
import pytest
import torch

from dreamdrive.envs.dream.contexts import Contexts
from dreamdrive.envs.dream.env import DreamEnv
from dreamdrive.errors import ConfigError, EpisodeError, KernelError
from dreamdrive.experiments.surroundings import surrounding_names, surroundings_of
from dreamdrive.experiments.train_student import TrainStudentConfig, train_student
from dreamdrive.experiments.train_worldmodel import TrainWorldModelConfig, train_worldmodel
from dreamdrive.worldmodel.dynamics import Dynamics, DynamicsConfig
from dreamdrive.worldmodel.engine import build_step
from dreamdrive.worldmodel.episodes import EpisodeStore, save_episode
from dreamdrive.worldmodel.losses import Batch, LossConfig, flow_loss, rollout_loss
from dreamdrive.worldmodel.model import WorldModel
from dreamdrive.worldmodel.surroundings import Situated, situated, surroundings_vector
from support.random_frames import SIZES, between, random_frames
from support.tiny_episodes import tiny_episode
from support.tiny_world import save_tiny_world, tiny_model
from support.two_modes import two_mode_model

NAMES = ("town=A", "town=B", "weather=Rain")


def network(lively: bool = True) -> Dynamics:
    torch.manual_seed(0)
    config = DynamicsConfig(
        width=32, num_layers=2, num_heads=2, num_key_heads=1, window=4, surroundings=NAMES
    )
    made = Dynamics(config, **SIZES)
    if lively:
        for parameter in made.parameters():
            torch.nn.init.normal_(parameter, std=0.15)
    return made.eval().requires_grad_(False)


def test_what_is_not_known_is_one_value_and_what_is_known_changes_the_dream() -> None:
    made, frames = network(), random_frames(2, 3)
    nan = torch.full((2, 3, 3), torch.nan)
    unknown, _ = made(frames)
    also, _ = made(frames._replace(surroundings=nan))
    torch.testing.assert_close(also.latent, unknown.latent)
    seen = [unknown.latent]
    for name in NAMES:
        vector = torch.tensor([float(name == other) for other in NAMES])
        seen.append(made(frames._replace(surroundings=vector.expand(2, 3, 3)))[0].latent)
    for i in range(4):
        for j in range(i):
            assert not torch.allclose(seen[i], seen[j], atol=1e-3)
    begun = network(lively=False)
    before, _ = begun(frames)
    after, _ = begun(frames._replace(surroundings=vector.expand(2, 3, 3)))
    assert torch.equal(before.agent, after.agent), "a new input begins without effect"


def test_a_rollout_keeps_them_for_each_row_and_each_branch() -> None:
    torch.manual_seed(0)
    sizes = dataclasses.replace(tiny_model().config.transformer, surroundings=NAMES)
    model = WorldModel(dataclasses.replace(tiny_model().config, transformer=sizes)).eval()
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.1)
    rows = torch.tensor([[1.0, 0.0, 0.0], [torch.nan] * 3])
    state = model.init_state(2)
    state = state._replace(memory=situated(state.memory, rows))
    noise = (torch.zeros_like(state.latent_BCHW), torch.zeros_like(state.vector_BK))
    with torch.no_grad():
        after, seen = model.imagine_step(state, torch.zeros(2, 2), noise=noise)
        assert not torch.allclose(seen.latent_BCHW[0], seen.latent_BCHW[1], atol=1e-4)
        torch.testing.assert_close(after.memory.surroundings_BX, rows, equal_nan=True)
        many = after.fork(2)
        wide = tuple(x.repeat_interleave(2, 0) for x in noise)
        branched, shown = model.imagine_step(many, torch.zeros(4, 2), noise=wide)
        _, plain = model.imagine_step(after, torch.zeros(2, 2), noise=noise)
    torch.testing.assert_close(shown.latent_BCHW[::2], plain.latent_BCHW, atol=1e-5, rtol=1e-5)
    assert isinstance(branched.memory, Situated)
    with pytest.raises(KernelError, match="default surroundings"):
        build_step(model, 2, "fused")


def test_a_rollout_with_the_ring_equals_the_window_in_the_same_surroundings() -> None:
    made = network()
    frames = random_frames(2, 9)._replace(surroundings=torch.ones(2, 9, 3))
    whole, _ = made(frames)
    ring = made.init_ring(2, torch.device("cpu"))
    for t in range(9):
        one, ring = made(between(frames, t, t + 1), ring)
        torch.testing.assert_close(one.latent[:, 0], whole.latent[:, t], atol=5e-4, rtol=1e-3)


def windows(generator: torch.Generator) -> Batch:
    """Windows of two frames, the second of which is all 1 in town A and all -1 in town B."""
    is_a = torch.randint(0, 2, (64, 1), generator=generator).float()
    sign = (2.0 * is_a - 1.0)[..., None, None, None]
    latent = sign.expand(64, 2, 1, 2, 2).clone()
    latent[:, 0] = 0.0
    zero = torch.zeros(64, 2)
    around = torch.cat([is_a, 1.0 - is_a], 1)
    return Batch(latent, zero[..., None], zero[..., None], zero, zero.long(), surroundings=around)


@pytest.mark.parametrize("way", ["flow", "rollout"])
def test_a_dream_of_a_town_is_learned_and_without_a_name_it_is_the_mean(way: str) -> None:
    model = two_mode_model(surroundings=("town=A", "town=B"))
    optimiser = torch.optim.Adam(model.dynamics.parameters(), 4e-3)
    generator = torch.Generator().manual_seed(0)
    config = LossConfig(
        history_noise=0.0, noise_free_share=1.0, surroundings_drop=0.3, reconstruction=0.0
    )
    for _ in range(120):
        batch = windows(generator)
        if way == "flow":
            loss, _ = flow_loss(model, batch, config, generator)
        else:
            loss, _ = rollout_loss(model, batch, config, generator, context=1)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    def dreamed(facts: dict[str, str] | None) -> float:
        around = surroundings_vector(facts, ("town=A", "town=B"))
        state = model.init_state(1)
        state = state._replace(memory=situated(state.memory, around[None]))
        noise = (torch.zeros(1, 1, 2, 2), torch.zeros(1, 1))
        with torch.no_grad():
            _, seen = model.imagine_step(state, torch.zeros(1, 1), noise=noise)
        return float(seen.latent_BCHW.mean())

    assert dreamed({"town": "A"}) > 0.7
    assert dreamed({"town": "B"}) < -0.7
    assert abs(dreamed(None)) < 0.4


def test_they_come_from_the_facts_of_episodes_and_a_dream_is_told_them(tmp_path) -> None:
    for number, facts in enumerate(({"weather": "Rain"}, {"town": "Other", "weather": "Sun"}, {})):
        meta = tiny_episode(number).meta | facts
        save_episode(
            tmp_path / "data" / f"{number}", dataclasses.replace(tiny_episode(number), meta=meta)
        )
    store = EpisodeStore(tmp_path / "data")
    names = surrounding_names(store, ("town", "weather"))
    assert names == ("town=Other", "town=Tiny", "weather=Rain", "weather=Sun")
    assert surroundings_of(store, names).tolist() == [[0, 1, 1, 0], [1, 0, 0, 1], [0, 1, 0, 0]]
    assert surroundings_of(store, ("town=Else",)).isnan().all()
    world = save_tiny_world(tmp_path / "world", lively=False)
    config = TrainWorldModelConfig(
        data=(tmp_path / "data",), init=world, out=tmp_path / "run", steps=2, batch_size=2,
        window=4, context=2, horizon=3, surroundings=("town", "weather"),
        transformer=tiny_model().config.transformer,
    )  # fmt: skip
    folder = train_worldmodel(config)
    model = WorldModel.from_pretrained(folder)
    assert model.config.transformer.surroundings == names
    env = DreamEnv(model=folder, contexts=Contexts.load(world), engine="eager")
    env.reset(seed=0, options={"surroundings": {"town": "Tiny", "weather": "Sun"}})
    told = env.unwrapped._batch.state.memory
    assert told.surroundings_BX.tolist() == [[0.0, 1.0, 0.0, 1.0]]
    env.step(np.zeros(2, np.float32))
    told = env.unwrapped._batch.state.memory
    assert told.surroundings_BX.tolist() == [[0.0, 1.0, 0.0, 1.0]]
    env.reset()
    assert env.unwrapped._batch.state.memory.surroundings_BX.isnan().all()
    with pytest.raises(ConfigError, match="knows no surroundings town=Nowhere"):
        env.reset(options={"surroundings": {"town": "Nowhere"}})
    plain = DreamEnv(model=world)
    with pytest.raises(ConfigError, match="knows no surroundings"):
        plain.reset(options={"surroundings": {"town": "Tiny"}})
    student = train_student(
        TrainStudentConfig(
            teacher=str(folder), data=(tmp_path / "data",), out=tmp_path / "student", steps=1,
            batch_size=2, window=3, horizon=2,
        )
    )  # fmt: skip
    assert WorldModel.from_pretrained(student).config.transformer.surroundings == names
    with pytest.raises(ConfigError, match="new dynamics"):
        train_worldmodel(dataclasses.replace(config, fine_tune=True, out=tmp_path / "b"))
    save_episode(
        tmp_path / "mute" / "0", dataclasses.replace(tiny_episode(0), meta={"causes": [""]})
    )
    with pytest.raises(EpisodeError, match="No episode tells its town"):
        surrounding_names(EpisodeStore(tmp_path / "mute"), ("town",))
