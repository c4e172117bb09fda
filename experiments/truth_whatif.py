"""What if the driver did something else for three seconds? Driven in a simulator, and dreamed.

From a moment of a good drive on, one action is held: straight on at half throttle, a little to
either side, a full brake. No driver of the recordings does that where it is fatal for long, so that
a dream may say anything; an agent that learns in the dream tries all of it.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from dreamdrive.driving.causes import is_collision
from dreamdrive.experiments.truth_measures import MeasureConfig, auc
from dreamdrive.experiments.truth_restarts import (
    Environment,
    Way,
    cause_of,
    dreamed_ends,
    drive,
    errors,
    rate_of_kind,
    way_on,
)
from dreamdrive.worldmodel.model import WorldModel

HOLDS: dict[str, tuple[float, float]] = {
    "straight": (0.0, 0.5), "left": (0.15, 0.3), "right": (-0.15, 0.3), "brake": (0.0, -1.0),
}  # fmt: skip
"""Steering, left positive, and pedal that are held."""
MOMENT, HORIZON = 40, 30
"""Decisions before the moment, when all have gathered speed, and after it."""
LEAVING = ("off_road", "route_deviation")
"""Causes that come of where the ego steers."""


def ways_of(
    env: Environment, choose: Callable[[], NDArray[np.float32]], *, seed: int, context: int
) -> dict[str, Way]:
    """Returns what comes of each of `HOLDS` from a moment of an episode on.

    None where the episode ends before.

    Args:
        env: Restarts exactly from the `setup` that its reset tells.
        choose: The driver up to the moment.
        seed: Of the episode.
        context: Frames up to the moment that are kept.
    """
    driven = drive(env, choose, seed=seed, steps=MOMENT)
    if driven.cause:
        return {}
    found = {}
    for name, action in HOLDS.items():
        taken = np.tile(np.array(action, np.float32), (HORIZON, 1))
        cause = cause_of(env, driven, MOMENT, list(taken))
        found[name] = way_on(driven, MOMENT, taken, cause, context)
    return found


def whatif_truth(
    model: WorldModel, ways: Sequence[dict[str, Way]], config: MeasureConfig
) -> dict[str, float]:
    """Returns how many ways of each kind end, in a simulator and in the dream.

    Per name of `HOLDS`: `whatif_NAME`, how many ends within `HORIZON` the dream foresees, and
    `…_real`, how many came; `whatif_NAME_collisions` and `whatif_NAME_leaving`, of those the
    collisions and those that leave the road or the route, each with `…_real`. `whatif_auc` is the
    area under the ROC curve of all ways, by whether they end, and `whatif_error` their mean squared
    error; `…_kind` are those of the rate of each name. `whatif_moments` says how many moments there
    are.
    """
    measures = {"whatif_moments": float(len(ways))}
    if not ways:
        return measures
    causes = model.config.causes
    groups = {
        "": list(range(len(causes))),
        "_collisions": [i for i, cause in enumerate(causes) if is_collision(cause)],
        "_leaving": [causes.index(cause) for cause in LEAVING],
    }
    chances, ended = [], []
    for name in HOLDS:
        chance = dreamed_ends(model, [way[name] for way in ways], config)
        causes_met = [way[name].cause for way in ways]
        for suffix, members in groups.items():
            measures[f"whatif_{name}{suffix}"] = float(chance[:, members].sum())
            measures[f"whatif_{name}{suffix}_real"] = float(
                sum(cause in [causes[i] for i in members] for cause in causes_met)
            )
        chances.append(chance.sum(1))
        ended.append(np.array([cause in causes for cause in causes_met]))
    chance, came = np.concatenate(chances), np.concatenate(ended)
    kind = np.arange(len(HOLDS)).repeat(len(ways))
    error, by_kind = errors(chance, came, kind)
    return measures | {
        "whatif_auc": auc(chance, came), "whatif_auc_kind": auc(rate_of_kind(came, kind), came),
        "whatif_error": error, "whatif_error_kind": by_kind,
    }  # fmt: skip


def simulated_ways(town: str, episodes: int, config: MeasureConfig) -> list[dict[str, Way]]:
    """Returns ways on from moments of the expert's drives, in a town of an embedded server.

    Args:
        town: The town.
        episodes: How many are driven; those that end before the moment give none.
        config: Its seed is the first episode's.
    """
    from dreamdrive.envs.carla.drivers import make_driver
    from dreamdrive.envs.carla.env import CarlaDriveEnv

    driver, found = make_driver("expert"), []
    with CarlaDriveEnv(town=town, num_vehicles=12, num_walkers=0) as env:
        for seed in range(config.seed, config.seed + episodes):
            driver.reset(np.random.default_rng(seed))
            ways = ways_of(env, lambda: driver.act(env), seed=seed, context=config.context)
            found += [ways] if ways else []
    return found
