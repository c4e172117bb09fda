"""Who is in the way: others projected on the route ahead, now and over the next seconds."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dreamdrive.driving.actions import PHYSICS_DT_S
from dreamdrive.envs.carla.routes import Route
from dreamdrive.envs.carla.scene import VEHICLE, EgoPose, Scene

AHEAD_M = 50.0
SIDE_MARGIN_M = 0.3
WALKER_MARGIN_M = 0.7
WALKER_STANDSTILL_M = 2.5
CROSSING_STANDSTILL_M = 2.0
FORECAST_S = np.arange(0.5, 4.01, 0.25)
TIME_MARGIN_S = 1.5
MOVING_MPS = 0.5
ENTRY_BRAKE_MPS2 = 3.0
JOIN_S, ON_ROUTE_M = 2.5, 1.5
REMEMBERED_S = 0.4
PULLING_OUT_MPS, PULLING_OUT_M = 0.3, 2.0
"""Vehicles beside the road that are faster, and no further from the corridor, come onto it."""

CROSSING_COS = 0.9
"""Others whose heading is within 26 degrees of the route's are followed, not yielded to."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Obstacle:
    """Something ahead on the route.

    Attributes:
        gap_m: From the ego's front to it.
        speed_mps: Its speed along the route, at least 0.
        headway_s: Time gap to keep.
        standstill_m: Gap to keep when standing.
    """

    gap_m: float
    speed_mps: float
    headway_s: float
    standstill_m: float


Yields = dict[int, tuple[float, float]]
"""By actor: the arc length before which the ego yielded to it, and when it last had to."""


class Corridor:
    """The strip of road that the ego is about to use.

    Args:
        route: The route.
        arc_m: Where the ego is on it.
        ego: The ego.
        departure_m: How far a point, x and y, is outside of all driving lanes.
        memory: Whom the ego yielded to and where, kept from decision to decision; a forecast that
            flickers with another's steering would make it brake and go on by turns.
    """

    def __init__(
        self, route: Route, arc_m: float, ego: EgoPose,
        departure_m: Callable[[float, float], float], memory: Yields,
    ) -> None:  # fmt: skip
        first, end = np.searchsorted(route.arc, [arc_m - 1.0, arc_m + AHEAD_M])
        self._route = route
        self._xy = route.xy[first:end]
        self._yaw = route.yaw[first:end]
        self._arc = route.arc[first:end]
        self._in_junction = route.in_junction[first:end]
        self._front_m = arc_m + ego.half_length_m
        self._ego = ego
        self._departure_m = departure_m
        self._memory = memory

    def obstacles(self, scene: Scene, *, headway_s: float, standstill_m: float) -> list[Obstacle]:
        """Returns vehicles and walkers that stand, drive or will cross in the corridor."""
        near = np.hypot(scene.boxes[:, 0] - self._ego.x, scene.boxes[:, 1] - self._ego.y)
        found: list[Obstacle] = []
        for i in np.flatnonzero(near < AHEAD_M + 15.0):
            is_vehicle = bool(scene.kinds[i] == VEHICLE)
            present = self._present(scene, int(i), is_vehicle)
            if present is None and is_vehicle:
                present = self._pulling_out(scene, int(i))
            if present is not None:
                gap, speed = present
                keep = standstill_m if is_vehicle else WALKER_STANDSTILL_M
                found.append(
                    Obstacle(gap_m=gap, speed_mps=speed, headway_s=headway_s, standstill_m=keep)
                )
                continue
            conflict = self._conflict(scene, int(i), is_vehicle)
            if is_vehicle:
                conflict = self._remembered(scene, int(i), conflict)
            if conflict is not None:
                gap, speed = conflict
                found.append(
                    Obstacle(
                        gap_m=gap, speed_mps=speed, headway_s=0.5,
                        standstill_m=CROSSING_STANDSTILL_M,
                    )
                )  # fmt: skip
        return found

    def _present(self, scene: Scene, i: int, is_vehicle: bool) -> tuple[float, float] | None:
        """Returns the gap to an actor that is in the corridor now, and its speed along it."""
        points = _footprint(scene.boxes[i])
        index, side = self._project(points)
        margin = SIDE_MARGIN_M if is_vehicle else WALKER_MARGIN_M
        inside = side < self._ego.half_width_m + margin
        center, _ = self._project(scene.boxes[i, None, :2])
        if not inside.any() or self._arc[center[0]] < self._front_m - 1.5:
            return None
        at = int(index[inside].min())
        tangent = np.array([np.cos(self._yaw[at]), np.sin(self._yaw[at])])
        speed = max(0.0, float(scene.velocity[i] @ tangent))
        return float(self._arc[at]) - self._front_m, speed

    def _pulling_out(self, scene: Scene, i: int) -> tuple[float, float] | None:
        """Returns gap and speed along the corridor of a vehicle that drives beside the road.

        Whoever drives there in the ego's direction is about to come onto it, and cannot be trusted
        to wait: it is followed as if it were in front already.
        """
        box = scene.boxes[i]
        if np.hypot(*scene.velocity[i]) < PULLING_OUT_MPS:
            return None
        (at,), (side,) = self._project(box[None, :2])
        yaw = self._yaw[at]
        if (
            side > self._ego.half_width_m + box[4] + PULLING_OUT_M
            or not 0 < at < len(self._arc) - 1
        ):
            return None
        gap = float(self._arc[at]) - box[3] - self._front_m
        if gap < -1.0 or np.cos(box[2] - yaw) < CROSSING_COS:
            return None
        if self._departure_m(float(box[0]), float(box[1])) == 0.0:
            return None
        tangent = np.array([np.cos(yaw), np.sin(yaw)])
        return gap, max(0.0, float(scene.velocity[i] @ tangent))

    def _conflict(self, scene: Scene, i: int, is_vehicle: bool) -> tuple[float, float] | None:
        """Returns gap and speed of who will cross the corridor, or join it, as the ego arrives.

        Whoever crosses, or a walker, is waited for where the ways meet, vehicles in junctions only
        and before the junction if the ego can stop there; who joins is followed, if it comes first.
        """
        box, velocity = scene.boxes[i], scene.velocity[i]
        if np.hypot(*velocity) < (MOVING_MPS if is_vehicle else 0.2):
            return None
        centers, headings = _forecast(box, velocity, float(scene.yaw_rate[i]))
        reach = box[3] * 0.8
        tips = reach * np.stack([np.cos(headings), np.sin(headings)], 1)
        index, side = self._project(np.concatenate([centers + tips, centers, centers - tips]))
        times = np.tile(FORECAST_S, 3)
        margin = box[4] + (SIDE_MARGIN_M if is_vehicle else WALKER_MARGIN_M)
        inside = (side < self._ego.half_width_m + margin) & (index > 0)
        inside &= index < len(self._arc) - 1
        if is_vehicle:
            inside &= self._in_junction[index]
            along = np.cos(np.tile(headings, 3) - self._yaw[index]) >= CROSSING_COS
            joins = inside & along & (times <= JOIN_S) & (side < self._ego.half_width_m + box[4])
            inside &= ~along
            if not inside.any():
                return self._joining(scene, i, index, times, joins)
        if not inside.any():
            return None
        crossing_m = float(self._arc[index[inside]].min()) - (box[4] if is_vehicle else 0.0)
        gap = crossing_m - self._front_m
        t = times[inside]
        if gap < -1.0 or not self._meets(gap, float(t.min()), float(t.max())):
            return None
        if is_vehicle:
            gap = min(
                gap, junction_gap(self._route, crossing_m, self._front_m, self._ego.speed_mps)
            )
        return gap, 0.0

    def _remembered(
        self, scene: Scene, i: int, conflict: tuple[float, float] | None
    ) -> tuple[float, float] | None:
        """Returns the conflict, or for a moment after it the one that there was with a vehicle."""
        actor = int(scene.ids[i])
        if conflict is not None:
            if conflict[1] == 0.0:
                self._memory[actor] = (conflict[0] + self._front_m, scene.time_s)
            return conflict
        at_m, seen_s = self._memory.get(actor, (0.0, -np.inf))
        # The clock runs on over episodes: what it rounds to must not decide.
        if scene.time_s - seen_s > REMEMBERED_S + PHYSICS_DT_S / 2 or at_m - self._front_m < -1.0:
            return None
        return at_m - self._front_m, 0.0

    def _joining(
        self, scene: Scene, i: int, index: NDArray[np.intp], times: NDArray[np.float64],
        joins: NDArray[np.bool_],
    ) -> tuple[float, float] | None:  # fmt: skip
        """Returns gap and speed of a vehicle that comes onto the ego's way before the ego."""
        box = scene.boxes[i]
        if not joins.any() or self._is_on_route(box):
            return None
        first = int(np.flatnonzero(joins)[times[joins].argmin()])
        rear_m = float(self._arc[index[joins]].min())
        if times[first] > arrival_s(self._ego.speed_mps, rear_m - self._front_m) + 0.5:
            return None
        yaw = self._yaw[index[first]]
        speed = float(scene.velocity[i] @ np.array([np.cos(yaw), np.sin(yaw)]))
        return max(rear_m - self._front_m, 0.1), max(0.0, speed)

    def _meets(self, gap_m: float, first_s: float, last_s: float) -> bool:
        """Returns whether the ego would be somewhere while another is there."""
        enter_s = arrival_s(self._ego.speed_mps, gap_m)
        leave_s = arrival_s(self._ego.speed_mps, gap_m + 2.0 * self._ego.half_length_m + 3.0)
        return first_s <= leave_s + TIME_MARGIN_S and last_s + TIME_MARGIN_S >= enter_s

    def _is_on_route(self, box: NDArray[np.float64]) -> bool:
        """Returns whether a vehicle drives on the ego's own way, behind it for example."""
        gap = self._route.xy - box[:2]
        at = int((gap**2).sum(1).argmin())
        return bool(np.hypot(*gap[at]) < ON_ROUTE_M)

    def _project(self, points: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Returns the nearest corridor point of each point and its distance to the line."""
        offset = points[:, None] - self._xy[None]
        index = (offset**2).sum(-1).argmin(1)
        chosen = offset[np.arange(len(points)), index]
        yaw = self._yaw[index]
        side = np.abs(chosen[:, 1] * np.cos(yaw) - chosen[:, 0] * np.sin(yaw))
        along = np.abs(chosen[:, 0] * np.cos(yaw) + chosen[:, 1] * np.sin(yaw))
        return index, np.where(along > 1.0, np.hypot(side, along), side)


def junction_gap(route: Route, at_m: float, front_m: float, speed_mps: float) -> float:
    """Returns the gap to where the junction around a place begins, before which to wait.

    Inside, the ego would stand in the way of whom it yields to, and both would wait for ever.
    Infinite if the ego is inside already, or can no longer stop before it.

    Args:
        route: The route.
        at_m: The place, an arc length.
        front_m: Arc length of the ego's front.
        speed_mps: The ego's speed.
    """
    at = int(np.searchsorted(route.arc, at_m))
    outside = np.flatnonzero(~route.in_junction[: at + 1])
    if not len(outside):
        return float("inf")
    gap = float(route.arc[outside[-1]]) - front_m
    can_stop = speed_mps**2 <= 2.0 * ENTRY_BRAKE_MPS2 * gap
    return gap if can_stop else float("inf")


def arrival_s(speed_mps: float, distance_m: float) -> float:
    """Returns when a front is at a distance if it accelerates gently up to 8 m/s."""
    speed, limit, gain = max(speed_mps, 0.0), 8.0, 1.5
    distance = max(0.0, distance_m)
    if speed >= limit:
        return distance / speed
    ramp_s = (limit - speed) / gain
    ramp_m = (speed + limit) / 2 * ramp_s
    if distance >= ramp_m:
        return ramp_s + (distance - ramp_m) / limit
    return float((np.sqrt(speed**2 + 2 * gain * distance) - speed) / gain)


def _footprint(box: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns nine points of a box, shape (9, 2)."""
    forward = np.array([np.cos(box[2]), np.sin(box[2])]) * box[3]
    left = np.array([-np.sin(box[2]), np.cos(box[2])]) * box[4]
    return np.stack([box[:2] + a * forward + b * left for a in (-1, 0, 1) for b in (-1, 0, 1)])


def _forecast(
    box: NDArray[np.float64], velocity: NDArray[np.float64], yaw_rate: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns centers (t, 2) and headings (t,) at constant speed and yaw rate."""
    t = FORECAST_S
    course = np.arctan2(velocity[1], velocity[0])
    turned = yaw_rate * t
    chord = np.hypot(*velocity) * t * np.sinc(turned / 2 / np.pi)
    angle = course + turned / 2
    centers = box[:2] + np.stack([chord * np.cos(angle), chord * np.sin(angle)], 1)
    return centers, box[2] + turned
