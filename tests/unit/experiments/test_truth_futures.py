"""Futures of one moment, on a toy environment that is restarted and a world with known noise."""

import gymnasium as gym
import numpy as np
import pytest
import torch

from dreamdrive.agents.policy import ConstantPolicy
from dreamdrive.driving.palette import CLASS_INDEX, COLOURS
from dreamdrive.experiments.truth_futures import (
    HORIZON,
    LOOKED_AT,
    MOMENT,
    RESTARTS,
    futures_of,
    futures_truth,
    overlap,
    spread,
)
from dreamdrive.experiments.truth_measures import MeasureConfig
from support.point_mass import PointMassWorld

CONFIG = MeasureConfig(context=4)


def picture(column: int) -> np.ndarray:
    """A vehicle of 4 x 4 pixels on the road."""
    image = np.tile(COLOURS[CLASS_INDEX["road"]], (64, 64, 1))
    image[20:24, column : column + 4] = COLOURS[CLASS_INDEX["vehicle"]]
    return image


class Street(gym.Env):
    """One vehicle that begins where the setup says and drifts by a draw of its own seed."""

    def __init__(self, ends_at: int = 10_000) -> None:
        self.ends_at, self.draws = ends_at, np.random.default_rng(0)

    def reset(self, *, seed=None, options=None):
        self.column = options["column"] if options else 10 + seed
        self.steps, self.draws = 0, np.random.default_rng(0)
        return self._seen(), {"setup": {"column": self.column}}

    def reseed(self, number: int) -> None:
        self.draws = np.random.default_rng(number)

    def step(self, action):
        self.steps += 1
        self.column = (self.column + int(self.draws.integers(0, 2))) % 60
        return self._seen(), 0.0, self.steps >= self.ends_at, False, {}

    def _seen(self):
        return {"image": picture(self.column), "state": np.zeros(14, np.float32)}


class NoisyWorld(PointMassWorld):
    """Shows a vehicle that jumps by the noise, as far as `jump` lets it."""

    jump = 20

    def decode_step(self, state):
        drawn = torch.rand(len(state.vector_BK), generator=self.drawn)
        columns = (10 + self.jump * drawn).long()
        shown = np.stack([picture(int(column)) for column in columns])
        return torch.from_numpy(shown).movedim(-1, 1).float() / 255.0, state

    def imagine_step(self, state, action_BA, *, generator=None, **how):
        self.drawn = generator
        return super().imagine_step(state, action_BA, generator=generator, **how)


def moment(**how):
    street = Street(**how)
    return futures_of(street, ConstantPolicy(0.0, 0.0), street.reseed, seed=3, context=4)


def test_a_moment_is_one_past_with_several_futures() -> None:
    found = moment()
    assert found is not None
    assert found.image.shape == (4, 64, 64, 3)
    assert found.state.shape == (4, 14)
    assert found.action.shape == (4, 2)
    assert found.taken.shape == (HORIZON, 2)
    assert found.future.shape == (RESTARTS, HORIZON, 64, 64, 3)
    vehicle = (found.future == COLOURS[CLASS_INDEX["vehicle"]]).all(-1)
    column = vehicle.any(2).argmax(-1)
    last = (found.image[-1] == COLOURS[CLASS_INDEX["vehicle"]]).all(-1).any(0).argmax()
    assert (np.abs(column[:, 0] - last) <= 1).all()
    assert len(np.unique(column[:, -1])) > 1


def test_an_episode_that_ends_has_no_moment() -> None:
    assert moment(ends_at=MOMENT + HORIZON - 1) is None
    assert moment(ends_at=MOMENT + HORIZON + 1) is not None


def test_the_spread_is_that_of_the_vehicles() -> None:
    same = np.stack([picture(5)] * 3)
    assert spread(same) == (0.0, 0.0)
    apart = np.stack([picture(5), picture(5), picture(30)])
    vehicles, whole = spread(apart)
    assert vehicles == pytest.approx(2 / 3)
    assert whole > 0.0
    assert np.isnan(spread(np.zeros((2, 8, 8, 3), np.uint8))[0])
    assert overlap(np.array([True, True, False]), np.array([False, True, True])) == 1 / 3


def test_a_world_of_one_future_is_told_from_one_of_many() -> None:
    found = moment()
    assert found is not None
    world = NoisyWorld()
    many = futures_truth(world, [found, found], CONFIG)
    world.jump = 0
    one = futures_truth(world, [found], CONFIG)
    for h in LOOKED_AT:
        assert many[f"future_vehicles_{h}"] > 0.5
        assert one[f"future_vehicles_{h}"] == one[f"future_pictures_{h}"] == 0.0
        assert many[f"future_vehicles_real_{h}"] == one[f"future_vehicles_real_{h}"]
    assert one["future_vehicles_real_30"] > one["future_vehicles_real_1"]
    assert many["future_moments"] == 2.0
