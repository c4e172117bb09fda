"""Draws triangles: for each pixel, which one is seen and how near it is.

The inverse of a plane's depth is linear in the pixel, so that a triangle needs three numbers to be
drawn, and depths are exact at the middle of each pixel.

Reference:
    Burns & Hunt 2013, "The Visibility Buffer", JCGT 2(2); Blinn 1992, "Hyperbolic interpolation".
"""

import math
from typing import Any

import numpy as np
from numba import float32, float64, from_dtype, int32, int64, void
from numpy.typing import NDArray

from dreamdrive.envs.embedded.compiled import compiled
from dreamdrive.envs.embedded.render.scene import Triangles
from dreamdrive.envs.embedded.render.still import GROUP
from dreamdrive.envs.embedded.render.view import Lens, Pose, camera_rows

NEAR_M = 0.05
"""Nothing nearer than this is drawn."""
SKY = -1
"""What a pixel sees that sees no triangle."""

_GROUPS, _CAMERA = from_dtype(GROUP)[::1], float64[:, ::1]


class Image:
    """What a camera sees.

    Attributes:
        camera: As `camera_rows` returns it, shape (5, 3).
        triangle: Index of the triangle at each pixel, `SKY` for none, shape (H, W).
        inverse_depth: 1 over the depth along the optical axis in metres, 0 for the sky, (H, W).
    """

    def __init__(self, triangles: Triangles, pose: Pose, lens: Lens) -> None:
        self.triangles, self.pose, self.lens = triangles, pose, lens
        self.camera = camera_rows(pose, lens)
        self.inverse_depth = np.zeros((lens.height, lens.width), np.float32)
        self.triangle = np.full((lens.height, lens.width), SKY, np.int32)
        nearness = np.empty(len(triangles.groups))
        count = _visible(triangles.groups, self.camera, lens.width, lens.height, nearness)
        order = np.argsort(nearness, kind="stable")[:count]
        _draw(triangles.points, triangles.groups, order, self.camera, self.inverse_depth,
              self.triangle)  # fmt: skip

    def depth(self) -> NDArray[np.float32]:
        """Returns depths along the optical axis in metres, infinite for the sky, shape (H, W)."""
        with np.errstate(divide="ignore"):
            return np.float32(1.0) / self.inverse_depth


def draw_alone(triangles: NDArray[np.float32], image: Image) -> NDArray[np.int32]:
    """Returns which of some triangles is seen at each pixel where an image hides none, (H, W).

    Args:
        triangles: Corners in the image's camera's axes, ahead, to the right and up, (n, 3, 3).
        image: What hides them; it stays as it is.
    """
    group, camera = np.zeros(1, GROUP), np.zeros((5, 3))
    group["end"], camera[1:4], camera[4] = len(triangles), np.eye(3), image.camera[4]
    found = np.full(image.triangle.shape, SKY, np.int32)
    _draw(triangles, group, np.zeros(1, np.int64), camera, image.inverse_depth.copy(), found)
    return found


@compiled(int64(_GROUPS, _CAMERA, int64, int64, float64[::1]))
def _visible(
    groups: Any, camera: NDArray[np.float64], width: int, height: int, nearness: Any
) -> int:
    """Writes how near each group is, infinity where it is out of view; returns how many are not."""
    count = 0
    focal, half_x, half_y = camera[4, 0], width / 2.0, height / 2.0
    middle, half = np.empty(3), np.empty(3)
    for i in range(len(groups)):
        nearness[i] = math.inf
        for d in range(3):
            middle[d] = (groups[i].low[d] + groups[i].high[d]) / 2.0 - camera[0, d]
            half[d] = (groups[i].high[d] - groups[i].low[d]) / 2.0
        ahead = middle[0] * camera[1, 0] + middle[1] * camera[1, 1] + middle[2] * camera[1, 2]
        reach = 0.0
        for d in range(3):
            reach += half[d] * abs(camera[1, d])
        if ahead + reach < NEAR_M:
            continue
        is_out = False
        for side in range(4):
            row, limit = (2, half_x) if side < 2 else (3, half_y)
            sign = 1.0 if side % 2 == 0 else -1.0
            inside, spread = 0.0, 0.0
            for d in range(3):
                # Points in view have limit * ahead + sign * focal * aside >= 0.
                normal = limit * camera[1, d] + sign * focal * camera[row, d]
                inside += normal * middle[d]
                spread += abs(normal) * half[d]
            is_out = is_out or inside + spread < 0.0
        if not is_out:
            nearness[i] = max(ahead - reach, 0.0)
            count += 1
    return count


@compiled()
def _clip(corners: Any, clipped: Any) -> int:
    """Writes the part of a triangle, shape (3, 3), beyond the near plane; returns its corners."""
    count = 0
    for i in range(3):
        j = (i + 1) % 3
        a, b = corners[i], corners[j]
        if a[2] >= NEAR_M:
            clipped[count] = a
            count += 1
        if (a[2] >= NEAR_M) != (b[2] >= NEAR_M):
            # From the same end whichever way the side runs, so that neighbours meet.
            near, far = (a, b) if a[2] < b[2] else (b, a)
            share = (NEAR_M - near[2]) / (far[2] - near[2])
            for d in range(2):
                clipped[count, d] = near[d] + share * (far[d] - near[d])
            clipped[count, 2] = NEAR_M
            count += 1
    return count


@compiled()
def _bounds(screen: Any, count: int, row: float) -> tuple[float, float]:
    """Returns where a row of pixels enters and leaves a convex polygon."""
    low, high = math.inf, -math.inf
    for i in range(count):
        j = i + 1 if i + 1 < count else 0
        top, bottom = (i, j) if screen[i, 1] <= screen[j, 1] else (j, i)
        if screen[top, 1] <= row < screen[bottom, 1]:
            share = (row - screen[top, 1]) / (screen[bottom, 1] - screen[top, 1])
            x = screen[top, 0] + share * (screen[bottom, 0] - screen[top, 0])
            low, high = min(low, x), max(high, x)
    return low, high


@compiled()
def _first_middle(edge: float, size: int) -> int:
    """Returns the first pixel of a row or column whose middle is not before an edge."""
    return math.ceil(min(max(edge - 0.5, 0.0), float(size)))


@compiled(void(float32[:, :, ::1], _GROUPS, int64[::1], _CAMERA, float32[:, ::1], int32[:, ::1]))
def _draw(
    points: Any, groups: Any, order: Any, camera: Any, inverse_depth: Any, triangle: Any
) -> None:
    """Draws groups of triangles in an order; the nearest at each pixel stays."""
    height, width = inverse_depth.shape
    focal, middle_x, middle_y = camera[4]
    seen, clipped, screen = np.empty((3, 3)), np.empty((4, 3)), np.empty((4, 2))
    moved, normal, slope = np.empty((3, 3)), np.empty(3), np.empty(3)
    for k in range(len(order)):
        for t in range(groups[order[k]].start, groups[order[k]].end):
            for c in range(3):
                for d in range(3):
                    moved[c, d] = points[t, c, d] - camera[0, d]
            for d in range(3):
                e, f = (d + 1) % 3, (d + 2) % 3
                normal[d] = (moved[1, e] - moved[0, e]) * (moved[2, f] - moved[0, f])
                normal[d] -= (moved[1, f] - moved[0, f]) * (moved[2, e] - moved[0, e])
            distance = 0.0
            for d in range(3):
                distance += normal[d] * moved[0, d]
            if not distance < 0.0:  # Seen from behind or along its plane, or without any area.
                continue
            for d in range(3):
                slope[d] = 0.0
                for e in range(3):
                    slope[d] += normal[e] * camera[1 + d, e]
                slope[d] /= distance
            nearest, farthest = math.inf, -math.inf
            for c in range(3):
                for d in range(3):
                    seen[c, d] = 0.0
                for e in range(3):
                    seen[c, 0] += moved[c, e] * camera[2, e]
                    seen[c, 1] -= moved[c, e] * camera[3, e]
                    seen[c, 2] += moved[c, e] * camera[1, e]
                nearest, farthest = min(nearest, seen[c, 2]), max(farthest, seen[c, 2])
            if farthest < NEAR_M:
                continue
            count = 3
            if nearest < NEAR_M:
                count = _clip(seen, clipped)
            else:
                clipped[:3] = seen
            left, right, top, bottom = math.inf, -math.inf, math.inf, -math.inf
            for c in range(count):
                screen[c, 0] = middle_x + focal * clipped[c, 0] / clipped[c, 2]
                screen[c, 1] = middle_y + focal * clipped[c, 1] / clipped[c, 2]
                left, right = min(left, screen[c, 0]), max(right, screen[c, 0])
                top, bottom = min(top, screen[c, 1]), max(bottom, screen[c, 1])
            if right < 0.5 or left > width - 0.5:
                continue
            step = slope[1] / focal
            for v in range(_first_middle(top, height), _first_middle(bottom, height)):
                low, high = _bounds(screen, count, v + 0.5)
                u0, u1 = _first_middle(low, width), _first_middle(high, width)
                base = slope[0] - slope[2] * (v + 0.5 - middle_y) / focal
                base += step * (0.5 - middle_x)
                for u in range(u0, u1):
                    inverse = np.float32(base + step * u)
                    if inverse > inverse_depth[v, u]:
                        inverse_depth[v, u] = inverse
                        triangle[v, u] = t
