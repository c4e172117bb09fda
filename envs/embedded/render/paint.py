"""Colours an image: sky, sunlight, shadows, grain of the ground, wet roads, haze, fog.

Reference:
    Schlick 1994, "An inexpensive BRDF model for physically-based rendering" (what water mirrors);
    Henyey & Greenstein 1941, "Diffuse radiation in the galaxy" (where fog sends the sun's light).
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

SKY_M = 1000.0
"""No fog is looked through for longer than this, to the sky either."""
HEIGHTS = 256
"""Steps of the sine of a ray's height over the horizon in which fog before the sky is looked up."""
UNSEEN = 0.002
"""Half of the least change of a colour that shows."""
STEPS = 64
LEFT = np.exp(-np.arange(16 * STEPS) / STEPS)
"""e^-x in steps of 1 / STEPS; at the end nothing shows any more."""
COSINES, FORWARD = 512, 0.75
"""Steps to a cosine of 1, and how much fog sends light on the way that it came: the mean cosine."""
GLOW = 1.0 + FORWARD**2 - 2.0 * FORWARD * (np.arange(2 * COSINES + 2) / COSINES - 1.0)
GLOW = ((1.0 - FORWARD) ** 2 / GLOW) ** 1.5
"""The light that fog sends on by the cosine of the angle to the sun, over that towards the sun."""
ASIDE = float(GLOW[3 * COSINES // 2])
"""The most of it at more than 60 degrees from the sun."""


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
           np.stack(light), t.ground_m, shadows.frame, shadows.measures, shadows.still,
           shadows.moving, shadows.is_sun, samples, painted)  # fmt: skip
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
def _left(x: float) -> float:
    """Returns e^-x for x >= 0, to 1e-6, in a fraction of the time."""
    step = int(x * STEPS)
    if step >= len(LEFT):
        return 0.0
    rest = x - step / STEPS
    return LEFT[step] * (1.0 - rest * (1.0 - 0.5 * rest))


@compiled()
def _column(height: float) -> float:
    """Returns the fog from the ground up to a height, over that at the ground times 1/e heights."""
    return 1.0 - _left(height) if height > 0.0 else height


@compiled()
def _fog(height: float, rise: float, here: float, column: float) -> float:
    """Returns the mean thickness of fog along a ray, over that at the ground.

    With heights h over the ground, in those over which fog thins to 1/e, from a to b,

        1/(b - a) ∫ e^-max(h, 0) dh = (c(b) - c(a)) / (b - a),  c(h) = 1 - e^-h, or h below 0

    Args:
        height: Of the eye, a.
        rise: Of the ray's other end over the eye, b - a.
        here: Thickness at the eye, e^-max(a, 0).
        column: c(a).
    """
    if abs(rise) < 0.25:  # Taylor's series, to 3e-5.
        x = rise if height + min(rise, 0.0) > 0.0 else 0.0
        return here * (1.0 - x * (1 / 2 - x * (1 / 6 - x * (1 / 24))))
    return (_column(height + rise) - column) / rise


@compiled()
def _glow(facing: float, share: float, brightest: float) -> float:
    """Returns the share of the sun's light that fog sends to the eye; 0 where none shows.

    Args:
        facing: Cosine of the angle to the sun.
        share: The share that it sends towards the sun.
        brightest: The strongest colour of the sun's light.
    """
    if share * brightest < (UNSEEN if facing > 0.5 else UNSEEN / ASIDE):
        return 0.0
    place = max(facing + 1.0, 0.0) * COSINES
    step = min(int(place), 2 * COSINES)
    return share * (GLOW[step] + (place - step) * (GLOW[step + 1] - GLOW[step]))


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
        uint8[::1], uint8[::1], float64[:, ::1], float64, float64[:, ::1], float64[:, ::1],
        float32[:, ::1], float32[:, ::1], boolean, int64, uint8[:, :, ::1],
    )
)  # fmt: skip
def _paint(
    triangle: Any, inverse_depth: Any, camera: Any, colour: Any, normal: Any, finish: Any, tag: Any,
    light: Any, ground_m: float, frame: Any, measures: Any, still: Any, moving: Any, is_sun: bool,
    samples: int, painted: Any,
) -> None:  # fmt: skip
    """Colours each pixel; a triangle that several of its samples see is looked at once."""
    focal, middle_x, middle_y = camera[4]
    sun_x, sun_y, sun_z = light[0]
    lost, clear, wet = light[5]
    fog, thins, sent_on = light[6]
    height = thins * (camera[0, 2] - ground_m)
    here, above = _left(max(height, 0.0)), _column(height)
    sun_r, sun_g, sun_b = light[1]
    all_r, all_g, all_b = light[2]
    haze_r, haze_g, haze_b = light[4]
    sky_r, sky_g, sky_b = light[3, 0] - haze_r, light[3, 1] - haze_g, light[3, 2] - haze_b
    dry = 1.0 - WET_SHARE * wet
    brightest = max(sun_r, sun_g, sun_b)
    count = samples * samples
    full = 255.0 / count
    seen = np.empty(count, np.int64)
    rows, columns = np.empty(count, np.int64), np.empty(count, np.int64)
    for k in range(count):
        rows[k], columns[k] = k // samples, k % samples
    clearness = np.empty(HEIGHTS + 1)
    for k in range(HEIGHTS + 1):
        clearness[k] = _left(fog * SKY_M * _fog(height, thins * SKY_M * k / HEIGHTS, here, above))
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
            for row in range(v * samples, (v + 1) * samples):
                for column in range(u * samples, (u + 1) * samples):
                    is_one = is_one and triangle[row, column] == first
            seen[0] = first
            if not is_one:
                for k in range(count):
                    seen[k] = triangle[v * samples + rows[k], u * samples + columns[k]]
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
                    over = 1.0 / length
                    facing = (x * sun_x + y * sun_y + z * sun_z) * over
                    share, glow = _sky(z * over, facing)
                    if fog > 0.0:
                        kept = clearness[int(max(z * over, 0.0) * HEIGHTS)]
                        share, glow = share * kept, glow * kept
                        glow += _glow(facing, (1.0 - kept) * sent_on, brightest)
                    red += weight * (haze_r + share * sky_r + glow * sun_r)
                    green += weight * (haze_g + share * sky_g + glow * sun_g)
                    blue += weight * (haze_b + share * sky_b + glow * sun_b)
                    continue
                depth = 1.0 / inverse_depth[row, column]
                distance = depth * length
                kept, glow = float(weight), 0.0
                if distance > clear:
                    foggy = 0.0
                    if fog * distance > UNSEEN:
                        foggy = fog * _fog(height, thins * depth * z, here, above)
                    kept = weight * _left((lost + foggy) * (distance - clear))
                    glow = (weight - kept) * foggy * sent_on
                    if glow * brightest > UNSEEN * (lost + foggy):
                        facing = (x * sun_x + y * sun_y + z * sun_z) / length
                        glow = _glow(facing, glow / (lost + foggy), brightest)
                    else:
                        glow = 0.0
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
                red += r * kept + haze_r * (weight - kept) + glow * sun_r
                green += g * kept + haze_g * (weight - kept) + glow * sun_g
                blue += b * kept + haze_b * (weight - kept) + glow * sun_b
            painted[v, u, 2] = np.uint8(min(red * full, 255.0) + 0.5)
            painted[v, u, 1] = np.uint8(min(green * full, 255.0) + 0.5)
            painted[v, u, 0] = np.uint8(min(blue * full, 255.0) + 0.5)
            painted[v, u, 3] = 255
