"""Bench2Drive with what its names promise: right units, right time, every drive counted."""

import numpy as np

from dreamdrive.experiments.event_log import DriveLog
from dreamdrive.experiments.scorers.bench2drive_rules import (
    ended_as_bench2drive,
    is_success,
)
from dreamdrive.experiments.scorers.infractions import product_penalty
from dreamdrive.experiments.scorers.leaderboard_2_0 import FACTORS
from dreamdrive.experiments.scorers.scorer import RouteScore, Scorer, ticks_of
from dreamdrive.experiments.scorers.signals import comfort_signals, within_bounds

NAME = "bench2drive-corrected"
CHUNK_S = 2.0


def rule(log: DriveLog) -> RouteScore:
    """Returns `completion · Π factor · (1 - outside/100)`; minimum speed costs nothing.

    What differs from 0.0.3: means are over the drives that there are. `comfort_pct` is the share
    of chunks of 2 s, the last one too, in which the six signals keep their bounds, the signals
    taken of the whole drive in radians, with derivatives and the log's own time. `efficiency_pct`
    is the ego's mean speed in percent of the traffic's over the whole drive, so that standing
    counts as long as it lasts; None where no traffic moved.

    Raises:
        NotMeasuredError: If the log has no ticks or no accelerations.
    """
    log = ended_as_bench2drive(log, NAME)
    completion, penalty = log.result.completion_pct, product_penalty(log, FACTORS)
    ticks = ticks_of(log, NAME, "speed_mps")
    around, speed = ticks.column("traffic_mps"), np.abs(ticks.column("speed_mps"))
    known = ~np.isnan(around)
    traffic = float(around[known].sum())
    comfortable = within_bounds(comfort_signals(log, NAME)).all(axis=1)
    chunk = np.arange(len(ticks)) // max(1, round(CHUNK_S / ticks.tick_s))
    spoiled = np.unique(chunk[~comfortable])
    return RouteScore(
        value=max(0.0, completion * penalty),
        terms={
            "completion_pct": completion,
            "penalty": penalty,
            "success_pct": 100.0 * is_success(log),
            "efficiency_pct": 100.0 * float(speed[known].sum()) / traffic if traffic else None,
            "comfort_pct": 100.0 * (1.0 - len(spoiled) / (int(chunk[-1]) + 1)),
        },
        not_measured=log.unwatched,
    )


SCORER = Scorer(name=NAME, label="Driving score", rule=rule)
