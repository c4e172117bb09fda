"""What comes of other actions: on a toy road, and by worlds that know it or bend the road."""

import gymnasium as gym
import numpy as np
import torch

from dreamdrive.driving.actions import ACCELERATION, STEER
from dreamdrive.experiments.truth_measures import MeasureConfig
from dreamdrive.experiments.truth_restarts import errors, rate_of_kind
from dreamdrive.experiments.truth_whatif import HOLDS, HORIZON, MOMENT, ways_of, whatif_truth
from support.point_mass import PointMassWorld

CONFIG = MeasureConfig(context=4)


class Lane(gym.Env):
    """Whoever steers leaves it after some decisions; straight on comes a vehicle."""

    def __init__(self, length: int = MOMENT + 20) -> None:
        self.length = length

    def reset(self, *, seed=None, options=None):
        self.steps, self.aside = 0, 0.0
        return self._seen(), {"setup": {}}

    def step(self, action):
        self.steps += 1
        self.aside += float(action[STEER])
        cause = ""
        if abs(self.aside) > 1.0:
            cause = "off_road"
        elif self.steps >= self.length and action[ACCELERATION] > 0.0:
            cause = "collision_vehicle"
        return self._seen(), 0.0, bool(cause), False, {"cause": cause}

    def _seen(self):
        image = np.full((64, 64, 3), self.steps, np.uint8)
        return {"image": image, "state": np.zeros(14, np.float32)}


class LaneWorld(PointMassWorld):
    """Foresees what comes in `Lane`; if it bends the road, nobody leaves it."""

    def __init__(self, *, bends: bool) -> None:
        super().__init__()
        self.bends = bends

    def imagine_step(self, state, action_BA, **how):
        state, seen = super().imagine_step(state, action_BA, **how)
        ends = torch.zeros_like(seen.termination_BC)
        leaves = (action_BA[:, STEER].abs() > 0.1).float() * (not self.bends)
        goes = (action_BA[:, ACCELERATION] > 0.0).float() * (1.0 - leaves)
        ends[:, self.config.causes.index("off_road")] = 0.2 * leaves
        ends[:, 0] = 0.2 * goes
        return state, seen._replace(termination_BC=ends)


def ways(road):
    return ways_of(road, lambda: np.array([0.0, 0.2], np.float32), seed=1, context=4)


def test_each_way_is_really_driven_from_one_moment() -> None:
    found = ways(Lane())
    assert {name: way.cause for name, way in found.items()} == {
        "straight": "collision_vehicle", "left": "off_road", "right": "off_road", "brake": "",
    }  # fmt: skip
    for name, way in found.items():
        assert way.image[-1, 0, 0, 0] == MOMENT
        assert (way.taken == np.float32(HOLDS[name])).all()
        assert way.taken.shape == (HORIZON, 2)


def test_an_episode_that_ends_before_has_no_ways() -> None:
    assert ways(Lane(length=MOMENT)) == {}


def test_a_world_that_bends_the_road_is_found_out() -> None:
    found = [ways(Lane())] * 2
    good = whatif_truth(LaneWorld(bends=False), found, CONFIG)
    bent = whatif_truth(LaneWorld(bends=True), found, CONFIG)
    nearly_two = 2.0 * (1.0 - 0.8**HORIZON)
    for row in (good, bent):
        assert row["whatif_left_leaving_real"] == row["whatif_straight_collisions_real"] == 2.0
        np.testing.assert_allclose(row["whatif_straight_collisions"], nearly_two, rtol=1e-5)
        assert row["whatif_brake"] == row["whatif_brake_real"] == 0.0
        assert row["whatif_auc"] == row["whatif_auc_kind"] == 1.0
        assert row["whatif_error"] < 0.001
        assert row["whatif_error_kind"] == 0.0
    np.testing.assert_allclose(good["whatif_left_leaving"], nearly_two, rtol=1e-5)
    assert bent["whatif_left_leaving"] == 0.0
    assert good["whatif_left_collisions"] == 0.0
    assert whatif_truth(LaneWorld(bends=True), [], CONFIG) == {"whatif_moments": 0.0}


def test_what_an_action_brings_on_the_whole_is_told_from_what_it_brings_here() -> None:
    kind, came = np.array([0, 0, 1, 1]), np.array([True, False, True, True])
    assert rate_of_kind(came, kind).tolist() == [0.5, 0.5, 1.0, 1.0]
    assert errors(np.array([1.0, 0.5, 1.0, 0.0], np.float32), came, kind) == (1.25 / 4, 0.5 / 4)
