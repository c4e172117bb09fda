"""One drive along one route: what has happened, whether it is over, and why."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dreamdrive.driving.actions import DECISION_DT_S, PHYSICS_DT_S
from dreamdrive.driving.causes import TERMINATION_CAUSES
from dreamdrive.envs.carla.events import (
    OFF_ROAD_M,
    STANDING_MPS,
    ContactLog,
    ContactRule,
    DrivingEvent,
    StopLineRule,
)
from dreamdrive.envs.carla.routes import Route
from dreamdrive.envs.carla.scene import Scene
from dreamdrive.envs.carla.town_map import TownMap
from dreamdrive.envs.carla.tracker import RoutePosition, RouteTracker

FINISH_M = 2.0
EVALUATION_DEVIATION_M = 30.0


@dataclass(frozen=True, kw_only=True, slots=True)
class EpisodeRules:
    """When a drive is over.

    Attributes:
        infractions_end_episode: Whether the first infraction ends it. If not, infractions are
            events, as the leaderboard counts them, and only a route deviation terminates.
        deviation_m: Offset from the route that counts as leaving it; by default 5 m, and 30 m
            where infractions do not end the episode.
        blocked_s: Time below 0.1 m/s after which the drive is truncated.
        max_steps: Decisions after which the drive is truncated.
    """

    infractions_end_episode: bool = True
    deviation_m: float | None = None
    blocked_s: float = 60.0
    max_steps: int = 1000

    @property
    def deviation_limit_m(self) -> float:
        """The offset that counts as leaving the route."""
        if self.deviation_m is not None:
            return self.deviation_m
        return 5.0 if self.infractions_end_episode else EVALUATION_DEVIATION_M


@dataclass(frozen=True, kw_only=True, slots=True)
class DecisionOutcome:
    """What one decision led to.

    Attributes:
        position: Where the ego is on its route.
        progress_m: Arc length gained.
        events: What was done wrong in this decision.
        is_outside: Whether the ego's centre has left its lanes, or drives against traffic.
        cause: Why the drive is over; empty while it goes on.
        terminated: Whether the cause is the driver's own fault.
        truncated: Whether it is not.
    """

    position: RoutePosition
    progress_m: float
    events: tuple[DrivingEvent, ...]
    is_outside: bool
    cause: str
    terminated: bool
    truncated: bool


class Drive:
    """Judges a drive, decision by decision.

    Args:
        route: The route to follow.
        town: The map with its stop lines.
        contacts: Where the collision sensor writes.
        rules: When it is over.
        scene: The scene at the start.

    Attributes:
        tolerates_oncoming: Whether the oncoming lane counts as inside now, as it does where a
            scenario leaves no other way.
    """

    def __init__(
        self, route: Route, town: TownMap, contacts: ContactLog, rules: EpisodeRules, scene: Scene
    ) -> None:
        self.route, self.rules = route, rules
        self.tracker = RouteTracker(route)
        self.position = self.tracker.update(scene.ego)
        self.num_decisions = 0
        self.outside_m = 0.0
        self.tolerates_oncoming = False
        self._town = town
        self._contact_rule = ContactRule(contacts, DECISION_DT_S)
        self._lights = StopLineRule(town.light_lines.boxes)
        self._signs = StopLineRule(town.sign_lines)
        self._lights.crossed(scene)
        self._signs.crossed(scene)
        self._was_red = town.red_only()
        self._was_outside = False
        self._standing = 0
        self._start_frame = scene.frame
        self._scene = scene

    @property
    def binding_signs(self) -> NDArray[np.bool_]:
        """Stop signs that the ego neither stood at nor passed, as a mask of the town's sign lines.

        One that was run binds no longer: before it, standing would help nobody.
        """
        return ~(self._signs.stood | self._signs.passed)

    def advance(self, scene: Scene) -> DecisionOutcome:
        """Returns the outcome of the decision that led to `scene`."""
        self.num_decisions += 1
        before, self._scene = self._scene, scene
        last_m = self.position.arc_m
        self.position = self.tracker.update(scene.ego)
        progress_m = self.position.arc_m - last_m
        standing = abs(scene.ego.speed_mps) < STANDING_MPS
        self._standing = self._standing + 1 if standing else 0
        events = self._contact_rule.check(scene, before, self._start_frame)
        events += self._line_events(scene)
        is_outside = self._is_outside(scene)
        if is_outside:
            moved = np.hypot(scene.ego.x - before.ego.x, scene.ego.y - before.ego.y)
            self.outside_m += float(moved)
            if not self._was_outside:
                events.append(self._event("off_road", scene))
        self._was_outside = is_outside
        if abs(self.position.lateral_m) > self.rules.deviation_limit_m:
            events.append(self._event("route_deviation", scene))
        cause = self._cause(events)
        terminated = cause in TERMINATION_CAUSES
        return DecisionOutcome(
            position=self.position,
            progress_m=progress_m,
            events=tuple(events),
            is_outside=is_outside,
            cause=cause,
            terminated=terminated,
            truncated=bool(cause) and not terminated,
        )

    def _cause(self, events: list[DrivingEvent]) -> str:
        found = {event.cause for event in events}
        if not self.rules.infractions_end_episode:
            found &= {"route_deviation"}
        for cause in TERMINATION_CAUSES:
            if cause in found:
                return cause
        if self.position.arc_m >= self.route.length_m - FINISH_M:
            return "route_finished"
        if self._standing * DECISION_DT_S >= self.rules.blocked_s:
            return "blocked"
        return "time_limit" if self.num_decisions >= self.rules.max_steps else ""

    def _line_events(self, scene: Scene) -> list[DrivingEvent]:
        """Returns red lights and stop signs passed in this decision.

        A light counts as red if it was red already at the decision before.
        """
        events = []
        is_red = self._town.red_only()
        for line in np.flatnonzero(self._lights.crossed(scene) & is_red & self._was_red):
            events.append(self._event("red_light", scene, int(line)))
        self._was_red = is_red
        for line in np.flatnonzero(self._signs.crossed(scene) & ~self._signs.stood):
            events.append(self._event("stop_sign", scene, int(line)))
        return events

    def _is_outside(self, scene: Scene) -> bool:
        """Returns whether the ego left the driving lanes or is in an oncoming one."""
        ego, width = scene.ego, self.route.lane_width[self.position.index]
        if abs(self.position.lateral_m) <= width / 2:
            return False
        if self._town.lane_departure_m(ego.x, ego.y) > OFF_ROAD_M:
            return True
        if self.tolerates_oncoming:
            return False
        route_yaw = float(self.route.yaw[self.position.index])
        return self._town.is_against_traffic(ego.x, ego.y, route_yaw)

    def _event(self, cause: str, scene: Scene, other: int = -1) -> DrivingEvent:
        frame = scene.frame - self._start_frame
        return DrivingEvent(
            cause=cause, frame=frame, time_s=frame * PHYSICS_DT_S,
            x=scene.ego.x, y=scene.ego.y, other=other,
        )  # fmt: skip
