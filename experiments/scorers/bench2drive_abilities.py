"""Bench2Drive's five abilities: which routes succeed, by what their scenarios ask of a driver."""

from collections.abc import Iterable

from dreamdrive.errors import NotMeasuredError
from dreamdrive.experiments.drives import DriveResult
from dreamdrive.experiments.event_log import DriveLog
from dreamdrive.experiments.scorers.bench2drive_rules import ended_as_bench2drive, is_success
from dreamdrive.experiments.scorers.scorer import RouteScore, Scorer

NAME = "bench2drive-abilities-0.0.3"
TRAFFIC_SIGNS = "traffic_signs"
ABILITIES: dict[str, frozenset[str]] = {
    "overtaking": frozenset({
        "Accident", "AccidentTwoWays", "ConstructionObstacle", "ConstructionObstacleTwoWays",
        "HazardAtSideLane", "HazardAtSideLaneTwoWays", "ParkedObstacle", "ParkedObstacleTwoWays",
        "VehicleOpensDoorTwoWays",
    }),
    "merging": frozenset({
        "CrossingBicycleFlow", "EnterActorFlow", "HighwayCutIn", "HighwayExit",
        "InterurbanActorFlow", "InterurbanAdvancedActorFlow", "MergerIntoSlowTraffic",
        "MergerIntoSlowTrafficV2", "NonSignalizedJunctionLeftTurn",
        "NonSignalizedJunctionLeftTurnEnterFlow", "NonSignalizedJunctionRightTurn", "ParkingExit",
        "SequentialLaneChange", "SignalizedJunctionLeftTurn", "SignalizedJunctionLeftTurnEnterFlow",
        "SignalizedJunctionRightTurn",
    }),
    "emergency_brake": frozenset({
        "BlockedIntersection", "ControlLoss", "DynamicObjectCrossing", "HardBreakRoute",
        "OppositeVehicleRunningRedLight", "OppositeVehicleTakingPriority",
        "ParkingCrossingPedestrian", "ParkingCutIn", "PedestrianCrossing", "StaticCutIn",
        "VehicleTurningRoute", "VehicleTurningRoutePedestrian",
    }),
    "give_way": frozenset({"InvadingTurn", "YieldToEmergencyVehicle"}),
    TRAFFIC_SIGNS: frozenset({
        "BlockedIntersection", "CrossingBicycleFlow", "EnterActorFlow",
        "NonSignalizedJunctionLeftTurn", "NonSignalizedJunctionLeftTurnEnterFlow",
        "NonSignalizedJunctionRightTurn", "OppositeVehicleRunningRedLight",
        "OppositeVehicleTakingPriority", "PedestrianCrossing", "SignalizedJunctionLeftTurn",
        "SignalizedJunctionLeftTurnEnterFlow", "SignalizedJunctionRightTurn", "T_Junction",
        "VanillaNonSignalizedTurn", "VanillaNonSignalizedTurnEncounterStopsign",
        "VanillaSignalizedTurnEncounterGreenLight", "VanillaSignalizedTurnEncounterRedLight",
        "VehicleTurningRoute", "VehicleTurningRoutePedestrian",
    }),
}  # fmt: skip
"""Which types of scenarios ask for an ability; a type may ask for several."""

POINTS_BEYOND = 8
"""Points of a metre that a failed drive must get beyond the first one in a junction."""


def rule(log: DriveLog) -> RouteScore:
    """Returns 100 for a route that was finished without an infraction, else 0, for its abilities.

    A term that the route's scenarios do not ask for is None, so that its mean is over the routes
    that do. Signs and lights were also heeded by who failed otherwise, got through the first
    junction, and ran neither a red light nor a stop sign.

    The published tool reads the first scenario of a route, of which its routes have one. Here a
    route counts for every scenario that could be played on it.

    Reference:
        Thinklab-SJTU/Bench2Drive 7ec25d1c, `ability_benchmark.py`.

    Raises:
        NotMeasuredError: If no scenario of the route asks for an ability, or the log has no ticks.
    """
    asked = abilities_of([log.result])
    if not asked:
        raise NotMeasuredError(
            f"{NAME} needs a scenario of a type that Bench2Drive has", where=log.result.route,
            do="Evaluate with --scenarios all, or on routes of a file that has some.",
        )  # fmt: skip
    log = ended_as_bench2drive(log, NAME)
    succeeds = is_success(log)
    terms: dict[str, float | None] = {
        ability: 100.0 * succeeds if ability in asked else None for ability in ABILITIES
    }
    if TRAFFIC_SIGNS in asked:
        heeds = heeds_signs(log)
        terms[TRAFFIC_SIGNS] = None if heeds is None else 100.0 * (succeeds or heeds)
    return RouteScore(value=100.0 * succeeds, terms=terms, not_measured=log.unwatched)


def abilities_of(results: Iterable[DriveResult]) -> set[str]:
    """Returns the abilities that the scenarios asked for which could be played in these drives."""
    kinds = {s.type for result in results for s in result.scenarios if s.result != "absent"}
    return {ability for ability, types in ABILITIES.items() if types & kinds}


def heeds_signs(log: DriveLog) -> bool | None:
    """Returns whether the first junction was passed and no red light and no stop sign was run.

    None where the log does not say where the first junction is. The published tool compares shares
    of the route, in points of a metre.
    """
    first_m = log.first_junction_m
    if first_m is None:
        return None
    through = (first_m + 1.0 + POINTS_BEYOND) / (log.result.length_m + 1.0)
    is_through = log.result.completion_pct / 100.0 > through
    return is_through and not log.count("red_light") and not log.count("stop_sign")


SCORER = Scorer(name=NAME, label="Success %", rule=rule, mean_of=tuple(ABILITIES))
