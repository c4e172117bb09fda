"""The bird's-eye semantic view: drawn on the client, so that it is the same on every server."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dreamdrive.driving.palette import PALETTE
from dreamdrive.driving.state import EGO_PIXEL, IMAGE_SIZE, METRES_PER_PIXEL
from dreamdrive.envs.ground import TownRaster

ROUTE_WIDTH_M = 2.0
ROUTE_SEGMENT_M = 2.0
STOP_LINE_THICKNESS_M = 1.5
WALKER_HALF_SIZE_M = 0.6
THINNEST_PX = 0.6

Boxes = NDArray[np.float64]
"""Oriented boxes in ISO world axes: x, y, yaw, half length, half width; shape (n, 5)."""


def no_boxes() -> Boxes:
    """Returns an empty list of boxes."""
    return np.zeros((0, 5))


@dataclass(frozen=True, kw_only=True, slots=True)
class Overlay:
    """What is drawn on the ground: everything as boxes in ISO world axes."""

    ego: Boxes
    vehicles: Boxes = field(default_factory=no_boxes)
    vehicles_past: Boxes = field(default_factory=no_boxes)
    walkers: Boxes = field(default_factory=no_boxes)
    red_lines: Boxes = field(default_factory=no_boxes)
    green_lines: Boxes = field(default_factory=no_boxes)
    stop_signs: Boxes = field(default_factory=no_boxes)
    route_xy: NDArray[np.float64] | None = None
    """Route from the ego onward, shape (n, 2), with about 2 m between points."""


class BirdsEyeView:
    """Draws frames of one town, with the ego at a fixed pixel and its heading up.

    Args:
        raster: The ground of the town.
    """

    def __init__(self, raster: TownRaster) -> None:
        self._cells = raster
        columns, rows = np.meshgrid(np.arange(IMAGE_SIZE), np.arange(IMAGE_SIZE))
        forward_m = (EGO_PIXEL[1] - rows) * METRES_PER_PIXEL
        left_m = (EGO_PIXEL[0] - columns) * METRES_PER_PIXEL
        self._forward = (forward_m / raster.cell_m).astype(np.float32).ravel()
        self._left = (left_m / raster.cell_m).astype(np.float32).ravel()
        self._flat = raster.colour.reshape(-1, 3)

    def draw(self, x: float, y: float, yaw_rad: float, overlay: Overlay) -> NDArray[np.uint8]:
        """Returns a frame, shape (64, 64, 3), with the ego at (x, y, yaw) in ISO world axes."""
        image = self._ground(x, y, yaw_rad)
        layers = (
            (_band(overlay.route_xy), "route"),
            (overlay.green_lines, "green_light"),
            (overlay.red_lines, "red_light"),
            (overlay.stop_signs, "stop_sign"),
            (overlay.vehicles_past, "vehicle_past"),
            (overlay.vehicles, "vehicle"),
            (_widened(overlay.walkers), "walker"),
            (overlay.ego, "ego"),
        )
        boxes = np.concatenate([layer for layer, _ in layers])
        owner = np.repeat(np.arange(len(layers)), [len(layer) for layer, _ in layers])
        for number, cover in _covers(boxes, owner, x, y, yaw_rad):
            pixels = np.flatnonzero(cover)
            colour = np.asarray(PALETTE[layers[number][1]], np.float32)
            under = image[pixels]
            image[pixels] = under + cover[pixels, None] * (colour - under)
        return (image + 0.5).astype(np.uint8).reshape(IMAGE_SIZE, IMAGE_SIZE, 3)

    def _ground(self, x: float, y: float, yaw_rad: float) -> NDArray[np.float32]:
        """Returns the ground below the view, sampled bilinearly, shape (4096, 3)."""
        rows, columns = self._cells.colour.shape[:2]
        cos, sin = np.float32(np.cos(yaw_rad)), np.float32(np.sin(yaw_rad))
        cell = self._cells.cell_m
        u = self._forward * cos - self._left * sin + np.float32((x - self._cells.origin[0]) / cell)
        v = self._forward * sin + self._left * cos + np.float32((y - self._cells.origin[1]) / cell)
        np.clip(u, 0, columns - 1.001, out=u)
        np.clip(v, 0, rows - 1.001, out=v)
        column, row = u.astype(np.int32), v.astype(np.int32)
        u -= column
        v -= row
        at = row.astype(np.intp) * columns + column
        u, v = u[:, None], v[:, None]
        top = self._flat.take(at, 0) * (1 - u)
        top += self._flat.take(at + 1, 0) * u
        bottom = self._flat.take(at + columns, 0) * (1 - u)
        bottom += self._flat.take(at + columns + 1, 0) * u
        top += (bottom - top) * v
        return top


def _band(xy: NDArray[np.float64] | None) -> Boxes:
    """Returns a box for each segment of a line, a little longer so that they join."""
    if xy is None or len(xy) < 2:
        return no_boxes()
    step = np.diff(xy, axis=0)
    length = np.hypot(step[:, 0], step[:, 1])
    middle = (xy[1:] + xy[:-1]) / 2
    yaw = np.arctan2(step[:, 1], step[:, 0])
    half = length / 2 + METRES_PER_PIXEL / 2
    return np.column_stack([middle, yaw, half, np.full(len(half), ROUTE_WIDTH_M / 2)])


def _widened(walkers: Boxes) -> Boxes:
    if not len(walkers):
        return walkers
    boxes = walkers.copy()
    boxes[:, 3:] = np.maximum(boxes[:, 3:], WALKER_HALF_SIZE_M)
    return boxes


def _covers(
    boxes: Boxes, owner: NDArray[np.intp], x: float, y: float, yaw_rad: float
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yields, for each layer in view, how much of each pixel its boxes cover, shape (4096,)."""
    cos, sin = np.cos(yaw_rad), np.sin(yaw_rad)
    dx, dy = boxes[:, 0] - x, boxes[:, 1] - y
    row = EGO_PIXEL[1] - (dx * cos + dy * sin) / METRES_PER_PIXEL
    column = EGO_PIXEL[0] - (dy * cos - dx * sin) / METRES_PER_PIXEL
    half = np.maximum(boxes[:, 3:] / METRES_PER_PIXEL, THINNEST_PX / 2)
    reach = np.hypot(half[:, 0], half[:, 1]) + 1.0
    center, seen = IMAGE_SIZE / 2, IMAGE_SIZE / 2 + reach
    is_seen = (np.abs(row - center) < seen) & (np.abs(column - center) < seen)
    row, column, owner = row[is_seen], column[is_seen], owner[is_seen]
    half = half[is_seen].astype(np.float32)
    turn = (boxes[is_seen, 2] - yaw_rad).astype(np.float32)
    up, left = np.cos(turn)[:, None, None], np.sin(turn)[:, None, None]
    window = int(np.ceil(reach[is_seen].max(initial=0.0)))
    offsets = np.arange(-window, window + 1)
    rows = np.rint(row).astype(np.intp)[:, None] + offsets
    columns = np.rint(column).astype(np.intp)[:, None] + offsets
    to_up = (row[:, None] - rows).astype(np.float32)[:, :, None]
    to_left = (column[:, None] - columns).astype(np.float32)[:, None, :]
    cover = half[:, 0, None, None] + np.float32(0.5) - np.abs(to_up * up + to_left * left)
    across = half[:, 1, None, None] + np.float32(0.5) - np.abs(to_left * up - to_up * left)
    np.maximum(np.minimum(cover, 1.0, out=cover), 0.0, out=cover)
    np.maximum(np.minimum(across, 1.0, out=across), 0.0, out=across)
    cover *= across
    # Pixels outside the image are written to a margin around it, and the margin is dropped.
    side = IMAGE_SIZE + 2
    rows = np.minimum(np.maximum(rows + 1, 0), side - 1) * side + (owner * side * side)[:, None]
    columns = np.minimum(np.maximum(columns + 1, 0), side - 1)
    num_layers = int(owner.max(initial=-1)) + 1
    covered = np.zeros(num_layers * side * side, np.float32)
    np.maximum.at(covered, (rows[:, :, None] + columns[:, None, :]).ravel(), cover.ravel())
    inner = covered.reshape(num_layers, side, side)[:, 1:-1, 1:-1]
    for number in np.unique(owner):
        yield int(number), inner[number].ravel()
