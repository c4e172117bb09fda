"""How an episode begins: the route that is driven, and the ego at its first point."""

from typing import Any

import numpy as np

from dreamdrive.envs.carla.client import carla, to_carla_transform
from dreamdrive.envs.carla.routes import Route, random_route
from dreamdrive.envs.carla.scenarios.registry import known, placed, route_with
from dreamdrive.envs.carla.session import Session
from dreamdrive.errors import RouteError
from dreamdrive.seeding import numpy_generator

EGO_BLUEPRINT = "vehicle.lincoln.mkz_2020"
EGO_HEIGHT_M = 0.3


def chosen_route(
    carla_map: Any, route: Route | None, scenario: str | None, seed: int,
    length_m: tuple[float, float],
) -> Route:  # fmt: skip
    """Returns the route of an episode with its scenarios.

    Args:
        carla_map: The client's map.
        route: The route that was asked for, if any.
        scenario: Name of the scenario that was asked for, if any.
        seed: Draws what was not asked for.
        length_m: Bounds of a drawn route's length.

    Raises:
        ConfigError: If there is no such scenario.
        RouteError: If there is no route for it, or no room on the one given.
    """
    if scenario is None:
        route = route or random_route(carla_map, seed, length_m=length_m)
        known(route.scenarios)
        return route
    if route is None:
        return route_with(carla_map, seed, scenario, length_m=length_m)
    found = placed(carla_map, route, [scenario], numpy_generator(seed, "places"))
    if not found.scenarios:
        raise RouteError(
            f"The route has no room for a {scenario}", where=route.name,
            do="Give another route, or none.",
        )  # fmt: skip
    return found


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
