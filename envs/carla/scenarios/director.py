"""Sets up, triggers and judges the scenarios of an episode."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dreamdrive.driving.actions import DECISION_DT_S, PHYSICS_DT_S
from dreamdrive.envs.carla.events import DrivingEvent
from dreamdrive.envs.carla.scenarios.registry import find_scenario
from dreamdrive.envs.carla.scenarios.scenario import Detour, Priority, Scenario
from dreamdrive.envs.carla.scenarios.stage import Stage, line_of
from dreamdrive.envs.carla.scene import Scene
from dreamdrive.envs.carla.triggers import trigger_arc
from dreamdrive.seeding import numpy_generator

LEAVE_M = 30.0
"""How far the ego must be beyond a scenario before its actors go."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ScenarioOutcome:
    """How a scenario ended.

    Attributes:
        name: Its name in the route file.
        type: The leaderboard's name of its type.
        result: `solved`; `failed`; `unreached` where the ego never came to it; `absent` where the
            server had no room or no actors for it, or the trigger is not on the route.
        cause: What failed it: an infraction, `scenario_timeout`, or how the drive ended.
        start_s: When it was triggered, seconds since the start; None if it was not.
        end_s: When it was over.
    """

    name: str
    type: str
    result: str
    cause: str = ""
    start_s: float | None = None
    end_s: float | None = None


@dataclass(slots=True)
class _Act:
    """A scenario and where it stands."""

    scenario: Scenario
    state: str = "ahead"
    start_s: float | None = None
    outcome: ScenarioOutcome | None = None
    cause: str = ""


class Director:
    """Plays the scenarios of one episode.

    Args:
        stage: What they play on.
        seed: The episode's seed.
        start_frame: Number of the first scene's physics step.
    """

    def __init__(self, stage: Stage, seed: int, start_frame: int) -> None:
        self._stage, self._start_frame = stage, start_frame
        self._acts: list[_Act] = []
        self._absent: list[ScenarioOutcome] = []
        for number, spec in enumerate(stage.route.scenarios):
            kind = find_scenario(spec.type)
            arc = trigger_arc(stage.route, spec)
            if arc is None:
                self._absent.append(
                    ScenarioOutcome(name=spec.name, type=spec.type, result="absent", cause="place")
                )
                continue
            rng = numpy_generator(seed, "scenario", spec.type, number)
            self._acts.append(_Act(kind(stage, spec, arc, rng)))

    @property
    def detours(self) -> list[Detour]:
        """What an expert is told of the scenarios at hand."""
        found = [act.scenario.detour for act in self._acts if act.state in ("set", "playing")]
        return [detour for detour in found if detour is not None]

    @property
    def priorities(self) -> list[Priority]:
        """What an expert is told of others who go first."""
        found = [act.scenario.priority for act in self._acts if act.state == "playing"]
        return [priority for priority in found if priority is not None]

    @property
    def tolerates_oncoming(self) -> bool:
        """Whether a scenario at hand sends the ego into the oncoming lane."""
        return any(
            act.scenario.tolerates_oncoming
            for act in self._acts
            if act.state in ("set", "playing", "passed")
        )

    @property
    def outcomes(self) -> tuple[ScenarioOutcome, ...]:
        """How those that are over ended, in the order of the route."""
        over = [act.outcome for act in self._acts if act.outcome is not None]
        return (*self._absent, *over)

    def disturbed(self, steer: float, acceleration: float) -> tuple[float, float]:
        """Returns the ego's action as the vehicle takes it."""
        for act in self._acts:
            if act.state == "playing":
                steer, acceleration = act.scenario.disturbed(steer, acceleration)
        return steer, acceleration

    def direct(self, scene: Scene, arc_m: float) -> None:
        """Sets up what is near, triggers what is reached, and moves the actors of both.

        Raises:
            ServerError: If the server stops answering.
        """
        commands: list[Any] = []
        for act in self._acts:
            scenario = act.scenario
            if act.state == "ahead" and arc_m >= scenario.trigger_m - scenario.SETUP_M:
                act.state = "set" if scenario.set_up(scene) else "left"
                if act.state == "left":
                    scenario.leave()
                    self._end(act, "absent", "room", scene)
            if act.state == "set" and arc_m >= scenario.trigger_m:
                act.state, act.start_s = "playing", self._time_s(scene)
            if act.state == "set":
                commands += scenario.wait(scene)
            elif act.state in ("playing", "passed"):
                scenario.release()
                commands += scenario.play(scene, arc_m)
        at_hand = [a.scenario.end_m for a in self._acts if a.state in ("set", "playing")]
        if at_hand:
            way = line_of(self._stage.layout, arc_m, max(*at_hand, arc_m) + 10.0)
            self._stage.free_way(scene, way, DECISION_DT_S)
        self._stage.session.send(commands)

    def judge(
        self, scene: Scene, arc_m: float, events: Sequence[DrivingEvent], cause: str
    ) -> list[DrivingEvent]:
        """Returns infractions of the scenarios' own, after a decision.

        Args:
            scene: What the decision led to.
            arc_m: Where the ego is on the route.
            events: Its infractions that every drive is judged by.
            cause: Why the drive is over; empty while it goes on.
        """
        own: list[DrivingEvent] = []
        for act in self._acts:
            scenario = act.scenario
            if act.state == "playing":
                scenario.played_s += DECISION_DT_S
                act.cause = act.cause or next((event.cause for event in events), "")
                own += self._progress(act, scene, arc_m)
            if act.state == "passed" and arc_m >= scenario.end_m + LEAVE_M:
                scenario.leave()
                act.state = "left"
        if cause:
            self._close(cause, scene)
        return own

    def _progress(self, act: _Act, scene: Scene, arc_m: float) -> list[DrivingEvent]:
        scenario, own = act.scenario, []
        fault: tuple[str, str] | None = None
        if arc_m >= scenario.end_m:
            fault = scenario.fault(scene)
            act.state = "passed"
        elif scenario.played_s >= scenario.TIMEOUT_S:
            fault = ("scenario_timeout", scenario.spec.type)
            scenario.leave()
            act.state = "left"
        else:
            return []
        if fault is not None:
            own = [self._event(*fault, scene)]
            act.cause = act.cause or fault[0]
        self._end(act, "failed" if act.cause else "solved", act.cause, scene)
        return own

    def _close(self, cause: str, scene: Scene) -> None:
        """Ends what is not over yet, with the drive."""
        for act in self._acts:
            if act.outcome is None and act.state == "playing":
                is_through = cause == "route_finished" and not act.cause
                result = "solved" if is_through else "failed"
                self._end(act, result, "" if is_through else act.cause or cause, scene)
            elif act.outcome is None:
                self._end(act, "unreached", "", scene)

    def _end(self, act: _Act, result: str, cause: str, scene: Scene) -> None:
        spec = act.scenario.spec
        act.outcome = ScenarioOutcome(
            name=spec.name, type=spec.type, result=result, cause=cause, start_s=act.start_s,
            end_s=None if act.start_s is None else self._time_s(scene),
        )  # fmt: skip

    def _time_s(self, scene: Scene) -> float:
        return round((scene.frame - self._start_frame) * PHYSICS_DT_S, 3)

    def _event(self, cause: str, detail: str, scene: Scene) -> DrivingEvent:
        frame = scene.frame - self._start_frame
        return DrivingEvent(
            cause=cause, frame=frame, time_s=frame * PHYSICS_DT_S, x=scene.ego.x, y=scene.ego.y,
            detail=detail,
        )  # fmt: skip
