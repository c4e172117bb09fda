"""What is foreseen by horizon, and doubt beside error, on worlds whose truth is known."""

import dataclasses

import numpy as np
import pytest
import torch

from dreamdrive.experiments.truth_doubt import doubt_truth
from dreamdrive.experiments.truth_events import (
    AHEAD,
    calibration_error,
    event_horizons,
    fitted,
    outcome_truth,
)
from dreamdrive.experiments.truth_measures import MeasureConfig
from dreamdrive.worldmodel.episodes import FrameTable
from support.point_mass import ACCELERATION_MPS2, DT_S, SPEED, PointMassWorld

LENGTH, CRASHES, QUIET = 60, 6, 30
CONFIG = MeasureConfig(num_event_windows=100, num_windows=100)


class ConstantRisk(PointMassWorld):
    """Foresees an end at every step alike, whatever is in view."""

    def imagine_step(self, state, action_BA, **how):
        state, seen = super().imagine_step(state, action_BA, **how)
        termination = torch.zeros_like(seen.termination_BC)
        termination[:, 0] = 0.01
        return state, seen._replace(termination_BC=termination)


class BlackWorld(PointMassWorld):
    """Shows black, and doubts as much as the last real picture was bright, or as little."""

    sign = 1.0

    def observe(self, state, image_BCHW, vector_BK, action_BA=None):
        self.bright = image_BCHW.mean((1, 2, 3))
        return super().observe(state, image_BCHW, vector_BK, action_BA)

    def imagine_step(self, state, action_BA, **how):
        state, seen = super().imagine_step(state, action_BA, **how)
        return state, seen._replace(uncertainty_B=self.sign * self.bright, doubt_B=self.bright)

    def decode_step(self, state):
        return torch.zeros(len(self.bright), 3, 8, 8), state


@pytest.fixture
def drives() -> FrameTable:
    """Drives that gain and lose speed; some end at a wall that the top left pixel shows."""
    number = CRASHES + QUIET
    generator = torch.Generator().manual_seed(0)
    world = PointMassWorld()
    action = torch.zeros(number, LENGTH, 2)
    action[..., 1] = (0.4 * torch.rand(number, 1, generator=generator) - 0.2).expand(-1, LENGTH)
    vector = torch.zeros(number, LENGTH, world.config.vector_size)
    vector[:, 0, SPEED] = 5.0 + 2.0 * torch.rand(number, generator=generator)
    for t in range(1, LENGTH):
        gained = DT_S * ACCELERATION_MPS2 * action[:, t, 1]
        vector[:, t, SPEED] = vector[:, t - 1, SPEED] + gained
    to_go = (DT_S * vector[..., SPEED]).flip(1).cumsum(1).flip(1) - DT_S * vector[..., SPEED]
    wall = torch.full((number, LENGTH), 100.0)
    wall[:CRASHES] = to_go[:CRASHES] - 0.5
    image = torch.zeros(number, LENGTH, 8, 8, 3, dtype=torch.uint8)
    image[:, :, 1:] = (torch.arange(number) * 5).byte()[:, None, None, None, None]
    image[:, :, 0, 0, 0] = (wall.clamp(0.0, 100.0) * 2.55).round().byte()
    cause = torch.zeros(number, LENGTH, dtype=torch.long)
    cause[:CRASHES, -1] = world.config.causes.index("collision_static") + 1
    return FrameTable(
        image_NHWC=image.flatten(0, 1), vector_NK=vector.flatten(0, 1),
        action_NA=action.flatten(0, 1), reward_N=vector[..., SPEED].flatten() * DT_S,
        cause_N=cause.flatten(), start_E=torch.arange(number) * LENGTH,
        length_E=torch.full((number,), LENGTH), drivers=("",) * number,
    )  # fmt: skip


def test_a_world_that_sees_the_wall_foresees_the_crash_at_every_horizon(drives) -> None:
    row = event_horizons(PointMassWorld(), drives, CONFIG)
    for h in AHEAD:
        assert row[f"collision_events_{h}"] == CRASHES
        assert row[f"collision_auc_{h}"] > 0.99
        assert row[f"collision_auc_low_{h}"] > 0.95
        assert row[f"collision_auc_fitted_{h}"] < row[f"collision_auc_{h}"]
    assert row["off_road_events_5"] == 0.0
    assert "off_road_auc_5" not in row


def test_constant_risk_foresees_nothing_at_any_horizon(drives) -> None:
    row = event_horizons(ConstantRisk(), drives, CONFIG)
    for h in AHEAD:
        assert row[f"collision_auc_{h}"] == pytest.approx(0.5)
        assert row[f"collision_auc_low_{h}"] == row[f"collision_auc_high_{h}"] == 0.5


def test_progress_is_foreseen_better_than_by_what_goes_on(drives) -> None:
    row = outcome_truth(PointMassWorld(), drives, CONFIG)
    for h in AHEAD:
        assert row[f"progress_skill_{h}"] == pytest.approx(1.0, abs=1e-4)
        assert row[f"progress_correlation_{h}"] == pytest.approx(1.0)
    assert row["progress_skill_copy_30"] < 0.9
    drives.action_NA.zero_()
    drives.vector_NK[:, SPEED] = drives.vector_NK[drives.start_E, SPEED].repeat_interleave(LENGTH)
    steady = outcome_truth(PointMassWorld(), drives, CONFIG)
    assert steady["progress_skill_copy_30"] == pytest.approx(1.0, abs=1e-4)
    assert row["progress_skill_fitted_5"] > row["progress_skill_copy_5"]
    assert row["collision_rate_30"] > row["collision_rate_5"] > 0.0
    assert row["collision_ece_10"] < 0.05
    assert row["collision_brier_10"] < 0.3 * row["collision_brier_constant_10"]
    constant = outcome_truth(ConstantRisk(), drives, CONFIG)
    assert constant["collision_foreseen_5"] == pytest.approx(1.0 - 0.99**5, rel=0.05)
    assert constant["collision_brier_30"] > row["collision_brier_30"]


def test_calibration_error_is_the_gap_between_chance_and_rate() -> None:
    chance = np.array([0.25] * 4 + [0.95] * 5)
    came = np.array([True, False, False, False] + [True] * 5)
    assert calibration_error(chance, came) == pytest.approx(0.05 * 5 / 9)
    assert calibration_error(chance, ~came) == pytest.approx((4 * 0.5 + 5 * 0.95) / 9)


def test_a_line_is_judged_on_what_it_was_not_fitted_to() -> None:
    generator = np.random.default_rng(0)
    x, fold = generator.normal(size=(400, 3)), np.arange(400) % 2
    noise = generator.normal(size=400)
    assert np.corrcoef(fitted(x, x @ [1.0, -2.0, 0.0], fold), x @ [1.0, -2.0, 0.0])[0, 1] > 0.999
    assert abs(np.corrcoef(fitted(x, noise, fold), noise)[0, 1]) < 0.2


def test_doubt_that_goes_with_the_error_is_known_for_it(drives) -> None:
    world = BlackWorld()
    row = doubt_truth(world, drives, CONFIG)
    assert row["doubt_rank_picture"] > 0.99
    assert row["doubt_auc_picture"] > 0.99
    assert row["error_vector"] == pytest.approx(0.0, abs=1e-4)
    assert row["doubt"] > 0.0
    world.sign = -1.0
    turned = doubt_truth(world, drives, CONFIG)
    assert turned["doubt_rank_picture"] < -0.99
    assert turned["doubt_auc_picture"] < 0.01
    scaled = BlackWorld()
    scaled.config = dataclasses.replace(scaled.config, reward_scale=2.0)
    assert doubt_truth(scaled, drives, CONFIG)["error_reward"] != row["error_reward"]
