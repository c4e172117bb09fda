"""The results file of the CARLA leaderboard, for tools that read it.

Places are in CARLA's left-handed axes, as the leaderboard writes them.
"""

from collections.abc import Sequence
from statistics import mean, stdev
from typing import Any

from dreamdrive.experiments.event_log import LogEvent
from dreamdrive.experiments.policy_turn import POLICY_FAULTS
from dreamdrive.experiments.scored_drives import ScoredDrive
from dreamdrive.experiments.scores import driven_km

SCORE_DIGITS, DIGITS = 6, 3
"""Decimals that the leaderboard keeps of scores, and of everything else."""

UNKNOWN_S = -1
SENSORS = ["privileged"]
"""What a policy sees in `CarlaDrive-v0` is drawn from the map and the actors."""

SHORTEST_KM = 0.001
"""Less than this is not divided by."""

LISTS: dict[str, str] = {
    "collision_walker": "collisions_pedestrian",
    "collision_vehicle": "collisions_vehicle",
    "collision_static": "collisions_layout",
    "red_light": "red_light",
    "stop_sign": "stop_infraction",
    "outside": "outside_route_lanes",
    "min_speed": "min_speed_infractions",
    "yield_emergency": "yield_emergency_vehicle_infractions",
    "scenario_timeout": "scenario_timeouts",
    "route_deviation": "route_dev",
    "blocked": "vehicle_blocked",
    "time_limit": "route_timeout",
}
"""The leaderboard's list for each infraction; leaving the lanes is one entry with its length."""

LABELS: dict[str, str] = {
    "collisions_pedestrian": "Collisions with pedestrians",
    "collisions_vehicle": "Collisions with vehicles",
    "collisions_layout": "Collisions with layout",
    "red_light": "Red lights infractions",
    "stop_infraction": "Stop sign infractions",
    "outside_route_lanes": "Off-road infractions",
    "route_dev": "Route deviations",
    "route_timeout": "Route timeouts",
    "vehicle_blocked": "Agent blocked",
    "yield_emergency_vehicle_infractions": "Yield emergency vehicles infractions",
    "scenario_timeouts": "Scenario timeouts",
    "min_speed_infractions": "Min speed infractions",
}
ENDS: dict[str, str] = {
    "route_deviation": "Failed - Agent deviated from the route",
    "blocked": "Failed - Agent got blocked",
    "time_limit": "Failed - Agent timed out",
    **dict.fromkeys(POLICY_FAULTS, "Failed - Agent crashed"),
}


def leaderboard_results(drives: Sequence[ScoredDrive], scorer: str) -> dict[str, Any]:
    """Returns the results of one policy in the leaderboard's form.

    Drives that the server ended are not records; `progress` tells how many there are. The
    leaderboard's own `merge_statistics.py` reads it, so that a route has a number in its id, and a
    trial the number of its repetition; the wall time, which was not measured, is -1, as there. What
    else was not measured is null. The leaderboard itself writes neither `scorer`, which names the
    version, nor a record's `route`, `seed` and `repetition`.

    Args:
        drives: The drives of the policy.
        scorer: One of the leaderboards, which scored them.

    Reference:
        carla-simulator/leaderboard, branch leaderboard-2.1, `statistics_manager.py`.
    """
    valid = [drive for drive in drives if scorer in drive.scores]
    routes = sorted({drive.result.route for drive in drives})
    trials = sorted({drive.result.key[1] for drive in drives})
    records = []
    for index, drive in enumerate(valid):
        route, trial = drive.result.key
        route_id = f"RouteScenario_{routes.index(route)}_rep{trials.index(trial)}"
        records.append(_record(index, route_id, drive, scorer))
    overall = _global(valid, records)
    told = overall["scores_mean"]
    scores = [told[key] for key in ("score_composed", "score_route", "score_penalty")]
    values = [*scores, *(overall["infractions"][key] for key in LABELS)]
    return {
        "scorer": scorer,
        "_checkpoint": {
            "progress": [len(valid), len(drives)], "records": records, "global_record": overall,
        },
        "entry_status": "Finished" if len(valid) == len(drives) else "Crashed",
        "eligible": len(valid) == len(drives),
        "sensors": SENSORS,
        "values": [str(value) for value in values],
        "labels": [
            "Avg. driving score", "Avg. route completion", "Avg. infraction penalty",
            *LABELS.values(),
        ],
    }  # fmt: skip


def _record(index: int, route_id: str, drive: ScoredDrive, scorer: str) -> dict[str, Any]:
    result, score = drive.result, drive.scores[scorer]
    infractions: dict[str, list[str]] = {name: [] for name in LABELS}
    for event in drive.events:
        if event.cause in LISTS:
            infractions[LISTS[event.cause]].append(_message(event))
    if result.outside_route_m > 0.0:
        infractions["outside_route_lanes"].append(
            f"Agent went outside its route lanes for about {result.outside_route_m:.3f} meters "
            f"({result.outside_pct:.2f}% of the completed route)"
        )
    end = LISTS.get(result.cause)
    if end is not None and not infractions[end]:
        infractions[end].append(ENDS[result.cause].removeprefix("Failed - "))
    count = sum(map(len, infractions.values()))
    finished = "Completed" if count else "Perfect"
    return {
        "index": index,
        "route_id": route_id,
        "route": result.route, "seed": result.seed, "repetition": result.repetition,
        "status": finished if result.is_finished else ENDS.get(result.cause, "Failed"),
        "num_infractions": count,
        "infractions": infractions,
        "scores": {
            "score_route": round(score.terms["completion_pct"] or 0.0, SCORE_DIGITS),
            "score_penalty": round(score.terms["penalty"] or 0.0, SCORE_DIGITS),
            "score_composed": round(score.value, SCORE_DIGITS),
        },
        "meta": {
            "route_length": round(result.length_m, DIGITS),
            "duration_game": round(result.time_s, DIGITS), "duration_system": UNKNOWN_S,
        },
    }  # fmt: skip


def _message(event: LogEvent) -> str:
    place = f"(x={event.x:g}, y={-event.y:g})"
    if event.cause.startswith("collision_"):
        what = f"type={event.detail} and id={event.other}"
        return f"Agent collided against object with {what} at {place}"
    if event.cause == "red_light":
        return f"Agent ran a red light {event.other} at {place}"
    if event.cause == "stop_sign":
        return f"Agent ran a stop with id={event.other} at {place}"
    if event.cause == "min_speed":
        return f"Average speed is {event.value}% of the surrounding traffic's one"
    if event.cause == "route_deviation":
        return f"Agent deviated from the route at {place}"
    return f"{event.cause} at {place}"


def _global(drives: Sequence[ScoredDrive], records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    km = max(sum(driven_km(drive.result) for drive in drives), SHORTEST_KM)
    keys = ("score_route", "score_penalty", "score_composed")
    columns = {key: [record["scores"][key] for record in records] for key in keys}
    per_km = {
        name: round(sum(len(record["infractions"][name]) for record in records) / km, DIGITS)
        for name in LABELS
    }
    # Of this one the leaderboard tells the kilometres, and divides them by nothing.
    outside_km = sum(drive.result.outside_route_m for drive in drives) / 1000.0
    per_km["outside_route_lanes"] = round(outside_km, DIGITS)
    failed = [record for record in records if record["status"].startswith("Failed")]
    is_perfect = all(record["status"] == "Perfect" for record in records)
    return {
        "index": -1,
        "route_id": -1,
        "status": "Failed" if failed else "Perfect" if is_perfect else "Completed",
        "infractions": per_km,
        "scores_mean": {
            key: round(mean(values), SCORE_DIGITS) if values else None
            for key, values in columns.items()
        },
        "scores_std_dev": {
            key: round(stdev(values), DIGITS) if len(values) > 1 else 0 if values else None
            for key, values in columns.items()
        },
        "meta": {
            "total_length": sum(drive.result.length_m for drive in drives),
            "duration_game": sum(drive.result.time_s for drive in drives),
            "duration_system": UNKNOWN_S,
            "exceptions": [
                [record["route_id"], record["index"], record["status"]] for record in failed
            ],
        },
    }
