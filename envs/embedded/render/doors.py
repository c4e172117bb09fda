"""Doors of vehicles that stand open, in the vehicles' axes."""

import math
from functools import lru_cache
from typing import NamedTuple

from dreamdrive.envs.embedded.blueprints import DOORS, VEHICLES, VehicleModel
from dreamdrive.envs.embedded.render.mesh import Mesh, MeshBuilder, Tag
from dreamdrive.envs.embedded.render.vehicle_parts import GLASS, PAINT, TRIM, Part, body_of

OPEN_RAD = math.radians(65.0)
LONGEST_M, THICK_M, RELIEF_M = 1.15, 0.03, 0.004


class Door(NamedTuple):
    """Where a door is: its side, 1 on the right, its hinge and its end along the vehicle."""

    side: float
    hinge: float
    end: float


def places_of(model: VehicleModel) -> tuple[Door, ...]:
    """Returns the doors of a vehicle in the order of CARLA's `VehicleDoor`."""
    body = body_of(model)
    pillar = (body.front + body.back) / 2.0
    front = pillar, max(pillar - LONGEST_M, body.back)
    hinges = (min(body.front, pillar + LONGEST_M), pillar), front
    return tuple(Door(side, *ends) for ends in hinges for side in (-1.0, 1.0))


@lru_cache(maxsize=256)
def doors_of(kind: str, flags: int) -> Mesh:
    """Returns doors that stand open.

    Args:
        kind: The vehicle's blueprint.
        flags: A bit for each open door, in the order of `VehicleDoor`.
    """
    builder, model = MeshBuilder(), VEHICLES[kind]
    for number, door in enumerate(places_of(model)[:DOORS]):
        if flags >> number & 1:
            _add_door(builder, model, door)
    return builder.mesh()


def _add_door(builder: MeshBuilder, model: VehicleModel, door: Door) -> None:
    body, tag = body_of(model), Tag(model.tag)
    length, out = door.hinge - door.end, door.side * model.half_width
    along, across = -math.cos(OPEN_RAD), door.side * math.sin(OPEN_RAD)
    x, y = door.hinge + along * length / 2.0, out + across * length / 2.0
    yaw = math.atan2(across, along)
    for low, high, thick, colour, part in (
        (body.clear, body.belt, THICK_M, PAINT, Part.PAINT),
        (body.belt, body.roof, THICK_M / 2.0, GLASS, 0),
    ):
        builder.box(
            (x, y, (low + high) / 2.0), (length / 2.0, thick, (high - low) / 2.0), yaw, tag, colour,
            part=part, is_open_below=False,
        )  # fmt: skip
    side = out + door.side * RELIEF_M
    corners = [
        (at, side, z)
        for at, z in (
            (door.end, body.clear), (door.hinge, body.clear), (door.hinge, body.belt),
            (door.end, body.belt),
        )
    ]  # fmt: skip
    builder.polygon(corners if door.side < 0.0 else corners[::-1], tag, TRIM)
