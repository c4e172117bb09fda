"""How an episode begins: the ego at the first point of its route."""

from typing import Any

import numpy as np

from dreamdrive.envs.carla.client import carla, to_carla_transform
from dreamdrive.envs.carla.routes import Route
from dreamdrive.envs.carla.session import Session

EGO_BLUEPRINT = "vehicle.lincoln.mkz_2020"
EGO_HEIGHT_M = 0.3


def spawn_ego(session: Session, route: Route) -> Any:
    """Returns the ego, standing at a route's first point.

    Raises:
        ServerError: If the server does not answer, or has no room there.
    """
    blueprint = session.world.get_blueprint_library().find(EGO_BLUEPRINT)
    blueprint.set_attribute("role_name", "hero")
    (x, y), yaw = route.xy[0], float(route.yaw[0])
    place = to_carla_transform(x, y, yaw, float(route.z[0]) + EGO_HEIGHT_M)
    return session.spawn(blueprint, place)


def push_off(ego: Any, route: Route, speed_mps: float) -> None:
    """Gives the ego a speed along a route's first edge, if it is positive."""
    if speed_mps > 0.0:
        yaw = float(route.yaw[0])
        ego.set_target_velocity(
            carla.Vector3D(speed_mps * np.cos(yaw), -speed_mps * np.sin(yaw), 0.0)
        )


def nudged(control: Any, steer: float, acceleration: float) -> Any:
    """Returns a `carla.VehicleControl` with an error on wheel (left positive) and pedal."""
    if steer == 0.0 and acceleration == 0.0:
        return control
    pedal = float(np.clip(control.throttle - control.brake + acceleration, -1.0, 1.0))
    control.steer = float(np.clip(control.steer - steer, -1.0, 1.0))
    control.throttle, control.brake = max(0.0, pedal), max(0.0, -pedal)
    return control
