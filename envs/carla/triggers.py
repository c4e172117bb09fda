"""Scenario triggers of the leaderboard 1.0, which stand in a JSON file beside its routes."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from dreamdrive.envs.carla.client import wrap_angle
from dreamdrive.envs.carla.routes import Route
from dreamdrive.envs.carla.scenarios.specification import ScenarioSpec
from dreamdrive.errors import RouteError

TYPES_1_0 = {
    "Scenario1": "ControlLoss",
    "Scenario2": "FollowLeadingVehicle",
    "Scenario3": "DynamicObjectCrossing",
    "Scenario4": "VehicleTurningRoute",
    "Scenario5": "OtherLeadingVehicle",
    "Scenario6": "ManeuverOppositeDirection",
    "Scenario7": "OppositeVehicleRunningRedLight",
    "Scenario8": "SignalizedJunctionLeftTurn",
    "Scenario9": "SignalizedJunctionRightTurn",
    "Scenario10": "NonSignalizedJunctionRightTurn",
}
"""What the numbers of the leaderboard 1.0 are called today."""

NEAR_M = 2.0
NEAR_RAD = math.radians(10.0)
"""A trigger further from a route, or turned more, belongs to another route."""


def read_triggers(path: Path) -> dict[str, list[ScenarioSpec]]:
    """Returns the triggers in a file by town, each under today's name of its type.

    Raises:
        RouteError: If the file is missing, is no JSON, or has another form.
    """
    try:
        content = json.loads(Path(path).read_text())
    except FileNotFoundError as error:
        raise RouteError("There is no such file of triggers", where=path) from error
    except json.JSONDecodeError as error:
        raise RouteError(f"This is no JSON: {error.msg}", where=f"{path}:{error.lineno}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise RouteError(f"The file of triggers cannot be read: {error}", where=path) from error
    found: dict[str, list[ScenarioSpec]] = {}
    place = "available_scenarios"
    try:
        for town_block in content["available_scenarios"]:
            for town, kinds in town_block.items():
                for i, kind in enumerate(kinds):
                    for j, event in enumerate(kind["available_event_configurations"]):
                        place = f"{town}, entry {i}, configuration {j}"
                        number = str(kind["scenario_type"])
                        name = TYPES_1_0.get(number, number)
                        spec = _spec(event["transform"], name, f"{name}_{town}_{i}_{j}")
                        found.setdefault(town, []).append(spec)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RouteError(
            f"The file of triggers has another form than the leaderboard 1.0's: {error!r}",
            where=f"{path}, {place}",
            do="It has available_scenarios: [{town: [{scenario_type, "
            "available_event_configurations: [{transform: {x, y, z, yaw}}]}]}].",
        ) from error
    return found


def _spec(transform: dict[str, Any], kind: str, name: str) -> ScenarioSpec:
    values = [float(transform.get(key, 0.0)) for key in ("x", "y", "z", "yaw")]
    if not all(map(math.isfinite, values)):
        raise ValueError("a transform is not finite")
    x, y, z, yaw = values
    return ScenarioSpec(name=name, type=kind, x=x, y=-y, z=z, yaw_rad=-math.radians(yaw))


def trigger_arc(route: Route, spec: ScenarioSpec) -> float | None:
    """Returns where on a route a trigger is; None where it belongs to another route.

    As the leaderboard does, one that is more than 2 m or 10 degrees off is dropped.
    """
    gap = np.hypot(route.xy[:, 0] - spec.x, route.xy[:, 1] - spec.y)
    turned = np.abs(np.asarray(wrap_angle(route.yaw - spec.yaw_rad)))
    fits = np.flatnonzero((gap <= NEAR_M) & (turned <= NEAR_RAD))
    return float(route.arc[fits[gap[fits].argmin()]]) if len(fits) else None


def with_triggers(route: Route, triggers: dict[str, list[ScenarioSpec]]) -> Route:
    """Returns the route with those of its town's triggers that lie on it, in order of the way.

    Where several share a place, the first in the file is taken, as one at a time can be driven.
    """
    found: dict[float, ScenarioSpec] = {}
    for spec in triggers.get(route.town, []):
        arc = trigger_arc(route, spec)
        if arc is not None:
            found.setdefault(round(arc), spec)
    return dataclasses.replace(route, scenarios=tuple(found[arc] for arc in sorted(found)))
