"""The lines between kinds of ground, drawn once for both sides, so that what they part still fits.

Reference:
    Douglas and Peucker 1973, "Algorithms for the reduction of the number of points required to
    represent a digitized line".
"""

import itertools

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
        kept = _simplified(line, longest)
        names = [number.setdefault((x, y), len(number)) for x, y in kept]
        for a, b in itertools.pairwise(names):
            if a != b:
                segments.add((min(a, b), max(a, b)))
    points = np.array(list(number), np.float64).reshape(-1, 2) * chart.cell_m + chart.low
    return points, np.array(sorted(segments), np.int64).reshape(-1, 2)


def _lines(kind: NDArray[np.uint8]) -> list[NDArray[np.float64]]:
    """Returns the lines between squares of different kinds as chains of corners, shape (n, 2).

    A chain runs from one place where three or four kinds meet to the next, or closes on itself.
    """
    padded = np.pad(kind, 1)
    down = np.argwhere(padded[1:] != padded[:-1])
    along = np.argwhere(padded[:, 1:] != padded[:, :-1])
    ends = np.concatenate([
        np.stack([down - (0, 1), down], 1), np.stack([along - (1, 0), along], 1)
    ]).reshape(-1, 2)  # fmt: skip
    # Steps 2 k and 2 k + 1 are the same side of a square, there and back.
    _, first, name = np.unique(
        ends @ (padded.shape[1], 1), return_index=True, return_inverse=True
    )  # fmt: skip
    order = np.argsort(first)
    corners = ends[first[order]].astype(np.float64)
    start = np.argsort(order)[name]
    steps = np.argsort(start, kind="stable").tolist()
    counts = np.bincount(start).tolist()
    target = start.reshape(-1, 2)[:, ::-1].ravel().tolist()
    leaving: list[list[int]] = []
    at = 0
    for count in counts:
        leaving.append(steps[at : at + count])
        at += count
    found = []
    is_done = bytearray(len(steps))
    meetings = [corner for corner, count in enumerate(counts) if count > 2]
    for begin in (*meetings, *range(len(counts))):
        for step in leaving[begin]:
            if is_done[step]:
                continue
            chain = [begin]
            while True:
                is_done[step] = is_done[step ^ 1] = 1
                here = target[step]
                chain.append(here)
                if here == begin or len(leaving[here]) > 2:
                    break
                one, other = leaving[here]
                step = other if one == step ^ 1 else one
            found.append(corners[chain])
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
