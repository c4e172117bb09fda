"""How vehicles move: a bicycle with limits of throttle, brake, steering and grip.

Vectorised over n vehicles in CARLA's left-handed axes: yaw and steering are positive to the right.

    yaw rate r = u tan(δ) / L, limited so that |r u| stays within the grip of the tyres
    du/dt = throttle · min(a_max, P / (m |u|)) - drag - rolling, or brake

Reference:
    Rajamani 2012, "Vehicle Dynamics and Control", section 2.2 (kinematic bicycle).
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

GRIP_MPS2 = 7.8
MAX_DRIVE_MPS2 = 4.5
MAX_BRAKE_MPS2 = 8.0
HAND_BRAKE_MPS2 = 5.0
ROLLING_MPS2 = 0.15
ENGINE_BRAKE_MPS2 = 0.6
DRAG_PER_M = 0.0004
"""Air drag per speed squared, half of air density times C_d A over m, of a car of 1,700 kg."""
SLIDE_MPS2 = 7.0
"""Deceleration of a sideways slide, as after a collision."""
STEERING_CURVE = (np.array([0.0, 20.0, 60.0, 120.0]) / 3.6, np.array([1.0, 0.9, 0.8, 0.7]))
"""Share of the steering angle that is left at a speed in m/s."""


def steer_angle(steer: Array, speed: Array, max_steer: Array) -> Array:
    """Returns the angle of the front wheels in radians."""
    share: Array = np.interp(np.abs(speed), *STEERING_CURVE)
    return steer * max_steer * share


def longitudinal_acceleration(
    speed: Array, throttle: Array, brake: Array, hand_brake: Array, reverse: Array,
    mass_kg: Array, power_w: Array, dt_s: float,
) -> Array:  # fmt: skip
    """Returns the acceleration along the heading; brakes never turn a vehicle round."""
    pull = np.minimum(MAX_DRIVE_MPS2, power_w / (mass_kg * np.maximum(np.abs(speed), 1.0)))
    drive = throttle * pull * np.where(reverse > 0, -1.0, 1.0)
    slow = brake * MAX_BRAKE_MPS2 + hand_brake * HAND_BRAKE_MPS2 + ROLLING_MPS2
    slow = slow + np.where(throttle <= 0.0, ENGINE_BRAKE_MPS2, 0.0) + DRAG_PER_M * speed * speed
    free = speed + drive * dt_s
    stopped = np.sign(free) * np.maximum(np.abs(free) - slow * dt_s, 0.0)
    result: Array = (stopped - speed) / dt_s
    return result


def step(
    pose: Array, velocity: Array, steer: Array, acceleration: Array, wheelbase: Array,
    max_steer: Array, dt_s: float,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """Returns poses, velocities and yaw rates after a time step.

    Args:
        pose: x, y and yaw of each vehicle's centre, shape (n, 3).
        velocity: Along x and y, shape (n, 2).
        steer: Steering in [-1, 1], positive to the right.
        acceleration: Along the heading.
        wheelbase: In metres; the centre is half way between the axles.
        max_steer: Largest angle of the front wheels, in radians.
        dt_s: Length of the step.
    """
    yaw = pose[:, 2]
    cos, sin = np.cos(yaw), np.sin(yaw)
    u = velocity[:, 0] * cos + velocity[:, 1] * sin
    w = velocity[:, 1] * cos - velocity[:, 0] * sin
    middle = u + 0.5 * acceleration * dt_s
    magnitude = np.abs(middle)
    tangent = np.tan(steer_angle(steer, middle, max_steer))
    rate = middle * tangent / wheelbase
    limit = GRIP_MPS2 / np.maximum(magnitude, 0.5)
    rate = np.minimum(np.maximum(rate, -limit), limit)
    # The centre moves sideways by half the wheelbase times the yaw rate, whatever limits it.
    sideways = 0.5 * rate * wheelbase * (magnitude > 0.1)
    slide = w - sideways
    slide = np.sign(slide) * np.maximum(np.abs(slide) - SLIDE_MPS2 * dt_s, 0.0)
    turned = rate * dt_s
    yaw_next = yaw + turned
    half = yaw + 0.5 * turned
    cos_h, sin_h = np.cos(half), np.sin(half)
    across = sideways + slide
    moved = np.empty_like(pose)
    moved[:, 0] = pose[:, 0] + (middle * cos_h - across * sin_h) * dt_s
    moved[:, 1] = pose[:, 1] + (middle * sin_h + across * cos_h) * dt_s
    moved[:, 2] = (yaw_next + np.pi) % (2.0 * np.pi) - np.pi
    u_next = u + acceleration * dt_s
    cos, sin = np.cos(yaw_next), np.sin(yaw_next)
    speed = np.empty_like(velocity)
    speed[:, 0] = u_next * cos - across * sin
    speed[:, 1] = u_next * sin + across * cos
    return moved, speed, rate
