"""Inertial units: what an accelerometer, a gyroscope and a compass feel where they are mounted.

With r from the body's origin to the unit, ω and α the turn rate and its change, and the body's
acceleration a, the unit feels in its own axes

    a + α × r + ω × (ω × r) - g

Reference:
    Groves 2013, "Principles of GNSS, Inertial, and Multisensor Integrated Navigation Systems",
    section 4.4 (errors) and 2.5 (lever arms).
"""

import math

import numpy as np
from numpy.typing import NDArray

from dreamdrive.envs.embedded.render.view import Pose
from dreamdrive.envs.embedded.world import World
from dreamdrive.seeding import numpy_generator

AXES = ("x", "y", "z")


def draws(world: World, sensor: int, names: tuple[str, ...]) -> NDArray[np.float64]:
    """Returns noise with the standard deviations that a sensor's attributes name, shape (n,).

    It depends on the attribute `noise_seed`, the kind of sensor and the ticks since it was spawned,
    so that it is the same whenever somebody begins to listen.
    """
    known = world.actors[sensor]
    deviations = np.array([float(known.attributes.get(name, 0.0)) for name in names])
    if not deviations.any():
        return np.zeros(len(names))
    seed = abs(int(float(known.attributes.get("noise_seed", 0))))
    random = numpy_generator(seed, known.kind, world.frame - known.born)
    return deviations * random.standard_normal(len(names))


def biases(world: World, sensor: int, names: tuple[str, ...]) -> NDArray[np.float64]:
    """Returns the constant errors that a sensor's attributes name, shape (n,)."""
    attributes = world.actors[sensor].attributes
    return np.array([float(attributes.get(name, 0.0)) for name in names])


def felt(
    world: World, sensor: int, pose: Pose, gravity_mps2: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Returns what a unit feels without noise, in its own axes.

    Args:
        world: The world after a tick.
        sensor: The unit's actor number.
        pose: Where it is in the world.
        gravity_mps2: Acceleration of a body that falls.

    Returns:
        Specific force in m/s², shape (3,), turn rate in rad/s, shape (3,), and the compass:
        radians from north, which is against y, to where the unit points, clockwise.
    """
    axes = pose.axes()
    acceleration, rate = np.array([0.0, 0.0, gravity_mps2]), 0.0
    carrier = world.actors[sensor].parent
    body = world.body(carrier)
    if body is not None:
        row = body.row[carrier]
        rate, change = float(body.yaw_rate[row]), world.yaw_acceleration(carrier)
        x, y = pose.x - float(body.pose[row, 0]), pose.y - float(body.pose[row, 1])
        acceleration[0] += float(body.acceleration[row, 0]) - change * y - rate * rate * x
        acceleration[1] += float(body.acceleration[row, 1]) + change * x - rate * rate * y
    compass = (math.atan2(axes[0, 1], axes[0, 0]) + math.pi / 2.0) % (2.0 * math.pi)
    return axes @ acceleration, axes @ np.array([0.0, 0.0, rate]), compass


def measured(
    world: World, sensor: int, pose: Pose, gravity_mps2: float
) -> tuple[list[float], list[float], float]:
    """Returns what a unit sends: `felt`, with the noise and the bias of its attributes."""
    force, turn, compass = felt(world, sensor, pose, gravity_mps2)
    noise = draws(
        world, sensor,
        (*(f"noise_accel_stddev_{a}" for a in AXES), *(f"noise_gyro_stddev_{a}" for a in AXES)),
    )  # fmt: skip
    bias = biases(world, sensor, tuple(f"noise_gyro_bias_{a}" for a in AXES))
    return (force + noise[:3]).tolist(), (turn + bias + noise[3:]).tolist(), compass
