"""The lines between kinds of ground, drawn once for both sides, so that what they part still fits.

Reference:
    Douglas and Peucker 1973, "Algorithms for the reduction of the number of points required to
    represent a digitized line".
"""

import itertools
from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

from dreamdrive.envs.embedded.navigation.areas import Chart

Corner = tuple[int, int]
TOLERANCE = 1.0
"""How far a line may leave the squares' corners, in squares."""
LONGEST_M = 12.0
"""Longer lines are divided, so that the mesh follows the height of the ground."""


def borders_of(chart: Chart) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Returns points, shape (n, 2), and pairs of them that lines join, shape (m, 2)."""
    number: dict[Corner, int] = {}
    segments: set[tuple[int, int]] = set()
    longest = LONGEST_M / chart.cell_m
    for line in _lines(chart.kind):
        kept = _simplified(np.array(line, np.float64), longest)
        names = [number.setdefault((x, y), len(number)) for x, y in kept]
        for a, b in itertools.pairwise(names):
            if a != b:
                segments.add((min(a, b), max(a, b)))
    points = np.array(list(number), np.float64).reshape(-1, 2) * chart.cell_m + chart.low
    return points, np.array(sorted(segments), np.int64).reshape(-1, 2)


def _lines(kind: NDArray[np.uint8]) -> list[list[Corner]]:
    """Returns the lines between squares of different kinds as chains of corners.

    A chain runs from one place where three or four kinds meet to the next, or closes on itself.
    """
    padded = np.pad(kind, 1)
    beside: defaultdict[Corner, list[Corner]] = defaultdict(list)
    for i, j in zip(
        *(part.tolist() for part in np.nonzero(padded[1:] != padded[:-1])), strict=True
    ):
        a, b = (i, j - 1), (i, j)
        beside[a].append(b)
        beside[b].append(a)
    different = np.nonzero(padded[:, 1:] != padded[:, :-1])
    for i, j in zip(*(part.tolist() for part in different), strict=True):
        a, b = (i - 1, j), (i, j)
        beside[a].append(b)
        beside[b].append(a)
    found: list[list[Corner]] = []
    done: set[tuple[Corner, Corner]] = set()
    meetings = [corner for corner, near in beside.items() if len(near) > 2]
    for start in (*meetings, *beside):
        for step in beside[start]:
            if (start, step) in done:
                continue
            chain = [start]
            before, here = start, step
            while True:
                done.update(((before, here), (here, before)))
                chain.append(here)
                if here == start or len(beside[here]) > 2:
                    break
                first, second = beside[here]
                before, here = here, second if first == before else first
            found.append(chain)
    return found


def _simplified(line: NDArray[np.float64], longest: float) -> list[Corner]:
    """Returns the corners of a line that are needed to follow it; a ring keeps at least three."""
    last = len(line) - 1
    pins = [0, last]
    if (line[0] == line[last]).all():
        far = int(np.argmax(np.hypot(*(line - line[0]).T)))
        across, up = (line - line[0]).T
        away = np.abs(across * up[far] - up * across[far])
        pins = sorted({0, far, int(np.argmax(away)), last})
    kept = set(pins)
    waiting = list(itertools.pairwise(pins))
    while waiting:
        a, b = waiting.pop()
        if b - a < 2:
            continue
        along = line[b] - line[a]
        length = float(np.hypot(*along))
        inner = line[a + 1 : b] - line[a]
        if length > 0.0:
            off = np.abs(inner[:, 0] * along[1] - inner[:, 1] * along[0]) / length
        else:
            off = np.hypot(*inner.T)
        worst = int(np.argmax(off)) + a + 1
        if off[worst - a - 1] <= TOLERANCE:
            if length <= longest:
                continue
            worst = (a + b) // 2
        kept.add(worst)
        waiting += [(a, worst), (worst, b)]
    return [(int(line[k][0]), int(line[k][1])) for k in sorted(kept)]
