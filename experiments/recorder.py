"""Sums up a drive as it goes, and writes its event log."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dreamdrive.driving.actions import DECISION_DT_S
from dreamdrive.driving.causes import is_collision
from dreamdrive.driving.state import STATE_INDEX
from dreamdrive.experiments.drives import SIM_ERROR, DriveEvent, DriveResult, ScenarioResult
from dreamdrive.experiments.event_log import SIGHT_M, UNWATCHED, WITH_SCENARIOS, LogEvent
from dreamdrive.experiments.log_writer import LogWriter
from dreamdrive.experiments.scores import score
from dreamdrive.experiments.video import Caption

if TYPE_CHECKING:
    from dreamdrive.envs.carla.routes import Route
    from dreamdrive.envs.carla.scene import Scene

POINT_EVERY = 2
"""Of a route's points, which are a metre apart, the log holds every second."""


Lane = tuple[int, int, float]
"""Number of the road, number of the lane on it, and direction of its traffic in radians."""


class Recorder:
    """What happens in one drive.

    Args:
        blank: The result with all that is known before the drive.
        length_m: Length of the route.
        observation: The first observation.
        scene: The first scene.
        writer: Where the event log goes; None keeps none.
        lane_at: Tells the driving lane nearest to x, y; None where there is none.
    """

    def __init__(
        self,
        blank: DriveResult,
        length_m: float,
        observation: dict[str, Any],
        scene: "Scene",
        writer: LogWriter | None,
        lane_at: Callable[[float, float], Lane | None],
    ) -> None:
        self.blank, self.length_m, self.writer = blank, length_m, writer
        self._lane_at = lane_at
        self.decisions = 0
        self._speed_sum = self._outside_m = self._outside_route_m = 0.0
        self._speed = float(observation["state"][STATE_INDEX["speed"]])
        self._events: list[DriveEvent] = []
        self._info: dict[str, Any] = {"cause": "", "progress_m": 0.0, "scenarios": ()}
        self._numbers: dict[int, int] = {}
        if writer is not None:
            writer.tick(self._row(0.0, observation, scene, 0.0, 0.0, None))

    def add(
        self, observation: dict[str, Any], info: dict[str, Any], scene: "Scene", action: Any
    ) -> None:
        """Takes what a decision led to."""
        self.decisions += 1
        self._info = info
        self._speed = float(observation["state"][STATE_INDEX["speed"]])
        self._speed_sum += abs(self._speed)
        if info["outside_m"] > self._outside_m:
            self._outside_route_m += info["progress_gained_m"]
        self._outside_m = info["outside_m"]
        for event in info["events"]:
            place = {"x": round(event["x"], 3), "y": round(event["y"], 3)}
            told = {"cause": event["cause"], "time_s": round(event["time_s"], 3), **place}
            self._events.append(DriveEvent(**told, detail=event["detail"]))
            if self.writer is not None:
                other = int(event["other"])
                if is_collision(event["cause"]) and other > 0:
                    other = self._number(other)
                more = {"other": other, "detail": event["detail"]}
                self.writer.event(LogEvent(**told, **more))
        if self.writer is not None and info["cause"] != SIM_ERROR:
            time_s = self.decisions * DECISION_DT_S
            row = self._row(
                time_s, observation, scene, info["progress_m"], info["outside_m"], action
            )
            self.writer.tick(row)

    def caption(self, action: Any) -> Caption:
        """Returns what a film says of the present moment."""
        return Caption(
            policy=self.blank.policy, route=f"{self.blank.route}, seed {self.blank.key[1]}",
            time_s=self.decisions * DECISION_DT_S, speed_mps=self._speed,
            progress=self._info["progress_m"] / self.length_m,
            score=score(self.result(0.0)).driving_score,
            action=(float(action[0]), float(action[1])),
            events=[(event.time_s, event.cause) for event in self._events],
            cause=self._info["cause"],
        )  # fmt: skip

    def result(self, thought_s: float, cause: str = "", fault: str = "") -> DriveResult:
        """Returns what the drive came to.

        Args:
            thought_s: Wall time that the policy took for all decisions.
            cause: Why it ended, where the environment does not say.
            fault: What the policy did to end it.
        """
        cause, decisions = cause or self._info["cause"], max(1, self.decisions)
        return replace(
            self.blank,
            length_m=round(self.length_m, 3), progress_m=round(self._info["progress_m"], 3),
            outside_m=round(self._outside_m, 3), outside_route_m=round(self._outside_route_m, 3),
            cause=cause, events=tuple(self._events), decisions=self.decisions,
            time_s=round(self.decisions * DECISION_DT_S, 3),
            mean_speed_mps=round(self._speed_sum / decisions, 4),
            ms_per_decision=round(1000.0 * thought_s / decisions, 4),
            sim_errors=(str(self._info["sim_error"]),) if cause == SIM_ERROR else (),
            scenarios=tuple(ScenarioResult(**told) for told in self._info["scenarios"]),
            policy_fault=fault,
        )  # fmt: skip

    def _number(self, actor: int) -> int:
        """Returns an actor's number in the log, from 1 in the order in which they were seen.

        The server's own ids go on counting from drive to drive, so that they depend on what was
        driven before.
        """
        return self._numbers.setdefault(actor, len(self._numbers) + 1)

    def _row(
        self, time_s: float, observation: dict[str, Any], scene: "Scene", progress_m: float,
        outside_m: float, action: Any,
    ) -> list[Any]:  # fmt: skip
        """Returns one row of the log, in the order of its columns."""
        from dreamdrive.envs.carla.scene import VEHICLE

        ego, state = scene.ego, observation["state"]
        ahead, left = ego.acceleration_mps2 or (None, None)
        speed = np.hypot(scene.velocity[:, 0], scene.velocity[:, 1])
        is_vehicle = scene.kinds == VEHICLE
        traffic = round(float(speed[is_vehicle].mean()), 3) if is_vehicle.any() else None
        near = np.hypot(scene.boxes[:, 0] - ego.x, scene.boxes[:, 1] - ego.y) < SIGHT_M
        numbers = [self._number(int(actor)) for actor in scene.ids]
        road, lane, lane_yaw = self._lane_at(ego.x, ego.y) or (None, None, None)
        actors = np.column_stack(
            [numbers, scene.kinds, scene.boxes[:, :3], scene.velocity, scene.boxes[:, 3:]]
        )[near]
        return [
            round(time_s, 3), round(progress_m, 3), round(outside_m, 3), round(ego.x, 3),
            round(ego.y, 3), round(ego.yaw_rad, 4), round(ego.speed_mps, 4),
            round(ego.yaw_rate_radps, 4), _rounded(ahead), _rounded(left),
            round(float(state[STATE_INDEX["lateral_offset"]]), 3),
            round(float(state[STATE_INDEX["speed_limit"]]), 3), traffic,
            None if action is None else round(float(action[0]), 4),
            None if action is None else round(float(action[1]), 4),
            road, lane, _rounded(lane_yaw),
            actors.round(3).tolist(),
        ]  # fmt: skip


def log_start(blank: DriveResult, route: "Route", scene: "Scene") -> dict[str, Any]:
    """Returns what the first line of a log says, beside its schema and columns."""
    points = np.concatenate([route.xy[:-1:POINT_EVERY], route.xy[-1:]])
    junction = np.flatnonzero(route.in_junction)
    return {
        "unwatched": WITH_SCENARIOS if route.scenarios else UNWATCHED,
        "policy": blank.policy, "town": blank.town, "route": blank.route, "seed": blank.seed,
        "repetition": blank.repetition,
        "length_m": round(route.length_m, 3), "points": points.round(1).tolist(),
        "first_junction_m": round(float(route.arc[junction[0]]), 1) if len(junction) else None,
        "tick_s": DECISION_DT_S,
        "ego_half_length_m": round(scene.ego.half_length_m, 3),
        "ego_half_width_m": round(scene.ego.half_width_m, 3),
    }  # fmt: skip


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
