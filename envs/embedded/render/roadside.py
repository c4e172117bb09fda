"""Trees, street lamps and parked cars, within the boxes that the world has for them."""

import math
from zlib import crc32

from dreamdrive.envs.embedded.render.appearance import Solid
from dreamdrive.envs.embedded.render.mesh import Colour, MeshBuilder, Tag

Place = tuple[float, float, float, float]
BARK: Colour = (0.30, 0.22, 0.15)
LEAVES: tuple[Colour, ...] = ((0.20, 0.34, 0.14), (0.25, 0.40, 0.16), (0.17, 0.30, 0.16))
STEEL: Colour = (0.42, 0.43, 0.44)
ARM_M, ARM_HALF_M = 0.7, (0.09, 0.05)
"""Half length, width and height of a lamp's arm."""
GLASS: Colour = (0.10, 0.13, 0.16)
RUBBER: Colour = (0.05, 0.05, 0.05)
PAINTS: tuple[Colour, ...] = (
    (0.62, 0.63, 0.65), (0.12, 0.13, 0.15), (0.55, 0.12, 0.10), (0.15, 0.25, 0.45),
    (0.85, 0.85, 0.83), (0.35, 0.38, 0.32),
)  # fmt: skip


def add_tree(builder: MeshBuilder, solid: Solid, place: Place, number: int) -> None:
    """Adds a trunk and a crown; `place` is x, y, z and yaw of the foot."""
    x, y, z, yaw = place
    half, height = min(solid.length, solid.width) / 2.0, solid.height
    leaves = _chosen(LEAVES, x, y)
    trunk = 0.3 * height
    builder.box(
        (x, y, z + trunk / 2.0), (0.14, 0.14, trunk / 2.0), yaw, Tag.VEGETATION, BARK,
        instance=number,
    )  # fmt: skip
    # A crown that swells and then narrows: two tapered boxes, one of them upside down.
    swell, top = 0.25 * height, height - trunk - 0.25 * height
    builder.box(
        (x, y, z + trunk + swell / 2.0), (0.55 * half, 0.55 * half, swell / 2.0), yaw,
        Tag.VEGETATION, leaves, taper=1.0 / 0.55, is_open_below=False, instance=number,
    )  # fmt: skip
    builder.box(
        (x, y, z + trunk + swell + top / 2.0), (half, half, top / 2.0), yaw, Tag.VEGETATION,
        leaves, taper=0.35, instance=number,
    )  # fmt: skip


def lamp_head(
    solid: Solid, foot: tuple[float, float, float], towards: float
) -> tuple[float, float, float]:
    """Returns where a lamp's light comes from: below the outer half of its arm."""
    reach = 1.5 * ARM_M
    x, y = foot[0] + reach * math.cos(towards), foot[1] + reach * math.sin(towards)
    return x, y, foot[2] + solid.height - 0.1


def add_lamp(
    builder: MeshBuilder, solid: Solid, place: Place, number: int, towards: float, lens: int
) -> None:
    """Adds a post with an arm.

    Args:
        builder, solid, place, number: As of the others.
        towards: The yaw in which the street lies.
        lens: What the arm's underside is called, the part that shines.
    """
    x, y, z, yaw = place
    half = solid.length / 2.0
    builder.box(
        (x, y, z + solid.height / 2.0), (half, half, solid.height / 2.0), yaw, Tag.POLE, STEEL,
        taper=0.6, instance=number,
    )  # fmt: skip
    cos, sin = math.cos(towards), math.sin(towards)
    at = (x + ARM_M * cos, y + ARM_M * sin, z + solid.height - ARM_HALF_M[1])
    builder.box(at, (ARM_M, *ARM_HALF_M), towards, Tag.POLE, STEEL, instance=number)
    below = [
        (at[0] + a * ARM_M * cos - b * ARM_HALF_M[0] * sin,
         at[1] + a * ARM_M * sin + b * ARM_HALF_M[0] * cos, z + solid.height - 2.0 * ARM_HALF_M[1])
        for a, b in ((1, -1), (-1, -1), (-1, 1), (1, 1))
    ]  # fmt: skip
    builder.polygon(below, Tag.POLE, STEEL, instance=number, part=lens)


def add_parked_car(builder: MeshBuilder, solid: Solid, place: Place, number: int) -> None:
    """Adds a body, a cabin and wheels."""
    x, y, z, yaw = place
    cos, sin = math.cos(yaw), math.sin(yaw)
    length, width, height = solid.length / 2.0, solid.width / 2.0, solid.height

    def at(along: float, across: float, up: float) -> tuple[float, float, float]:
        return x + along * cos - across * sin, y + along * sin + across * cos, z + up

    paint = _chosen(PAINTS, x, y)
    builder.box(
        at(0.0, 0.0, 0.38 * height), (length, width, 0.22 * height), yaw, Tag.CAR, paint,
        taper=0.97, is_open_below=False, instance=number,
    )  # fmt: skip
    builder.box(
        at(-0.08 * length, 0.0, 0.77 * height), (0.62 * length, 0.94 * width, 0.19 * height),
        yaw, Tag.CAR, GLASS, taper=0.78, instance=number,
    )  # fmt: skip
    builder.box(
        at(-0.08 * length, 0.0, 0.98 * height), (0.5 * length, 0.75 * width, 0.02 * height), yaw,
        Tag.CAR, paint, instance=number,
    )  # fmt: skip
    for along in (0.62, -0.62):
        for across in (1.0, -1.0):
            builder.box(
                at(along * length, across * (width - 0.1), 0.2 * height),
                (0.15 * length, 0.11, 0.2 * height), yaw, Tag.CAR, RUBBER, instance=number,
            )  # fmt: skip


def _chosen(colours: tuple[Colour, ...], x: float, y: float) -> Colour:
    return colours[crc32(f"{x:.1f} {y:.1f}".encode()) % len(colours)]
