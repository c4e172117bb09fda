"""Kerbs: where a wheel climbs onto a sidewalk, and what that costs.

A wheel of radius r that meets a step of height h turns about its edge. What of its motion points at
the edge is lost, so that of the speed v across the kerb the wheel and its suspension, of mass μ,
keep (1 - h / r)² along the ground:

    J = μ v (1 - (1 - h / r)²)

The body that they carry feels this through its springs, and turns as J acts at the wheel.

Reference:
    Pacejka 2012, "Tire and Vehicle Dynamics", section 4.3.6 (steps); impact about an edge, as for a
    rolling hoop.
    Rajamani 2012, "Vehicle Dynamics and Control", table 10.1: 15 % of a car's corner is unsprung.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numba import float64, from_dtype, int32, int64
from numpy.typing import NDArray

from dreamdrive.envs.embedded.bodies import VEHICLE_STATE
from dreamdrive.envs.embedded.compiled import compiled
from dreamdrive.envs.embedded.opendrive import parse_opendrive
from dreamdrive.envs.embedded.towns import Town

CELL_M, ALONG_M, ACROSS_M = 0.5, 1.0, 0.25
"""Width of a cell, and how far apart samples of a sidewalk are along and across it."""
MARGIN_M = 2.0
KERB_M, WHEEL_M = 0.12, 0.35
UNSPRUNG = 0.15
SLOW_MPS = 0.3
"""A wheel that goes slower across a kerb climbs it without a jolt."""
NEAR_M = 1.5
"""A vehicle this far above or below a sidewalk is on another road."""
NARROW_M = 0.5
"""Half the width up to which a vehicle has its wheels behind each other."""
INSET_M = 0.1


@dataclass(frozen=True)
class Kerbs:
    """The sidewalks of a town.

    Attributes:
        origin: x and y of the first cell's corner.
        sample: Index of the sidewalk's sample in each cell, -1 for none, shape (X, Y).
        surface: Rows of the sidewalk at each sample: x and y of its middle, its direction in
            radians (left-handed), half its width, and the height of the road, shape (m, 5). A cell
            reaches beyond the sidewalk that it names, and these say where that ends.
    """

    origin: tuple[float, float]
    sample: NDArray[np.int32]
    surface: NDArray[np.float64]


@lru_cache(maxsize=8)
def kerbs_of(town: Town) -> Kerbs:
    """Returns the sidewalks of a town."""
    places: list[tuple[float, float]] = []
    rows: list[tuple[float, float, float, float, float]] = []
    for road in parse_opendrive(town.xodr).roads.values():
        count = max(2, math.ceil(road.length / ALONG_M) + 1)
        for s in np.linspace(0.0, road.length, count).tolist():
            for lane in road.section(s).lanes.values():
                if lane.kind != "sidewalk" or road.lane_width(lane.id, s) <= 0.0:
                    continue
                pose, width = road.lane_pose(lane.id, s), road.lane_width(lane.id, s)
                steps = max(2, math.ceil(width / ACROSS_M) + 1)
                for aside in np.linspace(-width / 2.0, width / 2.0, steps).tolist():
                    at = pose.left(aside)
                    places.append((at.x, -at.y))
                    rows.append((pose.x, -pose.y, -pose.heading, width / 2.0, road.height(s)))
    if not rows:
        return Kerbs((0.0, 0.0), np.full((1, 1), -1, np.int32), np.zeros((0, 5)))
    at_m = np.array(places)
    low = at_m.min(0) - MARGIN_M
    cell = ((at_m - low) / CELL_M).astype(int)
    sample = np.full(cell.max(0) + 1 + int(MARGIN_M / CELL_M), -1, np.int32)
    sample[cell[:, 0], cell[:, 1]] = np.arange(len(rows))
    origin = float(low[0]), float(low[1])
    return Kerbs(origin, _closed(sample), np.array(rows))


def _closed(sample: NDArray[np.int32]) -> NDArray[np.int32]:
    """Returns the cells with those filled that lie between two of a sidewalk."""
    found = sample.copy()
    for axis in (0, 1):
        inner, before, after = (
            np.moveaxis(values, axis, 0)
            for values in (found, np.roll(sample, 1, axis), np.roll(sample, -1, axis))
        )
        gap = (inner < 0) & (before >= 0) & (after >= 0)
        inner[gap] = before[gap]
    return found


@compiled()
def _sidewalk(
    sample: NDArray[np.int32], surface: NDArray[np.float64], low_x: float, low_y: float, x: float,
    y: float,
) -> int:  # fmt: skip
    """Returns the sidewalk's sample at a place, -1 where there is none."""
    row, column = (x - low_x) / CELL_M, (y - low_y) / CELL_M
    if not (0.0 <= row < sample.shape[0] and 0.0 <= column < sample.shape[1]):
        return -1
    found = sample[int(row), int(column)]
    if found >= 0:
        middle_x, middle_y, heading, half = surface[found, :4]
        aside = (y - middle_y) * math.cos(heading) - (x - middle_x) * math.sin(heading)
        if abs(aside) > half:
            return -1
    return found


@compiled(
    int64(
        from_dtype(VEHICLE_STATE)[::1], int32[:, ::1], float64[:, ::1], float64, float64, float64,
        float64[:, ::1],
    )
)  # fmt: skip
def climb(
    cars: Any, sample: NDArray[np.int32], surface: NDArray[np.float64], low_x: float, low_y: float,
    dt_s: float, hits: NDArray[np.float64],
) -> int:  # fmt: skip
    """Jolts vehicles whose wheels have climbed a kerb in the last step, in place.

    Args:
        cars: Rows of `VEHICLE_STATE`, shape (n,).
        sample, surface, low_x, low_y: A `Kerbs`'.
        dt_s: Length of the step.
        hits: Row, and impulse along x and y in N s, of each wheel that did; room for 4 n.

    Returns:
        How many did.
    """
    count = 0
    kept = 1.0 - KERB_M / WHEEL_M
    for i in range(len(cars)):
        car = cars[i]
        if car.physics <= 0.0 or car.ghost > 0.0:
            continue
        vx, vy, rate = car.velocity[0], car.velocity[1], car.yaw_rate
        if abs(vx) + abs(vy) < SLOW_MPS:
            continue
        cos, sin = math.cos(car.pose[2]), math.sin(car.pose[2])
        inertia = (car.half[0] * car.half[0] + car.half[1] * car.half[1]) / 3.0
        for wheel in range(4):
            across = 0.0
            if car.half[1] > NARROW_M:
                across = (1.0 if wheel % 2 else -1.0) * (car.half[1] - INSET_M)
            elif wheel % 2:
                continue
            along = (0.5 if wheel < 2 else -0.5) * car.wheelbase
            dx, dy = along * cos - across * sin, along * sin + across * cos
            x, y = car.pose[0] + dx, car.pose[1] + dy
            now = _sidewalk(sample, surface, low_x, low_y, x, y)
            if now < 0 or abs(car.z - surface[now, 4]) > NEAR_M:
                continue
            ux, uy = vx - rate * dy, vy + rate * dx
            before = _sidewalk(sample, surface, low_x, low_y, x - ux * dt_s, y - uy * dt_s)
            if before >= 0:
                continue
            normal_x, normal_y = -math.sin(surface[now, 2]), math.cos(surface[now, 2])
            speed = ux * normal_x + uy * normal_y
            if abs(speed) < SLOW_MPS:
                continue
            lost = 0.25 * UNSPRUNG * speed * (1.0 - kept * kept)
            push_x, push_y = -lost * normal_x, -lost * normal_y
            car.velocity[0] += push_x
            car.velocity[1] += push_y
            car.spin += (dx * push_y - dy * push_x) / inertia
            hits[count, 0], hits[count, 1] = i, car.mass * push_x
            hits[count, 2] = car.mass * push_y
            count += 1
    return count
