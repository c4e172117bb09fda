"""Bench2Drive 0.0.3 as its published tools compute it, with their flaws.

For comparison with published numbers only; `bench2drive-corrected` measures what the names say.
"""

import numpy as np
from numpy.typing import NDArray

from dreamdrive.driving.comfort import COMFORT_BOUNDS
from dreamdrive.errors import NotMeasuredError
from dreamdrive.experiments.event_log import DriveLog
from dreamdrive.experiments.scorers.bench2drive_rules import (
    CHECKPOINTS,
    ended_as_bench2drive,
    is_success,
)
from dreamdrive.experiments.scorers.infractions import product_penalty
from dreamdrive.experiments.scorers.leaderboard_2_0 import FACTORS
from dreamdrive.experiments.scorers.min_speed import speed_percentages
from dreamdrive.experiments.scorers.scorer import RouteScore, Scorer, ticks_of
from dreamdrive.experiments.scorers.signals import savitzky_golay

NAME = "bench2drive-0.0.3"
NUM_ROUTES = 220
CHUNK, WINDOW, ASSUMED_TICK_S = 20, 7, 0.1
DROPPED_ABOVE_PCT = 1000.0
DIGITS = 6
"""Decimals of the records' scores."""


def rule(log: DriveLog) -> RouteScore:
    """Returns `completion · Π factor · (1 - outside/100)`; minimum speed costs nothing.

    Flaws that are kept: the sums of scores and of successes over drives are divided by 220,
    however many drives there were. `comfort_pct`
    compares degrees per second with radians per second, takes the smoothed yaw rate for the yaw
    acceleration, assumes 0.1 s between samples, and drops the last chunk if it is short.
    `efficiency_pct` drops check-points above 1000 %, and drives without one.

    Reference:
        Thinklab-SJTU/Bench2Drive, `merge_reoute_json.py`, `efficiency_smoothness_benchmark.py`.

    Raises:
        NotMeasuredError: If the log has no ticks.
    """
    log = ended_as_bench2drive(log, NAME)
    completion, penalty = log.result.completion_pct, product_penalty(log, FACTORS)
    percentages = speed_percentages(log, NAME, CHECKPOINTS)
    kept = [pct for pct in percentages if pct <= DROPPED_ABOVE_PCT]
    return RouteScore(
        value=round(max(0.0, completion * penalty), DIGITS),
        terms={
            "completion_pct": round(completion, DIGITS),
            "penalty": round(penalty, DIGITS),
            "success_pct": 100.0 * is_success(log),
            "efficiency_pct": sum(kept) / len(kept) if kept else None,
            "comfort_pct": 100.0 * published_smoothness(log),
        },
        not_measured=log.unwatched,
    )


def published_smoothness(log: DriveLog) -> float:
    """Returns the share of chunks of 20 samples that the published tool calls smooth.

    Raises:
        NotMeasuredError: If the log has no ticks or no accelerations, or fewer than three ticks.
    """
    names = ("acceleration_ahead_mps2", "acceleration_left_mps2", "yaw_rate_radps")
    ticks = ticks_of(log, NAME, *names)
    if len(ticks) <= 2:
        raise NotMeasuredError(f"{NAME} needs at least three ticks", where=log.result.route)
    ahead, left, rate = (ticks.column(name) for name in names)
    starts = range(0, len(ticks), CHUNK)
    chunks = [slice(start, start + CHUNK) for start in starts if start + CHUNK <= len(ticks)]
    judged = [
        _is_smooth(ahead[chunk], left[chunk], np.degrees(rate[chunk]))
        for chunk in chunks or [slice(None)]
    ]
    return float(np.mean(judged))


def _is_smooth(
    ahead: NDArray[np.float64], left: NDArray[np.float64], rate_degps: NDArray[np.float64]
) -> bool:
    turns = np.cumsum(np.round(np.diff(rate_degps) / (2.0 * np.pi)))
    rate = savitzky_golay(rate_degps - 2.0 * np.pi * np.concatenate([[0.0], turns]), WINDOW)
    forward, size = savitzky_golay(ahead, WINDOW), savitzky_golay(np.hypot(ahead, left), WINDOW)
    forward_jerk, jerk = (
        savitzky_golay(signal, WINDOW, derivative=1, step=ASSUMED_TICK_S)
        for signal in (forward, size)
    )
    signals = (forward, savitzky_golay(left, WINDOW), rate, rate, forward_jerk, jerk)
    return all(
        bool(((signal > bound.low) & (signal < bound.high)).all())
        for signal, bound in zip(signals, COMFORT_BOUNDS, strict=True)
    )


SCORER = Scorer(
    name=NAME, label="Driving score", rule=rule, num_routes=NUM_ROUTES,
    over_num_routes=("success_pct",),
)  # fmt: skip
