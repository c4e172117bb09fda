"""Light of lamps by night, added to what was painted without it.

At a distance d of a lamp of strength s and reach r a surface takes the light

    s p cos(incidence) (1 - (d / r)⁴) / d²

with the pattern p: of street lamps the cosine of the angle to straight down, of beams

    (1 - (a / SPREAD)²)² / (1 + (a / wide)² + |u| / (above or below))³

with the slopes a to the side and u upwards. Much light dazzles no camera: the sum x of all lamps
becomes x / (1 + x / MOST). Houses, walls and vehicles stop beams, whatever their height; vehicles
stop the light of street lamps too.

Each square of the ground knows the few lamps that are brightest there, so that a pixel costs the
same however many there are.
"""

import math
from typing import Any

import numpy as np
from numba import boolean, float32, float64, int32, int64, uint8, void
from numpy.typing import NDArray

from dreamdrive.envs.embedded.compiled import compiled
from dreamdrive.envs.embedded.render.mesh import Finish, Tag
from dreamdrive.envs.embedded.render.paint import WET_SHARE
from dreamdrive.envs.embedded.render.raster import Image
from dreamdrive.envs.embedded.render.shadows import ShadowMaps
from dreamdrive.envs.embedded.render.weather import Light

LIGHT = np.dtype(
    [
        ("at", "f8", 3), ("axes", "f8", (3, 3)), ("colour", "f8", 3), ("reach", "f8"),
        ("wide", "f8"), ("below", "f8"), ("above", "f8"), ("owner", "f8"),
    ]
)  # fmt: skip
"""A lamp: its place, axes ahead, to the right and up, light at a metre, how far it shines; of beams
the slopes to the side, downwards and upwards over which they fall (`wide` is 0 of a street lamp),
and the row of the box that does not stop them."""
AHEAD, RIGHT, UP, COLOUR, REACH, WIDE, BELOW, ABOVE, OWNER, FADING = (
    3, 6, 9, 12, 15, 16, 17, 18, 19, 20
)  # fmt: skip
"""Where these begin among the numbers of a row, in which slopes are inverted, and 1 / reach²."""
NONE = 255
"""Stands for no lamp."""
GLOWING, ROAD = int(Finish.GLOWING), int(Tag.ROAD)
CELL_M, SIDE, PER_CELL = 4.0, 64, 6
"""Width of a square, squares a side, and lamps that one knows."""
OVER_M, GRAZING = 5.0, 0.04
"""Which are brightest is judged as if each were so high, and for beams by so much of their light,
since they graze the ground."""
BLOCK = 2
"""Pixels a side that take the same light where they see the same triangle."""
BINS, SPREAD, DEEP_M = 128, 1.5, 1.0
"""Directions in which a beam may be stopped, their largest slope to the side, and how much of what
stops it is still lit."""
MOST, DOWN = 1.2, 0.01
"""The brightest that lamps light anything, and the slope by which beams point down."""
NEAR_M, ABOVE_M = 0.05, 0.1
"""What is nearer to a lamp takes none of its light, and what is no higher over a place no shade."""

_LIGHTS = float64[:, ::1]


class Lamplight:
    """The light of the lamps around an eye.

    Args:
        eye: Where one looks from, shape (3,).
        lamps: Rows of `LIGHT`.
        boxes: What stops beams: x, y, half length, half width, yaw, lowest and highest, (n, 7).
    """

    def __init__(
        self, eye: NDArray[np.float64], lamps: NDArray[np.void], boxes: NDArray[np.float64]
    ) -> None:
        self._lamps = np.column_stack(
            [lamps.view(np.float64).reshape(len(lamps), -1), lamps["reach"] ** -2.0]
        )
        slopes = self._lamps[:, WIDE:OWNER]
        np.divide(1.0, slopes, out=slopes, where=slopes > 0.0)
        self._corner = (np.floor(eye[:2] / CELL_M) - SIDE // 2) * CELL_M
        self._known = np.full((SIDE, SIDE, PER_CELL), NONE, np.uint8)
        _spread(self._lamps, self._corner, self._known)
        self._ends = np.full((len(lamps), BINS), np.inf)
        _stop(self._lamps, boxes, self._ends)

    def add(
        self, painted: NDArray[np.uint8], image: Image, light: Light, shadows: ShadowMaps,
        samples: int,
    ) -> None:  # fmt: skip
        """Adds the light to a painted image.

        Args:
            painted: Blue, green, red and 255, shape (H, W, 4); written to.
            image: What was painted, with `samples` times as many pixels in each direction.
            light: The light that it was painted in.
            shadows: The shadows around the eye.
            samples: Each pixel is the mean of the square of so many by so many.
        """
        t, dry = image.triangles, 1.0 - WET_SHARE * float(light.haze[2])
        _add(image.triangle, image.inverse_depth, image.camera, t.colour, t.normal, t.finish, t.tag,
             light.haze, light.fog, dry, self._lamps, self._corner, self._known, self._ends,
             shadows.measures[1], shadows.moving, not shadows.is_sun, samples,
             painted)  # fmt: skip

    def at(self, places: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns the light from all sides at places, red, green and blue, shape (n, 3)."""
        found = np.zeros_like(places)
        _shine(places, self._lamps, self._corner, self._known, self._ends, found)
        return found


@compiled(void(_LIGHTS, float64[::1], uint8[:, :, ::1]))
def _spread(lamps: Any, corner: Any, known: Any) -> None:
    """Lets each square know the lamps that are brightest in its middle, the brightest first."""
    bright = np.zeros(known.shape)
    for i in range(len(lamps)):
        low, high = np.empty(2, np.int64), np.empty(2, np.int64)
        for d in range(2):
            low[d] = max(0, math.floor((lamps[i, d] - lamps[i, REACH] - corner[d]) / CELL_M))
            high[d] = math.floor((lamps[i, d] + lamps[i, REACH] - corner[d]) / CELL_M)
            high[d] = min(high[d], SIDE - 1)
        for row in range(low[0], high[0] + 1):
            for column in range(low[1], high[1] + 1):
                x = corner[0] + (row + 0.5) * CELL_M - lamps[i, 0]
                y = corner[1] + (column + 0.5) * CELL_M - lamps[i, 1]
                square = x * x + y * y
                if square > (lamps[i, REACH] + CELL_M) ** 2:
                    continue
                value = max(lamps[i, COLOUR], lamps[i, COLOUR + 1], lamps[i, COLOUR + 2])
                value /= square + OVER_M * OVER_M
                if lamps[i, WIDE] > 0.0:
                    ahead = x * lamps[i, AHEAD] + y * lamps[i, AHEAD + 1] + CELL_M
                    aside = abs(x * lamps[i, RIGHT] + y * lamps[i, RIGHT + 1]) - CELL_M
                    if ahead < 0.0 or aside > SPREAD * ahead:
                        continue
                    slope = max(aside, 0.0) * lamps[i, WIDE] / ahead
                    value *= GRAZING / (1.0 + slope * slope) ** 3
                for slot in range(PER_CELL):
                    if value > bright[row, column, slot]:
                        for k in range(PER_CELL - 1, slot, -1):
                            bright[row, column, k] = bright[row, column, k - 1]
                            known[row, column, k] = known[row, column, k - 1]
                        bright[row, column, slot], known[row, column, slot] = value, i
                        break


@compiled(void(_LIGHTS, float64[:, ::1], float64[:, ::1]))
def _stop(lamps: Any, boxes: Any, ends: Any) -> None:
    """Writes how far ahead of each beam's lamp something stops it, by the slope to the side."""
    for i in range(len(lamps)):
        if lamps[i, WIDE] == 0.0:
            continue
        for b in range(len(boxes)):
            x, y = boxes[b, 0] - lamps[i, 0], boxes[b, 1] - lamps[i, 1]
            around = boxes[b, 2] + boxes[b, 3]
            if b == lamps[i, OWNER] or x * x + y * y > (lamps[i, REACH] + around) ** 2:
                continue
            if lamps[i, 2] < boxes[b, 5] - 1.0 or lamps[i, 2] > boxes[b, 6]:
                continue
            ahead = x * lamps[i, AHEAD] + y * lamps[i, AHEAD + 1]
            if ahead + around < 0.0:
                continue
            cos, sin = math.cos(boxes[b, 4]), math.sin(boxes[b, 4])
            begin = -(x * cos + y * sin), x * sin - y * cos
            for k in range(BINS):
                slope = (k / (BINS - 1) * 2.0 - 1.0) * SPREAD
                dx = lamps[i, AHEAD] + slope * lamps[i, RIGHT]
                dy = lamps[i, AHEAD + 1] + slope * lamps[i, RIGHT + 1]
                along = dx * cos + dy * sin, dy * cos - dx * sin
                near, far = 0.0, ends[i, k]
                for d in range(2):
                    half = boxes[b, 2 + d]
                    if abs(along[d]) < 1e-9:
                        if abs(begin[d]) > half:
                            near = math.inf
                        continue
                    first, last = (-half - begin[d]) / along[d], (half - begin[d]) / along[d]
                    near, far = max(near, min(first, last)), min(far, max(first, last))
                if near < far:
                    ends[i, k] = near


@compiled()
def _reaching(
    lamps: Any, i: int, ends: Any, dx: float, dy: float, dz: float, square: float, inverse: float
) -> float:
    """Returns the share of a lamp's light that reaches a place, without the incidence there.

    Args:
        lamps, i: Rows of `LIGHT` as numbers, and which it is.
        ends: Where beams are stopped.
        dx, dy, dz: The way from the place to the lamp.
        square, inverse: Its length, squared, and 1 over it.
    """
    share = square * lamps[i, FADING]
    if share >= 1.0:
        return 0.0
    share = (1.0 - share * share) * inverse * inverse
    if lamps[i, WIDE] == 0.0:
        return share * max(dz, 0.0) * inverse
    ahead = -(dx * lamps[i, AHEAD] + dy * lamps[i, AHEAD + 1] + dz * lamps[i, AHEAD + 2])
    if ahead < NEAR_M:
        return 0.0
    slope = 1.0 / ahead
    aside = -(dx * lamps[i, RIGHT] + dy * lamps[i, RIGHT + 1] + dz * lamps[i, RIGHT + 2]) * slope
    if abs(aside) >= SPREAD:
        return 0.0
    aside *= 1.0 / SPREAD
    inside = 1.0 - aside * aside
    direction = (aside + 1.0) * ((BINS - 1) / 2)
    first, free = min(int(direction), BINS - 2), 0.0
    if ahead < ends[i, first] + DEEP_M:
        free += first + 1 - direction
    if ahead < ends[i, first + 1] + DEEP_M:
        free += direction - first
    if free <= 0.0:
        return 0.0
    up = -(dx * lamps[i, UP] + dy * lamps[i, UP + 1] + dz * lamps[i, UP + 2]) * slope + DOWN
    aside *= SPREAD * lamps[i, WIDE]
    left = 1.0 / (1.0 + aside * aside + max(up * lamps[i, ABOVE], -up * lamps[i, BELOW]))
    return share * free * inside * inside * left * left * left


@compiled()
def _cell(x: float, y: float, corner: Any) -> tuple[int, int]:
    """Returns the square of a place, or one outside."""
    return math.floor((x - corner[0]) / CELL_M), math.floor((y - corner[1]) / CELL_M)


@compiled()
def _is_below(x: float, y: float, z: float, measures: Any, moving: Any) -> bool:
    """Returns whether something that moves is above a place."""
    column = math.floor((x - measures[0]) / measures[2])
    row = math.floor((y - measures[1]) / measures[2])
    last = len(moving)
    return 0 <= column < last and 0 <= row < last and moving[row, column] > z + ABOVE_M


@compiled(
    void(
        float64[:, ::1], _LIGHTS, float64[::1], uint8[:, :, ::1], float64[:, ::1], float64[:, ::1],
    )
)  # fmt: skip
def _shine(places: Any, lamps: Any, corner: Any, known: Any, ends: Any, found: Any) -> None:
    """Writes the light from all sides at places."""
    for p in range(len(places)):
        row, column = _cell(places[p, 0], places[p, 1], corner)
        if min(row, column) < 0 or max(row, column) >= SIDE:
            continue
        for slot in range(PER_CELL):
            i = known[row, column, slot]
            if i == NONE:
                break
            dx = lamps[i, 0] - places[p, 0]
            dy = lamps[i, 1] - places[p, 1]
            dz = lamps[i, 2] - places[p, 2]
            square = max(dx * dx + dy * dy + dz * dz, NEAR_M * NEAR_M)
            share = _reaching(lamps, i, ends, dx, dy, dz, square, 1.0 / math.sqrt(square))
            for d in range(3):
                found[p, d] += share * lamps[i, COLOUR + d]


@compiled()
def _lit(
    x: float, y: float, z: float, normal: Any, t: int, lamps: Any, corner: Any, known: Any,
    ends: Any, measures: Any, moving: Any, is_above: bool,
) -> tuple[float, float, float]:  # fmt: skip
    """Returns the light that a surface takes at a place."""
    red = green = blue = 0.0
    row, column = _cell(x, y, corner)
    if min(row, column) < 0 or max(row, column) >= SIDE or known[row, column, 0] == NONE:
        return red, green, blue
    is_shaded = is_above and normal[t, 2] > 0.3 and _is_below(x, y, z, measures, moving)
    for slot in range(PER_CELL):
        i = known[row, column, slot]
        if i == NONE:
            break
        dx, dy, dz = lamps[i, 0] - x, lamps[i, 1] - y, lamps[i, 2] - z
        facing = dx * normal[t, 0] + dy * normal[t, 1] + dz * normal[t, 2]
        if facing <= 0.0 or (is_shaded and lamps[i, WIDE] == 0.0):
            continue
        square = dx * dx + dy * dy + dz * dz
        inverse = 1.0 / math.sqrt(square)
        share = _reaching(lamps, i, ends, dx, dy, dz, square, inverse) * facing * inverse
        red += share * lamps[i, COLOUR]
        green += share * lamps[i, COLOUR + 1]
        blue += share * lamps[i, COLOUR + 2]
    return red / (1.0 + red / MOST), green / (1.0 + green / MOST), blue / (1.0 + blue / MOST)


@compiled(
    void(
        int32[:, ::1], float32[:, ::1], float64[:, ::1], float32[:, ::1], float32[:, ::1],
        uint8[::1], uint8[::1], float64[::1], float64[::1], float64, _LIGHTS, float64[::1],
        uint8[:, :, ::1], float64[:, ::1], float64[::1], float32[:, ::1], boolean, int64,
        uint8[:, :, ::1],
    )
)  # fmt: skip
def _add(
    triangle: Any, inverse_depth: Any, camera: Any, colour: Any, normal: Any, finish: Any,
    tag: Any, haze: Any, fog: Any, dry: float, lamps: Any, corner: Any, known: Any, ends: Any,
    measures: Any, moving: Any, is_above: bool, samples: int, painted: Any,
) -> None:  # fmt: skip
    """Adds what lamps shine at; a triangle takes the same light all over a block of pixels."""
    focal, middle_x, middle_y = camera[4]
    height, width = painted.shape[:2]
    count = BLOCK * BLOCK
    place, add = np.empty(3), np.empty((count, 3))
    seen, rows, columns = np.empty((3, count * samples * samples), np.int64)
    weight = np.empty((len(seen), count))
    for top in range(0, height, BLOCK):
        for left in range(0, width, BLOCK):
            bottom, right = min(top + BLOCK, height), min(left + BLOCK, width)
            first, others = triangle[top * samples, left * samples], 0
            for row in range(top * samples, bottom * samples):
                for column in range(left * samples, right * samples):
                    others |= triangle[row, column] ^ first
            is_one = others == 0
            if is_one and (first < 0 or finish[first] == GLOWING):
                continue
            num = 0
            for v in range(top, top if is_one else bottom):
                for u in range(left, right):
                    pixel = (v - top) * BLOCK + u - left
                    for row in range(v * samples, (v + 1) * samples):
                        for column in range(u * samples, (u + 1) * samples):
                            t = triangle[row, column]
                            k = 0
                            while k < num and seen[k] != t:
                                k += 1
                            if k == num:
                                seen[k], rows[k], columns[k] = t, row, column
                                weight[k] = 0.0
                                num += 1
                            weight[k, pixel] += 1.0
            if is_one:
                seen[0], rows[0], columns[0] = first, top * samples, left * samples
                weight[0], num = samples * samples, 1
            is_lit = False
            for k in range(num):
                t, row, column = seen[k], rows[k], columns[k]
                if t < 0 or finish[t] == GLOWING:
                    continue
                over, down = (column + 0.5 - middle_x) / focal, (row + 0.5 - middle_y) / focal
                depth = 1.0 / inverse_depth[row, column]
                for d in range(3):
                    way = camera[1, d] + over * camera[2, d] - down * camera[3, d]
                    place[d] = camera[0, d] + depth * way
                red, green, blue = _lit(
                    place[0], place[1], place[2], normal, t, lamps, corner, known, ends, measures,
                    moving, is_above,
                )  # fmt: skip
                if red + green + blue <= 0.0:
                    continue
                if not is_lit:
                    is_lit, add[:] = True, 0.0
                far = depth * math.sqrt(1.0 + over * over + down * down)
                kept = math.exp(-(haze[0] + fog[0]) * max(far - haze[1], 0.0))
                kept *= 255.0 / (samples * samples)
                if tag[t] == ROAD:
                    kept *= dry
                for pixel in range(count):
                    add[pixel, 2] += weight[k, pixel] * kept * colour[t, 0] * red
                    add[pixel, 1] += weight[k, pixel] * kept * colour[t, 1] * green
                    add[pixel, 0] += weight[k, pixel] * kept * colour[t, 2] * blue
            if not is_lit:
                continue
            for v in range(top, bottom):
                for u in range(left, right):
                    for d in range(3):
                        value = painted[v, u, d] + add[(v - top) * BLOCK + u - left, d]
                        painted[v, u, d] = np.uint8(min(value + 0.5, 255.0))
