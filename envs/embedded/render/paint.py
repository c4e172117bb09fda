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
    sun_r, sun_g, sun_b = light[1]
    all_r, all_g, all_b = light[2]
    haze_r, haze_g, haze_b = light[4]
    sky_r, sky_g, sky_b = light[3, 0] - haze_r, light[3, 1] - haze_g, light[3, 2] - haze_b
    dry = 1.0 - WET_SHARE * wet
    count = samples * samples
    seen = np.empty(count, np.int64)
    rows, columns = np.empty(count, np.int64), np.empty(count, np.int64)
    for k in range(count):
        rows[k], columns[k] = k // samples, k % samples
    # What a ray owes to its column alone, and how much longer that makes it.
    aside = np.empty((triangle.shape[1], 4))
    for column in range(triangle.shape[1]):
        across = (column + 0.5 - middle_x) / focal
        for d in range(3):
            aside[column, d] = camera[1, d] + across * camera[2, d]
        aside[column, 3] = 1.0 + across * across
    for v in range(painted.shape[0]):
        for u in range(painted.shape[1]):
            first, is_one = triangle[v * samples, u * samples], True
            for k in range(count):
                seen[k] = triangle[v * samples + rows[k], u * samples + columns[k]]
                is_one = is_one and seen[k] == first
            red = green = blue = 0.0
            for k in range(1 if is_one else count):
                t, weight, is_new = seen[k], count, True
                if not is_one:
                    weight = 0
                    for other in range(count):
                        if seen[other] == t:
                            weight += 1
                            is_new = is_new and other >= k
                if not is_new:
                    continue
                row, column = v * samples + rows[k], u * samples + columns[k]
                down = (row + 0.5 - middle_y) / focal
                x = aside[column, 0] - down * camera[3, 0]
                y = aside[column, 1] - down * camera[3, 1]
                z = aside[column, 2] - down * camera[3, 2]
                length = math.sqrt(aside[column, 3] + down * down)
                if t < 0:
                    facing = (x * sun_x + y * sun_y + z * sun_z) / length
                    share, glow = _sky(z / length, facing)
                    red += weight * (haze_r + share * sky_r + glow * sun_r)
                    green += weight * (haze_g + share * sky_g + glow * sun_g)
                    blue += weight * (haze_b + share * sky_b + glow * sun_b)
                    continue
                depth = 1.0 / inverse_depth[row, column]
                distance = depth * length
                kept = float(weight)
                if distance > clear:
                    kept = weight * math.exp(-lost * (distance - clear))
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
                mirrored, zenith = 0.0, 0.0
                if tag[t] == ROAD:
                    share *= dry
                if wet > 0.0 and (tag[t] == ROAD or tag[t] == ROAD_LINE):
                    across_it = abs(x * normal[t, 0] + y * normal[t, 1] + z * normal[t, 2]) / length
                    grazing = 1.0 - min(across_it, 1.0)
                    square = grazing * grazing
                    mirrored = MIRRORED + (1.0 - MIRRORED) * square * square * grazing
                    mirrored *= SMOOTH * wet
                    zenith = _sky(across_it, 0.0)[0]
                shine_r, shine_g, shine_b = 1.0, 1.0, 1.0
                if finish[t] != GLOWING:
                    shine_r = share * (all_r * sheltered + sun_r * facing)
                    shine_g = share * (all_g * sheltered + sun_g * facing)
                    shine_b = share * (all_b * sheltered + sun_b * facing)
                r, g, b = colour[t, 0] * shine_r, colour[t, 1] * shine_g, colour[t, 2] * shine_b
                if mirrored > 0.0:
                    r += mirrored * (haze_r + zenith * sky_r - r)
                    g += mirrored * (haze_g + zenith * sky_g - g)
                    b += mirrored * (haze_b + zenith * sky_b - b)
                red += r * kept + haze_r * (weight - kept)
                green += g * kept + haze_g * (weight - kept)
                blue += b * kept + haze_b * (weight - kept)
            painted[v, u, 2] = np.uint8(255.0 * min(red / count, 1.0) + 0.5)
            painted[v, u, 1] = np.uint8(255.0 * min(green / count, 1.0) + 0.5)
            painted[v, u, 0] = np.uint8(255.0 * min(blue / count, 1.0) + 0.5)
            painted[v, u, 3] = 255
