"""How the expert leaves its lane for what scenarios ask of it, and comes back."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dreamdrive.envs.carla.conflicts import Obstacle, arrival_s, junction_gap
from dreamdrive.envs.carla.routes import Route
from dreamdrive.envs.carla.scenarios.scenario import Detour, Priority
from dreamdrive.envs.carla.scene import VEHICLE, Scene

RAMP_M = 14.0
"""Length of the way from the lane to beside it."""

PASS_MPS = 5.0
WAIT_GAP_M = 1.0
LOOK_M = 30.0
"""From how far before a detour on it is looked whether the way is free."""

ONCOMING_MARGIN_M = 8.0
BEHIND_S = 3.0
BESIDE_M = (-9.0, 9.0)
SAME_LANE_M = 1.7
MEET_M, MEET_S = 5.0, 1.0
ENTERED_M = 2.0
"""Whoever is so far in the way already does not stop in it."""


@dataclasses.dataclass(slots=True)
class _Shift:
    """One way beside the lane, as it is driven."""

    first_m: float
    last_m: float
    offset_m: float
    is_oncoming: bool
    is_open: bool = False
    is_over: bool = False


class Evasion:
    """Decides when to leave the lane, and bends the route accordingly."""

    def __init__(self) -> None:
        self._shifts: dict[tuple[float, float], _Shift] = {}

    def path(
        self, detours: Sequence[Detour], scene: Scene, route: Route, arc_m: float
    ) -> tuple[Route, list[Obstacle], float]:
        """Returns the line to drive, where to wait before leaving it, and a limit of the speed.

        Args:
            detours: What scenarios ask for.
            scene: The present scene.
            route: The route.
            arc_m: Where the ego is on it.
        """
        self._update(detours, arc_m)
        waits: list[Obstacle] = []
        limit = np.inf
        offset = np.zeros(len(route.arc))
        for shift in self._shifts.values():
            if not shift.is_open and shift.first_m - RAMP_M - arc_m < LOOK_M:
                is_free = self._is_free(shift, scene, route, arc_m)
                if not is_free:
                    front = arc_m + scene.ego.half_length_m
                    waits.append(
                        Obstacle(
                            gap_m=shift.first_m - RAMP_M - front, speed_mps=0.0, headway_s=0.3,
                            standstill_m=WAIT_GAP_M,
                        )
                    )  # fmt: skip
                    continue
                shift.is_open = arc_m > shift.first_m - RAMP_M - 4.0
            if shift.first_m - RAMP_M - arc_m < LOOK_M:
                offset += shift.offset_m * _ramps(route.arc, shift.first_m, shift.last_m)
                limit = min(limit, _limit(shift, arc_m))
        if not np.any(offset):
            return route, waits, limit
        return _moved(route, offset), waits, limit

    def _update(self, detours: Sequence[Detour], arc_m: float) -> None:
        asked = {}
        for detour in detours:
            key = (detour.first_m, detour.offset_m)
            asked[key] = detour
            if key not in self._shifts:
                first = max(detour.first_m, arc_m + RAMP_M) if detour.is_urgent else detour.first_m
                self._shifts[key] = _Shift(
                    first, max(detour.last_m, first), detour.offset_m, detour.is_oncoming
                )
        for key, shift in self._shifts.items():
            if key not in asked and not shift.is_over:
                shift.is_over = True
                shift.last_m = min(shift.last_m, max(arc_m, shift.first_m))
                if not shift.is_open:
                    shift.offset_m = 0.0
        self._shifts = {
            key: shift for key, shift in self._shifts.items() if arc_m < shift.last_m + RAMP_M
        }

    def _is_free(self, shift: _Shift, scene: Scene, route: Route, arc_m: float) -> bool:
        """Returns whether nobody comes on the way beside the lane while the ego needs it."""
        way = shift.last_m + RAMP_M - arc_m
        needed_s = way / PASS_MPS + (2.0 if scene.ego.speed_mps < 2.0 else 0.0)
        for i in np.flatnonzero(scene.kinds == VEHICLE):
            box, velocity = scene.boxes[i], scene.velocity[i]
            at, left, yaw = _on_route(route, box[:2], arc_m)
            if abs(left - shift.offset_m) > SAME_LANE_M:
                continue
            along = float(velocity[0] * np.cos(yaw) + velocity[1] * np.sin(yaw))
            ahead = at - arc_m
            if shift.is_oncoming:
                faces = np.cos(box[2] - yaw) < 0.0
                reach = max(0.0, -along) * needed_s + ONCOMING_MARGIN_M
                if faces and ahead > -5.0 and at - shift.last_m < reach:
                    return False
                continue
            is_beside = BESIDE_M[0] < ahead < BESIDE_M[1]
            catches_up = ahead < 0.0 and -ahead < (along - scene.ego.speed_mps) * BEHIND_S + 9.0
            if is_beside or catches_up:
                return False
        return True


def yielding(
    priorities: Sequence[Priority], scene: Scene, route: Route, arc_m: float
) -> list[Obstacle]:
    """Returns where to wait for those who go first, if the ego would be there with them.

    That is before the junction where the ways meet, as long as the ego can stop there.
    """
    waits = []
    ego = scene.ego
    for priority in priorities:
        gap = priority.ego_m - MEET_M - arc_m - ego.half_length_m
        if gap < -ENTERED_M:
            continue
        enter_s = arrival_s(ego.speed_mps, gap)
        leave_s = arrival_s(ego.speed_mps, gap + 2.0 * (ego.half_length_m + MEET_M))
        if any(
            first < leave_s + MEET_S and last > enter_s - MEET_S for first, last in priority.spans_s
        ):
            front_m = arc_m + ego.half_length_m
            room = min(gap, junction_gap(route, priority.ego_m, front_m, ego.speed_mps))
            waits.append(
                Obstacle(gap_m=room, speed_mps=0.0, headway_s=0.3, standstill_m=WAIT_GAP_M)
            )
    return waits


def _on_route(route: Route, point: NDArray[np.float64], arc_m: float) -> tuple[float, float, float]:
    """Returns arc length, offset to the left and the route's direction nearest to a point."""
    near = np.flatnonzero(np.abs(route.arc - arc_m) < 90.0)
    gap = route.xy[near] - point
    i = int(near[np.hypot(gap[:, 0], gap[:, 1]).argmin()])
    yaw = float(route.yaw[i])
    dx, dy = point - route.xy[i]
    along = float(dx * np.cos(yaw) + dy * np.sin(yaw))
    return float(route.arc[i]) + along, float(dy * np.cos(yaw) - dx * np.sin(yaw)), yaw


def _ramps(arc: NDArray[np.float64], first_m: float, last_m: float) -> NDArray[np.float64]:
    """Returns 1 between two places, 0 well outside, and smooth ways between; shape (N,)."""
    before = np.clip((arc - first_m + RAMP_M) / RAMP_M, 0.0, 1.0)
    after = np.clip((last_m + RAMP_M - arc) / RAMP_M, 0.0, 1.0)
    part = np.minimum(before, after)
    return np.asarray(3.0 * part**2 - 2.0 * part**3)


def _limit(shift: _Shift, arc_m: float) -> float:
    """Returns the limit of the speed on a way beside the lane, and on the way to it."""
    to_go = shift.first_m - RAMP_M - 2.0 - arc_m
    return float(np.sqrt(PASS_MPS**2 + 2.0 * 1.5 * max(0.0, to_go)))


def _moved(route: Route, offset: NDArray[np.float64]) -> Route:
    """Returns the route moved to its left by an offset at each point."""
    normal = np.stack([-np.sin(route.yaw), np.cos(route.yaw)], 1)
    turn = np.arctan(np.gradient(offset, route.arc))
    return dataclasses.replace(route, xy=route.xy + offset[:, None] * normal, yaw=route.yaw + turn)
