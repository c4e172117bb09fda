"""Low-polygon models of vehicles, walkers and props, in their own axes."""

import math
from functools import lru_cache

import numpy as np

from dreamdrive.envs.embedded.blueprints import PROPS, VEHICLES, WALKER_EXTENT, VehicleModel
from dreamdrive.envs.embedded.gait import ARM_SWING_RAD, LEG_SWING_RAD, STANDING, STEPS
from dreamdrive.envs.embedded.render.mesh import Colour, Finish, Mesh, MeshBuilder, Tag
from dreamdrive.envs.embedded.render.two_wheelers import two_wheeler
from dreamdrive.envs.embedded.render.vehicle_parts import (
    GLASS,
    HEADLAMP,
    PAINT,
    REARLAMP,
    ROOF_M,
    SKIN,
    TALL,
    TRIM,
    Part,
    add_wheel,
    body_of,
    wheel_radius,
)

PROP_COLOURS: dict[str, Colour] = {
    "static.prop.streetbarrier": (0.85, 0.35, 0.10),
    "static.prop.trafficcone01": (0.95, 0.38, 0.06),
    "static.prop.container": (0.20, 0.36, 0.28),
    "static.prop.constructioncone": (0.95, 0.38, 0.06),
    "static.prop.dirtdebris01": (0.33, 0.25, 0.17),
    "static.prop.dirtdebris02": (0.33, 0.25, 0.17),
    "static.prop.dirtdebris03": (0.33, 0.25, 0.17),
    "static.prop.trafficwarning": (0.93, 0.62, 0.08),
    "static.prop.vendingmachine": (0.70, 0.10, 0.12),
    "static.prop.warningaccident": (0.80, 0.12, 0.10),
    "static.prop.warningconstruction": (0.93, 0.75, 0.12),
}
CLOTHES: tuple[Colour, ...] = (
    (0.65, 0.15, 0.15), (0.15, 0.30, 0.60), (0.20, 0.45, 0.25), (0.80, 0.70, 0.25),
    (0.55, 0.30, 0.55), (0.85, 0.85, 0.85), (0.15, 0.15, 0.18), (0.80, 0.45, 0.20),
)  # fmt: skip
TROUSERS: tuple[Colour, ...] = ((0.15, 0.17, 0.25), (0.30, 0.26, 0.20), (0.10, 0.10, 0.10))


@lru_cache(maxsize=128)
def model_of(kind: str) -> Mesh:
    """Returns the model of a blueprint; its origin is that of the actor.

    Vehicles and props stand on their origin, walkers have it half way up.
    """
    if kind in VEHICLES:
        model = VEHICLES[kind]
        return two_wheeler(model) if model.wheels == 2 else _vehicle(model)
    if kind in PROPS:
        builder = MeshBuilder()
        half = PROPS[kind]
        taper = 0.15 if "cone" in kind else 1.0
        builder.box((0.0, 0.0, half[2]), half, 0.0, Tag.DYNAMIC, PROP_COLOURS[kind], taper=taper)
        return builder.mesh()
    return _walker(int(kind.rsplit(".", 1)[-1]))


def _vehicle(model: VehicleModel) -> Mesh:
    x, y, height = model.half_length, model.half_width, 2.0 * model.half_height
    builder, tag, radius = MeshBuilder(), Tag(model.tag), wheel_radius(model)
    clear, belt, _, front, back = body_of(model)
    is_tall = model.base_type in TALL
    middle = (clear + belt) / 2.0
    builder.box(
        (0.0, 0.0, middle), (x, y, (belt - clear) / 2.0), 0.0, tag, PAINT, part=Part.PAINT,
        is_open_below=False,
    )  # fmt: skip
    has_windows = tag != Tag.TRUCK
    _add_cabin(builder, tag, (front, back), y, (belt, height), is_tall, has_windows)
    half_track = y - 0.11
    for along in (0.5, -0.5):
        for side in (-1.0, 1.0):
            add_wheel(builder, tag, (along * model.wheelbase, side * half_track), radius, side)
    lamp, up = min(0.24, 0.25 * y), clear + 0.68 * (belt - clear)
    for side in (-1.0, 1.0):
        for end, colour, part in (
            (1.0, HEADLAMP, Part.HEADLAMP), (-1.0, REARLAMP, Part.REARLAMP),
        ):  # fmt: skip
            centre = (end * (x - 0.02), side * (y - lamp - 0.04), up)
            builder.box(centre, (0.03, lamp, 0.09), 0.0, tag, colour, part=part)
    for end in (1.0, -1.0):
        centre = (end * (x - 0.02), 0.0, clear + 0.2 * (belt - clear))
        builder.box(centre, (0.03, 0.96 * y, 0.07), 0.0, tag, TRIM)
    return builder.mesh()


def _add_cabin(
    builder: MeshBuilder, tag: Tag, ends: tuple[float, float], y: float,
    heights: tuple[float, float], is_tall: bool, has_windows: bool,
) -> None:  # fmt: skip
    """Adds the part of a vehicle above its belt: glass, in front or all round, and the roof."""
    (front, back), (low, high) = ends, heights
    lean_front, lean_back, lean_side = (0.12, 0.02, 0.03) if is_tall else (0.62, 0.42, 0.14)
    lean_front, lean_back = (lean * (high - low) * 1.4 for lean in (lean_front, lean_back))
    sill, top = y - 0.03, y - 0.03 - lean_side
    roof = high - ROOF_M
    for z0, z1, is_glass in ((low, roof, True), (roof, high, False)):
        rims = []
        for z in (z0, z1):
            share = (z - low) / (high - low)
            f, b = front - lean_front * share, back + lean_back * share
            w = sill + (top - sill) * share
            rims.append(np.array([[f, w, z], [b, w, z], [b, -w, z], [f, -w, z]]))
        bottom, upper = rims
        for i in range(4):
            j = (i + 1) % 4
            is_clear = is_glass and (has_windows or i == 3)
            colour, part = (GLASS, 0) if is_clear else (PAINT, Part.PAINT)
            builder.polygon([bottom[i], bottom[j], upper[j], upper[i]], tag, colour, part=part)
        if not is_glass:
            builder.polygon(upper, tag, PAINT, part=Part.PAINT)
    pillar = (back + front) / 2.0
    z0, z1 = low, roof
    for side in (-1.0, 1.0):
        share = (z1 - low) / (high - low)
        w0, w1 = side * (sill + 0.01), side * (sill + (top - sill) * share + 0.01)
        corners = [(pillar + 0.06, w0, z0), (pillar - 0.06, w0, z0),
                   (pillar - 0.06, w1, z1), (pillar + 0.06, w1, z1)]  # fmt: skip
        builder.polygon(corners if side > 0.0 else corners[::-1], tag, PAINT, part=Part.PAINT)


@lru_cache(maxsize=256)
def walker_in_step(kind: str, step: int) -> Mesh:
    """Returns the model of a walker at a step of `STEPS` of its gait; STANDING is at rest.

    Its triangles are those of the walker at rest, in their order.
    """
    swing = 0.0 if step == STANDING else math.sin(2.0 * math.pi * step / STEPS)
    return _walker(int(kind.rsplit(".", 1)[-1]), swing)


def _walker(number: int, swing: float = 0.0) -> Mesh:
    builder = MeshBuilder()
    shirt, trousers = CLOTHES[number % len(CLOTHES)], TROUSERS[number % len(TROUSERS)]
    low = -WALKER_EXTENT[2]
    tag = Tag.PEDESTRIAN
    for side in (-1.0, 1.0):
        _add_limb(
            builder, (0.02 * side, 0.095 * side, low + 0.42), (0.09, 0.075, 0.42), low + 0.80,
            LEG_SWING_RAD * side * swing, trousers,
        )  # fmt: skip
        _add_limb(
            builder, (0.0, 0.235 * side, low + 1.12), (0.055, 0.045, 0.32), low + 1.40,
            -ARM_SWING_RAD * side * swing, shirt, is_open_below=False,
        )  # fmt: skip
    builder.box((0.0, 0.0, low + 1.15), (0.12, 0.19, 0.33), 0.0, tag, shirt, is_open_below=False)
    builder.box((0.0, 0.0, low + 1.63), (0.11, 0.09, 0.15), 0.0, tag, SKIN, is_open_below=False)
    builder.box((-0.02, 0.0, low + 1.78), (0.12, 0.10, 0.06), 0.0, tag, (0.15, 0.10, 0.07),
                finish=Finish.MATT)  # fmt: skip
    return builder.mesh()


def _add_limb(
    builder: MeshBuilder, centre: tuple[float, float, float], half: tuple[float, float, float],
    joint_z: float, angle: float, colour: Colour, is_open_below: bool = True,
) -> None:  # fmt: skip
    """Adds a box that hangs from a joint, swung forward by an angle in radians."""
    limb = MeshBuilder()
    limb.box(centre, half, 0.0, Tag.PEDESTRIAN, colour, is_open_below=is_open_below)
    points = limb.mesh().points.astype(np.float64)
    along, up = points[..., 0] - centre[0], points[..., 2] - joint_z
    cos, sin = math.cos(angle), math.sin(angle)
    points[..., 0] = centre[0] + along * cos - up * sin
    points[..., 2] = joint_z + along * sin + up * cos
    builder.triangles(points, Tag.PEDESTRIAN, colour)
