"""Comfort as nuPlan judges it: all six signals within their bounds at all times."""

import numpy as np

from dreamdrive.driving.comfort import COMFORT_BOUNDS
from dreamdrive.experiments.event_log import DriveLog
from dreamdrive.experiments.scorers.scorer import RouteScore, Scorer
from dreamdrive.experiments.scorers.signals import comfort_signals, within_bounds

NAME = "nuplan-comfort"


def rule(log: DriveLog) -> RouteScore:
    """Returns 100 if every signal keeps its bounds at every tick, else 0; shares as terms.

    nuPlan judges scenarios of 15 s; a whole route is harder to keep, which the share of
    comfortable ticks shows better.

    Reference:
        motional/nuplan-devkit, `ego_is_comfortable.py`.

    Raises:
        NotMeasuredError: If the log has no ticks or no accelerations.
    """
    is_within = within_bounds(comfort_signals(log, NAME))
    shares: dict[str, float | None] = {
        f"{bound.name}_within_pct": 100.0 * float(np.mean(is_within[:, column]))
        for column, bound in enumerate(COMFORT_BOUNDS)
    }
    always = is_within.all(axis=1)
    return RouteScore(
        value=100.0 * bool(always.all()),
        terms={"comfortable_pct": 100.0 * float(always.mean()), **shares},
    )


SCORER = Scorer(name=NAME, label="Comfortable drives, %", rule=rule)
