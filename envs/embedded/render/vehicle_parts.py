"""Colours, named parts and wheels that the models of vehicles share."""

from enum import IntEnum
from typing import NamedTuple

import numpy as np

from dreamdrive.envs.embedded.blueprints import VehicleModel
from dreamdrive.envs.embedded.render.mesh import Colour, MeshBuilder, Tag

PAINT: Colour = (0.5, 0.5, 0.5)
"""Stands for the colour that an actor has."""
GLASS: Colour = (0.10, 0.13, 0.16)
RUBBER: Colour = (0.05, 0.05, 0.05)
TRIM: Colour = (0.12, 0.12, 0.13)
HEADLAMP: Colour = (0.92, 0.92, 0.85)
REARLAMP: Colour = (0.42, 0.03, 0.03)
ROOF_M = 0.06
"""Thickness of a roof."""
TALL = ("van", "truck", "bus")
SKIN: Colour = (0.78, 0.58, 0.46)


class Part(IntEnum):
    """Parts of a vehicle that change their colour."""

    PAINT = 1
    HEADLAMP = 2
    REARLAMP = 3


class Body(NamedTuple):
    """Heights of a car's body, from its sills over its belt to its roof, and ends of its cabin."""

    clear: float
    belt: float
    roof: float
    front: float
    back: float


def body_of(model: VehicleModel) -> Body:
    """Returns the body of a vehicle with four wheels or more."""
    height, is_tall = 2.0 * model.half_height, model.base_type in TALL
    front, back = (0.92, -0.99) if is_tall else (0.42, -0.80)
    return Body(
        0.55 * wheel_radius(model), (0.45 if is_tall else 0.52) * height, height - ROOF_M,
        front * model.half_length, back * model.half_length,
    )  # fmt: skip


def wheel_radius(model: VehicleModel) -> float:
    """Returns how large a vehicle's wheels are drawn, in metres."""
    height = 2.0 * model.half_height
    return min(0.36, 0.24 * height) if model.base_type == "car" else min(0.5, 0.2 * height)


def add_wheel(
    builder: MeshBuilder, tag: Tag, centre: tuple[float, float], radius: float, side: float,
    half_width: float = 0.12,
) -> None:  # fmt: skip
    """Adds an octagonal wheel, seen from outside; `side` is 1 on the right."""
    angles = (np.arange(8) + 0.5) * np.pi / 4.0
    hub_z = radius * np.cos(np.pi / 8.0)
    x, z = centre[0] + radius * np.cos(angles), hub_z + radius * np.sin(angles)
    out, inner = centre[1] + side * half_width, centre[1] - side * half_width
    rim = np.stack([x, np.full(8, out), z], 1)
    behind = np.stack([x, np.full(8, inner), z], 1)
    builder.polygon(rim[::-1] if side > 0.0 else rim, tag, RUBBER)
    hub = np.stack([centre[0] + 0.55 * (x - centre[0]), np.full(8, out + side * 0.005),
                    hub_z + 0.55 * (z - hub_z)], 1)  # fmt: skip
    builder.polygon(hub[::-1] if side > 0.0 else hub, tag, (0.55, 0.55, 0.57))
    ring = np.append(np.arange(8), 0)
    first, second = (behind, rim) if side > 0.0 else (rim, behind)
    builder.strip(first[ring], second[ring], tag, RUBBER)
