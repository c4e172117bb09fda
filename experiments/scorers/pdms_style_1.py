"""A score of whole drives in the style of NAVSIM's PDMS, which scores plans of 4 s."""

import numpy as np
from numpy.typing import NDArray

from dreamdrive.driving.causes import is_collision
from dreamdrive.errors import NotMeasuredError
from dreamdrive.experiments.event_log import DriveLog, Ticks
from dreamdrive.experiments.scorers.scorer import RouteScore, Scorer, ticks_of
from dreamdrive.experiments.scorers.signals import comfort_signals, within_bounds
from dreamdrive.experiments.scorers.time_to_collision import about_to_collide, is_at_fault

NAME = "pdms-style-1"
WINDOW_S = 4.0
STATIC_FACTOR = 0.5


def rule(log: DriveLog) -> RouteScore:
    """Returns `100 · NC · DAC · (5 EP + 5 TTC + 2 C) / 12`.

    NC is 0 after a contact with a vehicle or walker at the ego's fault, 0.5 after one with a
    thing, else 1; DAC is 0 after leaving the lanes, else 1. Where PDMS judges one plan, TTC and C
    are the share of windows of 4 s in which no contact was less than 0.95 s away, and in which the
    six comfort signals kept their bounds. EP, which PDMS takes relative to a planner of its own,
    is route completion. Numbers are not comparable with NAVSIM's.

    Reference:
        Dauner et al. 2024, "NAVSIM", arXiv:2406.15349, section 3.

    Raises:
        NotMeasuredError: If the log has no ticks or no accelerations, or does not show whom the
            ego hit.
    """
    ticks = ticks_of(log, NAME, "time_s", "x", "y", "yaw_rad", "speed_mps")
    window = np.arange(len(ticks)) // max(1, round(WINDOW_S / ticks.tick_s))
    uncomfortable = np.asarray(~within_bounds(comfort_signals(log, NAME)).all(axis=1))

    def kept(violated: NDArray[np.bool_]) -> float:
        return 1.0 - len(np.unique(window[violated])) / (int(window[-1]) + 1)

    collisions = no_collision(log, ticks)
    lanes = float(log.result.outside_m == 0.0 and not log.count("off_road"))
    progress = log.result.completion_pct / 100.0
    ahead, comfort = kept(about_to_collide(ticks)), kept(uncomfortable)
    mean = (5.0 * progress + 5.0 * ahead + 2.0 * comfort) / 12.0
    terms: dict[str, float | None] = {
        "no_collision": collisions, "drivable_area": lanes, "progress": progress,
        "time_to_collision": ahead, "comfort": comfort,
    }  # fmt: skip
    return RouteScore(value=100.0 * collisions * lanes * mean, terms=terms)


def no_collision(log: DriveLog, ticks: Ticks) -> float:
    """Returns the factor for contacts at the ego's fault: 0, 0.5 or 1.

    Raises:
        NotMeasuredError: If the log does not show whom the ego hit.
    """
    factor = 1.0
    for event in log.events:
        if event.cause == "collision_static":
            factor = min(factor, STATIC_FACTOR)
        elif is_collision(event.cause):
            fault = is_at_fault(ticks, event)
            if fault is None:
                raise NotMeasuredError(
                    f"{NAME} needs to know where actor {event.other} was when it was hit",
                    where=f"{log.result.route}, seed {log.result.seed}, {event.time_s:g} s",
                )
            factor = 0.0 if fault else factor
    return factor


SCORER = Scorer(name=NAME, label="PDMS style", rule=rule)
