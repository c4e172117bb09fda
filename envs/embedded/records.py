"""What a snapshot says: motion, controls, lights, and the limits where vehicles are."""

import math
from typing import Any

import numpy as np
from numba import boolean, float32, float64, from_dtype, int32, int64, void
from numpy.typing import NDArray

from dreamdrive.envs.embedded.bodies import VEHICLE_STATE, WALKER_STATE
from dreamdrive.envs.embedded.compiled import compiled
from dreamdrive.envs.embedded.lights import LIGHT_STATE
from dreamdrive.envs.embedded.wire import LIGHT_RECORD, VEHICLE_RECORD, WALKER_RECORD

NOSE = 0.9
"""Where a vehicle is told of lights and limits: this share of its half length ahead."""
NO_LIGHT = 2
"""The colour that a vehicle is told where no light holds it: green."""


@compiled()
def lane_sample(
    nearest: NDArray[np.int32], low_x: float, low_y: float, cell_m: float, x: float, y: float
) -> int:
    """Returns the lane sample at a place, -1 off the road; the grid is a `LaneGrid`'s."""
    row, column = (x - low_x) / cell_m, (y - low_y) / cell_m
    if 0.0 <= row < nearest.shape[0] and 0.0 <= column < nearest.shape[1]:
        return nearest[int(row), int(column)]
    return -1


@compiled()
def _fill_motion(body: Any, record: Any) -> None:
    """Writes what the records of all bodies share."""
    record.location[2] = body.z
    record.rotation[0], record.rotation[2] = math.degrees(body.pitch), math.degrees(body.roll)
    record.rotation[1] = math.degrees(body.pose[2])
    record.velocity[2] = 0.0 - body.fall
    if body.pitch != 0.0:
        cos, sin = math.cos(body.pose[2]), math.sin(body.pose[2])
        ahead = body.velocity[0] * cos + body.velocity[1] * sin
        record.velocity[2] += ahead * math.tan(body.pitch)
    record.angular[2] = math.degrees(body.yaw_rate)
    for d in range(2):
        record.location[d] = body.pose[d]
        record.velocity[d] = body.velocity[d]
        record.acceleration[d] = body.acceleration[d]


@compiled(
    void(
        from_dtype(VEHICLE_STATE)[::1], from_dtype(VEHICLE_RECORD)[::1], int32[:, ::1], float64,
        float64, float64, float32[::1], int32[::1], from_dtype(LIGHT_STATE)[::1], int64[::1],
    )
)  # fmt: skip
def fill_vehicles(
    cars: Any, records: Any, nearest: NDArray[np.int32], low_x: float, low_y: float,
    cell_m: float, speed_mps: NDArray[np.float32], light: NDArray[np.int32],
    lights: Any, light_ids: NDArray[np.int64],
) -> None:  # fmt: skip
    """Writes the records of vehicles, and brings the speed limits in force up to date.

    Args:
        cars: Rows of `VEHICLE_STATE`, shape (n,).
        records: Rows of `VEHICLE_RECORD`, shape (n,).
        nearest, low_x, low_y, cell_m, speed_mps, light: The town's `LaneGrid`.
        lights: Rows of `LIGHT_STATE`, shape (l,).
        light_ids: The actor of each, shape (l,).
    """
    for i in range(len(cars)):
        car, record = cars[i], records[i]
        _fill_motion(car, record)
        record.throttle, record.steer, record.brake = car.throttle, car.steer, car.brake
        record.hand_brake, record.reverse = car.hand_brake, car.reverse
        record.manual, record.gear = car.manual, car.gear
        ahead, yaw = NOSE * car.half[0], car.pose[2]
        x, y = car.pose[0] + ahead * math.cos(yaw), car.pose[1] + ahead * math.sin(yaw)
        sample = lane_sample(nearest, low_x, low_y, cell_m, x, y)
        holding = -1
        if sample >= 0:
            car.speed_limit = speed_mps[sample]
            holding = light[sample]
        record.speed_limit = car.speed_limit * 3.6
        record.has_light, record.light_state, record.light_id = 0, NO_LIGHT, 0
        if holding >= 0:
            record.has_light = 1
            record.light_state, record.light_id = lights[holding].colour, light_ids[holding]


@compiled(void(from_dtype(LIGHT_STATE)[::1], from_dtype(LIGHT_RECORD)[::1], boolean))
def fill_lights(lights: Any, records: Any, frozen: bool) -> None:
    """Writes what changes in the records of traffic lights.

    Args:
        lights: Rows of `LIGHT_STATE`, shape (l,).
        records: Rows of `LIGHT_RECORD`, shape (l,).
        frozen: Whether all lights stand still, and not only those that say so themselves.
    """
    for i in range(len(lights)):
        light, record = lights[i], records[i]
        record.green, record.yellow, record.red = light.green_s, light.yellow_s, light.red_s
        record.elapsed, record.colour = light.elapsed_s, light.colour
        record.frozen = 1 if frozen or light.frozen > 0 else 0


@compiled(void(from_dtype(WALKER_STATE)[::1], from_dtype(WALKER_RECORD)[::1]))
def fill_walkers(walkers: Any, records: Any) -> None:
    """Writes the records of walkers: rows of `WALKER_STATE` and `WALKER_RECORD`, shape (n,)."""
    for i in range(len(walkers)):
        walker, record = walkers[i], records[i]
        _fill_motion(walker, record)
        for d in range(3):
            record.direction[d] = walker.direction[d]
        record.speed = walker.speed
        record.jump = walker.jump
        record.velocity[2] = walker.rise - walker.fall
