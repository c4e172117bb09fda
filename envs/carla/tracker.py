"""Progress of the ego along its route, and the route as the ego sees it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dreamdrive.driving.state import TARGET_DISTANCES_M, EgoState
from dreamdrive.envs.carla.bev import ROUTE_SEGMENT_M
from dreamdrive.envs.carla.client import wrap_angle
from dreamdrive.envs.carla.routes import COMMANDS, Route
from dreamdrive.envs.carla.scene import EgoPose

WINDOW = 8
"""How many points ahead of the progress are searched: a vehicle passes at most 5 a decision."""

VIEW_AHEAD_M = 46.0
"""Route drawn ahead of the ego; the far corners of the view are 43 m away."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RoutePosition:
    """Where the ego is on its route.

    Attributes:
        arc_m: Progress; never decreases.
        lateral_m: Offset of the ego from the route, positive to the left.
        heading_error_rad: Heading of the ego less that of the route.
        index: The route point at or before `arc_m`.
    """

    arc_m: float
    lateral_m: float
    heading_error_rad: float
    index: int


class RouteTracker:
    """Follows one ego along one route.

    Args:
        route: The route.
    """

    def __init__(self, route: Route) -> None:
        self.route = route
        step = np.diff(route.xy, axis=0)
        self._length = np.linalg.norm(step, axis=1)
        self._tangent = step / self._length[:, None]
        self._index = 0
        self._arc_m = 0.0

    def update(self, ego: EgoPose) -> RoutePosition:
        """Returns the ego's position: the nearest point of the next few segments."""
        first, end = self._index, min(self._index + WINDOW, len(self._length))
        offset = np.array([ego.x, ego.y]) - self.route.xy[first:end]
        tangent = self._tangent[first:end]
        along = (offset * tangent).sum(1)
        inside = np.clip(along, 0.0, self._length[first:end])
        distance = np.linalg.norm(offset - inside[:, None] * tangent, axis=1)
        best = int(distance.argmin())
        side = tangent[best, 0] * offset[best, 1] - tangent[best, 1] * offset[best, 0]
        is_beyond = first + best == len(self._length) - 1 and along[best] > inside[best]
        lateral = float(side) if is_beyond else float(np.copysign(distance[best], side))
        self._index = first + best
        self._arc_m = max(self._arc_m, float(self.route.arc[self._index] + inside[best]))
        yaw = self.route.yaw[self._index : self._index + 2]
        part = inside[best] / self._length[self._index]
        route_yaw = float(yaw[0] + part * float(wrap_angle(yaw[1] - yaw[0])))
        return RoutePosition(
            arc_m=self._arc_m,
            lateral_m=lateral,
            heading_error_rad=float(wrap_angle(ego.yaw_rad - route_yaw)),
            index=self._index,
        )

    def ahead(self, position: RoutePosition, until_m: float = VIEW_AHEAD_M) -> NDArray[np.float64]:
        """Returns the route from the ego onward, a point each 2 m, shape (n, 2)."""
        arc = position.arc_m + np.arange(0.0, until_m, ROUTE_SEGMENT_M)
        arc = arc[arc <= self.route.length_m]
        return np.column_stack(
            [np.interp(arc, self.route.arc, self.route.xy[:, axis]) for axis in (0, 1)]
        )


def ego_state(
    ego: EgoPose, position: RoutePosition, route: Route, speed_limit_mps: float
) -> EgoState:
    """Returns the `state` part of an observation.

    Past the end of the route, target points go on straight ahead.
    """
    cos, sin = np.cos(ego.yaw_rad), np.sin(ego.yaw_rad)
    targets = []
    for distance in TARGET_DISTANCES_M:
        x, y = route.at(position.arc_m + distance)
        past_end = max(0.0, position.arc_m + distance - route.length_m)
        x += past_end * np.cos(route.yaw[-1])
        y += past_end * np.sin(route.yaw[-1])
        dx, dy = x - ego.x, y - ego.y
        targets.append((float(dx * cos + dy * sin), float(dy * cos - dx * sin)))
    return EgoState(
        speed_mps=ego.speed_mps,
        yaw_rate_radps=ego.yaw_rate_radps,
        lateral_offset_m=position.lateral_m,
        heading_error_rad=position.heading_error_rad,
        speed_limit_mps=speed_limit_mps,
        targets_m=tuple(targets),
        command=COMMANDS[route.command[position.index]],
    )
