import pytest
import torch

from dreamdrive.agents.imagination import imagine
from support.point_mass import HEADING, LIMIT, OFFSET, SPEED, PointMassWorld


def throttle(latent: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
    return torch.tensor([0.0, 0.5]).expand(len(vector), 2)


def test_frames_and_decisions_keep_their_places() -> None:
    world = PointMassWorld()
    dream = imagine(world, world.start(3, speed=2.0), throttle, horizon=4)
    pedal = torch.tensor(0.5).tanh().item()
    speeds = torch.tensor([2.0 + 0.4 * pedal * t for t in range(5)])
    torch.testing.assert_close(dream.vector_BTK[:, :, SPEED], speeds.expand(3, 5))
    gained = 0.1 * speeds[1:]
    torch.testing.assert_close(dream.reward_BT, (0.1 * gained).expand(3, 4))
    ahead = 100.0 - torch.cat([torch.zeros(1), gained.cumsum(0)])
    torch.testing.assert_close(10.0 * dream.seen_BTCHW[:, :, 0, 0, 0], ahead.expand(3, 5))
    assert dream.action_BTA.shape == (3, 4, 2)
    torch.testing.assert_close(dream.action_BTA, dream.raw_BTA.tanh())
    assert dream.termination_BTJ.shape == (3, 4, len(world.config.causes))


def test_alive_is_known_before_the_decision_that_ends_it() -> None:
    """At 10 m/s the wall 2.5 m ahead is passed by the third decision."""
    world = PointMassWorld()
    dream = imagine(world, world.start(1, speed=10.0, wall_m=2.5), lambda latent, vector:
                    torch.zeros(len(vector), 2), horizon=5)  # fmt: skip
    torch.testing.assert_close(dream.alive[0].round(), torch.tensor([1.0, 1.0, 1.0, 0.0, 0.0]))
    torch.testing.assert_close(
        dream.continuation[0].round(), torch.tensor([1.0, 1.0, 0.0, 0.0, 0.0])
    )


def test_the_dream_has_the_gradient_of_the_world() -> None:
    """Speed after T decisions grows by 0.4 for each unit of a pedal; finite differences agree."""
    world = PointMassWorld()
    raw = torch.tensor([0.1, 0.2], dtype=torch.float32, requires_grad=True)

    def last(raw: torch.Tensor) -> torch.Tensor:
        dream = imagine(
            world, world.start(1), lambda latent, vector: raw.expand(len(vector), 2), horizon=6
        )
        return dream.vector_BTK[0, -1, [OFFSET, HEADING, SPEED]].sum()

    (gradient,) = torch.autograd.grad(last(raw), raw)
    for i in range(2):
        step = torch.zeros(2)
        step[i] = 1e-2
        slope = (last(raw.detach() + step) - last(raw.detach() - step)).item() / 2e-2
        assert gradient[i].item() == pytest.approx(slope, rel=1e-2)


def test_the_limit_stays_and_no_gradient_is_kept_without_grad() -> None:
    world = PointMassWorld()
    with torch.no_grad():
        dream = imagine(world, world.start(2), throttle, horizon=3)
    assert not dream.reward_BT.requires_grad
    assert (dream.vector_BTK[..., LIMIT] == 8.0).all()
