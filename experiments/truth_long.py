"""Does the dream stay right? A policy drives a thousand frames in it, beside real drives.

Nobody knows what would have been seen there, so that statistics are compared: colours, sharpness,
motion, areas of classes, and what is still there at all.

Shapes: B dreams, T frames, H W picture.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dreamdrive.driving.palette import CLASSES, classify
from dreamdrive.experiments.truth_measures import MeasureConfig, warm_up
from dreamdrive.experiments.truth_pictures import sharpness
from dreamdrive.worldmodel.episodes import FrameTable
from dreamdrive.worldmodel.model import WorldModel

STRETCHES = ((1, 100), (201, 300), (451, 550), (901, 1000))
"""Frames of a dream, the first and the last of each stretch that is looked at."""
EVERY = 5
"""One in so many frames of a stretch is looked at."""
ALIVE = ("road", "route", "vehicle", "lights")
FEW_PIXELS = 3
"""Pixels of a class from which on it is there; more than in any real picture are noise."""
MOST_DREAMS = 64


def pixels_of(seen_BTHW: NDArray[np.uint8], name: str) -> NDArray[np.int64]:
    """Returns how many pixels of one of `ALIVE` each picture has, (B, T)."""
    members = ["red_light", "green_light"] if name == "lights" else [name]
    counted: NDArray[np.int64] = np.isin(seen_BTHW, [CLASSES.index(m) for m in members]).sum((2, 3))
    return counted


def statistics(
    image_BTHWC: NDArray[np.uint8], before_BTHWC: NDArray[np.uint8], most: dict[str, int]
) -> dict[str, float]:
    """Returns what pictures are like, over all of them.

    Mean `red`, `green`, `blue` and `contrast` (spread) in [0, 1]; `sharpness`; `motion`, the mean
    absolute change from the pictures before; `area_CLASS`, share of the pixels; for each of
    `ALIVE`, `alive_CLASS`, the share of the B stretches of which at least one picture shows it, in
    `FEW_PIXELS` pixels or more and in no more than `most` of it. Lights are red or green ones.
    """
    flat = image_BTHWC.reshape(-1, *image_BTHWC.shape[2:])
    change = np.abs(image_BTHWC.astype(np.int16) - before_BTHWC.astype(np.int16)).mean() / 255.0
    found = {
        "contrast": float(flat.std() / 255.0), "sharpness": sharpness(flat),
        "motion": float(change),
    }  # fmt: skip
    for index, colour in enumerate(("red", "green", "blue")):
        found[colour] = float(flat[..., index].mean() / 255.0)
    seen = np.stack([classify(stretch) for stretch in image_BTHWC])
    for number, name in enumerate(CLASSES):
        found[f"area_{name}"] = float((seen == number).mean())
    for name in ALIVE:
        pixels = pixels_of(seen, name)
        is_there = (pixels >= FEW_PIXELS) & (pixels <= most[name])
        found[f"alive_{name}"] = float(is_there.any(1).mean())
    return found


@torch.no_grad()
def long_truth(
    model: WorldModel, table: FrameTable, config: MeasureConfig,
    choose: Callable[[Tensor, Tensor], Tensor],
) -> dict[str, float]:  # fmt: skip
    """Returns the statistics of each of `STRETCHES` of dreams, and of the real episodes.

    Dreams begin in the first frames of the episodes, as many as `MOST_DREAMS` of them, and go on
    whatever happens in them: an end that the model foresees does not end them. `long_NAME_T` is
    that of the stretch that ends at T; `long_NAME_real` is that of the whole table, in stretches as
    long.

    Args:
        model: The model.
        table: Real episodes, best those of the policy that drives.
        config: What is measured.
        choose: The policy: what is seen (B, 2C, H, W) and vector (B, K) to an action (B, A).
    """
    count = min(config.num_windows, MOST_DREAMS)
    long_enough = torch.nonzero(table.length_E >= config.context).squeeze(1)[:count]
    rows = table.start_E[long_enough][:, None] + torch.arange(config.context)
    state = warm_up(model, table, rows)
    generator = torch.Generator().manual_seed(config.seed)
    shown: dict[int, list[NDArray[np.uint8]]] = {last: [] for _, last in STRETCHES}
    earlier: dict[int, list[NDArray[np.uint8]]] = {last: [] for _, last in STRETCHES}
    before = _bytes(model.decode_step(state)[0])
    for t in range(1, max(shown) + 1):
        state, _ = model.imagine_step(
            state, choose(state.seen, state.vector_BK), generator=generator,
            num_steps=config.num_steps,
        )  # fmt: skip
        decoded, state = model.decode_step(state)
        picture = _bytes(decoded)
        for first, last in STRETCHES:
            if first <= t <= last and (last - t) % EVERY == 0:
                shown[last].append(picture)
                earlier[last].append(before)
        before = picture
    length = STRETCHES[0][1] - STRETCHES[0][0] + 1
    count = min(config.num_windows, MOST_DREAMS)
    real = table.windows(count, min(length, int(table.length_E.max())), generator)
    real = real[:, EVERY - 1 :: EVERY]
    pictures = table.image_NHWC[real].numpy()
    classes = np.stack([classify(stretch) for stretch in pictures])
    most = {name: int(pixels_of(classes, name).max()) for name in ALIVE}
    found = statistics(pictures, table.image_NHWC[real - 1].numpy(), most)
    measures = {f"long_{name}_real": value for name, value in found.items()}
    for last in shown:
        found = statistics(np.stack(shown[last], 1), np.stack(earlier[last], 1), most)
        measures |= {f"long_{name}_{last}": value for name, value in found.items()}
    return measures


def _bytes(image_BCHW: Tensor) -> NDArray[np.uint8]:
    picture: NDArray[np.uint8] = (image_BCHW * 255.0).round().byte().movedim(1, -1).numpy()
    return picture
