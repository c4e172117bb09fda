"""Routes for CARLA's leaderboard in a town of the embedded server."""

from dataclasses import replace
from pathlib import Path

ROUTES, LENGTH_M = 2, (400.0, 500.0)
TRIGGER_M = 60.0
"""How far along its route a scenario waits."""


def save_town_routes(path: Path, name: str) -> None:
    """Writes routes with a scenario each.

    Args:
        path: Of the file.
        name: A town as `dreamdrive serve` takes it.

    Raises:
        MapError: If the town cannot be read.
        StorageError: If the file could not be written.
    """
    from dreamdrive.envs.carla.client import carla
    from dreamdrive.envs.carla.route_xml import save_routes
    from dreamdrive.envs.carla.routes import random_route
    from dreamdrive.envs.carla.scenarios.specification import ScenarioSpec
    from dreamdrive.envs.embedded.towns import load_town

    town = load_town(name)
    carla_map = carla.Map(town.name, town.xodr)
    routes = []
    for number, kind in zip(range(ROUTES), ("ControlLoss", "HardBreakRoute"), strict=True):
        route = random_route(carla_map, number, length_m=LENGTH_M)
        i = int((route.arc > TRIGGER_M).argmax())
        spec = ScenarioSpec(
            name=f"{kind}_1", type=kind, x=float(route.xy[i, 0]), y=float(route.xy[i, 1]),
            z=float(route.z[i]), yaw_rad=float(route.yaw[i]),
        )  # fmt: skip
        routes.append(replace(route, name=str(number), scenarios=(spec,)))
    save_routes(path, routes)
