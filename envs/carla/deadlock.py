"""Frees Traffic Manager vehicles that wait for each other for ever.

At a junction without lights, two or more of its vehicles may each hold the other for an obstacle;
nothing in the Traffic Manager ends that. One that has free road in front then stops regarding
the others for a moment, and another one after it if that was not enough.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from dreamdrive.driving.actions import DECISION_DT_S
from dreamdrive.envs.carla.scene import VEHICLE, Scene

STANDING_MPS = 0.3
PATIENCE_S = 6.0
BOLD_S = 2.5
PARTNER_M = 18.0
MOVING_NEAR_M = 14.0
FREE_AHEAD_M = 9.0
EGO_NEAR_M = 12.0
"""Nobody is made bold in front of whom the ego is this near."""

SAME_WAY_COS = 0.95
"""Vehicles whose headings are closer than this queue behind each other and make no knot."""

CHECK_DECISIONS = 5


class DeadlockBreaker:
    """Watches how long each vehicle stands, and makes one of a knot bold.

    Args:
        ids: The vehicles of the Traffic Manager.
        set_bold: Called with a vehicle and whether it disregards other vehicles from now on.
    """

    def __init__(self, ids: list[int], set_bold: Callable[[int, bool], None]) -> None:
        self._ids = frozenset(ids)
        self._set_bold = set_bold
        self._standing_s: dict[int, float] = {}
        self._bold_s: dict[int, float] = {}
        self._tries: dict[int, int] = {}
        self._decision = 0

    def step(self, scene: Scene) -> None:
        """Looks at the scene; call once a decision."""
        self._decision += 1
        if not self._ids or self._decision % CHECK_DECISIONS:
            return
        passed_s = CHECK_DECISIONS * DECISION_DT_S
        for actor in [a for a, left in self._bold_s.items() if left <= passed_s]:
            del self._bold_s[actor]
            self._set_bold(actor, False)
        self._bold_s = {a: left - passed_s for a, left in self._bold_s.items()}
        cars = np.flatnonzero(scene.kinds == VEHICLE)
        ids, boxes = scene.ids[cars], scene.boxes[cars]
        stands = np.hypot(*scene.velocity[cars].T) < STANDING_MPS
        self._standing_s = {
            int(i): self._standing_s.get(int(i), 0.0) + passed_s
            for i in ids[stands]
            if int(i) in self._ids
        }
        waits = np.array([self._standing_s.get(int(i), 0.0) >= PATIENCE_S for i in ids], bool)
        if self._bold_s or waits.sum() < 2:
            return
        ego = scene.ego.box[0]
        knotted = [
            int(ids[i])
            for i in np.flatnonzero(waits)
            if self._is_knotted(int(i), boxes, stands, waits, ego)
        ]
        if knotted:
            actor = min(knotted, key=lambda a: (self._tries.get(a, 0), -self._standing_s[a], a))
            self._tries[actor] = self._tries.get(actor, 0) + 1
            self._bold_s[actor] = BOLD_S
            self._set_bold(actor, True)

    def _is_knotted(
        self, i: int, boxes: NDArray[np.float64], stands: NDArray[np.bool_],
        waits: NDArray[np.bool_], ego: NDArray[np.float64],
    ) -> bool:  # fmt: skip
        """Returns whether a vehicle waits for another that waits too, with free road ahead."""
        others = np.delete(np.arange(len(boxes)), i)
        x, y, yaw, half_length, half_width = boxes[i]
        everyone = np.concatenate([boxes[others], ego[None]])
        gap = np.hypot(everyone[:, 0] - x, everyone[:, 1] - y)
        if (gap[:-1][~stands[others]] < MOVING_NEAR_M).any():
            return False
        turned = np.cos(boxes[others, 2] - yaw) < SAME_WAY_COS
        if not (waits[others] & turned & (gap[:-1] < PARTNER_M)).any():
            return False
        dx, dy = everyone[:, 0] - x, everyone[:, 1] - y
        ahead = dx * np.cos(yaw) + dy * np.sin(yaw) - half_length
        if gap[-1] < EGO_NEAR_M and ahead[-1] > -half_length:
            return False
        side = np.abs(dy * np.cos(yaw) - dx * np.sin(yaw))
        blocked = (ahead > 0.0) & (ahead < FREE_AHEAD_M) & (side < half_width + 1.0)
        return not blocked.any()
