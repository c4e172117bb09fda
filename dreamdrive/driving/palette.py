"""Colours of the bird's-eye semantic view, and the way back from colours to classes."""

import numpy as np
from numpy.typing import NDArray

PALETTE: dict[str, tuple[int, int, int]] = {
    "outside": (24, 26, 30),
    "road": (84, 88, 96),
    "lane_mark": (170, 172, 176),
    "route": (60, 96, 200),
    "vehicle": (240, 128, 32),
    "walker": (236, 88, 220),
    "red_light": (224, 32, 40),
    "green_light": (40, 200, 88),
    "stop_sign": (150, 20, 90),
    "ego": (250, 250, 250),
    "vehicle_past": (128, 92, 48),
}
"""Class name to RGB. `vehicle_past` is where vehicles were at the two frames before."""

CLASSES: tuple[str, ...] = tuple(PALETTE)
CLASS_INDEX: dict[str, int] = {name: i for i, name in enumerate(CLASSES)}
COLOURS: NDArray[np.uint8] = np.array(list(PALETTE.values()), np.uint8)


def classify(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Returns the class with the nearest colour for each pixel.

    Args:
        image: RGB, shape (..., H, W, 3).

    Returns:
        Indices into `CLASSES`, shape (..., H, W).
    """
    pixels = image.astype(np.int32)[..., None, :]
    distance = ((pixels - COLOURS.astype(np.int32)) ** 2).sum(-1)
    return distance.argmin(-1).astype(np.uint8)
