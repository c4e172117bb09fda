"""What both Bench2Drive scorers share: its ends of a drive, success and check-points."""

import numpy as np

from dreamdrive.experiments.event_log import DriveLog
from dreamdrive.experiments.scorers.scorer import ticks_of

TIME_LIMIT_S = 200.0
"""4000 ticks of 20 Hz."""

BLOCKED_S = 60.0
STANDING_MPS = 0.1
CHECKPOINTS = 20
"""Of speed, on each route."""


def ended_as_bench2drive(log: DriveLog, scorer: str) -> DriveLog:
    """Returns the drive up to where Bench2Drive ends it: after 200 s, or 60 s below 0.1 m/s.

    Raises:
        NotMeasuredError: If it took longer than 60 s and the log has no ticks to tell.
    """
    if log.result.time_s <= BLOCKED_S and log.ticks is None:
        return log
    ticks = ticks_of(log, scorer, "time_s", "speed_mps", "progress_m", "outside_m")
    time_s, end_s, cause = ticks.column("time_s"), float("inf"), ""
    if time_s[-1] > TIME_LIMIT_S:
        end_s, cause = TIME_LIMIT_S, "time_limit"
    standing = np.abs(ticks.column("speed_mps")) < STANDING_MPS
    moved_s = np.maximum.accumulate(np.where(standing, time_s[0], time_s))
    blocked = np.flatnonzero(standing & (time_s - moved_s >= BLOCKED_S - 1e-6))
    if len(blocked) and time_s[blocked[0]] < min(end_s, time_s[-1]):
        end_s, cause = float(time_s[blocked[0]]), "blocked"
    return log.until(end_s, cause) if cause else log


def is_success(log: DriveLog) -> bool:
    """Returns whether the route was finished without any infraction but minimum speed."""
    others = [event for event in log.events if event.cause != "min_speed"]
    return log.result.is_finished and not others and log.result.outside_m == 0.0
