"""Are the dream's pictures right, class by class, to a hundred steps? With a copy beside them.

Shapes: B windows, T steps after the context, H W picture.

Reference:
    Unterthiner et al. 2018, arXiv:1812.01717 (a distance between clips by their features).
"""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from dreamdrive.driving.palette import CLASS_INDEX, CLASSES, classify
from dreamdrive.experiments.train_tokenizer import images
from dreamdrive.experiments.truth_features import CLIP, distance, features
from dreamdrive.experiments.truth_measures import MeasureConfig, dream, f1, psnr
from dreamdrive.worldmodel.episodes import FrameTable
from dreamdrive.worldmodel.model import WorldModel

FAR_HORIZONS = (1, 2, 5, 10, 15, 20, 30, 50, 75, 100)
VEHICLE = CLASS_INDEX["vehicle"]
OBJECT_PIXELS = {"small": (1, 7), "medium": (8, 19), "large": (20, 4096)}
"""Bounds of the area of a vehicle's pixels. A car has 16; a small one is cut by the edge."""
NEAR = 2
"""Pixels around a vehicle that count as its surroundings."""
ROUND_BATCH = 32
"""Clips that go through the tokenizer at once."""
EDGE_ROWS = 16
"""Rows at the top, where what lies ahead comes into view."""


def sharpness(image_BHWC: NDArray[np.uint8]) -> float:
    """Returns the mean absolute difference between neighbouring pixels, in [0, 1]."""
    image = image_BHWC.astype(np.float32) / 255.0
    return float(np.abs(np.diff(image, axis=1)).mean() + np.abs(np.diff(image, axis=2)).mean()) / 2


def objects(mask_BHW: NDArray[np.bool_]) -> Tensor:
    """Returns the number of the connected object that a pixel belongs to, from 1, 0 for none.

    Objects that touch at a corner are one; numbers differ between pictures.
    """
    mask = torch.from_numpy(mask_BHW).float()
    label = torch.arange(1, mask.numel() + 1, dtype=torch.float64).view(mask.shape) * mask
    while True:
        grown = F.max_pool2d(label[:, None], 3, 1, 1)[:, 0] * mask
        if torch.equal(grown, label):
            return label.long()
        label = grown


def f1_by_size(
    predicted_BHW: NDArray[np.bool_], real_BHW: NDArray[np.bool_]
) -> dict[str, tuple[float, int]]:
    """Returns F1 around the real objects of each size of `OBJECT_PIXELS`, and how many there are.

    Pixels count up to `NEAR` from an object, unless an object of another size is there.
    """
    label = objects(real_BHW)
    number, inverse, count = label.unique(return_inverse=True, return_counts=True)
    area = torch.where(number[inverse] > 0, count[inverse], 0)
    found = {}
    for name, (low, high) in OBJECT_PIXELS.items():
        chosen = (area >= low) & (area <= high)
        near = F.max_pool2d(chosen[:, None].float(), 2 * NEAR + 1, 1, NEAR)[:, 0] > 0
        counted = (near & ((area == 0) | chosen)).numpy()
        found[name] = (
            f1(predicted_BHW[counted], real_BHW[counted]), len(label[chosen].unique()),
        )  # fmt: skip
    return found


def far_picture_truth(
    model: WorldModel, table: FrameTable, config: MeasureConfig
) -> dict[str, float]:
    """Returns what pictures are worth at each of `FAR_HORIZONS`, and a copy of the last frame.

    Per horizon h: `far_psnr_h`, `far_psnr_copy_h`, their difference `far_psnr_gain_h`;
    `f1_CLASS_h` and `f1_copy_CLASS_h`; `area_CLASS_h`, dreamed over real pixels; `sharpness_h` and
    `edge_sharpness_h`, dreamed over real, of the picture and of its upper quarter; `motion_h`, the
    change from the frame before over the real one's; `f1_vehicle_SIZE_h`, with the copy's, and
    `vehicles_SIZE_h`, how many objects that is of. From horizon 10 on `feature_distance_h`, that of
    the clip that ends there to real clips of other windows; `…_copy_h` of clips of the last frame;
    `…_real_h` of the real clips, which is what is left between real and real. `round_psnr` and
    `round_f1_CLASS` are those of the last real frame through encoder and decoder, which no dream
    can exceed by more than luck.

    Raises:
        EpisodeError: If no episode is as long as the context and the farthest horizon.
    """
    H = max(FAR_HORIZONS)
    generator = torch.Generator().manual_seed(config.seed)
    rows = table.windows(config.num_windows, config.context + H, generator)
    past, future = rows[:, : config.context], rows[:, config.context :]
    dreamed = dream(model, table, past, table.action_NA[future], config).image
    real = table.image_NHWC[future].numpy()
    last = table.image_NHWC[past[:, -1]].numpy()
    others = table.windows(config.num_windows, CLIP, generator)
    reference = features(table.image_NHWC[others].numpy())
    measures = round_trip(model, images(table, past))
    for h in FAR_HORIZONS:
        at = h - 1
        ours, truth = dreamed[:, at], real[:, at]
        measures |= _at_horizon(ours, truth, last, h)
        before = (last, last) if at == 0 else (dreamed[:, at - 1], real[:, at - 1])
        measures[f"motion_{h}"] = _ratio(_change(ours, before[0]), _change(truth, before[1]))
        if h < CLIP:
            continue
        clips = {
            "": dreamed[:, h - CLIP : h], "_copy": np.repeat(last[:, None], CLIP, 1),
            "_real": real[:, h - CLIP : h],
        }  # fmt: skip
        for suffix, clip in clips.items():
            measures[f"feature_distance{suffix}_{h}"] = distance(features(clip), reference)
    return measures


@torch.no_grad()
def round_trip(model: WorldModel, image_BTCHW: Tensor, *, noise: float = 0.0) -> dict[str, float]:
    """Returns what is left of clips' last frames after encoder and decoder.

    `round_psnr` in dB and `round_f1_CLASS`.

    Args:
        model: Whose tokenizer it is.
        image_BTCHW: RGB in [0, 1], shape (B, T, 3, H, W).
        noise: Standard deviation of what is added to the latents, in units of their own spread.
    """
    generator = torch.Generator().manual_seed(0)
    decoded = []
    for clip in image_BTCHW.split(ROUND_BATCH):
        latent = model.encode(clip)
        latent = latent + noise * torch.randn(latent.shape, generator=generator)
        decoded.append(model.decode(latent)[:, -1])
    again = (torch.cat(decoded) * 255.0).round().byte().movedim(1, -1).numpy()
    last_BHWC = (image_BTCHW[:, -1] * 255.0).round().byte().movedim(1, -1).numpy()
    measures = {"round_psnr": psnr((again / 255.0 - last_BHWC / 255.0) ** 2)}
    seen, actual = classify(again), classify(last_BHWC)
    for number, name in enumerate(CLASSES):
        measures[f"round_f1_{name}"] = f1(seen == number, actual == number)
    return measures


def _at_horizon(
    ours: NDArray[np.uint8], truth: NDArray[np.uint8], last: NDArray[np.uint8], h: int
) -> dict[str, float]:
    measures = {
        f"far_psnr_{h}": psnr((ours / 255.0 - truth / 255.0) ** 2),
        f"far_psnr_copy_{h}": psnr((last / 255.0 - truth / 255.0) ** 2),
        f"sharpness_{h}": _ratio(sharpness(ours), sharpness(truth)),
        f"edge_sharpness_{h}": _ratio(
            sharpness(ours[:, :EDGE_ROWS]), sharpness(truth[:, :EDGE_ROWS])
        ),
    }
    measures[f"far_psnr_gain_{h}"] = measures[f"far_psnr_{h}"] - measures[f"far_psnr_copy_{h}"]
    seen, copied, actual = classify(ours), classify(last), classify(truth)
    for number, name in enumerate(CLASSES):
        is_real = actual == number
        measures[f"f1_{name}_{h}"] = f1(seen == number, is_real)
        measures[f"f1_copy_{name}_{h}"] = f1(copied == number, is_real)
        measures[f"area_{name}_{h}"] = _ratio(float((seen == number).sum()), float(is_real.sum()))
    for suffix, classes in (("", seen), ("copy_", copied)):
        by_size = f1_by_size(classes == VEHICLE, actual == VEHICLE)
        for name, (score, number) in by_size.items():
            measures[f"f1_{suffix}vehicle_{name}_{h}"] = score
            measures[f"vehicles_{name}_{h}"] = float(number)
    return measures


def _change(image: NDArray[np.uint8], before: NDArray[np.uint8]) -> float:
    return float(np.abs(image.astype(np.float32) - before.astype(np.float32)).mean())


def _ratio(dreamed: float, real: float) -> float:
    return dreamed / real if real else float("nan")
