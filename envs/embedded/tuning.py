"""What a vehicle does after it was told its physics: each field of the control as a stated rule.

A control acts by how it compares with what the vehicle tells when it has been told nothing (marked
0 below), so that telling that back changes nothing. With m mass, r the wheels' radius, f and c the
mean friction and lateral stiffness of an axle's wheels, G a gear times the final ratio:

    pull     a = (T(ω) - (d - d0) ω) (G / r) / (m + I (G / r)²),  ω = u G / r up to max_rpm, with T
             the torque curve, d the damping at full throttle and I the engine's moi; a vehicle that
             was told no other engine pulls as before, times m0 / m
    gears    up above up_ratio · max_rpm, down below down_ratio · max_rpm, or by hand; while they
             are switched, for gear_switch_time, nothing pulls
    coasting 0.6 m/s² · (d' / d0') · ((G / r) / (G0 / r0))² · m0 / m, with d' the damping without
             throttle; and (Σ wheel damping - Σ0) u / (r² m)
    brakes   8 m/s² · mean of min(torque / torque0 · r0 / r · m0 / m, f / f0); those of the hand
             brake 5 m/s² · (torque / torque0 of the rear) · r0 / r · m0 / m; both together, and the
             pull, at most 8 m/s² · f / f0
    air      0.0004 / m · (drag coefficient / drag coefficient0) · m0 / m
    steering the largest angle of a wheel times the steering curve at this speed
    turning  r = u tan(δ) / (L + U u²), U = (1 / c_front - 1 / c_rear) / g, with c the stiffness by
             the wheel's load S(3 / lat_stiff_max_load) · lat_stiff_value, S(k) = k - k²/3 + k³/27
             up to k = 3; at most 7.8 m/s² · f / f0 of the axle that grips less
    tipping  sideways at g (t / 2 ± y) / h, backwards at g (L / 2 + x) / h, forwards at
             g (L / 2 - x) / h: no turn, pull or brake goes beyond; (x, y, z) is the centre of mass
             from half way between the axles at h0, 0.37 of the vehicle's height, h = h0 + z, t the
             track. What has two wheels leans and does not tip sideways

Held without effect, since nothing here has them: `clutch_strength` and the damping with the clutch
open (a clutch holds or is open, and a free engine moves nothing), `long_stiff_value` (wheels roll
without slip up to their grip), `use_sweep_wheel_collision` (wheels have no shape of their own).

Reference:
    Rajamani 2012, "Vehicle Dynamics and Control", sections 2.3 and 3.3 (understeer gradient), 4.2
    (drive train), 15.2 (rollover).
    NHTSA, "Rollover resistance" (track over twice the height of the centre of mass).
    PhysX 3.4, PxVehicleTireData (stiffness by load), PxVehicleEngineData.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from dreamdrive.envs.embedded import dynamics
from dreamdrive.envs.embedded.arguments import CallError
from dreamdrive.envs.embedded.blueprints import VehicleModel
from dreamdrive.envs.embedded.bodies import (
    DRAG_PER_M,
    GRIP_MPS2,
    MAX_BRAKE_MPS2,
    MAX_DRIVE_MPS2,
    Vehicles,
)

SAME = 1e-5
"""Relative difference of numbers that went through a client, which has single precision."""
CENTRE_OF_MASS = 0.37
"""Height of a vehicle's centre of mass over its own: cars have 0.36 to 0.40 (NHTSA)."""
LEAST_M = 0.05
WHEEL_INSET_M = 0.1
"""How far inside a vehicle's side the middle of its wheels is."""
LEAST_STIFFNESS = 1e-3
CURVE, MAX_RPM, MOI, DAMPING, COASTING = 0, 1, 2, 3, 4
AUTOMATIC, SWITCH_S, FINAL, FORWARD, MASS, DRAG, CENTRE, STEERING, WHEELS = (
    6, 7, 9, 10, 11, 12, 13, 14, 15,
)  # fmt: skip
"""Places in a VehiclePhysicsControl; those in a wheel follow."""
FRICTION, WHEEL_DAMPING, ANGLE, RADIUS, BRAKE, HAND_BRAKE, MAX_LOAD, STIFFNESS = range(8)
ENGINE = (CURVE, MAX_RPM, MOI, DAMPING, AUTOMATIC, SWITCH_S, FINAL, FORWARD)


def tune(
    cars: Vehicles, row: int, model: VehicleModel, control: list[Any], plain: list[Any]
) -> None:
    """Lets a vehicle drive as a checked VehiclePhysicsControl has it.

    Args:
        cars: All vehicles.
        row: The vehicle's.
        model: What it is.
        control: The control.
        plain: That of the vehicle if it was told none.
    """
    cars.tuning[row] = np.zeros(1, cars.tuning.dtype)[0]
    mass = max(1.0, float(control[MASS]))
    lighter = _share(model.mass_kg, mass)
    wheels, before = _wheels(control), _wheels(plain)
    rounder = _share(before[:, RADIUS].mean(), max(wheels[:, RADIUS].mean(), 1e-3))
    friction = np.array([_share(*pair) for pair in zip(wheels[:, 0], before[:, 0], strict=True)])
    torque = [_share(*pair) for pair in zip(wheels[:, BRAKE], before[:, BRAKE], strict=True)]
    brakes = np.minimum(np.array(torque) * rounder * lighter, friction).mean()
    cars.mass[row], cars.max_steer[row] = mass, math.radians(wheels[:, ANGLE].max())
    cars.pull[row], cars.power[row] = MAX_DRIVE_MPS2 * lighter, model.power_w
    cars.grip[row] = GRIP_MPS2 * min(friction[:2].mean(), friction[2:].mean())
    cars.traction[row] = MAX_BRAKE_MPS2 * friction.mean()
    cars.brakes[row] = MAX_BRAKE_MPS2 * brakes
    cars.drag[row] = DRAG_PER_M * _share(control[DRAG], plain[DRAG]) * lighter
    if _is_same(control, plain):
        return
    tuning = cars.tuning[row]
    tuning["on"] = 1.0
    hand = _share(wheels[2:, HAND_BRAKE].mean(), before[2:, HAND_BRAKE].mean())
    tuning["hand_brake"] = dynamics.HAND_BRAKE_MPS2 * hand * rounder * lighter
    radius = wheels[:, RADIUS].mean() / 100.0
    more = wheels[:, WHEEL_DAMPING].sum() - before[:, WHEEL_DAMPING].sum()
    tuning["wheel_drag"] = more / (max(radius, 0.01) ** 2 * mass)
    _steer(tuning, control[STEERING])
    _engine(tuning, control, plain, lighter)
    stiffness = [
        max(_stiffness(wheels[axle]).mean(), LEAST_STIFFNESS) for axle in (slice(2), slice(2, 4))
    ]
    tuning["understeer"] = (1.0 / stiffness[0] - 1.0 / stiffness[1]) / dynamics.GRAVITY_MPS2
    _tip(tuning, model, [float(value) for value in control[CENTRE]])


def _share(now: float, then: float) -> float:
    share = max(float(now), 0.0) / float(then)
    return 1.0 if abs(share - 1.0) < SAME else share


def _wheels(control: list[Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Returns what the four wheels have but their places, shape (4, 9)."""
    return np.array([[float(value) for value in wheel[:9]] for wheel in control[WHEELS]])


def _is_same(control: list[Any], plain: list[Any], places: tuple[int, ...] | None = None) -> bool:
    """Returns whether controls agree but for the places of the wheels."""
    for i in range(len(plain)) if places is None else places:
        if i == WHEELS:
            if not np.allclose(_wheels(control), _wheels(plain), rtol=SAME, atol=SAME):
                return False
            continue
        a, b = (np.asarray(told[i], np.float64) for told in (control, plain))
        if a.shape != b.shape or not np.allclose(a, b, rtol=SAME, atol=SAME):
            return False
    return True


def _steer(tuning: Any, curve: list[list[float]]) -> None:
    """Writes a steering curve, speeds in km/h, padded with its last point."""
    points = sorted((max(float(x), 0.0) / 3.6, max(float(y), 0.0)) for x, y in curve)
    _fill(tuning, ("steer_mps", "steer_share"), points or [(0.0, 1.0)], "steering_curve")


def _engine(tuning: Any, control: list[Any], plain: list[Any], lighter: float) -> None:
    is_same = _is_same(control, plain, ENGINE) and _same_radius(control, plain)
    tuning["has_engine"] = 0.0 if is_same else 1.0
    points = sorted((max(float(x), 0.0), float(y)) for x, y in control[CURVE])
    _fill(tuning, ("torque_rpm", "torque"), points or [(0.0, 0.0)], "torque_curve")
    ratios, ratios_before = _ratios(control), _ratios(plain)
    gears = [
        (ratio, float(gear[2]), float(gear[1]))
        for ratio, gear in zip(ratios, control[FORWARD], strict=True)
    ]
    _fill(tuning, ("ratio", "up", "down"), gears or [(0.0, 1.0, 0.0)], "forward_gears")
    tuning["num_gears"] = max(len(gears), 1)
    tuning["is_automatic"] = float(control[AUTOMATIC])
    tuning["switch_s"] = max(float(control[SWITCH_S]), 0.0)
    tuning["max_rpm"] = max(float(control[MAX_RPM]), 0.0)
    tuning["inertia"] = max(float(control[MOI]), 0.0)
    tuning["damping"] = float(control[DAMPING]) - float(plain[DAMPING])
    coasting = _share(control[COASTING], plain[COASTING]) * lighter
    tuning["engine_brake"] = dynamics.ENGINE_BRAKE_MPS2 * coasting / ratios_before[0] ** 2


def _ratios(control: list[Any]) -> list[float]:
    """Returns each gear's turn of the engine for each metre of the way, in 1/m."""
    radius = max(_wheels(control)[:, RADIUS].mean() / 100.0, 0.01)
    return [float(gear[0]) * float(control[FINAL]) / radius for gear in control[FORWARD]]


def _same_radius(control: list[Any], plain: list[Any]) -> bool:
    return math.isclose(
        _wheels(control)[:, RADIUS].mean(), _wheels(plain)[:, RADIUS].mean(), rel_tol=SAME
    )


def _stiffness(
    wheels: np.ndarray[Any, np.dtype[np.float64]],
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Returns each wheel's lateral stiffness for each unit of its load at rest."""
    k = np.minimum(3.0 / np.maximum(wheels[:, MAX_LOAD], 1e-3), 3.0)
    found: np.ndarray[Any, np.dtype[np.float64]] = wheels[:, STIFFNESS] * (k - k**2 / 3 + k**3 / 27)
    return found


def _tip(tuning: Any, model: VehicleModel, centre: list[float]) -> None:
    x, y, z = centre
    height = max(2.0 * model.half_height * CENTRE_OF_MASS + z, LEAST_M)
    over = dynamics.GRAVITY_MPS2 / height
    half_track, half_base = model.half_width - WHEEL_INSET_M, model.wheelbase / 2.0
    if model.wheels == 2:
        tuning["grip_right"] = tuning["grip_left"] = math.inf
    else:
        tuning["grip_right"] = max(over * (half_track + y), 0.0)
        tuning["grip_left"] = max(over * (half_track - y), 0.0)
    tuning["tip_pull"] = max(over * (half_base + x), 0.0)
    tuning["tip_stop"] = max(over * (half_base - x), 0.0)


def _fill(
    tuning: Any, names: tuple[str, ...], points: Sequence[tuple[float, ...]], what: str
) -> None:
    """Writes points, the last one repeated.

    Raises:
        CallError: If there are more than fit.
    """
    most = len(tuning[names[0]])
    if len(points) > most:
        raise CallError(f"{what} has at most {most} points here, got {len(points)}")
    for k, name in enumerate(names):
        tuning[name][: len(points)] = [point[k] for point in points]
        tuning[name][len(points) :] = points[-1][k]
