"""What the CARLA leaderboards price: how often each infraction happened in a drive."""

from collections.abc import Iterable, Mapping

from dreamdrive.errors import NotMeasuredError
from dreamdrive.experiments.event_log import DriveLog


def counts_of(log: DriveLog, causes: Iterable[str]) -> dict[str, int]:
    """Returns how often each cause happened."""
    return {cause: log.count(cause) for cause in causes}


def min_speeds(log: DriveLog) -> list[float]:
    """Returns the percentage of each check-point at which the drive was too slow.

    Raises:
        NotMeasuredError: If an event does not tell its percentage.
    """
    found = [event.value for event in log.events if event.cause == "min_speed"]
    told = [value for value in found if value is not None]
    if len(told) < len(found):
        raise NotMeasuredError(
            "A min_speed event has no value", where=f"{log.result.route}, seed {log.result.seed}"
        )
    return told


def product_penalty(
    log: DriveLog, factors: Mapping[str, float], min_speed_weight: float = 0.0
) -> float:
    """Returns `Π factor · Π (1 - w (1 - p/100)) · (1 - q/100)`.

    p is the percentage of each min-speed event, q the share of the completed route that was driven
    outside its lanes.

    Args:
        log: The drive.
        factors: Factor of each infraction, for every time that it happened.
        min_speed_weight: The weight w; 0 prices no min-speed event.
    """
    penalty = 1.0
    for cause, count in counts_of(log, factors).items():
        penalty *= factors[cause] ** count
    if min_speed_weight:
        for percentage in min_speeds(log):
            penalty *= 1.0 - min_speed_weight * (1.0 - percentage / 100.0)
    return penalty * (1.0 - log.result.outside_pct / 100.0)
