"""The vehicle in front brakes hard for no reason that can be seen: type HardBreakRoute."""

from typing import Any

import numpy as np

from dreamdrive.driving.actions import DECISION_DT_S
from dreamdrive.envs.carla.scenarios.layout import Layout
from dreamdrive.envs.carla.scenarios.scenario import Scenario
from dreamdrive.envs.carla.scenarios.specification import ScenarioSpec
from dreamdrive.envs.carla.scenarios.stage import Stage, line_of
from dreamdrive.envs.carla.scene import Scene

AHEAD_M = 16.0
LEAST_ROOM_M = 46.0


class HardBrake(Scenario):
    """A vehicle drives ahead of the ego at its speed, brakes to a stand, waits, and drives on."""

    def __init__(
        self, stage: Stage, spec: ScenarioSpec, trigger_m: float, rng: np.random.Generator
    ) -> None:
        super().__init__(stage, spec, trigger_m, rng)
        self.end_m = trigger_m + LEAST_ROOM_M - 4.0
        self._rolls_s = float(rng.uniform(0.6, 1.2))
        self._stands_s = float(rng.uniform(3.0, 5.0))
        self._played_s = 0.0

    @classmethod
    def places(cls, layout: Layout, kind: str) -> list[float]:
        """Returns triggers on stretches that are long enough to brake on."""
        return [arc for arc in layout.along(LEAST_ROOM_M) if arc > 14.0]

    def set_up(self, scene: Scene) -> bool:
        """Puts the vehicle onto the ego's lane."""
        stage, layout = self.stage, self.stage.layout
        at = self.trigger_m + AHEAD_M
        stage.clear(scene, line_of(layout, self.trigger_m - 15.0, self.end_m + 10.0))
        z = float(np.interp(at, stage.route.arc, stage.route.z))
        line = line_of(layout, at, stage.route.length_m)
        actor = stage.vehicle("car", layout.pose(at), z, self.rng, line)
        self.puppets += [] if actor is None else [actor]
        return actor is not None

    def play(self, scene: Scene, arc_m: float) -> list[Any]:
        """Drives off as the ego comes, brakes, stands and goes on."""
        if not self.puppets:
            return []
        (actor,) = self.puppets
        if self._played_s == 0.0:
            yaw = self.stage.layout.pose(self.trigger_m + AHEAD_M)[2]
            actor.push(max(4.0, scene.ego.speed_mps), yaw)
        self._played_s += DECISION_DT_S
        if self._played_s < self._rolls_s:
            return [actor.drive(scene, max(4.0, scene.ego.speed_mps))]
        if self._played_s < self._rolls_s + self._stands_s:
            return [actor.stand()]
        return [actor.drive(scene, actor.careful_mps(scene, 7.0))]

    def leave(self) -> None:
        """Hands the vehicle to the traffic."""
        actors, self.puppets = self.puppets, []
        self.stage.dismiss(actors)
