"""The road takes the grip away for a while: type ControlLoss."""

import math
from typing import Any

import numpy as np

from dreamdrive.envs.carla.scenarios.layout import Layout
from dreamdrive.envs.carla.scenarios.scenario import Scenario
from dreamdrive.envs.carla.scenarios.specification import ScenarioSpec
from dreamdrive.envs.carla.scenarios.stage import Stage
from dreamdrive.envs.carla.scene import Scene

LENGTH_M = 40.0
PATCHES_M = ((4.0, 12.0), (16.0, 24.0), (28.0, 36.0))
"""From and to, beyond the trigger."""

STEER = 0.11
"""How far the wheels are turned on a patch, as a share of full steer."""

WOBBLE_M = 2.5


class ControlLoss(Scenario):
    """On three patches, what the vehicle does is not what was asked of it.

    On each, the steer is off by a constant and a drifting part, and the pedal by a share.
    """

    SETUP_M = 5.0

    def __init__(
        self, stage: Stage, spec: ScenarioSpec, trigger_m: float, rng: np.random.Generator
    ) -> None:
        super().__init__(stage, spec, trigger_m, rng)
        self.end_m = trigger_m + LENGTH_M
        self._arc_m = trigger_m
        self._sides = rng.choice([-1.0, 1.0], len(PATCHES_M))
        self._phases = rng.uniform(0.0, math.tau, len(PATCHES_M))
        self._pedals = rng.uniform(-0.3, 0.1, len(PATCHES_M))

    @classmethod
    def places(cls, layout: Layout, kind: str) -> list[float]:
        """Returns triggers on stretches that are long enough."""
        return [arc for arc in layout.along(LENGTH_M + 4.0) if arc > 10.0]

    def set_up(self, scene: Scene) -> bool:
        """Needs nobody."""
        return True

    def play(self, scene: Scene, arc_m: float) -> list[Any]:
        """Notes where the ego is."""
        self._arc_m = arc_m
        return []

    def disturbed(self, steer: float, acceleration: float) -> tuple[float, float]:
        """Returns the action with the patch's error on it."""
        beyond = self._arc_m - self.trigger_m
        for (first, last), side, phase, pedal in zip(
            PATCHES_M, self._sides, self._phases, self._pedals, strict=True
        ):
            if first <= beyond < last:
                error = STEER * (side + 0.5 * math.sin(beyond / WOBBLE_M + phase))
                return (
                    float(np.clip(steer + error, -1.0, 1.0)),
                    float(np.clip(acceleration + pedal, -1.0, 1.0)),
                )
        return steer, acceleration
