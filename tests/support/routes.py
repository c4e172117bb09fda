"""Routes that no map is needed for."""

import math

import numpy as np

from dreamdrive.envs.carla.routes import Route


def straight_route(length=60, yaw=0.0) -> Route:
    arc = np.arange(0.0, length + 1.0)
    n = len(arc)
    return Route(
        name="straight", town="Nowhere",
        xy=np.column_stack([arc * math.cos(yaw), arc * math.sin(yaw)]),
        z=np.zeros(n), yaw=np.full(n, yaw), arc=arc, lane_width=np.full(n, 3.5),
        in_junction=np.zeros(n, bool), command=np.zeros(n, np.int8), lanes=((1, 0, -1),) * n,
        curvature=np.zeros(n),
    )  # fmt: skip
