"""Does the dream know what averts a collision? What a full brake does, driven and dreamed.

A driver that sees nobody collides. Its episode is begun again from its setup and driven by the same
actions up to some decisions before that; from there on it brakes fully, and it is seen whether it
collides all the same. The dream begins at the same frames and takes either way. A dream that takes
the brake for the cause of what drivers brake for says here that braking is no good.

Shapes: B perils, T frames before the moment, H decisions after it.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray

from dreamdrive.driving.actions import ACCELERATION
from dreamdrive.driving.causes import is_collision
from dreamdrive.driving.state import STATE_INDEX
from dreamdrive.experiments.truth_measures import MeasureConfig, auc, observed
from dreamdrive.worldmodel.model import WorldModel

LEADS = (4, 7, 10, 13)
"""Decisions before the collision at which the ways part."""
AFTER = 15
"""Decisions after that, in which a collision counts."""
LONGEST = 250
"""Decisions until an episode is given up."""

Environment = gym.Env[dict[str, NDArray[Any]], NDArray[np.float32]]


class Peril(NamedTuple):
    """A moment before a collision, and one way on from it.

    Attributes:
        lead: Decisions from the moment to the collision.
        brakes: Whether the way on is a full brake; else it is what was driven.
        image: uint8, the T frames up to it, (T, H, W, 3).
        state: Their vectors, (T, K).
        action: The actions that led to them, (T, A).
        taken: The actions after it, (H, A).
        collided: Whether that way ends in a collision.
    """

    lead: int
    brakes: bool
    image: NDArray[np.uint8]
    state: NDArray[np.float32]
    action: NDArray[np.float32]
    taken: NDArray[np.float32]
    collided: bool


def perils_of(
    env: Environment, choose: Callable[[], NDArray[np.float32]], *, seed: int, context: int
) -> list[Peril]:
    """Returns both ways on from each of `LEADS` before an episode's collision.

    None where the episode ends otherwise or before there are as many frames as that needs.

    Args:
        env: Restarts exactly from the `setup` that its reset tells.
        choose: The driver.
        seed: Of the episode.
        context: Frames up to the moment that are kept.
    """
    observation, info = env.reset(seed=seed)
    setup = info["setup"]
    frames, cause = [observation], None
    actions: list[NDArray[np.float32]] = []
    while cause is None and len(actions) < LONGEST:
        actions.append(choose())
        observation, _, terminated, truncated, info = env.step(actions[-1])
        frames.append(observation)
        cause = info["cause"] if terminated or truncated else None
    if cause is None or not is_collision(cause) or len(actions) < context + max(LEADS):
        return []
    found = []
    for lead in LEADS:
        now = len(actions) - lead
        before = frames[now - context + 1 : now + 1]
        driven = np.stack([*actions[now:], *[actions[-1]] * (AFTER - lead)])
        braking = driven.copy()
        braking[:, ACCELERATION] = -1.0
        for brakes, taken in ((False, driven), (True, braking)):
            collided = _collides(env, setup, actions[:now], taken) if brakes else True
            found.append(
                Peril(
                    lead, brakes, np.stack([frame["image"] for frame in before]),
                    np.stack([frame["state"] for frame in before]),
                    np.stack(actions[now - context : now]), taken, collided,
                )
            )  # fmt: skip
    return found


def _collides(
    env: Environment, setup: dict[str, Any], before: Sequence[NDArray[np.float32]],
    after: NDArray[np.float32],
) -> bool:  # fmt: skip
    env.reset(options=setup)
    for action in [*before, *after]:
        _, _, terminated, truncated, info = env.step(action)
        if terminated or truncated:
            return is_collision(info["cause"])
    return False


@torch.no_grad()
def dreamed_chance(
    model: WorldModel, perils: Sequence[Peril], config: MeasureConfig
) -> NDArray[np.float32]:
    """Returns the chance of a collision within `AFTER` decisions of each peril, (B,)."""

    def stacked(name: str) -> torch.Tensor:
        return torch.from_numpy(np.stack([getattr(peril, name) for peril in perils]))

    state = observed(model, stacked("image"), stacked("state"), stacked("action"))
    generator = torch.Generator().manual_seed(config.seed)
    fatal = [i for i, cause in enumerate(model.config.causes) if is_collision(cause)]
    alive, chance = torch.ones(len(perils)), torch.zeros(len(perils))
    for action_BA in stacked("taken").unbind(1):
        state, seen = model.imagine_step(
            state, action_BA, generator=generator, num_steps=config.num_steps
        )
        ends_BC = seen.termination_BC
        chance = chance + alive * ends_BC[:, fatal].sum(1)
        alive = alive * (1.0 - ends_BC.sum(1)).clamp(0.0, 1.0)
    return chance.numpy()


def averting_truth(
    model: WorldModel, perils: Sequence[Peril], config: MeasureConfig
) -> dict[str, float]:
    """Returns what braking does before collisions, in a simulator and in the dream.

    Per lead L of `LEADS`: `averting_driven_L`, the mean dreamed chance to collide where the ego
    goes on as it did, which is 1 in truth; `averting_braked_L`, the same where it brakes, and
    `averting_braked_real_L`, the share of drives that collide then. `averting_auc` is the area
    under the ROC curve of all ways, by whether they collide, `averting_auc_speed` that of the speed
    alone; `averting_collisions` says how many collisions there are.
    """
    if not perils:
        return {"averting_collisions": 0.0}
    chance = dreamed_chance(model, perils, config)
    lead, brakes, collided = (
        np.array([getattr(peril, name) for peril in perils])
        for name in ("lead", "brakes", "collided")
    )
    speed = np.array([peril.state[-1, STATE_INDEX["speed"]] for peril in perils])
    measures = {"averting_collisions": len(perils) / (2.0 * len(LEADS))}
    for L in LEADS:
        driven, braked = (lead == L) & ~brakes, (lead == L) & brakes
        measures |= {
            f"averting_driven_{L}": float(chance[driven].mean()),
            f"averting_braked_{L}": float(chance[braked].mean()),
            f"averting_braked_real_{L}": float(collided[braked].mean()),
        }
    measures["averting_auc"] = auc(chance, collided)
    measures["averting_auc_speed"] = auc(speed, collided)
    return measures


def simulated_perils(town: str, episodes: int, config: MeasureConfig) -> list[Peril]:
    """Returns perils of a driver that sees nobody, in a town of an embedded server.

    Args:
        town: The town.
        episodes: How many are driven; about a third end in collisions.
        config: Its seed is the first episode's.
    """
    from dreamdrive.envs.carla.drivers import make_driver
    from dreamdrive.envs.carla.env import CarlaDriveEnv

    driver, found = make_driver("blind"), []
    with CarlaDriveEnv(town=town, num_vehicles=12, num_walkers=0) as env:
        for seed in range(config.seed, config.seed + episodes):
            driver.reset(np.random.default_rng(seed))
            found += perils_of(env, lambda: driver.act(env), seed=seed, context=config.context)
    return found
