"""What stop signs tell vehicles: red until they have stood, as CARLA's do, and then green.

CARLA's Traffic Manager knows a junction without lights by that red: whoever has seen it stops, and
those who have stopped enter one after the other. Without it vehicles that meet inside the junction
can wait for each other until the manager takes one away.
"""

import numpy as np
from numpy.typing import NDArray

from dreamdrive.envs.embedded.bodies import Vehicles
from dreamdrive.envs.embedded.lights import RED
from dreamdrive.envs.embedded.records import NOSE
from dreamdrive.envs.embedded.towns import CELL_M, Town

BOX_M = 4.5
"""How far before the end of its lane a sign takes hold: CARLA's box reaches as far."""
SIGN_M = 12.0
"""A sign further from the end of its lane holds where it stands."""
STOP_S = 2.0
"""Shortest time that a sign shows red."""
STANDS_MPS = 0.1
"""Slower than this a vehicle stands."""


class StopSigns:
    """The signs of a town, and who is before them.

    Args:
        town: The town; its signs must hold.
    """

    def __init__(self, town: Town) -> None:
        self._grid = town.grid
        self._sign = _signs_of(town)
        self._waiting: dict[int, tuple[int, float, bool]] = {}

    def show(self, cars: Vehicles, time_s: float) -> None:
        """Writes red into the records of vehicles that have still to stop.

        Args:
            cars: Vehicles whose records are up to date.
            time_s: Simulated time.
        """
        at = cars.pose[:, :2] + NOSE * cars.half[:, :1] * np.stack(
            [np.cos(cars.pose[:, 2]), np.sin(cars.pose[:, 2])], -1
        )
        cell = np.floor((at - self._grid.origin) / CELL_M)
        is_inside = ((cell >= 0) & (cell < self._grid.nearest.shape)).all(-1)
        row, column = np.where(is_inside[:, None], cell, 0).astype(np.int64).T
        sample = np.where(is_inside, self._grid.nearest[row, column], -1)
        sign = np.where(sample >= 0, self._sign[sample], -1)
        waiting: dict[int, tuple[int, float, bool]] = {}
        for i in np.nonzero(sign >= 0)[0].tolist():
            actor, here = int(cars.id[i]), int(sign[i])
            before, came_s, has_stood = self._waiting.get(actor, (here, time_s, False))
            if before != here or came_s > time_s:
                came_s, has_stood = time_s, False
            has_stood = has_stood or float(np.hypot(*cars.velocity[i])) < STANDS_MPS
            waiting[actor] = here, came_s, has_stood
            if not has_stood or time_s - came_s < STOP_S:
                cars.record["light_state"][i] = RED
        self._waiting = waiting


def _signs_of(town: Town) -> NDArray[np.int64]:
    """Returns the stop sign that holds at each sample of the town's lanes, -1 for none."""
    grid = town.grid
    found = np.full(len(grid.s), -1)
    for index, sign in enumerate(town.stop_signs):
        for line in sign.lines:
            on_road = grid.road == line.road_id
            last = float(grid.s[on_road].max(initial=0.0))
            end = last if line.lane_id < 0 else 0.0
            if abs(end - line.s) > SIGN_M:
                end = line.s
            before = end - grid.s if line.lane_id < 0 else grid.s - end
            holds = on_road & (grid.lane == line.lane_id) & (before >= 0.0) & (before <= BOX_M)
            found[holds] = index
    return found
