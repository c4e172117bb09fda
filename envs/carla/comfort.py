"""Comfort of the ego's motion and the dimensionless costs of one decision."""

from collections import deque

import numpy as np
from numpy.typing import NDArray

from dreamdrive.driving.actions import DECISION_DT_S
from dreamdrive.driving.comfort import COMFORT_BOUNDS
from dreamdrive.driving.rewards import OVERSPEED_SCALE_MPS
from dreamdrive.envs.carla.scene import EgoPose

SPAN = 2
"""Differences are taken over this many decisions, since raw ones are mostly noise."""

COMFORT_LOW: NDArray[np.float64] = np.array([bound.low for bound in COMFORT_BOUNDS])
COMFORT_HIGH: NDArray[np.float64] = np.array([bound.high for bound in COMFORT_BOUNDS])


class ComfortMeter:
    """Keeps the last decisions of the ego and compares its motion with the comfort bounds."""

    def __init__(self) -> None:
        self._motion: deque[tuple[float, float]] = deque(maxlen=2 * SPAN + 1)

    def update(self, ego: EgoPose) -> NDArray[np.float64]:
        """Returns the six signals after this decision, shape (6,); 0 until there is a history."""
        self._motion.append((ego.speed_mps, ego.yaw_rate_radps))
        signals = np.zeros(6)
        speed, yaw_rate = (np.array(column) for column in zip(*self._motion, strict=True))
        signals[1] = speed[-1] * yaw_rate[-1]
        signals[2] = yaw_rate[-1]
        span_s = SPAN * DECISION_DT_S
        if len(speed) > SPAN:
            acceleration = np.stack(
                [(speed[SPAN:] - speed[:-SPAN]) / span_s, (speed * yaw_rate)[SPAN:]]
            )
            signals[0] = acceleration[0, -1]
            signals[3] = (yaw_rate[-1] - yaw_rate[-1 - SPAN]) / span_s
            if acceleration.shape[1] > SPAN:
                jerk = (acceleration[:, -1] - acceleration[:, -1 - SPAN]) / span_s
                signals[4], signals[5] = jerk[0], np.hypot(*jerk)
        return signals


def count_violations(signals: NDArray[np.float64]) -> int:
    """Returns how many of the six signals are outside their bounds."""
    return int(((signals < COMFORT_LOW) | (signals > COMFORT_HIGH)).sum())


def comfort_cost(signals: NDArray[np.float64]) -> float:
    """Returns the mean squared excess over the bounds plus 0.05 of the mean square.

    Each signal is first divided by its bound, so the cost has no dimension.
    """
    share = signals / np.where(signals < 0.0, COMFORT_LOW, COMFORT_HIGH)
    return float((np.maximum(0.0, share - 1.0) ** 2).mean() + 0.05 * (share**2).mean())


def progress_cost(progress_m: float, reference_mps: float) -> float:
    """Returns 1 for standing, 0 for progress at the reference speed or faster."""
    return float(1.0 - np.clip(progress_m / max(reference_mps * DECISION_DT_S, 1e-6), 0.0, 1.0))


def speeding_cost(speed_mps: float, limit_mps: float) -> float:
    """Returns the excess over the limit in units of 2.23 m/s, at most 1."""
    return float(np.clip((speed_mps - limit_mps) / OVERSPEED_SCALE_MPS, 0.0, 1.0))
