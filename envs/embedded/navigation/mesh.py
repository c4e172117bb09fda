"""The navigation mesh of a town."""

import numpy as np
from numpy.typing import NDArray

from dreamdrive.envs.embedded.navigation.areas import Chart, chart_of
from dreamdrive.envs.embedded.navigation.borders import borders_of
from dreamdrive.envs.embedded.navigation.detour import detour_file
from dreamdrive.envs.embedded.navigation.polygons import Polygons, polygons_of

LOOK = 3
"""How many squares around a corner are asked for its height."""


def navigation_mesh(xodr: str) -> bytes:
    """Returns the file with the mesh of a town, empty if it has too much ground for one.

    Args:
        xodr: The town's OpenDRIVE text.

    Raises:
        MapError: If the text is broken.
    """
    chart = chart_of(xodr)
    pieces = polygons_of(chart, *borders_of(chart))
    points, corners = _raised(chart, pieces)
    try:
        return detour_file(points, corners, pieces.beside, pieces.area)
    except ValueError:
        return b""


def _raised(chart: Chart, pieces: Polygons) -> tuple[NDArray[np.float64], list[list[int]]]:
    """Returns corners with their heights, shape (n, 3), and the corners of each piece.

    A corner where kinds of different height meet, as at a kerb, is there once for each kind.
    """
    number: dict[tuple[int, int], int] = {}
    corners = [
        [number.setdefault((corner, area), len(number)) for corner in piece]
        for piece, area in zip(pieces.corners, pieces.area, strict=True)
    ]
    points = np.array([
        (*pieces.points[corner], _height(chart, pieces.points[corner], area))
        for corner, area in number
    ]).reshape(-1, 3)  # fmt: skip
    return points, corners


def _height(chart: Chart, point: NDArray[np.float64], area: int) -> float:
    """Returns the height of the nearest squares of a kind, of any kind where there is none."""
    i, j = ((point - chart.low) / chart.cell_m).round().astype(int)
    for reach in range(1, LOOK + 1):
        at = (slice(max(i - reach, 0), i + reach), slice(max(j - reach, 0), j + reach))
        is_kind = chart.kind[at] == area
        if is_kind.any():
            return float(chart.height[at][is_kind].mean())
    is_any = chart.kind[at] > 0
    return float(chart.height[at][is_any].mean()) if is_any.any() else 0.0
