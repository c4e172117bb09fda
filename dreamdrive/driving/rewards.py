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


@dataclass(frozen=True, slots=True)
class Reward:
    """The reward of one decision step, and what it is made of.

    Attributes:
        value: The reward.
        terms: Its parts by name: summands, or the factors that its docstring names.
    """

    value: float
    terms: dict[str, float]


def route_completion(facts: StepFacts) -> Reward:
    """Returns metres of route progress / 100 times soft factors; -1 at a termination.

    Terms: `progress` (m / 100); the factors `speeding` (linear to 0 over 2.23 m/s), `comfort`
    (down to 0.5) and `outside` (0 outside the lane, else 1); `terminal` (-1 instead of all others).

    Reference:
        Jaeger et al. 2025, "CaRL: Learning Scalable Planning Policies with Simple Rewards",
        arXiv:2504.17838; in metres, since no observation holds the length of the route.
    """
    excess = max(0.0, facts.speed_mps - facts.speed_limit_mps)
    terms = {
        "progress": facts.progress_m / 100.0,
        "speeding": max(0.0, 1.0 - excess / OVERSPEED_SCALE_MPS),
        "comfort": 1.0 - 0.5 * facts.comfort_violations / 6.0,
        "outside": 0.0 if facts.outside_lane else 1.0,
        "terminal": -1.0 if facts.terminated else 0.0,
    }
    if facts.terminated:
        return Reward(-1.0, terms)
    kept = terms["progress"] * terms["speeding"] * terms["comfort"] * terms["outside"]
    return Reward(kept, terms)


def roach(facts: StepFacts) -> Reward:
    """Returns Roach's shaped reward, the sum of its terms.

    * `speed`: 1 - |v - v_desired| / 6, where an expert says how fast it would drive.
    * `position`: -|lateral offset| / 2, in metres.
    * `rotation`: -|heading error|, in radians.
    * `action`: -0.1 where the steer changed by more than 0.01.
    * `terminal`: -1 at a termination, and -v more at a collision, a red light or a stop sign.

    Being blocked, which ends an episode with -1 there, is a truncation here.

    Reference:
        Zhang et al. 2021, "End-to-End Urban Driving by Imitating a Reinforcement Learning Coach",
        arXiv:2108.08265, section 3 and its supplement.
    """
    terms = {
        "speed": 1.0 - abs(facts.speed_mps - facts.desired_speed_mps) / 6.0,
        "position": -abs(facts.lateral_offset_m) / 2.0,
        "rotation": -abs(facts.heading_error_rad),
        "action": -0.1 if abs(facts.steer_change) > 0.01 else 0.0,
        "terminal": _terminal(facts),
    }
    return Reward(sum(terms.values()), terms)


def think2drive(facts: StepFacts) -> Reward:
    """Returns Think2Drive's reward, the sum of its terms.

    * `speed`: 1 - |v - v_desired| / 7.5.
    * `travel`: metres of route progress.
    * `deviation`: -2 |lateral offset| / 8, in metres.
    * `steer`: -|change of steer| / 2.
    * `terminal`: -1 at a termination, and -v more at a collision, a red light or a stop sign.
    * `finished`: +1 at the end of the route.

    Reference:
        Li et al. 2024, "Think2Drive", arXiv:2402.16720, section 3.4; scales and the terms of an
        episode's end as in its public reproduction.
    """
    terms = {
        "speed": 1.0 - abs(facts.speed_mps - facts.desired_speed_mps) / 7.5,
        "travel": facts.progress_m,
        "deviation": -2.0 * abs(facts.lateral_offset_m) / 8.0,
        "steer": -0.5 * abs(facts.steer_change),
        "terminal": _terminal(facts),
        "finished": 1.0 if facts.finished else 0.0,
    }
    return Reward(sum(terms.values()), terms)


def _terminal(facts: StepFacts) -> float:
    if not facts.terminated:
        return 0.0
    return -1.0 - (facts.speed_mps if facts.infraction else 0.0)


REWARDS: dict[str, Callable[[StepFacts], Reward]] = {
    "route_completion": route_completion,
    "roach": roach,
    "think2drive": think2drive,
}
