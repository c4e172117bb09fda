"""The scenarios that there are, by the leaderboard's own names; others' own as `module:Class`."""

import dataclasses
import importlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from dreamdrive.envs.carla.scenarios.specification import ScenarioSpec
from dreamdrive.errors import ConfigError, RouteError

if TYPE_CHECKING:
    from dreamdrive.envs.carla.routes import Route
    from dreamdrive.envs.carla.scenarios.scenario import Scenario

MODULES: dict[str, str] = {
    "Accident": "obstacles:StandingObstacle",
    "AccidentTwoWays": "obstacles:StandingObstacle",
    "BlockedIntersection": "junctions:BlockedIntersection",
    "ConstructionObstacle": "obstacles:StandingObstacle",
    "ConstructionObstacleTwoWays": "obstacles:StandingObstacle",
    "ControlLoss": "control_loss:ControlLoss",
    "DynamicObjectCrossing": "crossings:CrossingWalkers",
    "HardBreakRoute": "hard_brake:HardBrake",
    "HighwayCutIn": "cut_ins:CutIn",
    "NonSignalizedJunctionLeftTurn": "junctions:JunctionMeeting",
    "NonSignalizedJunctionRightTurn": "junctions:JunctionMeeting",
    "OppositeVehicleRunningRedLight": "junctions:JunctionMeeting",
    "OppositeVehicleTakingPriority": "junctions:JunctionMeeting",
    "ParkedObstacle": "obstacles:StandingObstacle",
    "ParkedObstacleTwoWays": "obstacles:StandingObstacle",
    "ParkingCrossingPedestrian": "crossings:CrossingWalkers",
    "ParkingCutIn": "cut_ins:CutIn",
    "PedestrianCrossing": "crossings:CrossingWalkers",
    "SignalizedJunctionLeftTurn": "junctions:JunctionMeeting",
    "StaticCutIn": "cut_ins:CutIn",
    "VehicleTurningRoutePedestrian": "crossings:CrossingWalkers",
    "YieldToEmergencyVehicle": "emergency:EmergencyVehicle",
}
"""The module and class of each type."""

SCENARIO_TYPES = tuple(MODULES)
APART_M = 60.0
"""From the end of one placed scenario's trigger to the next: one is played at a time."""


def find_scenario(kind: str) -> "type[Scenario]":
    """Returns the class that plays a type: one of `MODULES`, or `module:Class` of any module.

    Raises:
        ConfigError: If there is none.
    """
    if kind in MODULES:
        module, _, name = MODULES[kind].partition(":")
        found = importlib.import_module(f"dreamdrive.envs.carla.scenarios.{module}")
        return cast("type[Scenario]", getattr(found, name))
    check_types([kind])
    return _own(kind, "")


def _own(kind: str, where: str) -> "type[Scenario]":
    """Returns a class that is not part of this project.

    Raises:
        ConfigError: If it cannot be imported, or is no scenario.
    """
    from dreamdrive.envs.carla.scenarios.scenario import Scenario

    module, _, name = kind.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"There is no scenario {kind!r}: {error}", where=where,
            do="Give module:Class of a module on PYTHONPATH.",
        ) from error  # fmt: skip
    if not (isinstance(found, type) and issubclass(found, Scenario)):
        raise ConfigError(f"{kind!r} is no Scenario", where=where)
    return found


def check_types(kinds: Iterable[str], where: str = "") -> None:
    """Refuses a type that there is none of, by its name.

    Raises:
        ConfigError: If there is one.
    """
    for kind in kinds:
        if ":" in kind:
            _own(kind, where)
        elif kind not in MODULES:
            raise ConfigError(
                f"There is no scenario type {kind!r}", where=where,
                do="Leave such scenarios of a file out with --skip-unknown-scenarios, which counts "
                f"them. Known: {', '.join(MODULES)}.",
            )  # fmt: skip


def known(specs: Iterable[ScenarioSpec], *, skip_unknown: bool = False) -> list[ScenarioSpec]:
    """Returns those whose type there is.

    Args:
        specs: Scenarios of a route.
        skip_unknown: Whether the others are left out; otherwise they are refused.

    Raises:
        ConfigError: If a type is not there and is not to be skipped.
    """
    found = []
    for spec in specs:
        is_known = spec.type in MODULES or ":" in spec.type
        if not is_known and not skip_unknown:
            check_types([spec.type], spec.name)
        if is_known:
            found.append(spec)
    return found


def placed(
    carla_map: Any, route: "Route", kinds: Sequence[str], rng: np.random.Generator, most: int = 1
) -> "Route":
    """Returns the route with scenarios of these types where it has room for them.

    Args:
        carla_map: The map that it lies on.
        route: The route; what it had of scenarios is replaced.
        kinds: Types in order of preference; each is taken once at most.
        rng: Chooses the places.
        most: How many scenarios are wanted; fewer where there is no room.

    Raises:
        ConfigError: If there is no such type.
    """
    from dreamdrive.envs.carla.scenarios.layout import Layout

    check_types(kinds)
    layout = Layout(carla_map, route)
    chosen: dict[float, ScenarioSpec] = {}
    for kind in kinds:
        free = [
            arc
            for arc in find_scenario(kind).places(layout, kind)
            if all(abs(arc - other) >= APART_M for other in chosen)
        ]
        if len(chosen) < most and free:
            arc = free[int(rng.integers(len(free)))]
            x, y, yaw = layout.pose(arc)
            z = float(np.interp(arc, route.arc, route.z))
            chosen[arc] = ScenarioSpec(name=kind, type=kind, x=x, y=y, z=z, yaw_rad=yaw)
    specs = [
        dataclasses.replace(chosen[arc], name=f"{chosen[arc].type}_{i}")
        for i, arc in enumerate(sorted(chosen), start=1)
    ]
    return dataclasses.replace(route, scenarios=tuple(specs))


def route_with(
    carla_map: Any, seed: int, kind: str, *, length_m: tuple[float, float] = (150.0, 400.0)
) -> "Route":
    """Returns a random route with a scenario of a type on it.

    Raises:
        ConfigError: If there is no such type.
        RouteError: If no route was found that has room for one.
    """
    from dreamdrive.envs.carla.routes import random_route
    from dreamdrive.seeding import derive_seed, numpy_generator

    for attempt in range(40):
        chance = derive_seed(seed, "scenario route", attempt) % 2**31
        route = random_route(carla_map, chance, length_m=length_m)
        found = placed(carla_map, route, [kind], numpy_generator(chance, "places"))
        if found.scenarios:
            return found
    raise RouteError(
        f"No route with room for a {kind} was found", where=route.town,
        do="Choose another town, a longer route or another type.",
    )  # fmt: skip
