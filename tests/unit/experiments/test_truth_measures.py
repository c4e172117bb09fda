"""The measures of truth, on a world whose truth is known."""

import pytest
import torch

from dreamdrive.experiments.truth_measures import (
    EVENT_LEADS,
    RISK_STEPS,
    MeasureConfig,
    event_truth,
    risk_truth,
)
from dreamdrive.worldmodel.episodes import FrameTable
from support.point_mass import SPEED, PointMassWorld

STEP_M = 0.5
LENGTH = 30
CRASHES, QUIET = 6, 6


class ConstantRisk(PointMassWorld):
    """Foresees an end at every step alike, whatever is in view."""

    def imagine_step(self, state, action_BA, **how):
        state, seen = super().imagine_step(state, action_BA, **how)
        termination = torch.zeros_like(seen.termination_BC)
        termination[:, 0] = 0.05
        return state, seen._replace(termination_BC=termination)


@pytest.fixture
def drives() -> FrameTable:
    """Some drives end at a wall that the top left pixel shows, the others see none."""
    number = CRASHES + QUIET
    wall = torch.full((number, LENGTH), 100.0)
    wall[:CRASHES] = STEP_M * torch.arange(LENGTH - 1, -1, -1) - 0.5
    image = torch.zeros(number, LENGTH, 8, 8, 3, dtype=torch.uint8)
    image[:, :, 0, 0, 0] = (wall.clamp(0.0, 100.0) * 2.55).round().byte()
    world = PointMassWorld()
    vector = torch.zeros(number * LENGTH, world.config.vector_size)
    vector[:, SPEED] = 10.0 * STEP_M
    cause = torch.zeros(number, LENGTH, dtype=torch.long)
    cause[:CRASHES, -1] = world.config.causes.index("collision_static") + 1
    return FrameTable(
        image_NHWC=image.flatten(0, 1), vector_NK=vector,
        action_NA=torch.zeros(number * LENGTH, 2), reward_N=torch.zeros(number * LENGTH),
        cause_N=cause.flatten(), start_E=torch.arange(number) * LENGTH,
        length_E=torch.full((number,), LENGTH), drivers=("",) * number,
    )  # fmt: skip


CONFIG = MeasureConfig(num_event_windows=100)


def test_a_world_that_sees_the_wall_foresees_the_crash(drives: FrameTable) -> None:
    row = event_truth(PointMassWorld(), drives, CONFIG, ["collision_static"], "collision")
    assert row["collision_auc"] > 0.99
    assert row["collision_events"] == CRASHES
    assert row["collision_positives"] == CRASHES * len(EVENT_LEADS)


def test_constant_risk_and_equal_speed_foresee_nothing(drives: FrameTable) -> None:
    row = event_truth(ConstantRisk(), drives, CONFIG, ["collision_static"], "collision")
    assert row["collision_auc"] == pytest.approx(0.5)
    assert row["collision_auc_speed"] == pytest.approx(0.5)


def test_an_event_that_never_happened_has_no_auc(drives: FrameTable) -> None:
    row = event_truth(PointMassWorld(), drives, CONFIG, ["off_road"], "off_road")
    assert row["off_road_auc"] != row["off_road_auc"]
    assert row["off_road_events"] == 0.0


def test_as_many_ends_are_foreseen_as_there_are(drives: FrameTable) -> None:
    seen = risk_truth(PointMassWorld(), drives, MeasureConfig(num_event_windows=10_000))
    assert seen["terminations_real"] == CRASHES * RISK_STEPS
    assert seen["terminations_foreseen"] == pytest.approx(CRASHES * RISK_STEPS, rel=0.2)
    assert seen["slow_terminations_real"] == seen["slow_terminations_foreseen"] == 0.0
    assert seen["brake_terminations_foreseen"] < 0.5 * seen["terminations_foreseen"]
    constant = risk_truth(ConstantRisk(), drives, MeasureConfig(num_event_windows=10_000))
    left = [LENGTH - 1 - row for row in range(CONFIG.context - 1, LENGTH - 1)]
    expected = CRASHES * sum(1.0 - 0.95 ** min(steps, RISK_STEPS) for steps in left)
    expected += QUIET * sum(1.0 - 0.95**RISK_STEPS for steps in left if steps >= RISK_STEPS)
    assert constant["terminations_foreseen"] == pytest.approx(expected, rel=1e-4)
    assert constant["brake_terminations_foreseen"] == pytest.approx(expected, rel=1e-4)


def test_risk_of_an_ego_that_stands_is_counted_apart(drives: FrameTable) -> None:
    drives.vector_NK[: LENGTH * CRASHES // 2, SPEED] = 0.5
    row = risk_truth(ConstantRisk(), drives, MeasureConfig(num_event_windows=10_000))
    assert row["slow_terminations_real"] == row["terminations_real"] / 2
    assert 0.0 < row["slow_terminations_foreseen"] < row["terminations_foreseen"] / 2
