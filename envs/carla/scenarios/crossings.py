"""Walkers that step in front of the ego: on the road, at junctions, and behind turns.

Types DynamicObjectCrossing, ParkingCrossingPedestrian, PedestrianCrossing and
VehicleTurningRoutePedestrian.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from dreamdrive.envs.carla.conflicts import arrival_s
from dreamdrive.envs.carla.scenarios.layout import Layout
from dreamdrive.envs.carla.scenarios.puppet import Pedestrian, where_is
from dreamdrive.envs.carla.scenarios.scenario import Scenario, eta_s
from dreamdrive.envs.carla.scenarios.specification import ScenarioSpec
from dreamdrive.envs.carla.scenarios.stage import Stage, pose_beside
from dreamdrive.envs.carla.scene import Scene
from dreamdrive.envs.carla.traffic import road_edges

THROUGH_M = 8.0
LEAD_S = 0.2
"""How much before the ego a walker that is not seen reaches the middle of its lane."""

IN_LANE_M, PACE = 1.6, (0.7, 1.4)
ABREAST_M = 1.2
"""Distance between walkers who cross together."""

BLOCKER = ("static.prop.container", "static.prop.vendingmachine", "static.prop.*barrier*")


@dataclass(frozen=True, kw_only=True, slots=True)
class Crossing:
    """How a type differs from the others.

    Attributes:
        after: `trigger`, `junction` (just before it) or `turn` (just behind it).
        ahead_m: From the trigger to where the walkers cross.
        walkers: How many cross.
        speed_mps: Bounds of their speed.
        hidden: `thing` or `car` that stands at the edge before them, or nothing.
    """

    after: str
    ahead_m: float
    walkers: int
    speed_mps: tuple[float, float]
    hidden: str = ""


CROSSINGS = {
    "DynamicObjectCrossing": Crossing(
        after="trigger", ahead_m=26.0, walkers=1, speed_mps=(1.6, 2.2), hidden="thing"
    ),
    "ParkingCrossingPedestrian": Crossing(
        after="trigger", ahead_m=26.0, walkers=1, speed_mps=(1.6, 2.2), hidden="car"
    ),
    "PedestrianCrossing": Crossing(
        after="junction", ahead_m=26.0, walkers=3, speed_mps=(1.2, 1.6)
    ),
    "VehicleTurningRoutePedestrian": Crossing(
        after="turn", ahead_m=26.0, walkers=1, speed_mps=(1.4, 2.0)
    ),
}  # fmt: skip


class CrossingWalkers(Scenario):
    """Walkers wait at the edge of the road and cross so as to meet an ego that does not brake."""

    def __init__(
        self, stage: Stage, spec: ScenarioSpec, trigger_m: float, rng: np.random.Generator
    ) -> None:
        super().__init__(stage, spec, trigger_m, rng)
        self._kind = CROSSINGS[spec.type]
        self._cross_m = self._where(stage.layout, spec.number("distance", self._kind.ahead_m))
        self.end_m = self._cross_m + THROUGH_M

    @classmethod
    def places(cls, layout: Layout, kind: str) -> list[float]:
        """Returns triggers on stretches, or before junctions or turns."""
        ahead = CROSSINGS[kind].ahead_m
        if CROSSINGS[kind].after == "trigger":
            return [a for a in layout.along(ahead + THROUGH_M + 4.0) if a > 12.0]
        found = []
        for passage in layout.passages:
            if CROSSINGS[kind].after == "turn":
                is_fit = passage.turn != "straight"
                place = passage.last_m + 3.0 - ahead
            else:
                is_fit, place = True, passage.first_m - 3.0 - ahead
            room = layout.route.length_m - passage.last_m
            if is_fit and place > 8.0 and room > THROUGH_M + 8.0:
                found.append(place)
        return found

    def _where(self, layout: Layout, ahead_m: float) -> float:
        """Returns where the walkers cross."""
        at = self.trigger_m + ahead_m
        if self._kind.after == "turn":
            leaves = [p.last_m for p in layout.passages if p.last_m > self.trigger_m]
            return min(leaves, default=at) + 3.0
        if self._kind.after == "junction":
            enters = [p.first_m for p in layout.passages if p.first_m > self.trigger_m]
            return min(enters, default=at + 3.0) - 3.0
        return at

    def set_up(self, scene: Scene) -> bool:
        """Puts the walkers at the edge of the road."""
        layout, stage = self.stage.layout, self.stage
        x, y, yaw = layout.pose(self._cross_m)
        right, left = road_edges(layout.waypoint(self._cross_m))
        z = float(np.interp(self._cross_m, stage.route.arc, stage.route.z))
        ahead = np.array([np.cos(yaw), np.sin(yaw)])
        from_left = self._kind.hidden == "" and self.rng.random() < 0.3
        start, target = (left, right) if from_left else (right, left)
        self._speed_mps = speed = float(self.rng.uniform(*self._kind.speed_mps))
        for i in range(self._kind.walkers):
            shift = (i - (self._kind.walkers - 1) / 2) * ABREAST_M * ahead
            walker = stage.walker(start + shift, target + shift, z, speed, self.rng)
            if walker is not None:
                self.walkers.append(walker)
        to_lane = np.array([x, y]) - start
        self._walk_s = float(np.hypot(*to_lane)) / speed
        self._hide(z)
        return bool(self.walkers)

    def _hide(self, z: float) -> None:
        if not self._kind.hidden:
            return
        layout = self.stage.layout
        right, _ = road_edges(layout.waypoint(self._cross_m))
        x, y, yaw = layout.pose(self._cross_m - (5.0 if self._kind.hidden == "car" else 2.5))
        side = float(np.hypot(right[0] - layout.pose(self._cross_m)[0],
                              right[1] - layout.pose(self._cross_m)[1]))  # fmt: skip
        pose = pose_beside((x, y, yaw), -side)
        if self._kind.hidden == "thing":
            thing = self.stage.prop(BLOCKER, pose, z)
            self.things += [] if thing is None else [thing]
            return
        parked = self.stage.vehicle("car", pose, z, self.rng)
        self.puppets += [] if parked is None else [parked]

    def wait(self, scene: Scene) -> list[Any]:
        """Keeps everybody where they stand."""
        return [p.stand() for p in self.puppets] + [w.walk(scene) for w in self.walkers]

    def play(self, scene: Scene, arc_m: float) -> list[Any]:
        """Sends the walkers off when the ego would meet them."""
        gap = self._cross_m - arc_m - scene.ego.half_length_m
        # Out of a turn the ego accelerates.
        is_turn = self._kind.after == "turn"
        arrives_s = arrival_s(scene.ego.speed_mps, gap) if is_turn else eta_s(scene, gap)
        if arrives_s <= self._walk_s + LEAD_S:
            for walker in self.walkers:
                walker.is_walking = True
        for walker in self.walkers:
            self._keep_up(scene, walker, arrives_s)
        return self.wait(scene)

    def _keep_up(self, scene: Scene, walker: Pedestrian, arrives_s: float) -> None:
        """Lets a walker hurry or linger, until it is in the ego's lane, so that they meet."""
        found = where_is(scene, walker.id)
        if found is None or not walker.is_walking:
            return
        x, y, yaw = self.stage.layout.pose(self._cross_m)
        aside = abs((found[0][1] - y) * np.cos(yaw) - (found[0][0] - x) * np.sin(yaw))
        if aside > IN_LANE_M:
            pace = aside / max(arrives_s, 0.1) / self._speed_mps
            walker.speed_mps = self._speed_mps * float(np.clip(pace, *PACE))
