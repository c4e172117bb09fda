import copy
from collections.abc import Callable
from typing import Any, Literal

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from dreamdrive.agents.actor_critic import ActorCritic, ActorCriticConfig, DivergedError
from dreamdrive.agents.cloning import BehaviourCloning, CloningConfig
from dreamdrive.agents.networks import Actor, NetworkConfig
from dreamdrive.worldmodel.dynamics import DynamicsConfig
from dreamdrive.worldmodel.model import WorldModel, WorldModelConfig
from dreamdrive.worldmodel.state import Imagined, RolloutState
from dreamdrive.worldmodel.tokenizer import TokenizerConfig
from support.point_mass import SPEED, PointMassWorld, good_driver

NETWORK = NetworkConfig(width=64, num_layers=2, channels=4)
Gradient = Literal["dynamics", "score"]
GRADIENTS: tuple[Gradient, ...] = ("dynamics", "score")


def config(**fields: Any) -> ActorCriticConfig:
    defaults: dict[str, Any] = {
        "network": NETWORK, "horizon": 10, "discount": 0.9, "actor_rate": 3e-3,
        "critic_rate": 3e-3, "slow_rate": 0.1,
    }  # fmt: skip
    return ActorCriticConfig(**(defaults | fields))


def score(
    world: PointMassWorld, act: Callable[[RolloutState], Tensor], start: RolloutState
) -> float:
    """Mean reward of 60 decisions, each weighed by the probability to be there."""
    state, alive, total = start, torch.ones(len(start.vector_BK)), 0.0
    with torch.no_grad():
        for _ in range(60):
            state, seen = world.imagine_step(state, act(state))
            total += (alive * seen.reward_B).mean().item()
            alive = alive * (1.0 - seen.termination_BC.sum(1))
    return total


def mode_of(actor: Actor) -> Callable[[RolloutState], Tensor]:
    return lambda state: actor(state.seen, state.vector_BK).mode


def train(agent: ActorCritic, world: PointMassWorld, updates: int, size: int = 64) -> None:
    g = torch.Generator().manual_seed(1)
    for _ in range(updates):
        agent.update(world.start(size, generator=g, spread=1.0))


@pytest.mark.parametrize(
    ("gradient", "updates", "size"), [("dynamics", 40, 64), ("score", 100, 256)]
)
def test_an_agent_learns_to_drive_a_known_world(
    gradient: Gradient, updates: int, size: int
) -> None:
    world = PointMassWorld()
    agent = ActorCritic(world, config(gradient=gradient), seed=0)
    test = world.start(64, generator=torch.Generator().manual_seed(99), spread=1.0)
    best = score(world, good_driver, test)
    assert score(world, mode_of(agent.actor), test) < 0.5 * best
    train(agent, world, updates, size)
    assert score(world, mode_of(agent.actor), test) > 0.9 * best


def test_only_an_agent_with_the_image_stops_before_a_wall() -> None:
    """The wall is in the latent alone: the same agent without the image cannot know of it."""
    world = PointMassWorld()
    crashed = {}
    for use_image in (True, False):
        network = NetworkConfig(width=64, channels=4, use_image=use_image)
        agent = ActorCritic(world, config(network=network, horizon=15), seed=0)
        g = torch.Generator().manual_seed(1)
        for _ in range(100):
            start = world.start(64, generator=g, spread=0.3)
            walls = 4.0 * torch.rand(64, generator=g)
            walls = torch.where(walls < 3.0, walls, 10.0)
            latent = start.latent_BCHW.clone()
            latent[:, 0, 0, 0] = walls
            start = start.beginning_with(latent)
            agent.update(start)
        end = torch.zeros(32)
        state = world.start(32, speed=5.0, wall_m=25.0)
        with torch.no_grad():
            for _ in range(60):
                state, seen = world.imagine_step(state, mode_of(agent.actor)(state))
                end = torch.maximum(end, seen.termination_BC.sum(1))
        crashed[use_image] = end.mean().item()
    assert crashed[True] < 0.2
    assert crashed[False] > 0.9


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_rewards_a_thousand_times_as_large_stay_finite(gradient: Gradient) -> None:
    world = PointMassWorld(reward_scale=100.0)
    agent = ActorCritic(world, config(gradient=gradient), seed=0)
    g = torch.Generator().manual_seed(1)
    for _ in range(20):
        metrics = agent.update(world.start(32, generator=g, spread=3.0))
        assert all(torch.tensor(value).isfinite() for value in metrics.values())
    state = world.start(8, speed=1e4)
    assert mode_of(agent.actor)(state).isfinite().all()


def test_a_termination_costs_its_penalty() -> None:
    world = PointMassWorld()

    def first(penalty: float) -> dict[str, float]:
        agent = ActorCritic(world, config(horizon=1, termination_penalty=penalty), seed=0)
        return agent.update(world.start(16, wall_m=0.5))

    free, charged = first(0.0), first(2.0)
    assert 0.05 < charged["survival"] < 0.95
    lost = 2.0 * (1.0 - charged["survival"])
    assert free["return"] - charged["return"] == pytest.approx(lost, rel=1e-4)


class BrokenWorld(PointMassWorld):
    """Its reward is not a number wherever the ego stands."""

    def imagine_step(
        self, state: RolloutState, action_BA: Tensor, **how: Any
    ) -> tuple[RolloutState, Imagined]:
        state, seen = super().imagine_step(state, action_BA, **how)
        bad = torch.where(seen.vector_BK[:, SPEED] > 0.5, seen.reward_B, torch.nan)
        return state, seen._replace(reward_B=bad)


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_a_broken_dream_stops_before_any_step(gradient: Gradient) -> None:
    world = BrokenWorld()
    agent = ActorCritic(world, config(gradient=gradient), seed=0)
    agent.update(world.start(4, speed=8.0))
    before = copy.deepcopy({k: agent.state()[k] for k in ("actor", "critic", "slow_critic")})
    with pytest.raises(DivergedError, match="return is not finite"):
        agent.update(world.start(4, speed=0.0))
    after = agent.state()
    for name, weights in before.items():
        for key, value in weights.items():
            assert torch.equal(after[name][key], value), (name, key)


def test_the_same_seed_gives_the_same_agent_and_a_restored_one_goes_on() -> None:
    world = PointMassWorld()

    def steps(agent: ActorCritic, number: int) -> dict[str, float]:
        for i in range(number):
            metrics = agent.update(world.start(8, speed=1.0 + i))
        return metrics

    whole = steps(ActorCritic(world, config(), seed=3), 6)
    half = ActorCritic(world, config(), seed=3)
    steps(half, 3)
    saved = half.state()
    resumed = ActorCritic(world, config(), seed=55)
    resumed.load_state(saved)
    for i in range(3, 6):
        start = world.start(8, speed=1.0 + i)
        metrics = half.update(start)
        assert resumed.update(start) == metrics
    assert metrics == whole
    assert steps(ActorCritic(world, config(), seed=4), 6) != whole


def test_a_real_world_model_gets_no_gradient_and_keeps_its_weights() -> None:
    torch.manual_seed(0)
    model = WorldModel(
        WorldModelConfig(
            vector_names=("a", "b", "c"), causes=("crash",),
            tokenizer=TokenizerConfig(image_size=32, latent_channels=4, width=8, coarse_width=8),
            transformer=DynamicsConfig(width=32, num_layers=2, num_heads=2, num_key_heads=1),
        )
    )  # fmt: skip
    before = copy.deepcopy(model.state_dict())
    for gradient in GRADIENTS:
        agent = ActorCritic(model, config(gradient=gradient, horizon=3), seed=0)
        first = copy.deepcopy(agent.actor.state_dict())
        metrics = agent.update(model.init_state(4))
        assert metrics["actor_norm"] > 0.0
        moved = [not torch.equal(v, first[k]) for k, v in agent.actor.state_dict().items()]
        assert any(moved)
    assert all(parameter.grad is None for parameter in model.parameters())
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_uncertainty_is_taken_from_the_reward() -> None:
    class Unsure(PointMassWorld):
        def imagine_step(self, *args: Any, **how: Any) -> tuple[RolloutState, Imagined]:
            state, seen = super().imagine_step(*args, **how)
            return state, seen._replace(uncertainty_B=torch.full_like(seen.reward_B, 0.25))

    world = Unsure()
    returns = [
        ActorCritic(world, config(uncertainty=u, horizon=1), seed=0).update(world.start(4))
        for u in (0.0, 2.0)
    ]
    assert returns[0]["return"] - returns[1]["return"] == pytest.approx(0.5, abs=1e-5)
    assert returns[0]["uncertainty"] == pytest.approx(0.25)


def test_a_strong_prior_holds_the_actor_near_it() -> None:
    world = PointMassWorld()
    cloning = BehaviourCloning(world, CloningConfig(network=NETWORK, rate=3e-3), seed=0)
    g = torch.Generator().manual_seed(5)
    slow = torch.tensor([0.0, -0.5]).expand(64, 2)
    for _ in range(60):
        state = world.start(64, generator=g, spread=1.0)
        cloning.update(state.seen, state.vector_BK, slow)
    prior = cloning.actor.requires_grad_(False)
    pedals = {}
    test = world.start(32, speed=3.0)
    for weight in (1e-3, 10.0):
        actor = copy.deepcopy(prior).requires_grad_(True)
        agent = ActorCritic(world, config(prior=weight), seed=0, actor=actor, prior=prior)
        train(agent, world, 25)
        pedals[weight] = mode_of(agent.actor)(test)[:, 1].mean().item()
    assert pedals[10.0] == pytest.approx(-0.5, abs=0.1)
    assert pedals[1e-3] > 0.2


@pytest.mark.parametrize(
    ("slow", "fast", "rate"),
    [("slow_critic", "critic", "slow_rate"), ("mean_actor", "actor", "mean_rate")],
)
def test_a_slow_copy_follows_by_its_share_and_is_part_of_the_state(
    slow: str, fast: str, rate: str
) -> None:
    world = PointMassWorld()
    agent = ActorCritic(world, config(**{rate: 0.25}), seed=0)
    before = getattr(agent, slow).head.weight.clone()
    agent.update(world.start(8))
    expected = before + 0.25 * (getattr(agent, fast).head.weight - before)
    assert not torch.equal(expected, before)
    torch.testing.assert_close(getattr(agent, slow).head.weight, expected)
    again = ActorCritic(world, config(), seed=1)
    again.load_state(agent.state())
    assert torch.equal(getattr(again, slow).head.weight, getattr(agent, slow).head.weight)


def test_start_states_are_not_changed() -> None:
    world = PointMassWorld()
    start = world.start(4, generator=torch.Generator().manual_seed(0), spread=1.0)
    kept = start.clone()
    ActorCritic(world, config(), seed=0).update(start)
    for mine, theirs in zip(tree_leaves(start), tree_leaves(kept), strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.parametrize(
    "fields",
    [{"horizon": 0}, {"discount": 1.5}, {"actor_rate": 0.0}, {"entropy": -1.0}, {"clip": 0.0}],
)
def test_impossible_settings_are_refused(fields: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(fields))):
        ActorCriticConfig(**fields)


def test_a_prior_weight_needs_a_prior() -> None:
    with pytest.raises(ValueError, match="no prior"):
        ActorCritic(PointMassWorld(), config(prior=1.0), seed=0)
