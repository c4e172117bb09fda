import pytest
import torch

from dreamdrive.agents.actor_critic import DivergedError
from dreamdrive.agents.cloning import BehaviourCloning, CloningConfig
from dreamdrive.agents.networks import NetworkConfig
from support.point_mass import PointMassWorld, good_driver

CONFIG = CloningConfig(network=NetworkConfig(width=32, channels=4), rate=3e-3)


def test_cloning_finds_the_driver_that_it_watched() -> None:
    world, g = PointMassWorld(), torch.Generator().manual_seed(0)
    cloning = BehaviourCloning(world, CONFIG, seed=0)
    test = world.start(128, generator=torch.Generator().manual_seed(9), spread=1.0)
    before = cloning.loss(test.seen, test.vector_BK, good_driver(test)).item()
    for _ in range(300):
        state = world.start(128, generator=g, spread=1.0)
        metrics = cloning.update(state.seen, state.vector_BK, good_driver(state))
    after = cloning.loss(test.seen, test.vector_BK, good_driver(test)).item()
    assert after < before - 2.0
    assert metrics["loss"] < before - 2.0
    mode = cloning.actor(test.seen, test.vector_BK).mode
    assert (mode - good_driver(test)).abs().mean().item() < 0.08


def test_bad_numbers_stop_before_the_step() -> None:
    world = PointMassWorld()
    cloning = BehaviourCloning(world, CONFIG, seed=0)
    weights = {k: v.clone() for k, v in cloning.actor.state_dict().items()}
    state = world.start(4)
    with pytest.raises(DivergedError, match="not finite"):
        cloning.update(state.seen, state.vector_BK, torch.full((4, 2), float("nan")))
    for name, value in cloning.actor.state_dict().items():
        assert torch.equal(value, weights[name]), name


def test_the_seed_fixes_the_start_and_leaves_the_global_generator_alone() -> None:
    world = PointMassWorld()
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    first, second = (BehaviourCloning(world, CONFIG, seed=1) for _ in range(2))
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(first.actor.head.weight, second.actor.head.weight)
    other = BehaviourCloning(world, CONFIG, seed=2)
    assert not torch.equal(first.actor.head.weight, other.actor.head.weight)


@pytest.mark.parametrize("fields", [{"rate": 0.0}, {"clip": -1.0}, {"weight_decay": -0.1}])
def test_impossible_rates_are_refused(fields: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="positive"):
        CloningConfig(**fields)
