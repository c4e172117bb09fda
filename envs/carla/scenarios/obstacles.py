"""Something that stands in the ego's lane and has to be passed.

Types Accident, ParkedObstacle and ConstructionObstacle, beside which there is a lane of the same
direction, and AccidentTwoWays, ParkedObstacleTwoWays and ConstructionObstacleTwoWays, beside which
there is only the oncoming one, with traffic.
"""

from typing import Any

import numpy as np

from dreamdrive.envs.carla.scenarios.layout import Layout, path_of
from dreamdrive.envs.carla.scenarios.scenario import Detour, Scenario
from dreamdrive.envs.carla.scenarios.specification import ScenarioSpec
from dreamdrive.envs.carla.scenarios.stage import Stage, iso_of, line_of, pose_beside
from dreamdrive.envs.carla.scene import Scene

AHEAD_M = 28.0
LENGTHS_M = {"Accident": 14.0, "ParkedObstacle": 6.0, "ConstructionObstacle": 8.0}
BEHIND_M = 16.0
SIDE_M = 3.2
"""How far to the side of its lane's middle the ego has to be."""

ONCOMING = 2
ONCOMING_EVERY_M = 14.0
ONCOMING_MPS = 7.0
BARRIER = ("static.prop.streetbarrier", "static.prop.*barrier*", "static.prop.trafficwarning")
CONE = ("static.prop.trafficcone01", "static.prop.*cone*")


class StandingObstacle(Scenario):
    """Vehicles or things stand in the lane; the way past them is to the left."""

    def __init__(
        self, stage: Stage, spec: ScenarioSpec, trigger_m: float, rng: np.random.Generator
    ) -> None:
        super().__init__(stage, spec, trigger_m, rng)
        self._two_ways = spec.type.endswith("TwoWays")
        self._what = spec.type.removesuffix("TwoWays")
        self._first_m = trigger_m + spec.number("distance", AHEAD_M)
        self._last_m = self._first_m + LENGTHS_M[self._what]
        self.end_m = self._last_m + BEHIND_M - 2.0
        self._side_m = SIDE_M
        self._oncoming: list[Any] = []

    @classmethod
    def places(cls, layout: Layout, kind: str) -> list[float]:
        """Returns triggers on stretches with room to leave the lane and to come back."""
        length = LENGTHS_M[kind.removesuffix("TwoWays")]
        found = []
        for arc in layout.along(AHEAD_M + length + BEHIND_M, step_m=2.0):
            first, last = arc + AHEAD_M, arc + AHEAD_M + length
            if layout.bend_rad(first - 12.0, last + 12.0) > 0.35:
                continue
            spots = (first - 8.0, first, last, last + 8.0)
            if kind.endswith("TwoWays"):
                is_fit = all(layout.oncoming(s) is not None for s in spots)
                is_fit &= layout.beside(first, "right") is None
            else:
                is_fit = all(layout.beside(s, "left") is not None for s in spots)
            if is_fit:
                found.append(arc)
        return found

    @property
    def detour(self) -> Detour:
        """The way past it."""
        return Detour(
            first_m=self._first_m - 3.0, last_m=self._last_m + 3.0, offset_m=self._side_m,
            is_oncoming=self._two_ways,
        )  # fmt: skip

    @property
    def tolerates_oncoming(self) -> bool:
        """The oncoming lane is the only way past."""
        return self._two_ways

    def set_up(self, scene: Scene) -> bool:
        """Puts up what stands in the way, and the oncoming traffic."""
        stage, layout = self.stage, self.stage.layout
        stage.clear(scene, line_of(layout, self.trigger_m - 20.0, self._last_m + 25.0))
        lane = (
            layout.oncoming(self._first_m)
            if self._two_ways
            else layout.beside(self._first_m, "left")
        )
        if lane is None:
            return False
        here, (x, y, _) = layout.pose(self._first_m), iso_of(lane)
        self._side_m = float(np.hypot(x - here[0], y - here[1]))
        z = float(np.interp(self._first_m, stage.route.arc, stage.route.z))
        is_there = self._put_up(z)
        if self._two_ways and is_there:
            self._send_oncoming(scene, z)
        return is_there

    def _put_up(self, z: float) -> bool:
        stage, layout, rng = self.stage, self.stage.layout, self.rng
        if self._what == "ConstructionObstacle":
            for kinds, at, left in (
                (BARRIER, 0.5, 0.0), (CONE, 2.0, 1.0), (CONE, 4.5, 1.0), (CONE, 7.0, 0.6),
                (BARRIER, 7.5, -0.4),
            ):  # fmt: skip
                x, y, yaw = pose_beside(layout.pose(self._first_m + at), left)
                across = yaw + (np.pi / 2 if kinds is BARRIER else 0.0)
                thing = stage.prop(kinds, (x, y, across), z)
                self.things += [] if thing is None else [thing]
            return bool(self.things)
        parts = [("police", 2.5, 0.0, 0.0), ("car", 11.0, -0.3, 0.25)]
        if self._what == "ParkedObstacle":
            parts = [("car", 3.0, -0.4, 0.0)]
        for kind, at, left, turned in parts:
            x, y, yaw = pose_beside(layout.pose(self._first_m + at), left)
            actor = stage.vehicle(kind, (x, y, yaw + turned * rng.uniform(-1.0, 1.0)), z, rng)
            self.puppets += [] if actor is None else [actor]
        return bool(self.puppets)

    def _send_oncoming(self, scene: Scene, z: float) -> None:
        """Puts vehicles onto the oncoming lane beyond the obstacle; they drive past the ego."""
        layout, rng = self.stage.layout, self.rng
        for i in range(ONCOMING):
            at = self._last_m + 10.0 + i * (ONCOMING_EVERY_M + float(rng.uniform(0.0, 4.0)))
            if at > self.stage.route.length_m:
                break
            lane = layout.oncoming(at)
            if lane is None:
                break
            line = path_of([lane, *lane.next_until_lane_end(1.0)])
            self.stage.clear(scene, line)
            actor = self.stage.vehicle("car", iso_of(lane), z, rng, line)
            self._oncoming += [] if actor is None else [actor]

    def wait(self, scene: Scene) -> list[Any]:
        """Everything stands."""
        return [puppet.stand() for puppet in (*self.puppets, *self._oncoming)]

    def play(self, scene: Scene, arc_m: float) -> list[Any]:
        """What is in the way stands; what comes towards the ego drives by, and away."""
        commands = [puppet.stand() for puppet in self.puppets]
        through = [p for p in self._oncoming if p.is_through]
        if through:
            self._oncoming = [p for p in self._oncoming if not p.is_through]
            self.stage.dismiss(through)
        for puppet in self._oncoming:
            speed = puppet.careful_mps(scene, ONCOMING_MPS, regards_ego=True)
            commands.append(puppet.drive(scene, speed))
        return commands

    def leave(self) -> None:
        """Takes the obstacle away."""
        self.stage.dismiss(self._oncoming)
        self._oncoming = []
        super().leave()
        self.puppets, self.things = [], []
