"""Driving score of the CARLA Leaderboard 2.0, and of its master branch: penalties multiplied."""

from dreamdrive.experiments.event_log import DriveLog
from dreamdrive.experiments.scorers import leaderboard_1_0
from dreamdrive.experiments.scorers.infractions import product_penalty
from dreamdrive.experiments.scorers.scorer import RouteScore, Scorer

FACTORS: dict[str, float] = {
    **leaderboard_1_0.FACTORS,
    "scenario_timeout": 0.70,
    "yield_emergency": 0.70,
}
MIN_SPEED_WEIGHT = 0.30


def rule(log: DriveLog) -> RouteScore:
    """Returns `completion · Π factor · Π (1 - 0.3 (1 - p/100)) · (1 - outside/100)`.

    p is the mean speed in percent of the traffic's at each check-point that was missed.

    Reference:
        carla-simulator/leaderboard, branch leaderboard-2.0, `statistics_manager.py`.

    Raises:
        NotMeasuredError: If a min-speed event does not tell its percentage.
    """
    completion = log.result.completion_pct
    penalty = product_penalty(log, FACTORS, MIN_SPEED_WEIGHT)
    return RouteScore(
        value=max(0.0, completion * penalty),
        terms={"completion_pct": completion, "penalty": penalty},
        not_measured=log.unwatched,
    )


SCORER = Scorer(name="leaderboard-2.0", label="Driving score", rule=rule)
