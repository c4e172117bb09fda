"""Does the dream remember where it began? The ego turns a full circle, and looks again.

What stands still looks after a turn as the first picture does when that is moved as the ego moved,
wherever both show it. A circle takes longer than the transformer sees back, and the road behind the
ego leaves its view meanwhile.

Shapes: B windows, T steps, H W picture.
"""

import math

import numpy as np
import torch
from torch import Tensor

from dreamdrive.driving.actions import ACCELERATION, DECISION_DT_S, STEER
from dreamdrive.driving.palette import CLASS_INDEX, classify
from dreamdrive.driving.state import STATE_INDEX
from dreamdrive.experiments.train_tokenizer import images
from dreamdrive.experiments.truth_measures import MeasureConfig, f1, warm_up
from dreamdrive.experiments.truth_steering import driven, moved_picture
from dreamdrive.worldmodel.episodes import FrameTable
from dreamdrive.worldmodel.model import WorldModel

ANGLES = (90, 180, 270, 360)
"""Degrees turned at which the ego looks."""
WHEEL, SPEED_MPS = 0.5, 4.0
"""Steering, to the left, and the speed that the pedal holds: a circle of some 8 m in 6 s."""
LONGEST = 150
"""Steps in which a circle has to come round."""
STANDING = ("road", "lane_mark")
"""Classes that stand still."""


@torch.no_grad()
def loop_truth(model: WorldModel, table: FrameTable, config: MeasureConfig) -> dict[str, float]:
    """Returns what of the first picture is there after parts of a circle and after all of it.

    Per angle A of `ANGLES` and class of `STANDING`: `loop_f1_CLASS_A`, F1 of the dreamed picture
    against the first one moved as the ego moved, where that is known; `loop_other_f1_CLASS_A`, the
    same against another window's first picture, which is what a dream gets that draws any road at
    all. `loop_turned_A` is the share of the dreams that come so far in `LONGEST` steps, and
    `loop_steps_A` how many steps that takes them.
    """
    generator = torch.Generator().manual_seed(config.seed + 4)
    rows = table.windows(config.num_windows, config.context, generator)
    first = images(table, rows[:, -1:])[:, 0]
    picture, vector = _circling(model, table, rows, config)
    turn = (vector[..., STATE_INDEX["yaw_rate"]] * DECISION_DT_S).cumsum(1)
    measures: dict[str, float] = {}
    for angle in ANGLES:
        is_there = turn >= math.radians(angle)
        when, came = is_there.int().argmax(1), is_there.any(1)
        measures[f"loop_turned_{angle}"] = float(came.float().mean())
        if not came.any():
            continue
        measures[f"loop_steps_{angle}"] = float(when[came].float().mean() + 1.0)
        looks = torch.nonzero(came).squeeze(1).tolist()
        poses = [driven(vector[i : i + 1, : int(when[i]) + 1]) for i in looks]
        pose = [torch.cat(parts) for parts in zip(*poses, strict=True)]
        seen = classify(np.stack([picture[i, int(when[i])] for i in looks]))
        for prefix, begun in (("loop", first[looks]), ("loop_other", first.roll(1, 0)[looks])):
            truth = classify(_uint8(moved_picture(begun, *pose)))
            known = moved_picture(torch.ones_like(begun), *pose)[:, 0].numpy() > 0.5
            for name in STANDING:
                number = CLASS_INDEX[name]
                measures[f"{prefix}_f1_{name}_{angle}"] = f1(
                    seen[known] == number, truth[known] == number
                )
    return measures


def _circling(
    model: WorldModel, table: FrameTable, rows_BT: Tensor, config: MeasureConfig
) -> tuple[np.ndarray, Tensor]:
    """Returns dreamed pictures, uint8 (B, T, H, W, 3), and vectors (B, T, K) of circles."""
    state = warm_up(model, table, rows_BT)
    generator = torch.Generator().manual_seed(config.seed)
    action = torch.zeros(len(rows_BT), model.config.action_size)
    action[:, STEER] = WHEEL
    shown, vectors = [], []
    for _ in range(LONGEST):
        lack = SPEED_MPS - state.vector_BK[:, STATE_INDEX["speed"]]
        action[:, ACCELERATION] = (0.15 + 0.3 * lack).clamp(-1.0, 1.0)
        state, seen = model.imagine_step(
            state, action, generator=generator, num_steps=config.num_steps
        )
        decoded, state = model.decode_step(state)
        shown.append(_uint8(decoded))
        vectors.append(seen.vector_BK)
    return np.stack(shown, 1), torch.stack(vectors, 1)


def _uint8(image_BCHW: Tensor) -> np.ndarray:
    return (image_BCHW * 255.0).round().byte().movedim(1, -1).numpy()
