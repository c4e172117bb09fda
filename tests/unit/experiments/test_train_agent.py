"""Agents in training: where they begin, that they resume exactly, and what their controls know."""

from dataclasses import replace

import pytest
import torch

from dreamdrive.agents.actor_critic import ActorCriticConfig
from dreamdrive.agents.artefact import load_policy
from dreamdrive.agents.networks import NetworkConfig
from dreamdrive.envs.dream.contexts import vehicle_pixels
from dreamdrive.errors import CheckpointError, EpisodeError
from dreamdrive.experiments.start_states import PERIL_LEAD, StartStates, before_terminations
from dreamdrive.experiments.train_agent import TrainAgentConfig, train_agent
from dreamdrive.worldmodel.episodes import EpisodeStore, FrameTable
from dreamdrive.worldmodel.model import WorldModel

SMALL = NetworkConfig(width=16, num_layers=1, channels=2)


def agent_config(out, world, episodes, **fields):
    settings = {
        "model": str(world), "data": (episodes,), "out": out, "updates": 4, "batch_size": 4,
        "num_starts": 16, "context": 2, "save_every": 2, "clone_steps": 5, "clone_batch_size": 8,
        "agent": ActorCriticConfig(horizon=3, network=SMALL),
    }  # fmt: skip
    return TrainAgentConfig(**(settings | fields))


@pytest.mark.parametrize("clone", ["none", "expert"])
def test_a_killed_agent_run_ends_as_an_unbroken_one(tmp_path, world, episodes, clone):
    whole = train_agent(agent_config(tmp_path / "a", world, episodes, clone=clone))
    train_agent(agent_config(tmp_path / "b", world, episodes, clone=clone, updates=2))
    resumed = train_agent(agent_config(tmp_path / "b", world, episodes, clone=clone))
    expected, found = load_policy(whole)[0].state_dict(), load_policy(resumed)[0].state_dict()
    before = load_policy(tmp_path / "a" / "before")[0].state_dict()
    assert any(not torch.equal(value, before[name]) for name, value in expected.items())
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=0, msg=name)


def test_an_agent_goes_on_from_another(tmp_path, world, episodes):
    first = train_agent(agent_config(tmp_path / "a", world, episodes))
    train_agent(agent_config(tmp_path / "b", world, episodes, init=first, updates=0))
    a, b = (
        load_policy(first)[0].state_dict(),
        load_policy(tmp_path / "b" / "policy")[0].state_dict(),
    )
    assert all(torch.equal(value, b[name]) for name, value in a.items())


def test_a_policy_that_is_not_there_leaves_no_run_behind(tmp_path, world, episodes):
    out = tmp_path / "agent"
    with pytest.raises(CheckpointError, match="nowhere"):
        train_agent(agent_config(out, world, episodes, init=tmp_path / "nowhere"))
    assert not out.exists()


def test_an_agent_of_a_control_world_starts_alike_and_learns_otherwise(tmp_path, world, episodes):
    actors = {}
    for control in ("none", "randomised"):
        config = agent_config(tmp_path / control, world, episodes, control=control)
        after = load_policy(train_agent(config))
        actors[control] = load_policy(tmp_path / control / "before")[0], *after
    (first, one, seen), (begin, other, sham) = actors.values()
    for name, value in first.state_dict().items():
        assert torch.equal(value, begin.state_dict()[name])
    assert any(not torch.equal(v, other.state_dict()[k]) for k, v in one.state_dict().items())
    true, false = seen.state_dict(), sham.state_dict()
    assert all(torch.equal(v, false[k]) for k, v in true.items() if k.startswith("tokenizer."))
    assert any(not torch.equal(v, false[k]) for k, v in true.items() if k.startswith("dynamics."))


def test_an_agent_without_a_world_or_episodes_is_refused(tmp_path, world, episodes):
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        train_agent(agent_config(tmp_path, tmp_path / "nowhere", episodes))
    with pytest.raises(EpisodeError, match="no episodes"):
        train_agent(agent_config(tmp_path, world, tmp_path / "empty"))


def test_start_states_show_traffic_and_are_seeded(world, episodes):
    model = WorldModel.from_pretrained(world)
    table = FrameTable.load(EpisodeStore(episodes), model.config.causes)
    image = table.image_NHWC[:2].clone()
    image[1] = 0
    assert vehicle_pixels(image.numpy()).tolist() == [18, 0]
    states = []
    for _ in range(2):
        generator = torch.Generator().manual_seed(3)
        starts = StartStates.encode(
            model, table, count=10, context=3, busy=1.0, generator=generator
        )
        assert len(starts) == 10
        states.append(starts.sample(4, generator))
    assert torch.equal(states[0].latent_BCHW, states[1].latent_BCHW)
    assert states[0].vector_BK.shape == (4, 14)


def test_perilous_windows_lie_shortly_before_terminations(world, episodes):
    model = WorldModel.from_pretrained(world)
    table = FrameTable.load(EpisodeStore(episodes), model.config.causes)
    rows = before_terminations(table, 50, 3, torch.Generator().manual_seed(0))
    last = table.start_E + table.length_E - 1
    ends = last[table.cause_N[last] > 0]
    lead = ends[torch.searchsorted(ends, rows[:, -1].contiguous())] - rows[:, -1]
    first = table.start_E.repeat_interleave(table.length_E)[rows]
    assert rows.shape == (50, 3)
    assert int(lead.min()) >= PERIL_LEAD[0]
    assert int(lead.max()) <= PERIL_LEAD[1]
    assert len(lead.unique()) > 5
    assert torch.equal(first[:, 0], first[:, -1])
    starts = StartStates.encode(
        model, table, count=50, context=3, busy=0.0, perilous=1.0,
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    torch.testing.assert_close(starts.windows.vector, model.normalise_vector(table.vector_NK[rows]))
    safe = replace(table, cause_N=torch.zeros_like(table.cause_N))
    assert before_terminations(safe, 50, 3, torch.Generator()).shape == (0, 3)


def test_a_prior_holds_the_agent_near_to_what_it_was(tmp_path, world, episodes):
    drift = {}
    for prior in (0.0, 100.0):
        agent = ActorCriticConfig(horizon=3, network=SMALL, prior=prior)
        out = tmp_path / str(prior)
        policy = train_agent(agent_config(out, world, episodes, agent=agent, updates=20))
        after, before = (load_policy(f)[0].state_dict() for f in (policy, out / "before"))
        drift[prior] = sum(float((after[k] - before[k]).square().sum()) for k in after)
    assert drift[100.0] < 0.5 * drift[0.0]
