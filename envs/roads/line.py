"""A route as a line, and the `state` of an ego on it."""

import numpy as np
from numpy.typing import NDArray

from dreamdrive.driving.state import TARGET_DISTANCES_M, Command, EgoState
from dreamdrive.errors import RouteError

SPACING_M = 1.0
WINDOW_M = 12.0
"""How far ahead of its progress an ego is looked for: one decision takes it 4 m at 40 m/s."""
TURN_RAD = np.radians(35.0)
COMMAND_AHEAD_M = 30.0


class RouteLine:
    """A polyline with a point each metre, in ISO world axes.

    Args:
        xy: Its corners, shape (n, 2), metres.
        width_m: Width of the lane at each corner, shape (n,).
        in_junction: Whether each corner is inside a junction, shape (n,).

    Raises:
        RouteError: If it is shorter than two points.
    """

    def __init__(
        self, xy: NDArray[np.float64], width_m: NDArray[np.float64], in_junction: NDArray[np.bool_]
    ) -> None:
        step = np.linalg.norm(np.diff(xy, axis=0), axis=1)
        keep = np.concatenate([[True], step > 1e-3])
        xy, width_m, in_junction = xy[keep], width_m[keep], in_junction[keep]
        arc = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(xy, axis=0), axis=1))])
        if arc[-1] < 2.0 * SPACING_M:
            raise RouteError(f"The route is {arc[-1]:.1f} m long, and needs {2 * SPACING_M:g} m")
        self.arc = np.linspace(0.0, arc[-1], int(arc[-1] / SPACING_M) + 1)
        self.xy = np.column_stack([np.interp(self.arc, arc, xy[:, axis]) for axis in (0, 1)])
        self.width_m = np.interp(self.arc, arc, width_m)
        tangent = np.gradient(self.xy, axis=0)
        self.yaw = np.arctan2(tangent[:, 1], tangent[:, 0])
        nearest = np.searchsorted(arc, self.arc).clip(0, len(arc) - 1)
        self._commands = self._told(in_junction[nearest])

    @property
    def length_m(self) -> float:
        """Its length."""
        return float(self.arc[-1])

    def _told(self, in_junction: NDArray[np.bool_]) -> list[Command]:
        """Returns the command at each point: of the junction that it is in or 30 m before."""
        told: list[Command] = ["follow"] * len(self.arc)
        edges = np.flatnonzero(np.diff(np.concatenate([[0], in_junction.astype(int), [0]])))
        for first, end in edges.reshape(-1, 2)[::-1]:
            turned = wrapped(self.yaw[end - 1] - self.yaw[max(first - 1, 0)])
            command: Command = "straight"
            if abs(turned) > TURN_RAD:
                command = "left" if turned > 0.0 else "right"
            before = np.searchsorted(self.arc, self.arc[first] - COMMAND_AHEAD_M)
            for i in range(int(before), end):
                told[i] = command
        return told

    def at(self, arc_m: float) -> tuple[float, float]:
        """Returns the point at an arc length; past the end, the route goes straight on."""
        x = float(np.interp(arc_m, self.arc, self.xy[:, 0]))
        y = float(np.interp(arc_m, self.arc, self.xy[:, 1]))
        past = max(0.0, arc_m - self.length_m)
        return x + past * float(np.cos(self.yaw[-1])), y + past * float(np.sin(self.yaw[-1]))

    def progress(self, ego: NDArray[np.float64], arc_m: float) -> tuple[float, float]:
        """Returns arc length and offset to the left of an ego.

        Args:
            ego: It, beginning with x and y in metres.
            arc_m: Progress so far, which never decreases.
        """
        x, y = float(ego[0]), float(ego[1])
        first = max(0, int(np.searchsorted(self.arc, arc_m)) - 1)
        end = int(np.searchsorted(self.arc, arc_m + WINDOW_M)) + 1
        xy, yaw = self.xy[first:end], self.yaw[first:end]
        nearest = int(np.hypot(x - xy[:, 0], y - xy[:, 1]).argmin())
        dx, dy = x - xy[nearest, 0], y - xy[nearest, 1]
        cos, sin = np.cos(yaw[nearest]), np.sin(yaw[nearest])
        along = float(self.arc[first + nearest] + dx * cos + dy * sin)
        return max(arc_m, min(along, self.length_m)), float(dy * cos - dx * sin)

    def index(self, arc_m: float) -> int:
        """Returns the number of the point at or before an arc length."""
        return max(0, int(np.searchsorted(self.arc, arc_m, side="right")) - 1)

    def ahead(self, arc_m: float, until_m: float, step_m: float) -> NDArray[np.float64]:
        """Returns points from an arc length onward, shape (n, 2)."""
        arc = arc_m + np.arange(0.0, until_m, step_m)
        arc = arc[arc <= self.length_m]
        return np.column_stack([np.interp(arc, self.arc, self.xy[:, axis]) for axis in (0, 1)])

    def state(
        self, ego: NDArray[np.float64], arc_m: float, lateral_m: float,
        speed_mps: float, yaw_rate_radps: float, speed_limit_mps: float,
    ) -> EgoState:  # fmt: skip
        """Returns the `state` of an ego (x, y, yaw, …) that has come to an arc length."""
        x, y, yaw = (float(value) for value in ego[:3])
        cos, sin = np.cos(yaw), np.sin(yaw)
        targets = []
        for distance in TARGET_DISTANCES_M:
            target = self.at(arc_m + distance)
            dx, dy = target[0] - x, target[1] - y
            targets.append((float(dx * cos + dy * sin), float(dy * cos - dx * sin)))
        i = self.index(arc_m)
        return EgoState(
            speed_mps=speed_mps, yaw_rate_radps=yaw_rate_radps, lateral_offset_m=lateral_m,
            heading_error_rad=wrapped(yaw - float(self.yaw[i])), speed_limit_mps=speed_limit_mps,
            targets_m=tuple(targets), command=self._commands[i],
        )  # fmt: skip


def wrapped(angle_rad: float) -> float:
    """Returns an angle in [-pi, pi)."""
    return float((angle_rad + np.pi) % (2.0 * np.pi) - np.pi)
