"""Driving score of the CARLA Leaderboard 1.0: penalties are multiplied."""

from dreamdrive.experiments.event_log import DriveLog
from dreamdrive.experiments.scorers.infractions import product_penalty
from dreamdrive.experiments.scorers.scorer import RouteScore, Scorer

FACTORS: dict[str, float] = {
    "collision_walker": 0.50,
    "collision_vehicle": 0.60,
    "collision_static": 0.65,
    "red_light": 0.70,
    "stop_sign": 0.80,
}


def rule(log: DriveLog) -> RouteScore:
    """Returns `completion · Π factor · (1 - outside/100)`, not below 0.

    Reference:
        carla-simulator/leaderboard, branch leaderboard-1.0, `statistics_manager.py`.
    """
    completion, penalty = log.result.completion_pct, product_penalty(log, FACTORS)
    return RouteScore(
        value=max(0.0, completion * penalty),
        terms={"completion_pct": completion, "penalty": penalty},
    )


SCORER = Scorer(name="leaderboard-1.0", label="Driving score", rule=rule)
