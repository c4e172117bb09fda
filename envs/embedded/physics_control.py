"""What a vehicle says of its physics, as VehiclePhysicsControl and VehicleTelemetryData.

A vehicle that was told nothing has one gear, and an engine whose torque curve is what it pulls
with: 4.5 m/s² from rest, and no more than its power at any speed.
"""

import math
from typing import Any

import numpy as np

from dreamdrive.envs.embedded.arguments import CallError, flag, items, number, numbers
from dreamdrive.envs.embedded.blueprints import VehicleModel
from dreamdrive.envs.embedded.bodies import (
    DRAG_PER_M,
    GEARS,
    MAX_DRIVE_MPS2,
    STEER_POINTS,
    TORQUE_POINTS,
    Vehicles,
)
from dreamdrive.envs.embedded.dynamics import ROLLING_MPS2, RPM
from dreamdrive.envs.embedded.tuning import FINAL, FORWARD, WHEEL_INSET_M

TIRE_FRICTION, WHEEL_RADIUS_M = 3.5, 0.35
DRAG_N_PER_MPS2 = 0.68
IDLE_RPM, FINAL_RATIO = 800.0, 4.0
GRAVITY_MPS2 = 9.81
FLOATS_BEFORE_GEARS = (1, 2, 3, 4, 5, 7, 8, 9)
ENGINE_MOI = 1.0
POINTS_APART = 1.15
"""Ratio of the speeds of two points of a torque curve: straight lines between them stay within half
a percent of constant power."""


def default_physics(cars: Vehicles, row: int, model: VehicleModel) -> list[Any]:
    """Returns the VehiclePhysicsControl of a vehicle that was told none."""
    x, y, yaw = cars.pose[row]
    steer = model.max_steer_deg
    curve = _torque_curve(model)
    wheels = []
    for along, across in ((1, -1), (1, 1), (-1, -1), (-1, 1)):
        dx = along * cars.wheelbase[row] / 2.0
        dy = across * (cars.half[row, 1] - WHEEL_INSET_M)
        at = (x + dx * math.cos(yaw) - dy * math.sin(yaw),
              y + dx * math.sin(yaw) + dy * math.cos(yaw))  # fmt: skip
        wheels.append(
            [TIRE_FRICTION, 0.25, steer if along > 0 else 0.0, 100.0 * WHEEL_RADIUS_M, 1500.0,
             3000.0, 2.0, 17.0, 1000.0, [100.0 * float(at[0]), 100.0 * float(at[1]), 35.0]]
        )  # fmt: skip
    return [
        curve, curve[-1][0], ENGINE_MOI, 0.15, 2.0, 0.35, True, 0.5, 10.0, FINAL_RATIO,
        [[1.0, 0.5, 0.65]], model.mass_kg, 0.3, [0.0, 0.0, 0.0],
        [[0.0, 1.0], [20.0, 0.9], [60.0, 0.8], [120.0, 0.7]], wheels, False,
    ]  # fmt: skip


def _torque_curve(model: VehicleModel) -> list[list[float]]:
    """Returns the torque by rpm whose pull, less the engine's own inertia, is a vehicle's."""
    ratio = FINAL_RATIO / WHEEL_RADIUS_M
    per_watt = model.power_w / model.mass_kg
    top = per_watt ** (1.0 / 3.0)
    for _ in range(50):  # P / m = a v + k v³, by Newton's steps.
        excess = ROLLING_MPS2 * top + DRAG_PER_M * top**3 - per_watt
        top -= excess / (ROLLING_MPS2 + 3.0 * DRAG_PER_M * top**2)
    speeds = [0.0, max(per_watt / MAX_DRIVE_MPS2, 1.0)]
    while speeds[-1] < 1.1 * top:
        speeds.append(speeds[-1] * POINTS_APART)
    strength = (model.mass_kg + ENGINE_MOI * ratio**2) / ratio
    return [
        [v * ratio * RPM, strength * min(MAX_DRIVE_MPS2, per_watt / max(v, 1.0))] for v in speeds
    ]


def check_physics(control: Any) -> None:
    """Checks a VehiclePhysicsControl.

    Raises:
        CallError: If it is none, or not that of a vehicle with four wheels.
    """
    items(control, "physics_control", 17)
    for curve, name, most in (
        (control[0], "torque_curve", TORQUE_POINTS), (control[14], "steering_curve", STEER_POINTS),
    ):  # fmt: skip
        _few(curve, name, most)
        for point in curve:
            numbers(point, name, 2)
    for index in FLOATS_BEFORE_GEARS:
        number(control[index], f"physics_control[{index}]")
    flag(control[6], "use_gear_autobox")
    _few(control[10], "forward_gears", GEARS)
    for gear in control[10]:
        numbers(gear, "forward_gears", 3)
    if number(control[11], "mass") <= 0.0:
        raise CallError(f"mass must be positive, got {control[11]:g}")
    number(control[12], "drag_coefficient")
    numbers(control[13], "center_of_mass", 3)
    for wheel in items(control[15], "wheels", 4):
        *values, position = items(wheel, "wheel", 10)
        numbers(values, "wheel", 9)
        numbers(position, "wheel position", 3)
        number(values[2], "max_steer_angle", 0.0, 89.0)
    flag(control[16], "use_sweep_wheel_collision")


def _few(values: Any, name: str, most: int) -> None:
    if len(items(values, name)) > most:
        raise CallError(f"{name} has at most {most} entries here, got {len(values)}")


def telemetry(cars: Vehicles, row: int, control: list[Any]) -> list[Any]:
    """Returns a vehicle's VehicleTelemetryData, its weight resting on four wheels alike.

    The gear is that of its control's gears that it is in, and -1 backwards; forces are those that
    its acceleration asks for.
    """
    radius = max(sum(float(wheel[3]) for wheel in control[15]) / 400.0, 0.01)
    friction = sum(float(wheel[0]) for wheel in control[15]) / 4.0
    in_gear = int(cars.tuning[row]["gear"])
    yaw, mass = float(cars.pose[row, 2]), float(cars.mass[row])
    speed = float(np.hypot(*cars.velocity[row]))
    ax, ay = (float(value) for value in cars.acceleration[row])
    load = mass * GRAVITY_MPS2 / 4.0
    along = mass * (ax * math.cos(yaw) + ay * math.sin(yaw)) / 4.0
    across = mass * (ay * math.cos(yaw) - ax * math.sin(yaw)) / 4.0
    omega = speed / radius
    wheel = [
        friction, 0.0, 0.0, omega, load, 1.0, along * radius, along, across,
        along / load, across / load,
    ]  # fmt: skip
    ratios = [float(gear[0]) * float(control[FINAL]) for gear in control[FORWARD]] or [0.0]
    rpm = max(IDLE_RPM, omega * ratios[min(in_gear, len(ratios) - 1)] * RPM)
    controls = [float(cars.steer[row]), float(cars.throttle[row]), float(cars.brake[row])]
    gear = -1 if cars.reverse[row] > 0.0 else in_gear + 1
    return [speed, *controls, rpm, gear, DRAG_N_PER_MPS2 * speed**2, [wheel] * 4]
