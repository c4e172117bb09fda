"""Driving score of the CARLA Leaderboard 2.1, with its minimum speed held to the traffic here.

The leaderboard fills the surroundings of the ego with traffic as it goes; ours drives where it was
put. So this says what the rule costs in our traffic, under a name of its own.
"""

from dreamdrive.experiments.event_log import DriveLog
from dreamdrive.experiments.scorers.infractions import counts_of
from dreamdrive.experiments.scorers.leaderboard_2_1 import COEFFICIENTS, sum_penalty
from dreamdrive.experiments.scorers.min_speed import speed_percentages
from dreamdrive.experiments.scorers.scorer import RouteScore, Scorer

NAME = "leaderboard-2.1-min-speed"
CHECKPOINTS = 4


def rule(log: DriveLog) -> RouteScore:
    """Returns `completion · penalty` of `leaderboard-2.1`, not below 0.

    Each quarter of the route at whose end the mean speed was below the traffic's adds
    `0.4 (1 - p/100)` to the sum below the fraction, p in percent.

    Reference:
        carla-simulator/leaderboard, branch leaderboard-2.1, `route_scenario.py`.

    Raises:
        NotMeasuredError: If the log has no ticks or no route.
    """
    completion = log.result.completion_pct
    percentages = speed_percentages(log, NAME, CHECKPOINTS)
    penalty = sum_penalty(
        counts_of(log, COEFFICIENTS), outside_pct=log.result.outside_pct,
        min_speed_pct=[pct for pct in percentages if pct < 100.0],
    )  # fmt: skip
    return RouteScore(
        value=max(0.0, completion * penalty),
        terms={
            "completion_pct": completion,
            "penalty": penalty,
            "speed_pct": sum(percentages) / len(percentages) if percentages else None,
        },
        not_measured=tuple(what for what in log.unwatched if what != "min_speed"),
    )


SCORER = Scorer(name=NAME, label="Driving score", rule=rule)
