"""The bird's-eye view of any lanes, in the colours and scale of `CarlaDrive-v0`'s."""

import numpy as np
from numpy.typing import NDArray

from dreamdrive.envs.carla.bev import ROUTE_SEGMENT_M, BirdsEyeView, Overlay
from dreamdrive.envs.ground import Grid
from dreamdrive.envs.roads.simulator import Layout, Traffic

STEP_M, STAMP_M, CELL_M = 0.5, 0.2, 0.25
MARGIN_M, MARK_WIDTH_M, DASH_M = 60.0, 0.5, 3.0
VIEW_AHEAD_M = 46.0


class LaneView:
    """Draws frames of one layout; vehicles leave the last two places where they were.

    Args:
        layout: Lanes and route.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._view = BirdsEyeView(ground_of(layout).coloured(*_painted(layout)))
        self._past: list[NDArray[np.float64]] = []

    def draw(self, traffic: Traffic, arc_m: float) -> NDArray[np.uint8]:
        """Returns a frame, shape (64, 64, 3), and remembers where the vehicles were."""
        x, y, yaw = (float(value) for value in traffic.ego[:3])
        overlay = Overlay(
            ego=traffic.ego[None], vehicles=traffic.vehicles, walkers=traffic.walkers,
            vehicles_past=np.concatenate([np.zeros((0, 5)), *self._past]),
            route_xy=self._layout.route.ahead(arc_m, VIEW_AHEAD_M, ROUTE_SEGMENT_M),
        )  # fmt: skip
        self._past = [*self._past[-1:], traffic.vehicles]
        return self._view.draw(x, y, yaw, overlay)


def ground_of(layout: Layout) -> Grid:
    """Returns the cells that hold all lanes, with a margin that no view leaves."""
    points = np.concatenate([lane.pose[:, :2] for lane in layout.lanes])
    return Grid(low=points.min(0) - MARGIN_M, cell_m=CELL_M)


def _painted(layout: Layout) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Returns the masks of surface and marks."""
    grid = ground_of(layout)
    points = np.concatenate([lane.pose[:, :2] for lane in layout.lanes])
    columns, rows = (int(n) for n in np.ceil((points.max(0) + MARGIN_M - grid.low) / CELL_M))
    surface, marks = np.zeros((rows, columns), bool), np.zeros((rows, columns), bool)
    along = np.arange(-STEP_M / 2, STEP_M / 2 + STAMP_M, STAMP_M)
    for lane in layout.lanes:
        across = np.linspace(-0.5, 0.5, int(np.ceil(lane.width_m.max() / STAMP_M)) + 1)
        for forward in along:
            there = np.full(len(lane.pose), forward)
            for part in across:
                grid.stamp(surface, lane.pose, there, part * lane.width_m)
        arc = np.arange(len(lane.pose)) * STEP_M
        for side, mark in ((0.5, lane.left), (-0.5, lane.right)):
            chosen = np.full(len(lane.pose), mark != "none")
            if mark == "broken":
                chosen &= arc % (2 * DASH_M) < DASH_M
            pose, width = lane.pose[chosen], lane.width_m[chosen]
            for forward in along:
                for edge in np.arange(-MARK_WIDTH_M / 2, MARK_WIDTH_M / 2 + 1e-9, STAMP_M):
                    grid.stamp(marks, pose, np.full(len(pose), forward), side * width + edge)
    return surface, marks
