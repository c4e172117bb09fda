"""Pictures class by class and answers to other actions, on worlds whose truth is known."""

import numpy as np
import pytest
import torch

from dreamdrive.driving.palette import CLASS_INDEX, COLOURS
from dreamdrive.driving.state import EGO_PIXEL
from dreamdrive.experiments.truth_features import CLIP, distance, features
from dreamdrive.experiments.truth_long import STRETCHES, long_truth
from dreamdrive.experiments.truth_measures import MeasureConfig
from dreamdrive.experiments.truth_pictures import (
    FAR_HORIZONS,
    f1_by_size,
    far_picture_truth,
    objects,
    sharpness,
)
from dreamdrive.experiments.truth_steering import (
    driven,
    moved_picture,
    slope,
    steering_truth,
)
from dreamdrive.worldmodel.episodes import FrameTable
from support.pictured_worlds import StillWorld, TurningWorld
from support.point_mass import ACCELERATION_MPS2, RATE, SPEED, YAW_GAIN, PointMassWorld

CONTEXT = 4
LENGTH = CONTEXT + max(FAR_HORIZONS) + 4
CONFIG = MeasureConfig(context=CONTEXT, num_windows=6)


class FadingWorld(StillWorld):
    """Shows the last real frame, and less of it at every step."""

    def observe(self, state, image_BCHW, vector_BK, action_BA=None):
        self.left = 1.0
        return super().observe(state, image_BCHW, vector_BK, action_BA)

    def decode_step(self, state):
        self.left *= 0.99
        return self.left * self.last, state


class OrangeWorld(StillWorld):
    """Shows nothing but vehicle."""

    def decode_step(self, state):
        colour = torch.from_numpy(COLOURS[CLASS_INDEX["vehicle"]]).float() / 255.0
        return colour[:, None, None].expand(len(state.vector_BK), 3, 64, 64), state


class DeafWorld(StillWorld):
    """Does not hear what is done."""

    def imagine_step(self, state, action_BA, **how):
        return super().imagine_step(state, torch.zeros_like(action_BA), **how)


@pytest.fixture
def drives() -> FrameTable:
    """Two drives in which a vehicle of 4 x 4 pixels wanders over the road."""
    generator = torch.Generator().manual_seed(0)
    image = torch.from_numpy(np.tile(COLOURS[CLASS_INDEX["road"]], (2, LENGTH, 64, 64, 1)))
    vehicle = torch.from_numpy(COLOURS[CLASS_INDEX["vehicle"]])
    for drive in range(2):
        for t in range(LENGTH):
            left = (3 * t + 11 * drive) % 60
            image[drive, t, 20:24, left : left + 4] = vehicle
    action = 0.6 * torch.rand(2, LENGTH, 2, generator=generator) - 0.3
    world = PointMassWorld()
    vector = torch.zeros(2, LENGTH, world.config.vector_size)
    vector[:, 0, SPEED] = 8.0
    for t in range(1, LENGTH):
        speed = vector[:, t - 1, SPEED]
        vector[:, t, SPEED] = speed + 0.1 * ACCELERATION_MPS2 * action[:, t, 1]
        vector[:, t, RATE] = YAW_GAIN * speed * action[:, t, 0]
    return FrameTable(
        image_NHWC=image.flatten(0, 1), vector_NK=vector.flatten(0, 1),
        action_NA=action.flatten(0, 1), reward_N=torch.zeros(2 * LENGTH),
        cause_N=torch.zeros(2 * LENGTH, dtype=torch.long), start_E=torch.arange(2) * LENGTH,
        length_E=torch.full((2,), LENGTH), drivers=("", ""),
    )  # fmt: skip


def test_a_dream_that_stands_still_is_worth_as_much_as_a_copy(drives: FrameTable) -> None:
    row = far_picture_truth(StillWorld(), drives, CONFIG)
    for h in FAR_HORIZONS:
        assert row[f"far_psnr_gain_{h}"] == 0.0
        assert row[f"f1_vehicle_{h}"] == row[f"f1_copy_vehicle_{h}"]
        assert row[f"f1_road_{h}"] > 0.95
        assert row[f"area_vehicle_{h}"] == pytest.approx(1.0)
        assert row[f"vehicles_medium_{h}"] == 6.0
        assert row[f"motion_{h}"] == 0.0
    # After 1 step 3 of 4 columns have moved on, one of them out of the surroundings; after 5 all.
    assert row["f1_vehicle_1"] == 0.25
    assert row["f1_vehicle_medium_1"] == pytest.approx(2 * 4 / (16 + 12))
    assert row["f1_vehicle_5"] == 0.0
    assert np.isnan(row["f1_walker_5"])
    assert row["feature_distance_30"] == row["feature_distance_copy_30"]
    assert row["feature_distance_30"] > 2.0 * row["feature_distance_real_30"]


def test_a_tokenizer_that_loses_vehicles_is_seen_to(drives: FrameTable) -> None:
    world = StillWorld()
    whole = far_picture_truth(world, drives, CONFIG)
    assert whole["round_f1_vehicle"] == whole["round_f1_road"] == 1.0
    road = torch.from_numpy(COLOURS[CLASS_INDEX["road"]]).float() / 255.0
    world.decode = lambda latent: road[:, None, None].expand_as(latent)
    lost = far_picture_truth(world, drives, CONFIG)
    assert lost["round_f1_vehicle"] == 0.0
    assert 0.99 < lost["round_f1_road"] < 1.0
    assert lost["round_psnr"] < 40.0 < whole["round_psnr"]


def test_objects_are_what_hangs_together() -> None:
    mask = np.zeros((2, 9, 9), bool)
    mask[0, 0, 0] = mask[0, 1, 1] = mask[0, 5, 5] = mask[1, 8, 8] = True
    label = objects(mask)
    assert label[0, 0, 0] == label[0, 1, 1] != label[0, 5, 5]
    assert len(label.unique()) == 4
    assert (label > 0).sum() == 4


def test_a_lost_small_vehicle_counts_as_one_of_its_size() -> None:
    real = np.zeros((1, 40, 40), bool)
    real[0, 2:4, 2:4] = real[0, 20:28, 20:28] = True
    seen = real.copy()
    seen[0, 2:4, 2:4] = False
    found = f1_by_size(seen, real)
    assert found["small"] == (0.0, 1)
    assert found["large"] == (1.0, 1)
    assert found["medium"][1] == 0
    seen[0, 2:6, 2:4] = True
    assert f1_by_size(seen, real)["small"][0] == pytest.approx(2 / 3)


def test_blur_is_less_sharp() -> None:
    image = np.zeros((1, 8, 8, 3), np.uint8)
    image[:, :, 4:] = 200
    blurred = image.copy()
    blurred[:, :, 3:5] = 100
    assert sharpness(image) == sharpness(blurred)
    assert sharpness(image) == pytest.approx(200 / 255 / 7 / 2)
    checks = np.indices((8, 8)).sum(0)[None, ..., None].repeat(3, -1) % 2 * np.uint8(255)
    assert sharpness(checks.astype(np.uint8)) == 1.0


def test_the_distance_between_clips_tells_what_is_wrong_with_them() -> None:
    generator = np.random.default_rng(0)
    place = generator.integers(0, 40, (2, 80, 1))
    speed = generator.integers(1, 3, (2, 80, 1))
    column = place + speed * np.arange(CLIP)
    clip = np.zeros((2, 80, CLIP, 32, 64, 3), np.uint8)
    for index in np.ndindex(2, 80, CLIP):
        clip[(*index, slice(8, 20), slice(column[index], column[index] + 8))] = 255
    one, other = features(clip[0]), features(clip[1])
    floor = distance(other, one)
    assert distance(one, one) == pytest.approx(0.0, abs=1e-6)
    frozen = features(clip[1][:, :1].repeat(CLIP, 1))
    faint = features(clip[1] // 2)
    fainter = features(clip[1] // 4)
    assert distance(frozen, one) > 5.0 * floor
    assert distance(fainter, one) > distance(faint, one) > 5.0 * floor


def test_a_slope_is_that_of_the_line() -> None:
    x = torch.tensor([0.0, 1.0, 2.0])
    assert slope(x, 3.0 * x + 1.0) == pytest.approx(3.0)
    assert np.isnan(slope(torch.ones(3), x))


def test_a_picture_moves_as_the_ego_does() -> None:
    column, row = EGO_PIXEL
    image = torch.zeros(3, 3, 64, 64)
    image[:, :, row - 20, column] = 1.0
    # 7.5 m forward, 3 m to the left, and a quarter turn to the left.
    moved = moved_picture(
        image, torch.tensor([7.5, 0.0, 0.0]), torch.tensor([0.0, 3.0, 0.0]),
        torch.tensor([0.0, 0.0, torch.pi / 2]),
    )  # fmt: skip
    for number, (x, y) in enumerate(((0, -10), (4, -20), (20, 0))):
        assert moved[number, 0, row + y, column + x] == pytest.approx(1.0, abs=1e-3)


def test_what_is_driven_is_the_sum_of_speeds_and_turns() -> None:
    vector = torch.zeros(1, 10, PointMassWorld().config.vector_size)
    vector[..., SPEED] = 5.0
    forward, left, turn = driven(vector)
    assert (float(forward), float(left), float(turn)) == (pytest.approx(5.0), 0.0, 0.0)
    vector[..., RATE] = 0.1
    assert float(driven(vector)[1]) > 0.0
    assert float(driven(vector)[2]) == pytest.approx(0.1)


def test_a_world_that_obeys_has_the_vehicles_own_slopes(drives: FrameTable) -> None:
    row = steering_truth(StillWorld(), drives, CONFIG)
    assert row["left_right_yaw"] == row["brake_throttle_speed"] == 1.0
    assert row["acceleration_slope"] == pytest.approx(ACCELERATION_MPS2, rel=1e-3)
    assert row["acceleration_slope_recorded"] == pytest.approx(ACCELERATION_MPS2, rel=1e-3)
    # Speeds are of the frame that is reached, and a moving vehicle's lies just beside.
    assert row["curvature_slope"] == pytest.approx(YAW_GAIN, rel=0.1)
    assert row["curvature_slope_recorded"] == pytest.approx(YAW_GAIN, rel=0.1)
    assert row["left_right_picture"] == pytest.approx(0.5, abs=0.2)


def test_pictures_that_move_as_the_ego_does_agree_with_it(drives: FrameTable) -> None:
    assert steering_truth(TurningWorld(), drives, CONFIG)["left_right_picture"] == 1.0


def test_a_world_that_is_deaf_answers_nothing(drives: FrameTable) -> None:
    row = steering_truth(DeafWorld(), drives, CONFIG)
    assert row["left_right_yaw"] == row["brake_throttle_speed"] == 0.0
    assert row["acceleration_slope"] == pytest.approx(0.0, abs=1e-6)
    assert row["curvature_slope"] == 0.0


def straight_on(seen_BCHW: torch.Tensor, vector_BK: torch.Tensor) -> torch.Tensor:
    return torch.zeros(len(vector_BK), 2)


def test_a_dream_that_stands_still_stays_as_it_is(drives: FrameTable) -> None:
    row = long_truth(StillWorld(), drives, CONFIG, straight_on)
    pictures = far_picture_truth(StillWorld(), drives, CONFIG)
    assert not row.keys() & pictures.keys(), "one table holds both"
    for _, last in STRETCHES:
        for name in ("red", "green", "blue", "contrast", "sharpness", "area_vehicle"):
            assert row[f"long_{name}_{last}"] == pytest.approx(row[f"long_{name}_real"], rel=0.02)
        assert row[f"long_motion_{last}"] == 0.0
        assert row[f"long_alive_vehicle_{last}"] == row[f"long_alive_road_{last}"] == 1.0
        assert row[f"long_alive_lights_{last}"] == row[f"long_alive_route_{last}"] == 0.0
    assert row["long_motion_real"] > 0.0
    assert row["long_alive_vehicle_real"] == 1.0


def test_a_dream_that_fades_is_seen_to_fade(drives: FrameTable) -> None:
    row = long_truth(FadingWorld(), drives, CONFIG, straight_on)
    lasts = [last for _, last in STRETCHES]
    for name in ("red", "contrast", "sharpness"):
        values = [row[f"long_{name}_{last}"] for last in lasts]
        assert values == sorted(values, reverse=True)
        assert values[-1] < 0.1 * row[f"long_{name}_real"]
    assert row["long_alive_vehicle_100"] == 1.0
    assert row["long_alive_vehicle_1000"] == row["long_alive_road_1000"] == 0.0


def test_more_vehicle_than_any_picture_has_is_no_vehicle(drives: FrameTable) -> None:
    row = long_truth(OrangeWorld(), drives, CONFIG, straight_on)
    assert row["long_area_vehicle_1000"] == 1.0
    assert row["long_alive_vehicle_1000"] == 0.0
