"""Named rewards of one decision step, as pure functions of what happened in it."""

from collections.abc import Callable
from dataclasses import dataclass

OVERSPEED_SCALE_MPS = 2.23


@dataclass(frozen=True, kw_only=True, slots=True)
class StepFacts:
    """What a reward may depend on, for one decision step."""

    progress_m: float
    """Arc length gained along the route; never negative, since progress never decreases."""
    speed_mps: float
    speed_limit_mps: float
    lateral_offset_m: float
    heading_error_rad: float
    steer_change: float
    """Difference of the steer action from that of the step before."""
    outside_lane: bool
    comfort_violations: int
    """How many of the six comfort bounds were exceeded, 0 to 6."""
    desired_speed_mps: float
    """Speed limit, lowered by a leading vehicle, a red light or a walker."""
    terminated: bool
    infraction: bool
    """Terminated by a collision, a red light or a stop sign."""
    finished: bool


def route_completion(facts: StepFacts) -> float:
    """Returns metres of route progress / 100 times soft factors; -1 at a termination.

    Factors: speeding (linear to 0 over 2.23 m/s), comfort (down to 0.5), outside the lane (0).

    Reference:
        Jaeger et al. 2025, "CaRL: Learning Scalable Planning Policies with Simple Rewards",
        arXiv:2504.17838; in metres, since no observation holds the length of the route.
    """
    if facts.terminated:
        return -1.0
    excess = max(0.0, facts.speed_mps - facts.speed_limit_mps)
    speeding = max(0.0, 1.0 - excess / OVERSPEED_SCALE_MPS)
    comfort = 1.0 - 0.5 * facts.comfort_violations / 6.0
    outside = 0.0 if facts.outside_lane else 1.0
    return facts.progress_m / 100.0 * speeding * comfort * outside


def roach(facts: StepFacts) -> float:
    """Returns Roach's shaped reward: speed, position and heading, less jerky steering.

    Reference:
        Zhang et al. 2021, "End-to-End Urban Driving by Imitating a Reinforcement Learning Coach",
        arXiv:2108.08265, section 3.
    """
    speed = 1.0 - abs(facts.speed_mps - facts.desired_speed_mps) / 6.0
    steer = -0.1 if abs(facts.steer_change) > 0.01 else 0.0
    reward = speed - abs(facts.lateral_offset_m) / 2.0 - abs(facts.heading_error_rad) + steer
    if facts.terminated:
        reward += -1.0 - (facts.speed_mps if facts.infraction else 0.0)
    return reward


def think2drive(facts: StepFacts) -> float:
    """Returns Think2Drive's reward: speed, distance, deviation and smooth steering.

    Reference:
        Li et al. 2024, "Think2Drive", arXiv:2402.16720, section 3.4.
    """
    speed = 1.0 - abs(facts.speed_mps - facts.desired_speed_mps) / 7.5
    reward = speed + facts.progress_m - abs(facts.lateral_offset_m) / 4.0
    reward -= 0.5 * abs(facts.steer_change)
    if facts.terminated:
        reward += -1.0 - (facts.speed_mps if facts.infraction else 0.0)
    return reward + (1.0 if facts.finished else 0.0)


REWARDS: dict[str, Callable[[StepFacts], float]] = {
    "route_completion": route_completion,
    "roach": roach,
    "think2drive": think2drive,
}
