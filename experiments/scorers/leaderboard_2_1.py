"""Driving score of the CARLA Leaderboard 2.1: penalties are added."""

from collections.abc import Mapping, Sequence

from dreamdrive.experiments.event_log import DriveLog
from dreamdrive.experiments.scorers.infractions import counts_of, min_speeds
from dreamdrive.experiments.scorers.scorer import RouteScore, Scorer

COEFFICIENTS: dict[str, float] = {
    "collision_walker": 1.00,
    "collision_vehicle": 0.70,
    "collision_static": 0.60,
    "red_light": 0.40,
    "stop_sign": 0.25,
    "scenario_timeout": 0.40,
    "yield_emergency": 0.40,
}
MIN_SPEED_COEFFICIENT = 0.40


def sum_penalty(
    counts: Mapping[str, int], *, outside_pct: float = 0.0, min_speed_pct: Sequence[float] = ()
) -> float:
    """Returns `(1 - outside/100) / (1 + Σ c)`.

    What is not in `COEFFICIENTS` costs nothing by itself: leaving the lanes counts by its length,
    and deviation, blocking and time-outs by the rest of the route that is not driven.

    Args:
        counts: Events by cause.
        outside_pct: Share of the completed route driven outside its lanes, 0 to 100.
        min_speed_pct: Mean speed over that of the traffic around, in percent, for each check-point
            that was missed; `c = 0.4 (1 - p/100)`.

    Reference:
        carla-simulator/leaderboard, branch leaderboard-2.1, `statistics_manager.py`.
    """
    total = sum(COEFFICIENTS.get(cause, 0.0) * count for cause, count in counts.items())
    total += sum(MIN_SPEED_COEFFICIENT * (1.0 - pct / 100.0) for pct in min_speed_pct)
    return (1.0 - outside_pct / 100.0) / (1.0 + total)


def rule(log: DriveLog) -> RouteScore:
    """Returns `completion · penalty`, not below 0.

    Raises:
        NotMeasuredError: If a min-speed event does not tell its percentage.
    """
    completion = log.result.completion_pct
    penalty = sum_penalty(
        counts_of(log, COEFFICIENTS), outside_pct=log.result.outside_pct,
        min_speed_pct=min_speeds(log),
    )  # fmt: skip
    return RouteScore(
        value=max(0.0, completion * penalty),
        terms={"completion_pct": completion, "penalty": penalty},
        not_measured=log.unwatched,
    )


SCORER = Scorer(name="leaderboard-2.1", label="Driving score", rule=rule)
