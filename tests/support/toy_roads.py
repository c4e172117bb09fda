"""A simulator with known dynamics for the adapters' environment: a straight road."""

import numpy as np

from dreamdrive.envs.roads.line import RouteLine
from dreamdrive.envs.roads.simulator import LaneStrip, Layout, Traffic

STEP_M = 0.5


class ToyRoads:
    """A lane along x for 60 m; a car stands at `blocked_m`, if any. A point mass drives.

    Args:
        blocked_m: Where a car stands on the lane.
    """

    def __init__(self, blocked_m=None):
        self.blocked_m, self.driven = blocked_m, []

    def begin(self, rng):
        self.x, self.y, self.yaw, self.speed = float(rng.uniform(0.0, 1.0)), 0.0, 0.0, 0.0
        x = np.arange(0.0, 60.1, STEP_M)
        pose = np.column_stack([x, np.zeros_like(x), np.zeros_like(x)])
        width = np.full(len(x), 3.5)
        route = RouteLine(pose[:, :2], width, np.zeros(len(x), bool))
        lane = LaneStrip(pose=pose, width_m=width, left="broken", right="solid")
        return Layout(lanes=(lane,), route=route)

    def drive(self, curvature_1pm, acceleration_mps2):
        self.driven.append((curvature_1pm, acceleration_mps2))
        self.speed += acceleration_mps2 * 0.1
        self.yaw += curvature_1pm * self.speed * 0.1
        self.x += self.speed * np.cos(self.yaw) * 0.1
        self.y += self.speed * np.sin(self.yaw) * 0.1

    def traffic(self):
        others = np.zeros((0, 5))
        if self.blocked_m is not None:
            others = np.array([[self.blocked_m, 0.0, 0.0, 2.0, 1.0]])
        hit = self.blocked_m is not None and abs(self.x - self.blocked_m) < 4.4 and abs(self.y) < 2
        return Traffic(
            ego=np.array([self.x, self.y, self.yaw, 2.4, 1.0]), speed_mps=self.speed,
            speed_limit_mps=10.0, vehicles=others,
            collision="collision_vehicle" if hit else "", is_on_road=abs(self.y) < 1.75,
        )  # fmt: skip

    def picture(self):
        return None

    def close(self):
        self.driven.clear()
