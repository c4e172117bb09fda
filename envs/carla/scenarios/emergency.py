"""An emergency vehicle comes from behind and wants to pass: type YieldToEmergencyVehicle."""

from typing import Any

import numpy as np

from dreamdrive.envs.carla.scenarios.layout import Layout
from dreamdrive.envs.carla.scenarios.scenario import Detour, Scenario
from dreamdrive.envs.carla.scenarios.specification import ScenarioSpec
from dreamdrive.envs.carla.scenarios.stage import Stage, iso_of, line_of
from dreamdrive.envs.carla.scene import Scene

BEHIND_M = 18.0
ROOM_M = 48.0
FASTER = 1.5
"""Its speed over that which the ego has when it comes."""

LEAST_SHARE = 0.75
"""Share of its wanted speed that it must be able to keep, on average."""


class EmergencyVehicle(Scenario):
    """It drives in the ego's lane, faster than the ego, and brakes behind whoever stays there."""

    def __init__(
        self, stage: Stage, spec: ScenarioSpec, trigger_m: float, rng: np.random.Generator
    ) -> None:
        super().__init__(stage, spec, trigger_m, rng)
        self.end_m = trigger_m + ROOM_M - 4.0
        self._wanted_mps = 0.0
        self._speeds: list[float] = []
        self._is_past = False
        self._side_m = 0.0
        self._extra = float(rng.uniform(0.0, 3.0))

    @classmethod
    def places(cls, layout: Layout, kind: str) -> list[float]:
        """Returns triggers on stretches with another lane of the same direction."""
        found = []
        for arc in layout.along(ROOM_M, step_m=3.0):
            spots = (arc, arc + 15.0, arc + 30.0, arc + 42.0)
            for side in ("right", "left"):
                if arc > BEHIND_M + 6.0 and all(layout.beside(s, side) for s in spots):
                    found.append(arc)
                    break
        return found

    @property
    def detour(self) -> Detour | None:
        """The lane beside, until it has passed."""
        if self._wanted_mps == 0.0 or self._is_past:
            return None
        return Detour(
            first_m=self.trigger_m, last_m=self.end_m - 6.0, offset_m=self._side_m, is_urgent=True
        )

    def set_up(self, scene: Scene) -> bool:
        """Looks for the lane that the ego can yield into; the vehicle comes at the trigger."""
        layout = self.stage.layout
        at = self.trigger_m + 15.0
        for side in ("right", "left"):
            lane = layout.beside(at, side)
            if lane is not None:
                here, (x, y, _) = layout.pose(at), iso_of(lane)
                width = float(np.hypot(x - here[0], y - here[1]))
                self._side_m = width if side == "left" else -width
                beside = line_of(layout, self.trigger_m - 10.0, self.end_m + 10.0, self._side_m)
                self.stage.clear(scene, beside)
                self.stage.clear(scene, line_of(layout, self.trigger_m, self.end_m + 20.0))
                return True
        return False

    def play(self, scene: Scene, arc_m: float) -> list[Any]:
        """Comes from behind, keeps its speed where it can, and passes."""
        if not self.puppets and self._wanted_mps == 0.0:
            self._come(scene, arc_m)
        if not self.puppets:
            return []
        (actor,) = self.puppets
        room = actor.room_m(scene, regards_ego=True)
        own = actor.track(scene) + self._first_m
        self._is_past = self._is_past or own > arc_m + 8.0
        speed = self._wanted_mps if room > 12.0 else max(0.0, (room - 4.0) * 0.8)
        if not self._is_past:
            self._speeds.append(min(speed, self._wanted_mps))
        return [actor.drive(scene, speed)]

    def _come(self, scene: Scene, arc_m: float) -> None:
        layout, stage = self.stage.layout, self.stage
        self._wanted_mps = max(8.0, FASTER * scene.ego.speed_mps)
        self._first_m = max(0.0, arc_m - BEHIND_M - self._extra)
        stage.clear(scene, line_of(layout, self._first_m, arc_m))
        line = line_of(layout, self._first_m, stage.route.length_m)
        z = float(np.interp(self._first_m, stage.route.arc, stage.route.z))
        pose = layout.pose(self._first_m)
        actor = stage.vehicle("emergency", pose, z, self.rng, line)
        if actor is not None:
            actor.push(self._wanted_mps, pose[2])
            self.puppets.append(actor)

    def fault(self, scene: Scene) -> tuple[str, str] | None:
        """Returns a failure to yield where it was held up, or could not pass at all."""
        if not self._speeds:
            return None
        share = float(np.mean(self._speeds)) / self._wanted_mps
        if self._is_past and share >= LEAST_SHARE:
            return None
        held_up = f"{100.0 * share:.0f} % of its speed"
        return "yield_emergency", held_up if self._is_past else "it never passed"

    def leave(self) -> None:
        """Hands the vehicle to the traffic."""
        actors, self.puppets = self.puppets, []
        self.stage.dismiss(actors)
