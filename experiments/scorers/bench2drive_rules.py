"""What both Bench2Drive scorers share: its factors, its ends of a drive, success and efficiency.

Shapes: T ticks.
"""

import numpy as np

from dreamdrive.errors import NotMeasuredError
from dreamdrive.experiments.event_log import DriveLog
from dreamdrive.experiments.scorers.scorer import ticks_of

TIME_LIMIT_S = 200.0
"""4000 ticks of 20 Hz."""

BLOCKED_S = 60.0
STANDING_MPS = 0.1
CHECKPOINTS = 20
LAST_CHECKPOINT_SHARE = 0.95


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


def speed_percentages(log: DriveLog, scorer: str) -> list[float]:
    """Returns the ego's mean speed in percent of the traffic's at each of 20 check-points.

    A check-point lies a twentieth of the route behind the one before; the last counts from 95 % of
    the route on. Where the traffic stands or there is none, the percentage is 100.

    Reference:
        carla-simulator/scenario_runner, `atomic_criteria.py`, `MinimumSpeedRouteTest`.

    Raises:
        NotMeasuredError: If the log has no ticks or no route.
    """
    ticks = ticks_of(log, scorer, "progress_m", "speed_mps")
    length_m = log.result.length_m
    if length_m <= 0.0:
        raise NotMeasuredError(f"{scorer} needs the route's length", where=log.result.route)
    found: list[float] = []
    last_m, ego, traffic, points = 0.0, 0.0, 0.0, 0
    columns = (ticks.column(name) for name in ("progress_m", "speed_mps", "traffic_mps"))
    progress_m = 0.0
    for progress_m, speed, around in zip(*columns, strict=True):
        if progress_m - last_m > length_m / CHECKPOINTS:
            found.append(_percentage(ego, traffic, points))
            last_m, ego, traffic, points = progress_m, 0.0, 0.0, 0
        if not np.isnan(around):
            ego, traffic, points = ego + abs(speed), traffic + around, points + 1
    if progress_m / length_m > LAST_CHECKPOINT_SHARE:
        found.append(_percentage(ego, traffic, points))
    return found


def _percentage(ego: float, traffic: float, points: int) -> float:
    """Returns a check-point's percentage of two sums of speeds, rounded as it is published."""
    if not points or traffic <= 0.0:
        return 100.0
    return round(float(ego / points / (traffic / points) * 100.0), 2)
