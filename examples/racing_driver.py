"""A driver of CarRacing-v3 that follows the road by its colour, to record episodes with.

    dreamdrive collect --env CarRacing-v3 --action-repeat 4 --out data/racing \
        --policies slow=examples.racing_driver:slow medium=examples.racing_driver:medium \
        fast=examples.racing_driver:fast held --interruptions 0.05
"""

import numpy as np
from numpy.typing import NDArray

PICTURE = 96
CAR = (70, 48)
"""Row and column of the car in the picture, which moves with it."""
DASHBOARD = 84
"""First row of the dashboard, in which the height of a white bar is the speed."""
BAR = (slice(DASHBOARD, PICTURE), 13)
SPEED_A_ROW = 20.0


class RoadFollower:
    """Steers for the middle of the road some rows ahead, and holds a speed.

    Args:
        speed: What to hold on a straight, in the environment's units.
        look_ahead: Rows between the car and where it looks.
    """

    def __init__(self, speed: float, look_ahead: int = 22) -> None:
        self._speed, self._look_ahead = speed, look_ahead

    def act(self, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Returns steer, gas and brake for a picture, uint8 (96, 96, 3)."""
        red, green, blue = (picture[..., i].astype(int) for i in range(3))
        road = (abs(red - green) < 20) & (abs(green - blue) < 20) & (green > 80) & (green < 140)
        near, far = CAR[0] - self._look_ahead - 3, CAR[0] - self._look_ahead + 3
        columns = np.nonzero(road[near:far])[1]
        if len(columns) == 0:
            columns = np.nonzero(road[:DASHBOARD])[1]
        aside = columns.mean() - CAR[1] if len(columns) else 0.0
        steer = np.clip(aside / 20.0, -1.0, 1.0)
        faster = (
            self._speed * (1.0 - 0.5 * abs(steer)) - picture[BAR][:, 0].sum() / 255 * SPEED_A_ROW
        )
        gas, brake = np.clip(faster / 20.0, 0.0, 0.5), np.clip(-faster / 40.0, 0.0, 0.3)
        return np.array([steer, gas, brake], np.float32)


def slow() -> RoadFollower:
    """Returns a careful driver."""
    return RoadFollower(speed=40.0)


def medium() -> RoadFollower:
    """Returns one that scores best of the three."""
    return RoadFollower(speed=60.0)


def fast() -> RoadFollower:
    """Returns one that leaves the road in narrow curves."""
    return RoadFollower(speed=80.0)
