"""What junctions pave, and the sidewalks round their corners."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
ON_MOUTH_M = 0.3
"""How far a point may be from the end of a street and still lie on it."""


class Mouth(NamedTuple):
    """The end of a street at a junction.

    Attributes:
        paved: Both ends of its pavement, shape (2, 3).
        outer: The outer edges of the sidewalks beside them, shape (2, 3); where there is none, the
            same as `paved`.
    """

    paved: Points
    outer: Points

    def holds(self, point: Points) -> bool:
        """Returns whether a point lies on the pavement's end."""
        start, end = self.paved[:, :2]
        along = end - start
        share = np.clip((point[:2] - start) @ along / max(along @ along, 1e-9), 0.0, 1.0)
        return bool(np.hypot(*(start + share * along - point[:2])) < ON_MOUTH_M)


def hull_of(points: Points) -> Points:
    """Returns the convex hull of points seen from above, shape (k, 3), at the height of each.

    Reference:
        Andrew 1979, "Another efficient algorithm for convex hulls in two dimensions".
    """
    ordered = points[np.lexsort((points[:, 1], points[:, 0]))]

    def half(rows: Points) -> list[Points]:
        chain: list[Points] = []
        for p in rows:
            while len(chain) > 1:
                (ax, ay), (bx, by) = chain[-2][:2], chain[-1][:2]
                if (bx - ax) * (p[1] - ay) - (by - ay) * (p[0] - ax) > 1e-9:
                    break
                chain.pop()
            chain.append(p)
        return chain[:-1]

    return np.array(half(ordered) + half(ordered[::-1]))


def corners_of(hull: Points, mouths: list[Mouth]) -> list[tuple[Points, Points]]:
    """Returns outer and inner lines, each (k, 3), of the sidewalks that join those of the streets.

    Args:
        hull: What a junction paves, as `hull_of` returns it.
        mouths: The streets that end there.
    """
    count = len(hull)
    held = [[mouth.holds(point) for mouth in mouths] for point in hull]
    is_mouth = [
        any(a and b for a, b in zip(held[i], held[(i + 1) % count], strict=True))
        for i in range(count)
    ]
    starts = [i for i in range(count) if not is_mouth[i] and is_mouth[i - 1]]
    found = []
    for start in starts:
        run = [start]
        while not is_mouth[run[-1] % count]:
            run.append(run[-1] + 1)
        inner = hull[[i % count for i in run]]
        ends = [_outer(inner[k], mouths) for k in (0, -1)]
        widths = [float(np.hypot(*(ends[k] - inner[k])[:2])) for k in (0, -1)]
        if min(widths) > 0.0:
            found.append((_offset(inner, ends, widths), inner))
    return found


def _outer(point: Points, mouths: list[Mouth]) -> Points:
    """Returns the outer edge of the sidewalk that ends at a point."""
    inner = np.concatenate([mouth.paved for mouth in mouths])
    outer = np.concatenate([mouth.outer for mouth in mouths])
    return outer[np.argmin(np.hypot(*(inner - point)[:, :2].T))]


def _offset(inner: Points, ends: list[Points], widths: list[float]) -> Points:
    """Returns a line beside another, to the right of its way, which begins and ends as given."""
    outer = inner.copy()
    outer[0], outer[-1] = ends
    for k in range(1, len(inner) - 1):
        along = inner[k + 1, :2] - inner[k - 1, :2]
        out = np.array([along[1], -along[0]]) / max(float(np.hypot(*along)), 1e-9)
        share = k / (len(inner) - 1)
        outer[k, :2] += out * (widths[0] * (1.0 - share) + widths[1] * share)
    return outer
