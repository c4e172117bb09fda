"""How fast a drive was beside the traffic, by stretches of its route."""

import numpy as np

from dreamdrive.errors import NotMeasuredError
from dreamdrive.experiments.event_log import DriveLog
from dreamdrive.experiments.scorers.scorer import ticks_of

LAST_CHECKPOINT_SHARE = 0.95


def speed_percentages(log: DriveLog, scorer: str, checkpoints: int) -> list[float]:
    """Returns the ego's mean speed in percent of the traffic's at each check-point it came to.

    Check-points lie an equal share of the route behind each other; the last counts from 95 % of
    the route on. Where the traffic stands or there is none, the percentage is 100.

    Args:
        log: The drive.
        scorer: Who asks.
        checkpoints: How many there are on the route.

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
        if progress_m - last_m > length_m / checkpoints:
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
