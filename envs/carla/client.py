"""The `carla` package, or one sentence that says how to install it; and its axes turned to ISO."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamdrive.envs.carla.greeting import CLIENT_VERSION
from dreamdrive.errors import MissingExtraError

try:
    import carla
except ImportError as error:
    raise MissingExtraError("carla", "carla") from error

__all__ = ["CLIENT_VERSION", "carla", "iso_pose", "iso_xy", "to_carla_transform", "wrap_angle"]


def iso_xy(location: Any) -> tuple[float, float]:
    """Returns a `carla.Location` as (x, y) metres with y to the left of x."""
    return location.x, -location.y


def iso_pose(transform: Any) -> tuple[float, float, float]:
    """Returns a `carla.Transform` as (x, y, yaw): metres, and radians anticlockwise."""
    location = transform.location
    return location.x, -location.y, -math.radians(transform.rotation.yaw)


def to_carla_transform(x: float, y: float, yaw_rad: float, z: float = 0.0) -> Any:
    """Returns an ISO pose as a `carla.Transform`."""
    return carla.Transform(
        carla.Location(x=float(x), y=-float(y), z=float(z)),
        carla.Rotation(yaw=-math.degrees(float(yaw_rad))),
    )


def wrap_angle(angle_rad: Any) -> NDArray[np.float64] | float:
    """Returns an angle, or an array of them, in [-pi, pi)."""
    wrapped = (np.asarray(angle_rad) + np.pi) % (2.0 * np.pi) - np.pi
    return float(wrapped) if wrapped.ndim == 0 else wrapped
