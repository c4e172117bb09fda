"""What a vehicle says of its physics, as VehiclePhysicsControl and VehicleTelemetryData.

Of a control that is applied, mass, the largest steering angle, the torque curve, the gears, the
final ratio, drag, the wheels' friction, radius and brake torque act, each by how it compares with
what the vehicle tells when it has been told nothing; the rest is kept.

    pull = 4.5 m/s² · (torque · gear · final ratio / radius, over its default) · m0 / m
    power = P0 · (largest torque · engine speed, over its default)
    grip = 7.8 m/s² · f,  brakes = 8 m/s² · min(brake torque over its default · m0 / m, f),
    drag = 0.0004 / m · (drag coefficient over its default) · m0 / m,  f = friction over its default
"""

import math
from typing import Any

import numpy as np

from dreamdrive.envs.embedded.arguments import CallError, flag, items, number, numbers
from dreamdrive.envs.embedded.blueprints import VehicleModel
from dreamdrive.envs.embedded.bodies import (
    DRAG_PER_M,
    GRIP_MPS2,
    MAX_BRAKE_MPS2,
    MAX_DRIVE_MPS2,
    Vehicles,
)

TIRE_FRICTION, WHEEL_RADIUS_M = 3.5, 0.35
DRAG_N_PER_MPS2 = 0.68
IDLE_RPM, FINAL_RATIO = 800.0, 4.0
GRAVITY_MPS2 = 9.81
FLOATS_BEFORE_GEARS = (1, 2, 3, 4, 5, 7, 8, 9)


def default_physics(cars: Vehicles, row: int) -> list[Any]:
    """Returns the VehiclePhysicsControl of a vehicle that was told none."""
    x, y, yaw = cars.pose[row]
    steer = math.degrees(float(cars.max_steer[row]))
    wheels = []
    for along, across in ((1, -1), (1, 1), (-1, -1), (-1, 1)):
        dx = along * cars.wheelbase[row] / 2.0
        dy = across * (cars.half[row, 1] - 0.1)
        at = (x + dx * math.cos(yaw) - dy * math.sin(yaw),
              y + dx * math.sin(yaw) + dy * math.cos(yaw))  # fmt: skip
        wheels.append(
            [TIRE_FRICTION, 0.25, steer if along > 0 else 0.0, 100.0 * WHEEL_RADIUS_M, 1500.0,
             3000.0, 2.0, 17.0, 1000.0, [100.0 * float(at[0]), 100.0 * float(at[1]), 35.0]]
        )  # fmt: skip
    return [
        [[0.0, 400.0], [5000.0, 400.0]], 6000.0, 1.0, 0.15, 2.0, 0.35, True, 0.5, 10.0, FINAL_RATIO,
        [[1.0, 0.5, 0.65]], float(cars.mass[row]), 0.3, [0.0, 0.0, 0.0],
        [[0.0, 1.0], [20.0, 0.9], [60.0, 0.8], [120.0, 0.7]], wheels, False,
    ]  # fmt: skip


def check_physics(control: Any) -> None:
    """Checks a VehiclePhysicsControl.

    Raises:
        CallError: If it is none, or not that of a vehicle with four wheels.
    """
    items(control, "physics_control", 17)
    for curve, name in ((control[0], "torque_curve"), (control[14], "steering_curve")):
        for point in items(curve, name):
            numbers(point, name, 2)
    for index in FLOATS_BEFORE_GEARS:
        number(control[index], f"physics_control[{index}]")
    flag(control[6], "use_gear_autobox")
    for gear in items(control[10], "forward_gears"):
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


def act(cars: Vehicles, row: int, model: VehicleModel, control: list[Any]) -> None:
    """Lets a vehicle drive as a checked VehiclePhysicsControl has it."""
    plain = default_physics(cars, row)
    cars.mass[row] = mass = max(1.0, float(control[11]))
    cars.max_steer[row] = math.radians(max(float(wheel[2]) for wheel in control[15]))
    lighter = model.mass_kg / mass
    torque, work, ratio, drag, friction, radius, brake = (
        _share(now, then) for now, then in zip(_strengths(control), _strengths(plain), strict=True)
    )
    cars.pull[row] = MAX_DRIVE_MPS2 * torque * ratio / max(radius, 1e-3) * lighter
    cars.power[row] = model.power_w * work
    cars.grip[row], cars.traction[row] = GRIP_MPS2 * friction, MAX_BRAKE_MPS2 * friction
    cars.brakes[row] = MAX_BRAKE_MPS2 * min(brake * lighter, friction)
    cars.drag[row] = DRAG_PER_M * drag * lighter


def _share(now: float, then: float) -> float:
    return max(now, 0.0) / then


def _strengths(control: list[Any]) -> tuple[float, ...]:
    """Returns torque, torque times speed, gear ratio, drag, and friction, radius, brake torque."""
    curve, wheels = control[0], control[15]
    gears = [float(gear[0]) for gear in control[10]] or [1.0]
    return (
        max((float(torque) for _, torque in curve), default=0.0),
        max((float(torque) * float(rpm) for rpm, torque in curve), default=0.0),
        max(gears) * float(control[9]), float(control[12]),
        *(sum(float(wheel[i]) for wheel in wheels) / len(wheels) for i in (0, 3, 4)),
    )  # fmt: skip


def telemetry(cars: Vehicles, row: int) -> list[Any]:
    """Returns a vehicle's VehicleTelemetryData, its weight resting on four wheels alike.

    The gear is 1 forwards and -1 backwards, since there is no gear box; forces are those that its
    acceleration asks for.
    """
    yaw, mass = float(cars.pose[row, 2]), float(cars.mass[row])
    speed = float(np.hypot(*cars.velocity[row]))
    ax, ay = (float(value) for value in cars.acceleration[row])
    load = mass * GRAVITY_MPS2 / 4.0
    along = mass * (ax * math.cos(yaw) + ay * math.sin(yaw)) / 4.0
    across = mass * (ay * math.cos(yaw) - ax * math.sin(yaw)) / 4.0
    omega = speed / WHEEL_RADIUS_M
    wheel = [
        TIRE_FRICTION, 0.0, 0.0, omega, load, 1.0, along * WHEEL_RADIUS_M, along, across,
        along / load, across / load,
    ]  # fmt: skip
    rpm = max(IDLE_RPM, omega * FINAL_RATIO * 30.0 / math.pi)
    controls = [float(cars.steer[row]), float(cars.throttle[row]), float(cars.brake[row])]
    gear = -1 if cars.reverse[row] > 0.0 else 1
    return [speed, *controls, rpm, gear, DRAG_N_PER_MPS2 * speed**2, [wheel] * 4]
