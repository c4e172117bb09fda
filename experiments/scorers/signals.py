"""Smoothed signals of the ego's motion, and whether they keep the bounds of comfort.

Shapes: T ticks, Q = 6 comfort signals in the order of `COMFORT_BOUNDS`.
"""

import numpy as np
from numpy.typing import NDArray

from dreamdrive.driving.comfort import COMFORT_BOUNDS
from dreamdrive.errors import NotMeasuredError
from dreamdrive.experiments.event_log import DriveLog
from dreamdrive.experiments.scorers.scorer import ticks_of

SMOOTH_WINDOW, DERIVATIVE_WINDOW = 8, 15


def savitzky_golay(
    values: NDArray[np.float64],
    window: int,
    order: int = 2,
    *,
    derivative: int = 0,
    step: float = 1.0,
) -> NDArray[np.float64]:
    """Returns the smoothed values, or one of their derivatives, shape (T,).

    Each value is that of the polynomial fitted to the window around it; near the ends, to the
    first or last whole window. Odd windows give what SciPy's `savgol_filter` gives. Even ones are
    read at the sample, SciPy reads them half a sample beside it.

    Args:
        values: Equally spaced samples, more of them than `order`, shape (T,).
        window: Samples that a fit spans; at most T are used.
        order: Degree of the polynomial.
        derivative: Order of the derivative.
        step: Distance between samples.

    Reference:
        Savitzky and Golay 1964, Analytical Chemistry 36 (8).
    """
    num = len(values)
    window = min(window, num)
    if window <= order:
        raise ValueError(f"{num} samples are too few for a polynomial of degree {order}")
    first = np.clip(np.arange(num) - window // 2, 0, num - window)
    place = np.arange(num) - first
    fit = np.linalg.pinv(np.vander(np.arange(window, dtype=np.float64), order + 1))
    at = np.zeros((window, order + 1))
    for column in range(order + 1):
        monomial = np.zeros(order + 1)
        monomial[column] = 1.0
        at[:, column] = np.polyval(np.polyder(np.poly1d(monomial), derivative), np.arange(window))
    weights = at @ fit
    spans = np.lib.stride_tricks.sliding_window_view(values, window)[first]
    return np.asarray((weights[place] * spans).sum(1) / step**derivative)


def comfort_signals(log: DriveLog, scorer: str) -> NDArray[np.float64]:
    """Returns the six comfort signals as nuPlan computes them, shape (T, Q).

    Accelerations are smoothed over 8 ticks; yaw rate, yaw acceleration and jerks are derivatives
    over 15, of the unwrapped heading and of the smoothed accelerations.

    Reference:
        motional/nuplan-devkit, `state_extractors.py`.

    Raises:
        NotMeasuredError: If the log has no ticks or no accelerations, or fewer than four ticks.
    """
    ahead_name, left_name = "acceleration_ahead_mps2", "acceleration_left_mps2"
    ticks = ticks_of(log, scorer, "yaw_rad", ahead_name, left_name)
    if len(ticks) < 4:
        raise NotMeasuredError(f"{scorer} needs at least four ticks", where=log.result.route)
    ahead_raw, left_raw = ticks.column(ahead_name), ticks.column(left_name)
    yaw, step = np.unwrap(ticks.column("yaw_rad")), ticks.tick_s
    ahead = savitzky_golay(ahead_raw, SMOOTH_WINDOW)
    left = savitzky_golay(left_raw, SMOOTH_WINDOW)
    size = savitzky_golay(np.hypot(ahead_raw, left_raw), SMOOTH_WINDOW)

    def rate(values: NDArray[np.float64], order: int = 2, times: int = 1) -> NDArray[np.float64]:
        return savitzky_golay(values, DERIVATIVE_WINDOW, order, derivative=times, step=step)

    return np.stack([ahead, left, rate(yaw), rate(yaw, 3, 2), rate(ahead), rate(size)], axis=1)


def within_bounds(signals: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Returns which signals keep their bounds, shape (T, Q)."""
    low = np.array([bound.low for bound in COMFORT_BOUNDS])
    high = np.array([bound.high for bound in COMFORT_BOUNDS])
    return np.asarray((signals > low) & (signals < high))
