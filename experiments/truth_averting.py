"""Does the dream know what averts a collision? What a full brake does, driven and dreamed.

A driver that sees nobody collides. Its episode is begun again from its setup and driven by the same
actions up to some decisions before that; from there on it brakes fully, and it is seen whether it
collides all the same. The dream begins at the same frames and takes either way. A dream that takes
the brake for the cause of what drivers brake for says here that braking is no good.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dreamdrive.driving.actions import ACCELERATION
from dreamdrive.driving.causes import is_collision
from dreamdrive.experiments.truth_measures import MeasureConfig
from dreamdrive.experiments.truth_restarts import (
    Environment,
    Way,
    cause_of,
    dreamed_ends,
    drive,
    errors,
    way_on,
)
from dreamdrive.worldmodel.model import WorldModel

LEADS = (4, 7, 10, 13)
"""Decisions before the collision at which the ways part."""
AFTER = 15
"""Decisions after that, in which a collision counts."""
LONGEST = 250
"""Decisions until an episode is given up."""


class Peril(NamedTuple):
    """A moment before a collision, and one way on from it.

    Attributes:
        lead: Decisions from the moment to the collision.
        brakes: Whether the way on is a full brake; else it is what was driven.
        way: That way.
    """

    lead: int
    brakes: bool
    way: Way


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
    driven = drive(env, choose, seed=seed, steps=LONGEST)
    if not is_collision(driven.cause) or len(driven.actions) < context + max(LEADS):
        return []
    found = []
    for lead in LEADS:
        now = len(driven.actions) - lead
        last = driven.actions[-1:] * (AFTER - lead)
        going_on = np.stack(driven.actions[now:] + last)
        braking = going_on.copy()
        braking[:, ACCELERATION] = -1.0
        for brakes, taken in ((False, going_on), (True, braking)):
            cause = cause_of(env, driven, now, list(taken))
            found.append(Peril(lead, brakes, way_on(driven, now, taken, cause, context)))
    return found


def averting_truth(
    model: WorldModel, perils: Sequence[Peril], config: MeasureConfig
) -> dict[str, float]:
    """Returns what braking does before collisions, in a simulator and in the dream.

    Per lead L of `LEADS`: `averting_driven_L`, the mean dreamed chance to collide where the ego
    goes on as it did, and `averting_braked_L`, the same where it brakes; each with `…_real_L`, the
    share of the drives that collide. The first of those is 1 where episodes restart exactly.
    `averting_error` is the mean squared error of all chances, `averting_error_kind` that of the
    rate of each lead with and without the brake; `averting_collisions` says how many collisions
    there are.
    """
    if not perils:
        return {"averting_collisions": 0.0}
    fatal = [i for i, cause in enumerate(model.config.causes) if is_collision(cause)]
    chance = dreamed_ends(model, [peril.way for peril in perils], config)[:, fatal].sum(1)
    lead, brakes = (np.array([getattr(p, name) for p in perils]) for name in ("lead", "brakes"))
    collided = np.array([is_collision(peril.way.cause) for peril in perils])
    measures = {"averting_collisions": len(perils) / (2.0 * len(LEADS))}
    for L in LEADS:
        driven, braked = (lead == L) & ~brakes, (lead == L) & brakes
        for name, chosen in (("driven", driven), ("braked", braked)):
            measures[f"averting_{name}_{L}"] = float(chance[chosen].mean())
            measures[f"averting_{name}_real_{L}"] = float(collided[chosen].mean())
    error, by_kind = errors(chance, collided, 2 * lead + brakes)
    return measures | {"averting_error": error, "averting_error_kind": by_kind}


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
