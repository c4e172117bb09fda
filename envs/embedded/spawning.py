"""Spawns what callers describe, after a look at every part of the description."""

import math
from typing import Any

from dreamdrive.envs.embedded.arguments import CallError, integer, items, text, transform
from dreamdrive.envs.embedded.blueprints import FLOAT, INT
from dreamdrive.envs.embedded.render.attributes import RENDERED
from dreamdrive.envs.embedded.render.view import Pose, on_spring_arm
from dreamdrive.envs.embedded.simulator import Simulator, attribute_kind
from dreamdrive.envs.embedded.world import SpawnError

RIGID, SPRING_ARMS = 0, (1, 2)
"""Ways to attach an actor. Clients send any number where a command of a batch names no way."""
MAX_ATTRIBUTES, MAX_ATTRIBUTE_LENGTH = 128, 4096


def spawn(
    sim: Simulator, description: list[Any], place: list[Any], parent: int = 0,
    attachment: int = RIGID,
) -> int:  # fmt: skip
    """Returns the number of a new actor.

    Raises:
        CallError: If it cannot be spawned.
    """
    _, blueprint, values = items(description, "description", 3)
    kind = text(blueprint, "blueprint")
    attributes = _attributes(values)
    integer(parent, "parent")
    if len(sim.world.actors) >= sim.limits.max_actors:
        raise CallError(
            f"unable to spawn actor: the world holds the {sim.limits.max_actors} actors "
            "that --max-actors allows"
        )
    pose = Pose(*transform(place, "transform"))
    try:
        if kind in RENDERED:
            sim.open_eyes(kind, attributes)
        if kind.startswith("sensor.") and parent and attachment in SPRING_ARMS:
            pose = on_spring_arm(pose)
        x, y, z, pitch, yaw_deg, roll = pose
        return sim.world.spawn(kind, attributes, x, y, z, yaw_deg, parent, (pitch, roll)).id
    except SpawnError as error:
        raise CallError(str(error)) from error


def _attributes(values: Any) -> dict[str, str]:
    if len(items(values, "attributes")) > MAX_ATTRIBUTES:
        raise CallError(f"an actor has at most {MAX_ATTRIBUTES} attributes")
    found = {}
    for entry in values:
        name, _, value = items(entry, "attribute", 3)
        name, value = text(name, "attribute"), text(value, name, MAX_ATTRIBUTE_LENGTH)
        if attribute_kind(name) in (INT, FLOAT) and not _is_number(value):
            raise CallError(f"attribute {name} must be a number, got {value[:60]!r}")
        found[name] = value
    return found


def _is_number(value: str) -> bool:
    try:
        return math.isfinite(float(value))
    except ValueError:
        return False
