"""Others who take the ego's way in a junction, or whose right of way it has to grant.

Types OppositeVehicleRunningRedLight and OppositeVehicleTakingPriority, in which one vehicle does
not yield, and SignalizedJunctionLeftTurn, NonSignalizedJunctionLeftTurn and
NonSignalizedJunctionRightTurn, in which several in a row have the right of way.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from dreamdrive.driving.actions import DECISION_DT_S
from dreamdrive.envs.carla.client import carla
from dreamdrive.envs.carla.scenarios.junction_paths import CrossingPath, crossing_paths
from dreamdrive.envs.carla.scenarios.layout import Layout, Passage
from dreamdrive.envs.carla.scenarios.scenario import Priority, Scenario, eta_s
from dreamdrive.envs.carla.scenarios.specification import ScenarioSpec
from dreamdrive.envs.carla.scenarios.stage import Stage
from dreamdrive.envs.carla.scene import Scene

AHEAD_M = 26.0
"""From the trigger to the junction."""

BACK_M = 45.0
THROUGH_M = 6.0
CROSSES_RAD = 0.8
"""One that comes alone crosses the ego's way at this angle at least, rather than joining it."""

FIRST_M = 20.0
"""Where the first of them stands, before the place where it meets the ego's way."""

START_S = 0.8
"""Time that standing vehicles need more, until they are as fast as they want to be."""

NEAR_M = (5.0, 7.0)
"""From how far before that place until how far behind it a vehicle is in the ego's way."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Meeting:
    """How a type differs from the others.

    Attributes:
        turns: What the route does in the junction.
        light: Whether the junction must have lights, must not, or either (None).
        comes_from: From where the others come.
        count: How many.
        every_m: Distance between them.
    """

    turns: tuple[str, ...]
    light: bool | None
    comes_from: tuple[str, ...]
    count: int
    every_m: float = 0.0


SIDES = ("left", "right")
MEETINGS = {
    "OppositeVehicleRunningRedLight": Meeting(
        turns=("straight",), light=True, comes_from=SIDES, count=1
    ),
    "OppositeVehicleTakingPriority": Meeting(
        turns=("straight",), light=False, comes_from=("opposite", *SIDES), count=1
    ),
    "SignalizedJunctionLeftTurn": Meeting(
        turns=("left",), light=True, comes_from=("opposite",), count=3, every_m=13.0
    ),
    "NonSignalizedJunctionLeftTurn": Meeting(
        turns=("left",), light=False, comes_from=("opposite", *SIDES), count=3, every_m=13.0
    ),
    "NonSignalizedJunctionRightTurn": Meeting(
        turns=("right",), light=False, comes_from=("left",), count=3, every_m=13.0
    ),
}  # fmt: skip


class JunctionMeeting(Scenario):
    """Vehicles enter the junction so as to meet an ego that does not yield."""

    SETUP_M = 40.0

    def __init__(
        self, stage: Stage, spec: ScenarioSpec, trigger_m: float, rng: np.random.Generator
    ) -> None:
        super().__init__(stage, spec, trigger_m, rng)
        self._meeting = MEETINGS[spec.type]
        self._passage = _passage_after(stage.layout, trigger_m)
        if self._passage is not None:
            self.end_m = self._passage.last_m + THROUGH_M
        self._path: CrossingPath | None = None
        self._has_begun = False
        self._spans_s: list[tuple[float, float]] = []
        self._speed_mps = float(rng.uniform(7.0, 9.0))

    @classmethod
    def places(cls, layout: Layout, kind: str) -> list[float]:
        """Returns triggers before junctions where others' ways cross the route's."""
        found = []
        for passage in layout.passages:
            place = passage.first_m - AHEAD_M
            room = layout.route.length_m - passage.last_m
            is_fit = _fits(MEETINGS[kind], passage) and place > 6.0 and room > THROUGH_M + 4.0
            if is_fit and _ways(layout, MEETINGS[kind], passage):
                found.append(place)
        return found

    def set_up(self, scene: Scene) -> bool:
        """Puts the vehicles onto their lane, one behind the other."""
        passage = self._passage
        if passage is None:
            return False
        ways = _ways(self.stage.layout, self._meeting, passage)
        if not ways:
            return False
        self._path = path = ways[int(self.rng.integers(len(ways)))]
        self.stage.clear(scene, path.line)
        entry = self.stage.layout.waypoint(passage.first_m)
        z = float(entry.transform.location.z)
        for i in range(self._meeting.count):
            behind = path.conflict_m - FIRST_M - i * max(self._meeting.every_m, 8.0)
            at = int(np.searchsorted(_arcs(path.line), behind))
            if behind < 0.0 or at >= len(path.line) - 2:
                break
            step = path.line[at + 1] - path.line[at]
            pose = (*path.line[at].tolist(), float(np.arctan2(step[1], step[0])))
            actor = self.stage.vehicle("car", pose, z, self.rng, path.line)
            self.puppets += [] if actor is None else [actor]
        return bool(self.puppets)

    def play(self, scene: Scene, arc_m: float) -> list[Any]:
        """Lets the first arrive with the ego, and the others follow at their distance."""
        path, passage = self._path, self._passage
        assert path is not None
        assert passage is not None
        self._hold_lights(arc_m)
        self._spans_s = []
        if not self.puppets:
            return []
        gap = path.ego_m - arc_m - scene.ego.half_length_m
        arrives_s = eta_s(scene, gap)
        first_m = path.conflict_m - self.puppets[0].track(scene)
        self._has_begun = self._has_begun or first_m / self._speed_mps + START_S >= arrives_s
        if not self._has_begun:
            return [puppet.stand() for puppet in self.puppets]
        commands = []
        for puppet in self.puppets:
            left_m = path.conflict_m - puppet.track(scene)
            if left_m > -NEAR_M[1]:
                enter, leave = left_m - NEAR_M[0], left_m + NEAR_M[1]
                self._spans_s.append((enter / self._speed_mps, leave / self._speed_mps))
            commands.append(puppet.drive(scene, puppet.careful_mps(scene, self._speed_mps)))
        return commands

    @property
    def priority(self) -> Priority | None:
        """Those who are on their way."""
        if self._path is None or not self._spans_s:
            return None
        return Priority(ego_m=self._path.ego_m, spans_s=tuple(self._spans_s))

    def _hold_lights(self, arc_m: float) -> None:
        """Keeps the ego's light green until it is through, and those of the others as they are."""
        passage = self._passage
        if passage is None or not passage.has_light or arc_m > passage.last_m:
            return
        states = carla.TrafficLightState
        facing = states.Green if "opposite" in self._meeting.comes_from else states.Red
        self.stage.set_lights(passage.first_m, own=states.Green, facing=facing, others=states.Red)

    def wait(self, scene: Scene) -> list[Any]:
        """Everybody stands, and the ego's light is green already."""
        self._hold_lights(self.trigger_m)
        return super().wait(scene)

    def leave(self) -> None:
        """Hands the vehicles to the traffic."""
        actors, self.puppets = self.puppets, []
        self.stage.dismiss(actors)


class BlockedIntersection(Scenario):
    """A vehicle stands in the junction, in the ego's way, and goes on after a while."""

    def __init__(
        self, stage: Stage, spec: ScenarioSpec, trigger_m: float, rng: np.random.Generator
    ) -> None:
        super().__init__(stage, spec, trigger_m, rng)
        self._passage = _passage_after(stage.layout, trigger_m)
        self._stands_s = float(rng.uniform(6.0, 10.0))
        self._since_s = 0.0
        if self._passage is not None:
            self.end_m = self._passage.last_m + THROUGH_M

    @classmethod
    def places(cls, layout: Layout, kind: str) -> list[float]:
        """Returns triggers before junctions."""
        return [
            passage.first_m - AHEAD_M
            for passage in layout.passages
            if passage.first_m - AHEAD_M > 6.0
            and layout.route.length_m - passage.last_m > THROUGH_M + 14.0
        ]

    def set_up(self, scene: Scene) -> bool:
        """Puts the vehicle to the end of the ego's way through the junction."""
        passage, layout = self._passage, self.stage.layout
        if passage is None:
            return False
        at = passage.last_m - 1.0
        line = np.array(
            [layout.pose(float(a))[:2] for a in np.arange(at, layout.route.length_m, 1.0)]
        )
        ego_way = np.array(
            [layout.pose(float(a))[:2] for a in np.arange(self.trigger_m, at + 12.0, 1.0)]
        )
        self.stage.clear(scene, ego_way)
        z = float(np.interp(at, layout.route.arc, layout.route.z))
        actor = self.stage.vehicle("car", layout.pose(at), z, self.rng, line)
        self.puppets += [] if actor is None else [actor]
        return actor is not None

    def wait(self, scene: Scene) -> list[Any]:
        """It stands, and the ego's light is green."""
        self._hold_lights(self.trigger_m)
        return super().wait(scene)

    def _hold_lights(self, arc_m: float) -> None:
        passage = self._passage
        if passage is not None and passage.has_light and arc_m <= passage.last_m:
            states = carla.TrafficLightState
            self.stage.set_lights(
                passage.first_m, own=states.Green, facing=states.Red, others=states.Red
            )

    def play(self, scene: Scene, arc_m: float) -> list[Any]:
        """Goes on a while after the ego has come near."""
        passage = self._passage
        assert passage is not None
        self._hold_lights(arc_m)
        if not self.puppets:
            return []
        (actor,) = self.puppets
        near = passage.first_m - arc_m < 14.0
        self._since_s += DECISION_DT_S if near else 0.0
        if self._since_s < self._stands_s:
            return [actor.stand()]
        return [actor.drive(scene, actor.careful_mps(scene, 7.0))]

    def leave(self) -> None:
        """Hands the vehicle to the traffic."""
        actors, self.puppets = self.puppets, []
        self.stage.dismiss(actors)


def _passage_after(layout: Layout, arc_m: float) -> Passage | None:
    return next((p for p in layout.passages if p.first_m > arc_m - 1.0), None)


def _fits(meeting: Meeting, passage: Passage) -> bool:
    is_lit = meeting.light is None or passage.has_light == meeting.light
    return is_lit and passage.turn in meeting.turns and not passage.has_sign


def _ways(layout: Layout, meeting: Meeting, passage: Passage) -> list[CrossingPath]:
    paths = crossing_paths(layout, passage, BACK_M)
    return [
        path
        for path in paths
        if path.comes_from in meeting.comes_from
        and (meeting.count > 1 or abs(path.turned_rad) > CROSSES_RAD)
    ]


def _arcs(line: Any) -> Any:
    return np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
