"""A circle in worlds that remember, forget or cannot turn."""

import numpy as np
import pytest
import torch

from dreamdrive.driving.palette import CLASS_INDEX, COLOURS
from dreamdrive.experiments.truth_loop import ANGLES, LONGEST, STANDING, loop_truth
from dreamdrive.experiments.truth_measures import MeasureConfig
from dreamdrive.worldmodel.episodes import FrameTable
from support.pictured_worlds import StillWorld, TurningWorld
from support.point_mass import SPEED, PointMassWorld

LENGTH = 12
CONFIG = MeasureConfig(context=4, num_windows=5)


def wheeled(kind, gain):
    """A world whose wheel does so many times as much."""

    class Wheeled(kind):
        def imagine_step(self, state, action_BA, **how):
            return super().imagine_step(state, action_BA * torch.tensor([gain, 1.0]), **how)

    return Wheeled()


class SmearingWorld(StillWorld):
    """Shows road everywhere."""

    def decode_step(self, state):
        colour = torch.from_numpy(COLOURS[CLASS_INDEX["road"]]).float() / 255.0
        return colour[:, None, None].expand(len(state.vector_BK), 3, 64, 64), state


@pytest.fixture
def drives() -> FrameTable:
    """Two drives that stand still, each before a road of its own."""
    image = np.tile(COLOURS[CLASS_INDEX["outside"]], (2, LENGTH, 64, 64, 1))
    for drive, columns in enumerate((slice(26, 38), slice(4, 20))):
        image[drive, :, :, columns] = COLOURS[CLASS_INDEX["road"]]
        image[drive, :, 30:34, columns] = COLOURS[CLASS_INDEX["lane_mark"]]
    vector = torch.zeros(2 * LENGTH, PointMassWorld().config.vector_size)
    vector[:, SPEED] = 4.0
    return FrameTable(
        image_NHWC=torch.from_numpy(image).flatten(0, 1), vector_NK=vector,
        action_NA=torch.zeros(2 * LENGTH, 2), reward_N=torch.zeros(2 * LENGTH),
        cause_N=torch.zeros(2 * LENGTH, dtype=torch.long), start_E=torch.arange(2) * LENGTH,
        length_E=torch.full((2,), LENGTH), drivers=("", ""),
    )  # fmt: skip


def test_a_world_that_remembers_shows_again_what_it_began_with(drives: FrameTable) -> None:
    row = loop_truth(wheeled(TurningWorld, 3.0), drives, CONFIG)
    steps = [row[f"loop_steps_{angle}"] for angle in ANGLES]
    assert steps == sorted(set(steps))
    assert steps[-1] < LONGEST
    for angle in ANGLES:
        assert row[f"loop_turned_{angle}"] == 1.0
        for name in STANDING:
            assert row[f"loop_f1_{name}_{angle}"] == 1.0
    assert row["loop_other_f1_road_360"] < 0.8


def test_one_that_forgets_is_told_from_it(drives: FrameTable) -> None:
    row = loop_truth(wheeled(SmearingWorld, 3.0), drives, CONFIG)
    assert row["loop_f1_lane_mark_360"] == 0.0
    assert row["loop_f1_road_360"] < 0.5
    still = loop_truth(wheeled(StillWorld, 3.0), drives, CONFIG)
    assert still["loop_f1_road_90"] < 0.6


def test_one_that_does_not_turn_has_nothing_to_show(drives: FrameTable) -> None:
    row = loop_truth(wheeled(StillWorld, 0.0), drives, CONFIG)
    assert row == {f"loop_turned_{angle}": 0.0 for angle in ANGLES}
