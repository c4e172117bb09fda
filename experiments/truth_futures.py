"""How many futures has a moment? Those of one state of the simulator, and those that are dreamed.

An episode is begun again several times from its setup and driven by the same actions; from a moment
on the Traffic Manager draws from another seed. The dream begins at the same frames and goes on
under the same actions with other noise. What differs is what others do.

Shapes: S restarts, B moments, H steps after the moment, T frames before it.
"""

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from dreamdrive.agents.policy import Policy
from dreamdrive.driving.palette import CLASS_INDEX, classify
from dreamdrive.experiments.truth_measures import MeasureConfig, observed
from dreamdrive.experiments.truth_restarts import Environment
from dreamdrive.worldmodel.model import WorldModel

MOMENT, HORIZON = 40, 30
"""Decisions before the moment, when all have gathered speed, and after it."""
RESTARTS = 4
LOOKED_AT = (1, 10, 20, 30)
VEHICLE = CLASS_INDEX["vehicle"]


class Moment(NamedTuple):
    """A moment and its futures.

    Attributes:
        image: uint8, the T frames up to it, (T, H, W, 3).
        state: Their vectors, (T, K).
        action: The actions that led to them, (T, A).
        taken: The actions after it, (H, A).
        future: uint8, what came in each restart, (S, H, H, W, 3).
    """

    image: NDArray[np.uint8]
    state: NDArray[np.float32]
    action: NDArray[np.float32]
    taken: NDArray[np.float32]
    future: NDArray[np.uint8]


def futures_of(
    env: Environment, driver: Policy, reseed: Callable[[int], None], *, seed: int, context: int
) -> Moment | None:
    """Returns a moment of an episode with its futures; None where an episode ends before.

    Args:
        env: Restarts exactly from the `setup` that its reset tells.
        driver: Drives the first time; the other times its actions are repeated.
        reseed: Gives those who drive otherwise another seed.
        seed: Of the episode, and of the seeds.
        context: Frames up to the moment that are kept.
    """
    setup, actions = None, []
    futures, before = [], None
    for restart in range(RESTARTS):
        if setup is None:
            observation, info = env.reset(seed=seed)
            setup = info["setup"]
        else:
            observation, info = env.reset(options=setup)
        driver.reset()
        frames = [observation]
        for step in range(MOMENT + HORIZON):
            if step == MOMENT:
                reseed(1000 * seed + restart)
            if restart == 0:
                actions.append(driver.act(observation))
            observation, _, terminated, truncated, _ = env.step(actions[step])
            frames.append(observation)
            if terminated or truncated:
                return None
        futures.append(np.stack([frame["image"] for frame in frames[MOMENT + 1 :]]))
        before = before or frames[MOMENT - context + 1 : MOMENT + 1]
    assert before is not None
    return Moment(
        np.stack([frame["image"] for frame in before]),
        np.stack([frame["state"] for frame in before]),
        np.stack(actions[MOMENT - context : MOMENT]), np.stack(actions[MOMENT:]),
        np.stack(futures),
    )  # fmt: skip


@torch.no_grad()
def dreamed_futures(
    model: WorldModel, moment: Moment, config: MeasureConfig, count: int
) -> NDArray[np.uint8]:
    """Returns what is dreamed after a moment under the same actions, (count, H, H, W, 3)."""
    image, vector, action = (
        torch.from_numpy(part).expand(count, *part.shape)
        for part in (moment.image, moment.state, moment.action)
    )
    state = observed(model, image, vector, action)
    generator = torch.Generator().manual_seed(config.seed)
    shown = []
    for action in torch.from_numpy(moment.taken):
        state, _ = model.imagine_step(
            state, action.expand(count, -1), generator=generator, num_steps=config.num_steps
        )
        decoded, state = model.decode_step(state)
        shown.append((decoded * 255.0).round().byte().movedim(1, -1).numpy())
    return np.stack(shown, 1)


def overlap(a_HW: NDArray[np.bool_], b_HW: NDArray[np.bool_]) -> float:
    """Returns intersection over union; NaN where neither has a pixel."""
    union = int((a_HW | b_HW).sum())
    return int((a_HW & b_HW).sum()) / union if union else float("nan")


def spread(image_SHWC: NDArray[np.uint8]) -> tuple[float, float]:
    """Returns how pictures of one moment differ: of their vehicles, 1 less the overlap, and in all.

    The first is the mean over pairs, NaN where no picture shows a vehicle; the second the mean
    spread of a pixel's channels, in [0, 1].
    """
    vehicles = classify(image_SHWC) == VEHICLE
    gaps = [1.0 - overlap(a, b) for a, b in combinations(vehicles, 2)]
    known = [gap for gap in gaps if not np.isnan(gap)]
    whole = float(image_SHWC.astype(np.float64).std(0).mean() / 255.0)
    return (float(np.mean(known)) if known else float("nan")), whole


def futures_truth(
    model: WorldModel, moments: Sequence[Moment], config: MeasureConfig
) -> dict[str, float]:
    """Returns how dreamed futures of one moment differ, and how real ones do.

    Per step h of `LOOKED_AT`: `future_vehicles_h` and `future_pictures_h`, means of `spread` over
    the moments, with `…_real_h` of the restarts; `future_overlap_h`, the overlap of the vehicles of
    a dream and of what came. `future_moments` says how many there are.
    """
    found: dict[str, list[float]] = {}
    for moment in moments:
        dreams = dreamed_futures(model, moment, config, RESTARTS)
        for h in LOOKED_AT:
            for suffix, pictures in (("", dreams), ("_real", moment.future)):
                vehicles, whole = spread(pictures[:, h - 1])
                found.setdefault(f"future_vehicles{suffix}_{h}", []).append(vehicles)
                found.setdefault(f"future_pictures{suffix}_{h}", []).append(whole)
            seen = classify(dreams[0, h - 1]) == VEHICLE
            came = classify(moment.future[0, h - 1]) == VEHICLE
            found.setdefault(f"future_overlap_{h}", []).append(overlap(seen, came))
    measures = {"future_moments": float(len(moments))}
    for name, values in found.items():
        known = [value for value in values if not np.isnan(value)]
        measures[name] = float(np.mean(known)) if known else float("nan")
    return measures


def simulated(
    town: str, driver: Policy, count: int, config: MeasureConfig
) -> list[Moment]:  # fmt: skip
    """Returns moments of episodes in a town of an embedded server, with their futures.

    Args:
        town: The town.
        driver: Who drives.
        count: How many episodes; those that end before give none.
        config: Its seed is the first episode's.
    """
    from dreamdrive.envs.carla.env import CarlaDriveEnv

    with CarlaDriveEnv(town=town, num_vehicles=12, num_walkers=0) as env:
        found = [
            futures_of(
                env, driver, lambda n: env.session.traffic_manager.set_random_device_seed(n),
                seed=config.seed + number, context=config.context,
            )
            for number in range(count)
        ]  # fmt: skip
    return [moment for moment in found if moment is not None]
