"""What happened in a drive, in words that need no knowledge of the log."""

import math

import numpy as np

from dreamdrive.driving.causes import is_collision
from dreamdrive.experiments.drives import SIM_ERROR, DriveResult
from dreamdrive.experiments.event_log import DriveLog, LogEvent, Ticks
from dreamdrive.experiments.policy_turn import POLICY_ERROR, POLICY_LOST, POLICY_TIMEOUT
from dreamdrive.experiments.scorers.time_to_collision import is_at_fault

KMH = 3.6
STANDING_KMH = 1.0
STOOD_S = 3.0
"""Who stood for less at the end was driving."""

SEEN_AHEAD_M, LANE_M = 20.0, 3.5
"""What stands within this distance ahead, and reaches into a lane of this width, is named."""

ENDS: dict[str, str] = {
    "route_finished": "reached the end",
    "blocked": "stood until it was taken off",
    "time_limit": "ran out of time",
    "route_deviation": "left the route",
    POLICY_ERROR: "the policy failed",
    POLICY_TIMEOUT: "the policy took too long",
    POLICY_LOST: "the policy's process was lost",
    SIM_ERROR: "the simulator failed",
}
NAMES: dict[str, str] = {
    "collision_vehicle": "hit a vehicle",
    "collision_walker": "hit a walker",
    "collision_static": "hit a thing",
    "red_light": "ran a red light",
    "stop_sign": "ran a stop sign",
    "off_road": "left the lanes",
    "route_deviation": "left the route",
    "min_speed": "too slow for the traffic",
    "scenario_timeout": "a scenario timed out",
    "yield_emergency": "did not yield to an emergency vehicle",
}


def name_of(cause: str) -> str:
    """Returns what a cause means, in a few words."""
    return NAMES.get(cause) or ENDS.get(cause) or cause.replace("_", " ")


def ending(result: DriveResult) -> str:
    """Returns how a drive ended, and where."""
    told = ENDS.get(result.cause) or name_of(result.cause)
    if result.is_finished:
        return f"{told} after {result.time_s:.0f} s"
    return f"{told} after {result.time_s:.0f} s, {result.progress_m:.0f} of {result.length_m:.0f} m"


def tick_before(ticks: Ticks, time_s: float) -> int:
    """Returns the last tick that is not later than a time."""
    return max(0, int(np.searchsorted(ticks.column("time_s"), time_s + 1e-6, side="right")) - 1)


def describe(event: LogEvent, log: DriveLog) -> str:
    """Returns an infraction in one sentence: what, how fast, whom, and from where."""
    if event.cause == "min_speed":
        return f"Drove at {event.value or 0.0:.0f} % of the mean speed of the traffic."
    ticks = log.ticks
    if ticks is None or not len(ticks):
        whom = _kind(event.detail) if is_collision(event.cause) else ""
        return f"Hit {whom}." if whom else f"{name_of(event.cause).capitalize()}."
    tick = tick_before(ticks, event.time_s)
    # What a contact did to the speed is not what it was hit with.
    speed = KMH * float(ticks.column("speed_mps")[max(0, tick - 1)])
    if is_collision(event.cause):
        return _contact(event, ticks, tick, speed)
    if event.cause == "red_light":
        return f"Crossed a stop line at {_speed(speed)} while its light was red."
    if event.cause == "stop_sign":
        recent = ticks.column("speed_mps")[max(0, tick - round(5.0 / ticks.tick_s)) : tick + 1]
        return (
            f"Crossed the line of a stop sign at {_speed(speed)} without having stopped: "
            f"its slowest in the 5 s before was {_speed(KMH * float(np.abs(recent).min()))}."
        )
    beside = abs(float(ticks.column("lateral_m")[tick]))
    if event.cause in ("off_road", "route_deviation"):
        side = "left" if ticks.column("lateral_m")[tick] > 0.0 else "right"
        where = f"{beside:.1f} m to the {side} of its route, at {_speed(speed)}"
        return f"{name_of(event.cause).capitalize()}: {where}."
    return f"{name_of(event.cause).capitalize()}, at {_speed(speed)}."


def standing(log: DriveLog) -> str:
    """Returns for how long the ego stood at the end of a drive, and what was ahead of it.

    Empty if it was moving, or nothing is known.
    """
    ticks = log.ticks
    if ticks is None or len(ticks) < 2:
        return ""
    moving = np.flatnonzero(KMH * np.abs(ticks.column("speed_mps")) >= STANDING_KMH)
    since = int(moving[-1]) + 1 if len(moving) else 0
    stood = float(ticks.column("time_s")[-1] - ticks.column("time_s")[min(since, len(ticks) - 1)])
    if len(moving) and stood < STOOD_S:
        return ""
    told = f"Stood for the last {stood:.0f} s"
    if not len(moving):
        told = f"Never moved in {stood:.0f} s"
    return f"{told}; {_ahead(ticks, len(ticks) - 1)}."


def _ahead(ticks: Ticks, tick: int) -> str:
    """Returns the nearest actor in the lane ahead."""
    ahead, left, rows = _seen_from_ego(ticks, tick)
    half = ticks.actor("half_length_m")[rows]
    gap = ahead - half - ticks.ego_half_length_m
    reach = LANE_M / 2.0 + ticks.actor("half_width_m")[rows]
    near = (np.abs(left) < reach) & (ahead > 0.0) & (gap < SEEN_AHEAD_M)
    if not near.any():
        return f"no vehicle or walker within {SEEN_AHEAD_M:.0f} m ahead"
    index = int(np.flatnonzero(near)[gap[near].argmin()])
    kind = "walker" if ticks.actor("is_walker")[rows[index]] else "vehicle"
    return f"a {kind} {max(0.0, gap[index]):.1f} m ahead"


def _contact(event: LogEvent, ticks: Ticks, tick: int, speed: float) -> str:
    whom = _kind(event.detail) or name_of(event.cause).removeprefix("hit ")
    stood = abs(speed) < STANDING_KMH
    told = f"Stood and touched {whom}" if stood else f"Hit {whom} at {_speed(speed)}"
    found = _other(ticks, event.other, tick)
    if found is None:
        return f"{told}."
    ahead, left, other = found
    moving = f"moving at {_speed(other)}" if other >= STANDING_KMH else "standing"
    blame = ""
    if is_at_fault(ticks, event) is False:
        why = "stood" if stood else "was hit from behind"
        blame = f" By nuPlan's rule not the policy's fault, since its car {why}."
    return f"{told}; it was {_where(ahead, left, ticks)} and {moving}.{blame}"


def _other(ticks: Ticks, number: int, tick: int) -> tuple[float, float, float] | None:
    """Returns how far ahead and to the left an actor was just before, and its speed, km/h.

    At the tick itself it may have been thrown already.
    """
    for at in (tick - 1, tick):
        ahead, left, rows = _seen_from_ego(ticks, at)
        for index, row in enumerate(rows):
            if int(ticks.actor("id")[row]) == number:
                speed = math.hypot(ticks.actor("velocity_x")[row], ticks.actor("velocity_y")[row])
                return float(ahead[index]), float(left[index]), KMH * speed
    return None


def _seen_from_ego(ticks: Ticks, tick: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rows = np.flatnonzero(ticks.actor_tick == tick)
    x, y, yaw = (float(ticks.column(name)[max(0, tick)]) for name in ("x", "y", "yaw_rad"))
    dx, dy = ticks.actor("x")[rows] - x, ticks.actor("y")[rows] - y
    cos, sin = math.cos(yaw), math.sin(yaw)
    return dx * cos + dy * sin, dy * cos - dx * sin, rows


def _where(ahead: float, left: float, ticks: Ticks) -> str:
    side = "left" if left > 0.0 else "right"
    if abs(ahead) <= ticks.ego_half_length_m:
        return f"at its {side} side"
    place = "ahead" if ahead > 0.0 else "behind"
    return place if abs(left) < ticks.ego_half_width_m else f"{place} to the {side}"


def _kind(detail: str) -> str:
    """Returns an actor's type in words: `vehicle.audi.tt` is an audi tt."""
    parts = detail.split(".")
    if parts[0] == "vehicle" and len(parts) > 1:
        return f"a vehicle ({' '.join(parts[1:]).replace('_', ' ')})"
    if parts[0] == "walker":
        return "a walker"
    if parts[0] == "static":
        return f"a {' '.join(parts[1:]).replace('_', ' ')}" if len(parts) > 1 else "a thing"
    return detail.replace("_", " ").replace(".", " ")


def _speed(kmh: float) -> str:
    return f"{abs(kmh):.0f} km/h" + (" backwards" if kmh < -STANDING_KMH else "")


def place_of(event: LogEvent) -> str:
    """Returns where something happened, x and y in whole metres."""
    return f"{round(event.x)}, {round(event.y)}"


def last_line(words: str) -> str:
    """Returns the last line of what was said, which of a traceback says the most."""
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    return lines[-1] if lines else ""
