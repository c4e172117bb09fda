"""How bodies move: vehicles as bicycles with limits of throttle, brake, steering and grip.

CARLA's axes are left-handed: yaw and steering are positive to the right. With u the speed along a
road of slope θ, of which the map shows u cos θ:

    yaw rate r = u tan(δ) / L, limited so that |r u| stays within the grip of the tyres
    du/dt = throttle · min(a_max, P / (m |u|)) - g sin(θ), less drag, rolling and brake

Vehicles that were told their physics have a row of `TUNING`, whose rules `tuning.py` states. On a
wet road tyres keep a share of their grip, by their speed: no more than that turns, drives or brakes
a vehicle.

Reference:
    Rajamani 2012, "Vehicle Dynamics and Control", section 2.2 (kinematic bicycle).
"""

import math
from typing import Any

import numpy as np
from numba import float64, from_dtype, void
from numpy.typing import NDArray

from dreamdrive.envs.embedded.bodies import TUNING, VEHICLE_STATE
from dreamdrive.envs.embedded.compiled import compiled

GRAVITY_MPS2 = 9.81
HAND_BRAKE_MPS2 = 5.0
ROLLING_MPS2 = 0.15
ENGINE_BRAKE_MPS2 = 0.6
SLIDE_MPS2 = 7.0
"""Deceleration of a sideways slide, as after a collision."""
SPIN_RADPS2 = 4.0
"""How fast scrubbing tyres end a turn that the steering does not ask for."""
STEERING_CURVE = ((0.0, 20.0 / 3.6, 60.0 / 3.6, 120.0 / 3.6), (1.0, 0.9, 0.8, 0.7))
"""Share of the steering angle that is left at a speed in m/s."""
WET_SPEEDS_KMH = (50.0, 90.0, 130.0)
"""Speeds at which it is known what a wet road leaves of the grip."""

RPM = 30.0 / math.pi
"""Revolutions a minute in a radian a second."""
CRITICAL = 0.05
"""A vehicle that oversteers turns at most as if its wheelbase were shorter by this factor."""

_CARS, _TUNINGS = from_dtype(VEHICLE_STATE)[::1], from_dtype(TUNING)[::1]


@compiled()
def _steering_share(speed: float) -> float:
    """Returns the share of the steering angle that is left at a speed."""
    speeds, shares = STEERING_CURVE
    for k in range(1, len(speeds)):
        if speed < speeds[k]:
            slope = (shares[k] - shares[k - 1]) / (speeds[k] - speeds[k - 1])
            return shares[k - 1] + slope * (speed - speeds[k - 1])
    return shares[-1]


@compiled()
def _between(x: float, xs: NDArray[np.float64], ys: NDArray[np.float64]) -> float:
    """Returns the value at x of straight lines between points, and beyond them that of the last."""
    if x <= xs[0]:
        return ys[0]
    for k in range(1, len(xs)):
        if x < xs[k]:
            return ys[k - 1] + (ys[k] - ys[k - 1]) * (x - xs[k - 1]) / (xs[k] - xs[k - 1])
    return ys[-1]


@compiled()
def _kept_grip(kept: NDArray[np.float64], speed: float) -> float:
    """Returns the share of its grip that a tyre keeps at a speed in m/s of any sign.

    Below the first of `WET_SPEEDS_KMH` it keeps what it keeps there, and beyond the last likewise.
    """
    kmh = 3.6 * abs(speed)
    if kmh <= WET_SPEEDS_KMH[0]:
        return kept[0]
    for k in range(1, len(WET_SPEEDS_KMH)):
        if kmh < WET_SPEEDS_KMH[k]:
            slope = (kept[k] - kept[k - 1]) / (WET_SPEEDS_KMH[k] - WET_SPEEDS_KMH[k - 1])
            return kept[k - 1] + slope * (kmh - WET_SPEEDS_KMH[k - 1])
    return kept[-1]


@compiled()
def _shrunk(value: float, amount: float) -> float:
    """Returns a value that is nearer to 0 by an amount, but not beyond."""
    return math.copysign(max(abs(value) - amount, 0.0), value)


@compiled()
def _engine(car: Any, tuning: Any, speed: float, dt_s: float) -> float:
    """Returns what a told engine accelerates by at full throttle; gears change as time passes."""
    last = int(tuning.num_gears) - 1
    if car.manual > 0.0:
        gear, tuning.switching_s = min(max(int(abs(car.gear)) - 1, 0), last), 0.0
    else:
        gear = 0 if car.reverse > 0.0 else int(tuning.gear)
    rpm = abs(speed) * tuning.ratio[gear] * RPM
    if tuning.switching_s > 0.0:
        tuning.switching_s -= dt_s
        return 0.0
    if car.manual <= 0.0 and tuning.is_automatic > 0.0 and car.reverse <= 0.0:
        before = gear
        if rpm > tuning.up[gear] * tuning.max_rpm:
            gear = min(gear + 1, last)
        elif rpm < tuning.down[gear] * tuning.max_rpm:
            gear = max(gear - 1, 0)
        if gear != before:
            tuning.gear, tuning.switching_s = gear, tuning.switch_s
            return 0.0
    tuning.gear = gear
    if rpm >= tuning.max_rpm:
        return 0.0
    ratio = tuning.ratio[gear]
    torque = _between(rpm, tuning.torque_rpm, tuning.torque) - tuning.damping * rpm / RPM
    return max(torque, 0.0) * ratio / (car.mass + tuning.inertia * ratio * ratio)


@compiled()
def _acceleration(car: Any, tuning: Any, speed: float, share: float, dt_s: float) -> float:
    """Returns the acceleration along the heading; brakes never turn a vehicle round.

    A share of the grip below 1 is that of a wet road.
    """
    if car.constant[2] > 0.0:
        return (car.constant[0] - speed) / dt_s
    if car.fall > 0.0:
        return 0.0
    pull = min(car.pull, car.power / (car.mass * max(abs(speed), 1.0)))
    hand_brake, engine_brake, more = HAND_BRAKE_MPS2, ENGINE_BRAKE_MPS2, 0.0
    is_tuned = tuning.on > 0.0
    if is_tuned:
        if tuning.has_engine > 0.0:
            pull = _engine(car, tuning, speed, dt_s)
        ratio = tuning.ratio[int(tuning.gear)]
        hand_brake, engine_brake = tuning.hand_brake, tuning.engine_brake * ratio * ratio
        more = tuning.wheel_drag * abs(speed)
    if car.manual > 0.0 and car.gear == 0.0:
        pull = engine_brake = 0.0
    stop = car.brake * car.brakes + car.hand_brake * hand_brake
    if share < 1.0 or is_tuned:
        pull, stop = min(pull, share * car.traction), min(stop, share * car.traction)
    if is_tuned:
        pull, stop = min(pull, tuning.tip_pull), min(stop, tuning.tip_stop)
    is_back = car.reverse > 0.0 or (car.manual > 0.0 and car.gear < 0.0)
    drive = -car.throttle * pull if is_back else car.throttle * pull
    if car.weightless <= 0.0:
        drive -= GRAVITY_MPS2 * math.sin(car.pitch)
    slow = stop + ROLLING_MPS2
    slow += car.drag * speed * speed
    if car.throttle <= 0.0:
        slow += engine_brake
    if is_tuned:
        slow = max(slow + more, 0.0)
    return (_shrunk(speed + drive * dt_s, slow * dt_s) - speed) / dt_s


@compiled()
def _drive_one(car: Any, tuning: Any, kept: NDArray[np.float64], dt_s: float) -> None:
    """Moves one vehicle; its pose is that of the point half way between the axles."""
    pose, velocity = car.pose, car.velocity
    cos, sin = math.cos(pose[2]), math.sin(pose[2])
    level = math.cos(car.pitch)
    u = (velocity[0] * cos + velocity[1] * sin) / level
    w = velocity[1] * cos - velocity[0] * sin
    share = _kept_grip(kept, u) * (1.0 - car.slip)
    acceleration = _acceleration(car, tuning, u, share, dt_s)
    middle = u + 0.5 * acceleration * dt_s
    magnitude = abs(middle)
    grip, base = share * car.grip, car.wheelbase
    angle = car.steer * car.max_steer
    if tuning.on > 0.0:
        angle *= _between(magnitude, tuning.steer_mps, tuning.steer_share)
        base = max(base + tuning.understeer * magnitude * magnitude, CRITICAL * base)
        grip = min(grip, tuning.grip_right if angle > 0.0 else tuning.grip_left)
    else:
        angle *= _steering_share(magnitude)
    limit = grip / max(magnitude, 0.5)
    rate = min(max(middle * math.tan(angle) / base, -limit), limit)
    if car.spin != 0.0:
        rate += car.spin
        car.spin = _shrunk(car.spin, share * SPIN_RADPS2 * dt_s)
    # The centre moves sideways by half the wheelbase times the yaw rate, whatever limits it.
    sideways = 0.5 * rate * car.wheelbase if magnitude > 0.1 else 0.0
    across = sideways + _shrunk(w - sideways, share * SLIDE_MPS2 * dt_s)
    half = pose[2] + 0.5 * rate * dt_s
    along = middle * level
    pose[0] += (along * math.cos(half) - across * math.sin(half)) * dt_s
    pose[1] += (along * math.sin(half) + across * math.cos(half)) * dt_s
    yaw = pose[2] + rate * dt_s
    pose[2] = (yaw + math.pi) % (2.0 * math.pi) - math.pi
    u = (u + acceleration * dt_s) * level
    velocity[0] = u * math.cos(yaw) - across * math.sin(yaw)
    velocity[1] = u * math.sin(yaw) + across * math.cos(yaw)
    car.yaw_rate = rate


@compiled(void(_CARS, _TUNINGS, float64[::1], float64))
def drive(cars: Any, tunings: Any, kept: NDArray[np.float64], dt_s: float) -> None:
    """Moves vehicles by one time step, in place; those without physics stand still.

    Args:
        cars: Rows of `VEHICLE_STATE`, shape (n,).
        tunings: Rows of `TUNING`, shape (n,); gears change in place.
        kept: The share of its grip that a tyre keeps at `WET_SPEEDS_KMH`, shape (3,).
        dt_s: Length of the step.
    """
    for i in range(len(cars)):
        car = cars[i]
        if car.physics > 0.0:
            _drive_one(car, tunings[i], kept, dt_s)
        else:
            car.velocity[0] = car.velocity[1] = car.yaw_rate = 0.0


@compiled(void(_CARS, float64[:, ::1], float64))
def accelerate(cars: Any, before: NDArray[np.float64], dt_s: float) -> None:
    """Writes the accelerations of vehicles that had velocities `before`, shape (n, 2)."""
    for i in range(len(cars)):
        for d in range(2):
            cars[i].acceleration[d] = (cars[i].velocity[d] - before[i, d]) / dt_s
