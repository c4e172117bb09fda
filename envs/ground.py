"""The ground of a place, drawn once from above and smoothed for the bird's-eye view."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dreamdrive.driving.palette import PALETTE
from dreamdrive.driving.state import METRES_PER_PIXEL


@dataclass(frozen=True, kw_only=True, slots=True)
class TownRaster:
    """Colours of the ground of a town, in ISO world axes.

    Attributes:
        colour: RGB, shape (rows, columns, 3) uint8; rows go with y, columns with x.
        origin: World x and y of the centre of cell (0, 0), metres.
        cell_m: Size of a cell, metres.
    """

    colour: NDArray[np.uint8]
    origin: tuple[float, float]
    cell_m: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Grid:
    """Cells of a mask in the world.

    Attributes:
        low: World x and y of the corner of cell (0, 0), metres.
        cell_m: Size of a cell, metres.
    """

    low: NDArray[np.float64]
    cell_m: float

    def stamp(
        self,
        mask: NDArray[np.bool_],
        pose: NDArray[np.float64],
        forward: NDArray[np.float64],
        left: NDArray[np.float64],
    ) -> None:
        """Sets the cells at offsets (forward, left) metres from poses (N, 3)."""
        cos, sin = np.cos(pose[:, 2]), np.sin(pose[:, 2])
        x = pose[:, 0] + forward * cos - left * sin
        y = pose[:, 1] + forward * sin + left * cos
        columns = ((x - self.low[0]) / self.cell_m).astype(np.intp)
        rows = ((y - self.low[1]) / self.cell_m).astype(np.intp)
        mask[rows.clip(0, mask.shape[0] - 1), columns.clip(0, mask.shape[1] - 1)] = True

    def coloured(self, surface: NDArray[np.bool_], marks: NDArray[np.bool_]) -> TownRaster:
        """Returns the ground of a road surface and its marks, in the palette's colours."""
        colour = np.empty((*surface.shape, 3), np.uint8)
        colour[:] = PALETTE["outside"]
        colour[surface] = PALETTE["road"]
        colour[marks & surface] = PALETTE["lane_mark"]
        return TownRaster(
            colour=_smoothed(colour, round(METRES_PER_PIXEL / self.cell_m)),
            origin=(float(self.low[0] + self.cell_m / 2), float(self.low[1] + self.cell_m / 2)),
            cell_m=self.cell_m,
        )


def _smoothed(colour: NDArray[np.uint8], cells: int) -> NDArray[np.uint8]:
    """Returns the moving average over `cells` cells in both directions."""
    if cells < 2:
        return colour
    before, after = cells // 2, cells - 1 - cells // 2
    out = np.empty_like(colour)
    for channel in range(3):
        layer = colour[..., channel].astype(np.uint16)
        for axis in (0, 1):
            pad = [(0, 0), (0, 0)]
            pad[axis] = (before, after)
            padded = np.pad(layer, pad, mode="edge")
            length = layer.shape[axis]
            parts = [np.take(padded, range(k, k + length), axis=axis) for k in range(cells)]
            layer = (np.stack(parts).sum(0, dtype=np.uint16) + cells // 2) // cells
        out[..., channel] = layer
    return out
