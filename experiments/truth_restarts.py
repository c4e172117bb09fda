"""Ways on from one moment of a simulator, driven there and dreamed.

An episode that restarts exactly can be driven again up to a moment and then otherwise. What comes
of that is what a dream of the same moment should foresee: no recording holds it.

Shapes: B ways, T frames up to the moment, H decisions after it, J causes of an end.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray

from dreamdrive.experiments.truth_measures import MeasureConfig, observed
from dreamdrive.worldmodel.model import WorldModel

Environment = gym.Env[dict[str, NDArray[Any]], NDArray[np.float32]]


class Drive(NamedTuple):
    """An episode, or its beginning.

    Attributes:
        setup: What it restarts from.
        frames: Observations, one more than actions.
        actions: What was done.
        cause: Why it ended; "" where it goes on.
    """

    setup: dict[str, Any]
    frames: list[dict[str, NDArray[Any]]]
    actions: list[NDArray[np.float32]]
    cause: str


class Way(NamedTuple):
    """A way on from a moment.

    Attributes:
        image: uint8, the T frames up to it, (T, H, W, 3).
        state: Their vectors, (T, K).
        action: The actions that led to them, (T, A).
        taken: The actions after it, (H, A).
        cause: Why that way ends within them; "" where it does not.
    """

    image: NDArray[np.uint8]
    state: NDArray[np.float32]
    action: NDArray[np.float32]
    taken: NDArray[np.float32]
    cause: str


def drive(
    env: Environment, choose: Callable[[], NDArray[np.float32]], *, seed: int, steps: int
) -> Drive:
    """Returns an episode, cut after some steps."""
    observation, info = env.reset(seed=seed)
    found = Drive(info["setup"], [observation], [], "")
    while not found.cause and len(found.actions) < steps:
        found.actions.append(choose())
        observation, _, terminated, truncated, info = env.step(found.actions[-1])
        found.frames.append(observation)
        if terminated or truncated:
            found = found._replace(cause=info["cause"])
    return found


def way_on(
    found: Drive, now: int, taken: NDArray[np.float32], cause: str, context: int
) -> Way:  # fmt: skip
    """Returns the way on from the frame after `now` decisions, of which there are `context`."""
    before = found.frames[now - context + 1 : now + 1]
    return Way(
        np.stack([frame["image"] for frame in before]),
        np.stack([frame["state"] for frame in before]),
        np.stack(found.actions[now - context : now]), taken, cause,
    )  # fmt: skip


def cause_of(env: Environment, found: Drive, now: int, taken: Sequence[NDArray[np.float32]]) -> str:
    """Drives an episode again up to `now` and on otherwise; returns why that ends, or ""."""
    env.reset(options=found.setup)
    for action in [*found.actions[:now], *taken]:
        _, _, terminated, truncated, info = env.step(action)
        if terminated or truncated:
            return str(info["cause"])
    return ""


@torch.no_grad()
def dreamed_ends(
    model: WorldModel, ways: Sequence[Way], config: MeasureConfig
) -> NDArray[np.float32]:
    """Returns the dreamed chance of an end by each cause of the model within H, (B, J)."""

    def stacked(name: str) -> torch.Tensor:
        return torch.from_numpy(np.stack([getattr(way, name) for way in ways]))

    state = observed(model, stacked("image"), stacked("state"), stacked("action"))
    generator = torch.Generator().manual_seed(config.seed)
    alive, chance = torch.ones(len(ways)), torch.zeros(len(ways), len(model.config.causes))
    for action_BA in stacked("taken").unbind(1):
        state, seen = model.imagine_step(
            state, action_BA, generator=generator, num_steps=config.num_steps
        )
        chance = chance + alive[:, None] * seen.termination_BC
        alive = alive * (1.0 - seen.termination_BC.sum(1)).clamp(0.0, 1.0)
    return chance.numpy()


def errors(
    chance_B: NDArray[np.float32], came_B: NDArray[np.bool_], kind_B: NDArray[np.int64]
) -> tuple[float, float]:
    """Returns the mean squared error of chances, and that of each kind's own rate (Brier's score).

    The second knows which action is taken and nothing of the moment, but its rates are those of the
    very ways that it is measured on.

    Args:
        chance_B: What is dreamed.
        came_B: What is true.
        kind_B: Of which kind each way is.
    """
    error = float(np.square(chance_B - came_B).mean())
    return error, float(np.square(rate_of_kind(came_B, kind_B) - came_B).mean())


def rate_of_kind(came_B: NDArray[np.bool_], kind_B: NDArray[np.int64]) -> NDArray[np.float64]:
    """Returns for each way how many of its kind came to an end, as a share."""
    count = np.bincount(kind_B)
    share: NDArray[np.float64] = (np.bincount(kind_B, came_B) / np.maximum(count, 1))[kind_B]
    return share
