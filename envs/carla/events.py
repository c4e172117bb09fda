"""What a driver does wrong: contacts, red lights, stop signs and leaving the lanes."""

import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamdrive.driving.actions import PHYSICS_DT_S
from dreamdrive.envs.carla.bev import Boxes
from dreamdrive.envs.carla.scene import Scene

SAME_CONTACT_S = 5.0
SAME_CONTACT_M = 5.0
"""Contacts count as one while the ego is within this of where it had the last one that counted."""

STANDING_MPS = 0.1
STOP_AREA_M = 6.0
OFF_ROAD_M = 0.5
"""How far the ego's centre may be beyond the edge of its lane."""

GROUND = ("static.sidewalk", "static.road", "static.terrain")
"""What wheels touch; the leaderboard takes no kerb for a collision either."""
CONTACT_WAIT_S = 0.05
KEPT_STEPS = 20
"""Physics steps that are remembered for contacts that the client hands over late."""

CONTACT_MARGIN_M = 0.3
HARDEST_BRAKE_MPS2 = 12.0


@dataclass(frozen=True, kw_only=True, slots=True)
class DrivingEvent:
    """One infraction, for the event log.

    Attributes:
        cause: One of `dreamdrive.driving.causes.TERMINATION_CAUSES`.
        frame: Physics steps since the start of the episode.
        time_s: The same in seconds of simulation.
        x: Where the ego was, ISO world axes, metres.
        y: The same, positive to the left of x.
        other: Actor that was hit, or number of the stop line; -1 where there is none.
        detail: Type of the actor that was hit.
    """

    cause: str
    frame: int
    time_s: float
    x: float
    y: float
    other: int = -1
    detail: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class EgoInstant:
    """Where the ego was at a physics step, in ISO world axes, and how fast in any direction."""

    frame: int
    x: float
    y: float
    speed_mps: float


class ContactLog:
    """Collects a collision sensor's messages, which arrive on a thread of the client.

    Beside them it keeps how the ego moved at the physics steps within a decision, since what it did
    just before a contact says whether the contact counts.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._contacts: list[tuple[int, int, str]] = []
        self._moved: list[EgoInstant] = []

    def note_ego(self, instant: EgoInstant) -> None:
        """Takes how the ego moved at a physics step."""
        self._moved.append(instant)

    def take_moved(self) -> list[EgoInstant]:
        """Returns and forgets how the ego moved, in order."""
        moved, self._moved = self._moved, []
        return moved

    def add(self, event: Any) -> None:
        """Takes one message of the sensor."""
        other = event.other_actor
        kind, number = (other.type_id, other.id) if other is not None else ("static", 0)
        if kind in GROUND:
            return
        with self._condition:
            self._contacts.append((event.frame, number, kind))
            self._condition.notify_all()

    def take(self, wait: bool) -> list[tuple[int, int, str]]:
        """Returns and forgets (frame, actor id, type) of contacts so far.

        Args:
            wait: Wait a moment for a message that must be on its way.
        """
        deadline = time.monotonic() + CONTACT_WAIT_S
        with self._condition:
            while wait and not self._contacts and time.monotonic() < deadline:
                self._condition.wait(deadline - time.monotonic())
            contacts, self._contacts = sorted(self._contacts), []
        return contacts


def _instant(scene: Scene) -> EgoInstant:
    ego = scene.ego
    return EgoInstant(frame=scene.frame, x=ego.x, y=ego.y, speed_mps=abs(ego.speed_mps))


def contact_cause(kind: str) -> str:
    """Returns the cause of a contact with an actor of this type."""
    if kind.startswith("vehicle."):
        return "collision_vehicle"
    return "collision_walker" if kind.startswith("walker.") else "collision_static"


class ContactRule:
    """Turns contacts into events, as the leaderboard 2.x counts them.

    A contact counts unless the ego stood in the physics step before it, or is still within 5 m of
    where it had the last one that counted, or touched the same actor in one that counted less than
    5 s ago. One that does not count is forgotten: a vehicle that pushes a standing ego costs
    nothing at first, and a collision as soon as the ego moves under it.

    Reference:
        `CollisionTest` of carla-simulator/scenario_runner d7bcaf0d (leaderboard 2.0 and 2.1) and
        94ff3b8a, and of Bench2Drive; that of the leaderboard 1.0 (b9c342ee) counts a standing ego
        too, and forgets places sooner.
    """

    def __init__(self, log: ContactLog, dt_s: float) -> None:
        self._log = log
        self._dt_s = dt_s
        self._counted: tuple[int, int] | None = None
        """Actor and frame of the last contact that counted; none of a thing, which has no id."""
        self._place: tuple[float, float] | None = None
        self._known: list[EgoInstant] = []

    def check(self, scene: Scene, before: Scene, start_frame: int) -> list[DrivingEvent]:
        """Returns new contacts; waits for the sensor only where a contact is plausible."""
        contacts = deque(self._log.take(wait=self._is_plausible(scene, before)))
        self._known = self._known[-KEPT_STEPS:] or [_instant(before)]
        moved = self._log.take_moved()
        if not moved or moved[-1].frame < scene.frame:
            moved.append(_instant(scene))
        events = []
        for ego in moved:
            while contacts and contacts[0][0] <= ego.frame:
                frame, other, kind = contacts.popleft()
                if not self._counts(self._before(frame), frame, other):
                    continue
                events.append(
                    DrivingEvent(
                        cause=contact_cause(kind), frame=frame - start_frame,
                        time_s=(frame - start_frame) * PHYSICS_DT_S,
                        x=scene.ego.x, y=scene.ego.y, other=other, detail=kind,
                    )
                )  # fmt: skip
            self._leave(ego)
            self._known.append(ego)
        return events

    def _before(self, frame: int) -> EgoInstant:
        """Returns how the ego moved before a physics step, be it that its contact came late."""
        earlier = [ego for ego in self._known if ego.frame < frame]
        return earlier[-1] if earlier else self._known[0]

    def _counts(self, ego: EgoInstant, frame: int, other: int) -> bool:
        """Returns whether a contact counts, given the ego at the step before, and notes it."""
        if self._counted is not None:
            actor, since = self._counted
            if (frame - since) * PHYSICS_DT_S > SAME_CONTACT_S:
                self._counted = None
            elif actor == other:
                return False
        if self._place is not None or ego.speed_mps < STANDING_MPS:
            return False
        self._place = ego.x, ego.y
        if other != 0:
            self._counted = other, frame
        return True

    def _leave(self, ego: EgoInstant) -> None:
        """Forgets the place of the last contact once the ego is far from it."""
        if self._place is not None:
            x, y = self._place
            if np.hypot(ego.x - x, ego.y - y) > SAME_CONTACT_M:
                self._place = None

    def _is_plausible(self, scene: Scene, before: Scene) -> bool:
        lost_mps = abs(before.ego.speed_mps) - abs(scene.ego.speed_mps)
        if lost_mps > HARDEST_BRAKE_MPS2 * self._dt_s:
            return True
        ego = scene.ego.box[0]
        near = np.hypot(scene.boxes[:, 0] - ego[0], scene.boxes[:, 1] - ego[1]) < (
            np.hypot(scene.boxes[:, 3], scene.boxes[:, 4]) + np.hypot(ego[3], ego[4])
        )
        return any(boxes_touch(ego, box, CONTACT_MARGIN_M) for box in scene.boxes[near])


def boxes_touch(a: NDArray[np.float64], b: NDArray[np.float64], margin_m: float = 0.0) -> bool:
    """Returns whether two boxes (x, y, yaw, half length, half width) come within a margin."""
    offset = b[:2] - a[:2]
    for axis_yaw in (a[2], a[2] + np.pi / 2, b[2], b[2] + np.pi / 2):
        axis = np.array([np.cos(axis_yaw), np.sin(axis_yaw)])
        reach = sum(
            box[3] * abs(np.cos(box[2] - axis_yaw)) + box[4] * abs(np.sin(box[2] - axis_yaw))
            for box in (a, b)
        )
        if abs(offset @ axis) > reach + margin_m:
            return False
    return True


class StopLineRule:
    """Says which stop lines the ego's front has just crossed.

    Args:
        lines: Boxes across lanes, with yaw in the direction of travel, shape (n, 5).
    """

    def __init__(self, lines: Boxes) -> None:
        self._lines = lines
        self._cos, self._sin = np.cos(lines[:, 2]), np.sin(lines[:, 2])
        self._ahead: NDArray[np.float64] | None = None
        self._stood = np.zeros(len(lines), bool)
        self._passed = np.zeros(len(lines), bool)

    def crossed(self, scene: Scene) -> NDArray[np.bool_]:
        """Returns a mask of lines crossed since the last call, in their direction; shape (n,)."""
        ego = scene.ego
        front_x = ego.x + ego.half_length_m * np.cos(ego.yaw_rad)
        front_y = ego.y + ego.half_length_m * np.sin(ego.yaw_rad)
        dx, dy = front_x - self._lines[:, 0], front_y - self._lines[:, 1]
        ahead = dx * self._cos + dy * self._sin
        side = np.abs(dy * self._cos - dx * self._sin)
        in_lane = side <= self._lines[:, 4]
        before, self._ahead = self._ahead, ahead
        in_area = in_lane & (ahead <= 0.0) & (ahead > -STOP_AREA_M)
        self._stood &= in_area | (in_lane & (np.abs(ahead) < STOP_AREA_M))
        self._stood |= in_area & (abs(ego.speed_mps) < STANDING_MPS)
        self._passed = in_lane & (ahead >= 0.0) & (ahead < STOP_AREA_M)
        if before is None:
            return np.zeros(len(self._lines), bool)
        return np.asarray((before < 0.0) & self._passed)

    @property
    def stood(self) -> NDArray[np.bool_]:
        """Where the ego has stood in the area before the line, shape (n,)."""
        return self._stood

    @property
    def passed(self) -> NDArray[np.bool_]:
        """Where the ego's front is on the line or just behind it, shape (n,)."""
        return self._passed
