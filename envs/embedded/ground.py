"""What bodies stand on: the height and slope of roads, with bridges above them, and how they fall.

A town whose roads are all level at height 0 has no ground: its bodies keep the height at which they
were put. Elsewhere the surface is kept as samples along the lanes, each a parabola along its road,
and a grid that names the samples of a cell, one for each level. Beside a road the land lies as high
as the road does.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import float64, from_dtype, int32, void
from numpy.typing import NDArray

from dreamdrive.envs.embedded.bodies import VEHICLE_STATE, WALKER_STATE
from dreamdrive.envs.embedded.compiled import compiled
from dreamdrive.envs.embedded.dynamics import GRAVITY_MPS2
from dreamdrive.envs.embedded.opendrive import OpenDrive, Road

CELL_M, SAMPLE_M, REACH_M = 1.0, 2.0, 3.0
"""Width of a cell, distance of samples along a lane, and how far from a cell its samples are."""
LEVELS, LEVEL_M = 3, 2.5
"""Surfaces above each other, and how far apart they have to be to count as such."""
BESIDE_CELLS = 24
"""How many cells beyond the samples the land goes on."""
KERB_M = 0.12
STICK_M = 0.4
"""Bodies so little above the ground are on it: wheels follow the road."""
STEP_M, CLIMB_M = 1.0, 8.0
"""A body stands on the highest level that is no more than a step above it; where there is none, on
the lowest, unless even that is beyond a climb."""

SURFACE = np.dtype(
    [("x", "f8"), ("y", "f8"), ("z", "f8"), ("ahead_x", "f8"), ("ahead_y", "f8"),
     ("slope", "f8"), ("bend", "f8")],
    align=True,
)  # fmt: skip


@dataclass(frozen=True)
class Ground:
    """The surface of a town.

    Attributes:
        origin: x and y of the first cell's corner.
        sample: Index of the nearest sample of each cell and level, -1 for none, shape (X, Y, L).
        surface: Rows of `SURFACE`: a place on a lane, the direction of its road, the slope and its
            change for each metre in this direction; shape (m,).
    """

    origin: tuple[float, float]
    sample: NDArray[np.int32]
    surface: NDArray[Any]

    def __bool__(self) -> bool:
        """Returns whether there is any: not where all roads are level at height 0."""
        return len(self.surface) > 0

    def height(self, x: float, y: float, z: float) -> float:
        """Returns how high the surface is on which a body at a place stands; z where none is."""
        found = np.zeros(4)
        _look(self.sample, self.surface, *self.origin, np.array([x, y, z]), found)
        return float(found[1]) if found[0] else z


NO_GROUND = Ground((0.0, 0.0), np.full((1, 1, LEVELS), -1, np.int32), np.zeros(0, SURFACE))


def ground_of(drive: OpenDrive) -> Ground:
    """Returns the surface of a map's roads; superelevation is not read."""
    if all(
        piece.a == piece.b == piece.c == piece.d == 0.0
        for road in drive.roads.values()
        for piece in road.elevation
    ):
        return NO_GROUND
    rows = [row for road in drive.roads.values() for row in _samples(road)]
    surface = np.array(rows, SURFACE)
    margin = REACH_M + (BESIDE_CELLS + 1) * CELL_M
    low_x, low_y = (float(surface[axis].min() - margin) for axis in "xy")
    shape = [
        int((surface[axis].max() + margin - low) / CELL_M) + 1
        for axis, low in (("x", low_x), ("y", low_y))
    ]
    sample = np.full((*shape, LEVELS), -1, np.int32)
    _spread(surface, low_x, low_y, sample)
    return Ground((low_x, low_y), sample, surface)


def _samples(road: Road) -> list[tuple[float, ...]]:
    count = max(2, math.ceil(road.length / SAMPLE_M) + 1)
    found: list[tuple[float, ...]] = []
    for i in range(count):
        s = road.length * i / (count - 1)
        z, slope, bend = _profile(road, s)
        heading = road.at(s).heading
        for lane in road.section(s).lanes.values():
            pose = road.lane_pose(lane.id, s)
            up = KERB_M if lane.kind == "sidewalk" else 0.0
            found.append(
                (pose.x, -pose.y, z + up, math.cos(heading), -math.sin(heading), slope, bend)
            )
    return found


def _profile(road: Road, s: float) -> tuple[float, float, float]:
    """Returns height, slope and change of slope at an arc length."""
    before = [piece for piece in road.elevation if piece.start <= s] or road.elevation[:1]
    if not before:
        return 0.0, 0.0, 0.0
    piece = before[-1]
    d = s - piece.start
    slope = piece.b + d * (2.0 * piece.c + d * 3.0 * piece.d)
    return piece.at(s), slope, 2.0 * piece.c + 6.0 * piece.d * d


_SURFACES, _SAMPLES = from_dtype(SURFACE)[::1], int32[:, :, ::1]


@compiled(void(_SURFACES, float64, float64, _SAMPLES))
def _spread(surface: Any, low_x: float, low_y: float, sample: NDArray[np.int32]) -> None:
    """Writes the samples of each cell: the nearest of each level, then the land beside."""
    rows, columns = sample.shape[:2]
    nearest = np.full(sample.shape, math.inf)
    reach = math.ceil(REACH_M / CELL_M)
    for k in range(len(surface)):
        here = surface[k]
        row, column = int((here.x - low_x) / CELL_M), int((here.y - low_y) / CELL_M)
        for i in range(max(row - reach, 0), min(row + reach + 1, rows)):
            for j in range(max(column - reach, 0), min(column + reach + 1, columns)):
                dx = low_x + (i + 0.5) * CELL_M - here.x
                dy = low_y + (j + 0.5) * CELL_M - here.y
                away = math.hypot(dx, dy)
                if away > REACH_M:
                    continue
                for level in range(LEVELS):
                    known = sample[i, j, level]
                    if known < 0 or abs(surface[known].z - here.z) < LEVEL_M:
                        if away < nearest[i, j, level]:
                            nearest[i, j, level], sample[i, j, level] = away, k
                        break
    queue = np.empty((rows * columns, 2), np.int32)
    steps = np.zeros((rows, columns), np.int32)
    first, end = 0, 0
    for i in range(rows):
        for j in range(columns):
            if sample[i, j, 0] >= 0:
                queue[end, 0], queue[end, 1] = i, j
                end += 1
    while first < end:
        i, j = queue[first]
        first += 1
        if steps[i, j] >= BESIDE_CELLS:
            continue
        lowest = sample[i, j, 0]
        for level in range(1, LEVELS):
            other = sample[i, j, level]
            if other >= 0 and surface[other].z < surface[lowest].z:
                lowest = other
        for di, dj in ((-1, 0), (1, 0), (0, -1), (0, 1)):
            r, c = i + di, j + dj
            if 0 <= r < rows and 0 <= c < columns and sample[r, c, 0] < 0:
                sample[r, c, 0], steps[r, c] = lowest, steps[i, j] + 1
                queue[end, 0], queue[end, 1] = r, c
                end += 1


@compiled()
def _height(here: Any, x: float, y: float) -> tuple[float, float]:
    """Returns the height at a place near a sample, and the slope along its road."""
    ahead = (x - here.x) * here.ahead_x + (y - here.y) * here.ahead_y
    return here.z + ahead * (here.slope + 0.5 * here.bend * ahead), here.slope + here.bend * ahead


@compiled()
def _stand(
    sample: NDArray[np.int32], surface: Any, low_x: float, low_y: float, x: float, y: float,
    z: float,
) -> tuple[bool, float, float, float]:  # fmt: skip
    """Returns whether there is ground for a body whose foot is at a place; height and gradient."""
    row, column = (x - low_x) / CELL_M, (y - low_y) / CELL_M
    under, over, high, low = -1, -1, 0.0, 0.0
    if 0.0 <= row < sample.shape[0] and 0.0 <= column < sample.shape[1]:
        for level in range(LEVELS):
            k = sample[int(row), int(column), level]
            if k < 0:
                continue
            height = _height(surface[k], x, y)[0]
            if height <= z + STEP_M:
                if under < 0 or height > high:
                    under, high = k, height
            elif height <= z + CLIMB_M and (over < 0 or height < low):
                over, low = k, height
    k = under if under >= 0 else over
    if k < 0:
        return False, 0.0, 0.0, 0.0
    height, slope = _height(surface[k], x, y)
    return True, height, slope * surface[k].ahead_x, slope * surface[k].ahead_y


@compiled(void(_SAMPLES, _SURFACES, float64, float64, float64[::1], float64[::1]))
def _look(
    sample: NDArray[np.int32], surface: Any, low_x: float, low_y: float,
    place: NDArray[np.float64], found: NDArray[np.float64],
) -> None:  # fmt: skip
    """Writes whether there is ground at a place, its height and its gradient, shape (4,)."""
    is_there, height, slope_x, slope_y = _stand(
        sample, surface, low_x, low_y, place[0], place[1], place[2]
    )
    found[0], found[1], found[2], found[3] = 1.0 if is_there else 0.0, height, slope_x, slope_y


@compiled()
def _land(body: Any, height: float, dt_s: float) -> None:
    """Lets a body stand on the ground below it or fall towards it."""
    foot = body.z - body.foot
    if foot - height <= STICK_M:
        foot, body.fall = height, 0.0
    elif body.weightless <= 0.0:
        body.fall += GRAVITY_MPS2 * dt_s
        foot = max(foot - body.fall * dt_s, height)
    body.z = foot + body.foot


@compiled(void(from_dtype(VEHICLE_STATE)[::1], _SAMPLES, _SURFACES, float64, float64, float64))
def settle_vehicles(
    cars: Any, sample: NDArray[np.int32], surface: Any, low_x: float, low_y: float, dt_s: float
) -> None:
    """Puts vehicles with physics on the ground and tilts them with it, in place.

    Args:
        cars: Rows of `VEHICLE_STATE`, shape (n,).
        sample, surface, low_x, low_y: A `Ground`'s.
        dt_s: For how long those that are in the air fall.
    """
    for i in range(len(cars)):
        car = cars[i]
        if car.physics <= 0.0:
            continue
        is_there, height, slope_x, slope_y = _stand(
            sample, surface, low_x, low_y, car.pose[0], car.pose[1], car.z
        )
        if not is_there:
            car.pitch = car.roll = car.fall = 0.0
            continue
        _land(car, height, dt_s)
        if car.z == height:
            cos, sin = math.cos(car.pose[2]), math.sin(car.pose[2])
            car.pitch = math.atan(slope_x * cos + slope_y * sin)
            car.roll = -math.atan((slope_y * cos - slope_x * sin) * math.cos(car.pitch))


@compiled(void(from_dtype(WALKER_STATE)[::1], _SAMPLES, _SURFACES, float64, float64, float64))
def settle_walkers(
    walkers: Any, sample: NDArray[np.int32], surface: Any, low_x: float, low_y: float, dt_s: float
) -> None:
    """Puts walkers with physics on the ground, upright; arguments as for vehicles."""
    for i in range(len(walkers)):
        walker = walkers[i]
        if walker.physics > 0.0:
            is_there, height, _, _ = _stand(
                sample, surface, low_x, low_y, walker.pose[0], walker.pose[1],
                walker.z - walker.foot,
            )  # fmt: skip
            if is_there and walker.airborne > 0.0:
                walker.floor = height + walker.foot
            elif is_there:
                _land(walker, height, dt_s)
