"""Draws the shapes that clients draw for debugging into painted images.

As on the Unreal server lines are strips that face the camera, as thick as they are told in metres
and never thinner than a pixel; points are squares of a size in pixels, whatever their distance;
what stands before them hides them; and they are as bright by night as by day.
"""

import numpy as np
from numpy.typing import NDArray

from dreamdrive.envs.embedded.debug_shapes import DebugShapes
from dreamdrive.envs.embedded.render.raster import NEAR_M, SKY, Image, draw_alone

POINT_PX, MOST_PX = 100.0, 200.0
"""Pixels across of a point of size 1, and of the largest."""
REACH_M = 2000.0
"""Nothing farther than this from the camera along any of its axes is drawn."""
BOUNDS = (
    (0, 1.0, -2.0 * NEAR_M), (0, -1.0, REACH_M), (1, 1.0, REACH_M), (1, -1.0, REACH_M),
    (2, 1.0, REACH_M), (2, -1.0, REACH_M),
)  # fmt: skip
"""Half spaces that are drawn: `sign * coordinate + offset >= 0`."""


def mark(painted: NDArray[np.uint8], image: Image, shapes: DebugShapes, samples: int) -> None:
    """Draws shapes over a painted image.

    Args:
        painted: Blue, green, red and 255, shape (H, W, 4); written to.
        image: What was painted, with `samples` times as many pixels in each direction.
        shapes: The shapes.
        samples: Each pixel is the mean of the square of so many by so many.
    """
    strips, strip_colours = _strips(*shapes.lines(are_points=False), image, samples)
    squares, square_colours = _squares(*shapes.lines(are_points=True), image, samples)
    quads = np.concatenate([strips, squares])
    if not len(quads):
        return
    triangles = quads[:, [[0, 1, 2], [0, 2, 3]]].reshape(-1, 3, 3)
    e, f = triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    is_away = (np.cross(e, f) * triangles[:, 0]).sum(1) > 0.0
    triangles[is_away] = triangles[is_away][:, ::-1]
    found = draw_alone(triangles.astype(np.float32), image)
    rows, columns = np.nonzero(found != SKY)
    if not len(rows):
        return
    width = painted.shape[1]
    pixel = rows // samples * width + columns // samples
    colours = np.concatenate([strip_colours, square_colours])[found[rows, columns] // 2]
    count = np.bincount(pixel, minlength=painted.shape[0] * width)
    seen = np.nonzero(count)[0]
    share = count[seen] / samples**2
    flat = painted.reshape(-1, 4)
    for channel in range(3):
        total = np.bincount(pixel, colours[:, 2 - channel], len(count))[seen] / samples**2
        flat[seen, channel] = (flat[seen, channel] * (1.0 - share) + total + 0.5).astype(np.uint8)


def _strips(
    lines: NDArray[np.float64], colours: NDArray[np.float64], image: Image, samples: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns strips that face the camera, in its axes, shape (n, 4, 3), and their colours."""
    ends, is_seen = _clipped(_seen(lines[:, :6].reshape(-1, 2, 3), image))
    ends, wide, colours = ends[is_seen], lines[is_seen, 6], colours[is_seen]
    aside = np.cross(ends[:, 1] - ends[:, 0], ends.mean(1))
    long = np.linalg.norm(aside, axis=1, keepdims=True)
    aside = np.where(long > 1e-9, aside / np.maximum(long, 1e-9), [0.0, 1.0, 0.0])
    pixel = samples * ends[:, :, 0] / image.camera[4, 0]
    off = (np.maximum(wide[:, None], pixel) / 2.0)[:, :, None] * aside[:, None]
    begin, end = np.moveaxis(ends - off, 1, 0), np.moveaxis(ends + off, 1, 0)
    return np.stack([begin[0], begin[1], end[1], end[0]], axis=1), colours


def _squares(
    points: NDArray[np.float64], colours: NDArray[np.float64], image: Image, samples: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns squares across the line of sight, as `_strips` does."""
    middle = _seen(points[:, None, :3], image)[:, 0]
    is_seen = np.ones(len(middle), np.bool_)
    for axis, sign, offset in BOUNDS:
        is_seen &= sign * middle[:, axis] + offset >= 0.0
    middle, size = middle[is_seen], POINT_PX * points[is_seen, 6]
    half = samples * np.clip(size, 1.0, MOST_PX) / 2.0 * middle[:, 0] / image.camera[4, 0]
    corners = np.array([[0, -1, -1], [0, 1, -1], [0, 1, 1], [0, -1, 1]], np.float64)
    return middle[:, None] + half[:, None, None] * corners, colours[is_seen]


def _seen(places: NDArray[np.float64], image: Image) -> NDArray[np.float64]:
    """Returns places in the camera's axes: ahead, to the right and up, shape (n, k, 3)."""
    axes: NDArray[np.float64] = image.camera[1:4]
    return (places - image.camera[0]) @ axes.T


def _clipped(ends: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Returns the part of each line, shape (n, 2, 3), that is drawn, and whether there is one.

    Reference:
        Liang & Barsky 1984, "A new concept and method for line clipping".
    """
    low, high = np.zeros(len(ends)), np.ones(len(ends))
    for axis, sign, offset in BOUNDS:
        inside = sign * ends[:, :, axis] + offset
        first, last = inside[:, 0], inside[:, 1]
        with np.errstate(divide="ignore", invalid="ignore"):
            cut = first / (first - last)
        low = np.where((first < 0.0) & (last >= 0.0), np.maximum(low, cut), low)
        high = np.where((first >= 0.0) & (last < 0.0), np.minimum(high, cut), high)
        high = np.where((first < 0.0) & (last < 0.0), -1.0, high)
    along = (ends[:, 1] - ends[:, 0])[:, None]
    shares = np.stack([low, high], axis=1)[:, :, None]
    return ends[:, :1] + shares * along, low <= high
