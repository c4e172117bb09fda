"""Shadows: how near to the sun the nearest thing is along each of its rays.

Two maps are drawn along the light, without perspective: one of what stands still, kept for as long
as the eye stays in its square of the ground and the sun where it is, and one of what moves, drawn
for each frame. The ground casts none. Faces that are turned away from the light are drawn, so that
no lit face can lie in its own shadow. Where no sun shines the light comes from above, and takes a
share of what falls from everywhere: cars stand on the road under clouds and at night as well.

Reference:
    Williams 1978, "Casting curved shadows on curved surfaces"; Reeves et al. 1987, "Rendering
    antialiased shadows with depth maps" (the share of a pixel that is covered).
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numba import float32, float64, from_dtype, uint8, void
from numpy.typing import NDArray

from dreamdrive.envs.embedded.compiled import compiled
from dreamdrive.envs.embedded.render.mesh import Tag
from dreamdrive.envs.embedded.render.scene import Triangles
from dreamdrive.envs.embedded.render.still import GROUP
from dreamdrive.envs.embedded.render.weather import Light

CELL_M, REACH_M, SQUARE_M = 0.16, 56.0, 16.0
"""Width of a still map's cell, how far from the eye its shadows are seen, and its square."""
MOVING_CELL_M, MOVING_REACH_M = 0.1, 40.0
"""Likewise of a map of what moves, which is drawn around the eye itself."""
MIN_SUN, MIN_DIRECT = 0.06, 0.2
"""Sine of the sun's height and light from it below which there is none worth a shadow."""
STILL_MAPS = 4
CASTS = np.ones(256, np.uint8)
CASTS[[int(tag) for tag in (Tag.ROAD, Tag.SIDEWALK, Tag.TERRAIN, Tag.ROAD_LINE, Tag.GROUND)]] = 0


class ShadowMaps(NamedTuple):
    """The shadows around an eye.

    Attributes:
        frame: Rows: unit vectors across and up a map and towards the light, shape (3, 3).
        measures: Of the still and of the moving map: across and up of its first corner, the width
            of a cell, how far from the eye its shadows are seen, shape (2, 4).
        still, moving: How far towards the light the nearest thing is in each cell, shape (n, n).
        is_sun: Whether the light is the sun's; else it comes from above.
    """

    frame: NDArray[np.float64]
    measures: NDArray[np.float64]
    still: NDArray[np.float32]
    moving: NDArray[np.float32]
    is_sun: bool


class Shadows:
    """Draws the shadows of a scene, and keeps those of what stands still."""

    def __init__(self) -> None:
        self._still: dict[tuple[float, ...], NDArray[np.float32]] = {}
        self._moving: dict[tuple[float, ...], NDArray[np.float32]] = {}

    def forget_moving(self) -> None:
        """Forgets where things were that move."""
        self._moving.clear()

    def around(self, eye: NDArray[np.float64], light: Light, triangles: Triangles) -> ShadowMaps:
        """Returns the shadows that can be seen from a place.

        Args:
            eye: The place, shape (3,).
            light: Where the sun is and how it shines.
            triangles: All that casts shadows.
        """
        is_sun = bool(light.sun[2] >= MIN_SUN and light.direct.max() >= MIN_DIRECT)
        frame = _frame(light.sun if is_sun else np.array([0.0, 0.0, 1.0]))
        middle = (np.floor(eye / SQUARE_M) + 0.5) * SQUARE_M
        still = _measures(frame, middle, CELL_M, REACH_M, REACH_M + SQUARE_M)
        moving = _measures(frame, eye, MOVING_CELL_M, MOVING_REACH_M, MOVING_REACH_M)
        light_key, groups = tuple(frame[2].tolist()), triangles.groups
        key = (*light_key, *still[:2])
        if key not in self._still:
            while len(self._still) >= STILL_MAPS:
                del self._still[next(iter(self._still))]
            self._still[key] = _drawn(triangles, groups[: triangles.num_still_groups], frame, still)
        moving_key = (*light_key, *moving[:2])
        if moving_key not in self._moving:
            self._moving[moving_key] = _drawn(
                triangles, groups[triangles.num_still_groups :], frame, moving
            )
        measures = np.array([still[:4], moving[:4]])
        return ShadowMaps(frame, measures, self._still[key], self._moving[moving_key], is_sun)


def _measures(
    frame: NDArray[np.float64], middle: NDArray[np.float64], cell_m: float, reach_m: float,
    half_m: float,
) -> tuple[float, float, float, float, int]:  # fmt: skip
    """Returns corner, cell, reach and cells a side of a map; its cells lie where others' lie."""
    half = math.ceil(half_m / cell_m)
    across, up = (np.floor(frame[:2] @ middle / cell_m) - half) * cell_m
    return float(across), float(up), cell_m, reach_m, 2 * half


def _frame(light: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns unit vectors across and up a map and towards the light, as rows."""
    level = math.hypot(light[0], light[1])
    across = np.array([-light[1], light[0], 0.0]) / level if level > 1e-6 else np.eye(3)[0]
    return np.stack([across, np.cross(light, across), light])


def _drawn(
    triangles: Triangles, groups: NDArray[Any], frame: NDArray[np.float64],
    measures: tuple[float, float, float, float, int],
) -> NDArray[np.float32]:  # fmt: skip
    across, up, cell_m, _, size = measures
    nearest = np.full((size, size), -np.inf, np.float32)
    corner = np.array([across, up])
    _draw(triangles.points, triangles.tag, groups, CASTS, frame, corner, cell_m, nearest)
    return nearest


@compiled(
    void(
        float32[:, :, ::1], uint8[::1], from_dtype(GROUP)[::1], uint8[::1], float64[:, ::1],
        float64[::1], float64, float32[:, ::1],
    )
)  # fmt: skip
def _draw(
    points: Any,
    tag: Any,
    groups: Any,
    casts: Any,
    frame: Any,
    corner: Any,
    cell_m: float,
    nearest: Any,
) -> None:
    """Draws the far sides of groups' triangles, each grown by half a cell, so that posts show."""
    size = nearest.shape[0]
    end = size * cell_m
    at = np.empty((3, 3))
    for g in range(len(groups)):
        group, is_out = groups[g], False
        for d in range(2):
            middle, reach = -corner[d], 0.0
            for e in range(3):
                middle += frame[d, e] * (group.low[e] + group.high[e]) / 2.0
                reach += abs(frame[d, e]) * (group.high[e] - group.low[e]) / 2.0
            is_out = is_out or middle + reach < 0.0 or middle - reach > end
        if is_out:
            continue
        for t in range(group.start, group.end):
            if casts[tag[t]] == 0:
                continue
            for c in range(3):
                for d in range(3):
                    value = 0.0
                    for e in range(3):
                        value += frame[d, e] * points[t, c, e]
                    at[c, d] = value if d == 2 else (value - corner[d]) / cell_m
            ax, ay = at[1, 0] - at[0, 0], at[1, 1] - at[0, 1]
            bx, by = at[2, 0] - at[0, 0], at[2, 1] - at[0, 1]
            area = ax * by - ay * bx
            if area >= -1e-9:  # It faces the light, or is seen along its plane.
                continue
            low_x = max(0, math.floor(min(at[0, 0], at[1, 0], at[2, 0]) - 0.5))
            high_x = min(size - 1, math.ceil(max(at[0, 0], at[1, 0], at[2, 0]) + 0.5))
            low_y = max(0, math.floor(min(at[0, 1], at[1, 1], at[2, 1]) - 0.5))
            high_y = min(size - 1, math.ceil(max(at[0, 1], at[1, 1], at[2, 1]) + 0.5))
            low = min(at[0, 2], at[1, 2], at[2, 2])
            high = max(at[0, 2], at[1, 2], at[2, 2])
            slack_a = 0.5 * (abs(bx) + abs(by))
            slack_b = 0.5 * (abs(ax) + abs(ay))
            slack_c = 0.5 * (abs(ax - bx) + abs(ay - by))
            for row in range(low_y, high_y + 1):
                y = row + 0.5 - at[0, 1]
                for column in range(low_x, high_x + 1):
                    x = column + 0.5 - at[0, 0]
                    # Barycentric weights of the second and third corner, times the area's size.
                    u, v = -(x * by - y * bx), -(ax * y - ay * x)
                    if u < -slack_a or v < -slack_b or u + v > -area + slack_c:
                        continue
                    depth = at[0, 2]
                    depth += (u * (at[1, 2] - at[0, 2]) + v * (at[2, 2] - at[0, 2])) / -area
                    depth = min(max(depth, low), high)
                    if depth > nearest[row, column]:
                        nearest[row, column] = depth
