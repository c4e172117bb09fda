"""Colours an image: sky, sunlight, shadows, grain of the ground, wet roads, haze.

Reference:
    Schlick 1994, "An inexpensive BRDF model for physically-based rendering" (what water mirrors).
"""

import math
from typing import Any

import numpy as np
from numba import boolean, float32, float64, int32, int64, uint8, void
from numpy.typing import NDArray

from dreamdrive.envs.embedded.compiled import compiled
from dreamdrive.envs.embedded.render.mesh import Finish, Tag
from dreamdrive.envs.embedded.render.raster import Image
from dreamdrive.envs.embedded.render.shadows import ShadowMaps
from dreamdrive.envs.embedded.render.weather import Light

GRAINY, GLOWING = int(Finish.GRAINY), int(Finish.GLOWING)
ROAD, ROAD_LINE = int(Tag.ROAD), int(Tag.ROAD_LINE)
FINE_M, COARSE_M = 0.12, 1.1
"""Sides of the squares of the two patterns of the ground."""
GRAIN = 0.16
"""Largest change of a colour by each pattern, as a share of it."""
WET_SHARE = 0.4
"""Share of its brightness that a wet road loses."""
MIRRORED, SMOOTH = 0.02, 0.6
"""Share of the light from straight above that water mirrors, and of a wet road that is smooth."""
FADE_M, FROM_ABOVE = 12.0, 0.45
"""Over which distance shadows fade before the end of their reach, and the share of the light from
everywhere that what hangs above a place takes where no sun shines."""
OFF_M, SLANTED_OFF_M, NEARER_M = 0.03, 0.17, 0.05
"""How far from a surface it is looked whether it lies in a shadow; how much farther where the light
only grazes it; and how much nearer to the light what covers it has to be. Cells are coarse."""


def paint(image: Image, light: Light, shadows: ShadowMaps, samples: int) -> NDArray[np.uint8]:
    """Returns an image's colours as blue, green, red and 255, shape (H / samples, W / samples, 4).

    Args:
        image: Drawn with `samples` times the wanted size in each direction.
        light: Light and air.
        shadows: Those around the eye.
        samples: Each pixel is the mean of the square of so many by so many.
    """
    height, width = image.triangle.shape
    painted = np.empty((height // samples, width // samples, 4), np.uint8)
    t = image.triangles
    _paint(image.triangle, image.inverse_depth, image.camera, t.colour, t.normal, t.finish, t.tag,
           np.stack(light), shadows.frame, shadows.measures, shadows.still, shadows.moving,
           shadows.is_sun, samples, painted)  # fmt: skip
    return painted


@compiled()
def _pattern(x: float, y: float) -> float:
    """Returns a number within [-0.5, 0.5) that is the same all over a unit square."""
    i, j = math.floor(x) & 0xFFFF, math.floor(y) & 0xFFFF
    mixed = (i * 73856093) ^ (j * 19349663)
    mixed = ((mixed ^ (mixed >> 13)) * 83492791) & 0x7FFFFFFF
    return ((mixed ^ (mixed >> 16)) & 0xFF) / 256.0 - 0.5


@compiled()
def _grain(x: float, y: float, distance: float) -> float:
    """Returns by what the ground's colour is multiplied; each pattern fades before it flickers."""
    share = max(0.0, 1.0 - distance / 60.0) * _pattern(x / COARSE_M, y / COARSE_M)
    if distance < 12.0:
        share += (1.0 - distance / 12.0) * _pattern(x / FINE_M, y / FINE_M)
    return 1.0 + GRAIN * share


@compiled()
def _sky(up: float, facing: float) -> tuple[float, float]:
    """Returns how much of the zenith's colour the sky has, and how much of the sun's.

    Args:
        up: Sine of the height over the horizon.
        facing: Cosine of the angle to the sun.
    """
    low = 1.0 - max(up, 0.0)
    if facing <= 0.9:
        return 1.0 - low * low * low, 0.0
    power = facing
    for _ in range(6):
        power *= power
    return 1.0 - low * low * low, 0.56 * power + (1.6 if facing > 0.9995 else 0.0)


@compiled()
def _covered(across: float, up: float, towards: float, cell_m: float, nearest: Any) -> float:
    """Returns the share of four cells around a place of a map that something covers.

    Args:
        across, up: The place, from the map's corner.
        towards: How far towards the light it is.
        cell_m: Width of the map's cells.
        nearest: The map.
    """
    across, up = across / cell_m - 0.5, up / cell_m - 0.5
    column, row = math.floor(across), math.floor(up)
    last = nearest.shape[0] - 1
    if column < 0 or row < 0 or column >= last or row >= last:
        return 0.0
    right, below = across - column, up - row
    share = 0.0
    if nearest[row, column] > towards:
        share += (1.0 - right) * (1.0 - below)
    if nearest[row, column + 1] > towards:
        share += right * (1.0 - below)
    if nearest[row + 1, column] > towards:
        share += (1.0 - right) * below
    if nearest[row + 1, column + 1] > towards:
        share += right * below
    return share


@compiled()
def _shadow(
    x: float,
    y: float,
    z: float,
    distance: float,
    frame: Any,
    measures: Any,
    still: Any,
    moving: Any,
) -> float:
    """Returns which share of the light does not come to a place, so far from the eye."""
    across = x * frame[0, 0] + y * frame[0, 1] + z * frame[0, 2]
    up = x * frame[1, 0] + y * frame[1, 1] + z * frame[1, 2]
    towards = x * frame[2, 0] + y * frame[2, 1] + z * frame[2, 2] + NEARER_M
    share = min((measures[0, 3] - distance) / FADE_M, 1.0)
    share *= _covered(across - measures[0, 0], up - measures[0, 1], towards, measures[0, 2], still)
    if share >= 1.0 or distance > measures[1, 3]:
        return share
    other = min((measures[1, 3] - distance) / FADE_M, 1.0)
    other *= _covered(across - measures[1, 0], up - measures[1, 1], towards, measures[1, 2], moving)
    return max(share, other)


@compiled(
    void(
        int32[:, ::1], float32[:, ::1], float64[:, ::1], float32[:, ::1], float32[:, ::1],
        uint8[::1], uint8[::1], float64[:, ::1], float64[:, ::1], float64[:, ::1],
        float32[:, ::1], float32[:, ::1], boolean, int64, uint8[:, :, ::1],
    )
)  # fmt: skip
def _paint(
    triangle: Any, inverse_depth: Any, camera: Any, colour: Any, normal: Any, finish: Any, tag: Any,
    light: Any, frame: Any, measures: Any, still: Any, moving: Any, is_sun: bool, samples: int,
    painted: Any,
) -> None:  # fmt: skip
    """Colours each pixel; a triangle that several of its samples see is looked at once."""
    focal, middle_x, middle_y = camera[4]
    sun_x, sun_y, sun_z = light[0]
    lost, clear, wet = light[5, 0], light[5, 1], light[5, 2]
    dry = 1.0 - WET_SHARE * wet
    count = samples * samples
    seen, total = np.empty(count, np.int64), np.empty(3)
    rows, columns = np.empty(count, np.int64), np.empty(count, np.int64)
    for k in range(count):
        rows[k], columns[k] = k // samples, k % samples
    for v in range(painted.shape[0]):
        for u in range(painted.shape[1]):
            for c in range(3):
                total[c] = 0.0
            for k in range(count):
                seen[k] = triangle[v * samples + rows[k], u * samples + columns[k]]
            for k in range(count):
                t, weight, is_new = seen[k], 0, True
                for other in range(count):
                    if seen[other] == t:
                        weight += 1
                        is_new = is_new and other >= k
                if not is_new:
                    continue
                row, column = v * samples + rows[k], u * samples + columns[k]
                across, down = (column + 0.5 - middle_x) / focal, (row + 0.5 - middle_y) / focal
                x = camera[1, 0] + across * camera[2, 0] - down * camera[3, 0]
                y = camera[1, 1] + across * camera[2, 1] - down * camera[3, 1]
                z = camera[1, 2] + across * camera[2, 2] - down * camera[3, 2]
                length = math.sqrt(1.0 + across * across + down * down)
                if t < 0:
                    facing = (x * sun_x + y * sun_y + z * sun_z) / length
                    share, glow = _sky(z / length, facing)
                    for c in range(3):
                        blue = light[4, c] + share * (light[3, c] - light[4, c])
                        total[c] += weight * (blue + glow * light[1, c])
                    continue
                depth = 1.0 / inverse_depth[row, column]
                distance = depth * length
                kept = weight * math.exp(-lost * max(distance - clear, 0.0))
                facing = normal[t, 0] * sun_x + normal[t, 1] * sun_y + normal[t, 2] * sun_z
                facing, sheltered, share = max(facing, 0.0), 0.85 + 0.15 * normal[t, 2], 1.0
                if distance < measures[0, 3] and (facing > 0.0 if is_sun else normal[t, 2] > 0.3):
                    slant = 1.0 - (facing if is_sun else normal[t, 2])
                    off = OFF_M + SLANTED_OFF_M * slant
                    shadow = _shadow(
                        camera[0, 0] + depth * x + off * normal[t, 0],
                        camera[0, 1] + depth * y + off * normal[t, 1],
                        camera[0, 2] + depth * z + off * normal[t, 2],
                        distance, frame, measures, still, moving,
                    )  # fmt: skip
                    if is_sun:
                        facing *= 1.0 - shadow
                    else:
                        sheltered *= 1.0 - FROM_ABOVE * shadow
                if finish[t] == GRAINY and distance < 60.0:
                    place = camera[0, 0] + depth * x, camera[0, 1] + depth * y
                    share = _grain(place[0], place[1], distance)
                mirrored, blue = 0.0, 0.0
                if tag[t] == ROAD:
                    share *= dry
                if wet > 0.0 and (tag[t] == ROAD or tag[t] == ROAD_LINE):
                    across_it = abs(x * normal[t, 0] + y * normal[t, 1] + z * normal[t, 2]) / length
                    grazing = 1.0 - min(across_it, 1.0)
                    square = grazing * grazing
                    mirrored = MIRRORED + (1.0 - MIRRORED) * square * square * grazing
                    mirrored *= SMOOTH * wet
                    blue = _sky(across_it, 0.0)[0]
                for c in range(3):
                    shine = share * (light[2, c] * sheltered + light[1, c] * facing)
                    shine = 1.0 if finish[t] == GLOWING else shine
                    seen_colour = colour[t, c] * shine
                    if mirrored > 0.0:
                        above = light[4, c] + blue * (light[3, c] - light[4, c])
                        seen_colour += mirrored * (above - seen_colour)
                    total[c] += seen_colour * kept + light[4, c] * (weight - kept)
            for c in range(3):
                painted[v, u, 2 - c] = np.uint8(255.0 * min(total[c] / count, 1.0) + 0.5)
            painted[v, u, 3] = 255
