"""Vehicles that pull out in front of the ego: from the roadside, a queue or the next lane.

Types ParkingCutIn, StaticCutIn and HighwayCutIn.
"""

from typing import Any

import numpy as np

from dreamdrive.envs.carla.scenarios.layout import Layout
from dreamdrive.envs.carla.scenarios.scenario import Scenario, eta_s
from dreamdrive.envs.carla.scenarios.specification import ScenarioSpec
from dreamdrive.envs.carla.scenarios.stage import Stage, iso_of, line_of, pose_beside
from dreamdrive.envs.carla.scene import Scene

AHEAD_M = 24.0
ON_THE_MOVE_M = 20.0
"""A vehicle that comes driving starts so far ahead of the ego."""

SLOWER, GENTLE_MPS2 = 0.6, 3.0
"""Of the ego's speed it keeps this share, and brakes no harder to get there."""

ROOM_M = 60.0
QUEUE = 2
QUEUE_EVERY_M = 8.0
SWING_M = 11.0
"""Length of the way from beside the lane into it."""

PULL_OUT_S = 2.2
"""How long before the ego would be there a standing vehicle starts."""

BESIDE_M = 1.3
"""From the edge of the lane to the middle of a parked vehicle."""


class CutIn(Scenario):
    """One vehicle moves into the ego's lane shortly before it, slower than it, and drives on."""

    def __init__(
        self, stage: Stage, spec: ScenarioSpec, trigger_m: float, rng: np.random.Generator
    ) -> None:
        super().__init__(stage, spec, trigger_m, rng)
        self._comes_driving = spec.type == "HighwayCutIn"
        self._start_m = trigger_m + (ON_THE_MOVE_M if self._comes_driving else AHEAD_M)
        self.end_m = self._start_m + (36.0 if self._comes_driving else 28.0)
        self._side = spec.value("direction") or self._free_side()
        self._cruise_mps = float(rng.uniform(4.0, 5.5))
        self._is_out = False
        self._offset_m = 0.0

    @classmethod
    def places(cls, layout: Layout, kind: str) -> list[float]:
        """Returns triggers on stretches that are straight enough and have the lanes it takes."""
        found = []
        for arc in layout.along(ROOM_M - 8.0, step_m=3.0):
            at = arc + (ON_THE_MOVE_M if kind == "HighwayCutIn" else AHEAD_M)
            if layout.bend_rad(at - 5.0, at + 25.0) > 0.35:
                continue
            right, left = layout.beside(at, "right"), layout.beside(at, "left")
            if (right is None) if kind == "ParkingCutIn" else (right or left) is not None:
                found.append(arc)
        return found

    def _free_side(self) -> str:
        if self.spec.type == "ParkingCutIn":
            return "right"
        return "right" if self.stage.layout.beside(self._start_m, "right") else "left"

    def set_up(self, scene: Scene) -> bool:
        """Puts the vehicle beside the ego's lane, in a queue of standing ones for StaticCutIn."""
        stage, layout = self.stage, self.stage.layout
        here = layout.pose(self._start_m)
        z = float(np.interp(self._start_m, stage.route.arc, stage.route.z))
        lane = layout.beside(self._start_m, self._side)
        if self.spec.type == "ParkingCutIn":
            self._offset_m = -(layout.waypoint(self._start_m).lane_width / 2 + BESIDE_M)
        elif lane is None:
            return False
        else:
            x, y, _ = iso_of(lane)
            left = -(x - here[0]) * np.sin(here[2]) + (y - here[1]) * np.cos(here[2])
            self._offset_m = float(left)
        around = line_of(layout, self._start_m - 20.0, self._start_m + 30.0, self._offset_m)
        stage.clear(scene, around)
        stage.clear(scene, line_of(layout, self.trigger_m - 15.0, self._start_m + 30.0))
        actor = stage.vehicle("car", pose_beside(here, self._offset_m), z, self.rng, self._line())
        if actor is None:
            return False
        self.puppets.append(actor)
        for i in range(QUEUE if self.spec.type == "StaticCutIn" else 0):
            pose = pose_beside(layout.pose(self._start_m - (i + 1) * QUEUE_EVERY_M), self._offset_m)
            queued = stage.vehicle("car", pose, z, self.rng)
            self.puppets += [] if queued is None else [queued]
        return True

    def _line(self) -> Any:
        """Returns the way out of its place, along the ego's lane, and to the end of the route."""
        layout = self.stage.layout
        straight_m = 6.0 if self._comes_driving else 1.0
        swing = SWING_M if not self._comes_driving else SWING_M + 4.0
        arcs = np.arange(self._start_m, self.stage.route.length_m, 1.0)
        part = np.clip((arcs - self._start_m - straight_m) / swing, 0.0, 1.0)
        offset = self._offset_m * (1.0 - (3.0 * part**2 - 2.0 * part**3))
        return np.array(
            [
                pose_beside(layout.pose(float(a)), float(o))[:2]
                for a, o in zip(arcs, offset, strict=True)
            ]
        )

    def play(self, scene: Scene, arc_m: float) -> list[Any]:
        """Pulls out when the ego is about to arrive, then keeps going at its own speed."""
        actor = next((p for p in self.puppets if p.length_m > 0.0), None)
        queue = [p for p in self.puppets if p is not actor]
        if actor is None:
            return [puppet.stand() for puppet in queue]
        if not self._is_out:
            gap = self._start_m - arc_m - scene.ego.half_length_m
            self._is_out = self._comes_driving or eta_s(scene, gap) <= PULL_OUT_S
            if self._is_out and self._comes_driving:
                _, _, yaw = self.stage.layout.pose(self._start_m)
                actor.push(max(4.0, 0.9 * scene.ego.speed_mps), yaw)
                self._cruise_mps = max(self._cruise_mps, SLOWER * scene.ego.speed_mps)
        if not self._is_out:
            return self.wait(scene)
        speed = actor.careful_mps(scene, self._cruise_mps)
        driven = actor.drive(scene, speed, hardest_mps2=GENTLE_MPS2)
        return [driven, *(puppet.stand() for puppet in queue)]

    def leave(self) -> None:
        """Hands the vehicle that pulled out to the traffic; the queue goes."""
        if self._is_out:
            self.stage.dismiss([p for p in self.puppets if p.length_m > 0.0])
            self.puppets = [p for p in self.puppets if p.length_m == 0.0]
        super().leave()
