"""Rain that colour cameras see: streaks before what is farther away, slanted by the wind.

Drops fill a cube that repeats itself all over the world and falls through it with time, so that all
cameras see the same drops, and a frame is the same whoever looks. A camera sees those of the cube
around it as lines: what they fall while its shutter is open. It takes no part in their slant, as if
it stood still.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import float32, float64, int64, uint8, void
from numpy.typing import NDArray

from dreamdrive.envs.embedded.compiled import compiled
from dreamdrive.envs.embedded.render.lamplight import Lamplight
from dreamdrive.envs.embedded.render.raster import Image
from dreamdrive.envs.embedded.render.weather import PRECIPITATION, WIND, Light, share_of
from dreamdrive.seeding import numpy_generator

MOST_DROPS, CUBE_M = 9000, 24.0
"""Drops of the heaviest rain in a cube of such a side."""
FALL_MPS, WIND_MPS = 8.0, 8.0
"""How fast drops fall, and how fast the strongest wind drives them."""
DOWNWIND = (0.8, 0.6)
"""Where the wind blows to, so that streets along either axis of a map see it from the side."""
SHUTTER_S, WIDE_M = 0.02, 0.006
"""How long a shutter is open, and how wide a drop is drawn."""
NEAR_M, FADE_M = 0.7, 4.0
"""Nearer drops are not seen; those at the cube's faces have faded over this length."""
OPAQUE, BRIGHTER, CAUGHT = 0.6, 1.15, 0.2
"""How much of what is behind a drop it hides, its brightness over that of the haze, and the share
of the light of lamps that it sends on."""
DROPS = numpy_generator(0, "rain").random((MOST_DROPS, 3)) * CUBE_M


def rain(
    painted: NDArray[np.uint8], image: Image, weather: Sequence[float], light: Light,
    lamplight: Lamplight | None, time_s: float, samples: int,
) -> None:  # fmt: skip
    """Draws rain over a painted image.

    Args:
        painted: Blue, green, red and 255, shape (H, W, 4); written to.
        image: What was painted, with `samples` times as many pixels in each direction.
        weather: Weather parameters in their order on the wire.
        light: Their light.
        lamplight: That of lamps, which drops catch.
        time_s: When it is.
        samples: Each pixel is the mean of the square of so many by so many.
    """
    count = round(MOST_DROPS * share_of(weather[PRECIPITATION]))
    wind_mps = WIND_MPS * share_of(weather[WIND])
    velocity = np.array([wind_mps * DOWNWIND[0], wind_mps * DOWNWIND[1], -FALL_MPS])
    places = np.empty((count, 3))
    _fall(DROPS[:count], velocity, time_s, image.camera[0], places)
    colours = np.tile(BRIGHTER * light.horizon, (count, 1))
    if lamplight is not None:
        colours += CAUGHT * lamplight.at(places)
    _streak(places, velocity, 255.0 * np.minimum(colours, 1.0), image.camera, image.inverse_depth,
            samples, painted)  # fmt: skip


@compiled(void(float64[:, ::1], float64[::1], float64, float64[::1], float64[:, ::1]))
def _fall(drops: Any, velocity: Any, time_s: float, eye: Any, places: Any) -> None:
    """Writes where drops are in the cube around an eye."""
    for i in range(len(drops)):
        for d in range(3):
            away = drops[i, d] + velocity[d] * time_s - eye[d] + CUBE_M / 2.0
            places[i, d] = eye[d] + away - CUBE_M * math.floor(away / CUBE_M) - CUBE_M / 2.0


@compiled()
def _along(place: Any, axis: Any) -> float:
    return place[0] * axis[0] + place[1] * axis[1] + place[2] * axis[2]


@compiled(
    void(
        float64[:, ::1], float64[::1], float64[:, ::1], float64[:, ::1], float32[:, ::1], int64,
        uint8[:, :, ::1],
    )
)  # fmt: skip
def _streak(
    places: Any, velocity: Any, colours: Any, camera: Any, inverse_depth: Any, samples: int,
    painted: Any,
) -> None:  # fmt: skip
    """Draws what drops fall while the shutter is open, by steps of at most a pixel."""
    height, width = painted.shape[:2]
    focal = camera[4, 0] / samples
    begin, end = np.empty(3), np.empty(3)
    for i in range(len(places)):
        far = 0.0
        for d in range(3):
            end[d] = places[i, d] - camera[0, d]
            far = max(far, abs(end[d]))
        shown = OPAQUE * min((CUBE_M / 2.0 - far) / FADE_M, 1.0)
        for d in range(3):
            begin[d] = end[d] - SHUTTER_S * velocity[d]
        ahead_0, ahead_1 = _along(begin, camera[1]), _along(end, camera[1])
        if min(ahead_0, ahead_1) < NEAR_M:
            continue
        x0 = width / 2.0 + focal * _along(begin, camera[2]) / ahead_0
        y0 = height / 2.0 - focal * _along(begin, camera[3]) / ahead_0
        x1 = width / 2.0 + focal * _along(end, camera[2]) / ahead_1
        y1 = height / 2.0 - focal * _along(end, camera[3]) / ahead_1
        if max(x0, x1) < 0.0 or min(x0, x1) > width or max(y0, y1) < 0.0 or min(y0, y1) > height:
            continue
        nearness = 2.0 / (ahead_0 + ahead_1)
        wide = WIDE_M * focal * nearness
        steps = int(max(abs(x1 - x0), abs(y1 - y0))) + 1
        is_steep = abs(y1 - y0) >= abs(x1 - x0)
        for k in range(steps):
            share = (k + 0.5) / steps
            x, y = x0 + share * (x1 - x0), y0 + share * (y1 - y0)
            along, middle = (y, x) if is_steep else (x, y)
            rows, columns = (height, width) if is_steep else (width, height)
            if not 0.0 <= along < rows:
                continue
            first = int(max(middle - wide / 2.0, 0.0))
            for across in range(first, int(min(middle + wide / 2.0, columns - 1.0)) + 1):
                u, v = (across, int(along)) if is_steep else (int(along), across)
                if inverse_depth[v * samples, u * samples] > nearness:
                    continue
                covered = min(across + 1.0, middle + wide / 2.0)
                covered -= max(float(across), middle - wide / 2.0)
                hidden = shown * max(covered, 0.0)
                for d in range(3):
                    behind = painted[v, u, d]
                    painted[v, u, d] = np.uint8(
                        behind + hidden * (colours[i, 2 - d] - behind) + 0.5
                    )
