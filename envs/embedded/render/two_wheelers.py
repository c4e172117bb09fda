"""Low-polygon models of motorcycles and bicycles with their riders, in their own axes."""

from dreamdrive.envs.embedded.blueprints import VehicleModel
from dreamdrive.envs.embedded.render.mesh import Mesh, MeshBuilder, Tag
from dreamdrive.envs.embedded.render.vehicle_parts import (
    HEADLAMP,
    PAINT,
    REARLAMP,
    SKIN,
    TRIM,
    Part,
    add_wheel,
)

HELMET = (0.18, 0.19, 0.22)
SHIRT, TROUSERS = (0.25, 0.33, 0.45), (0.14, 0.15, 0.18)


def two_wheeler(model: VehicleModel) -> Mesh:
    """Returns the model of a two-wheeler and its rider, as large as its box."""
    builder, tag = MeshBuilder(), Tag(model.tag)
    x, y, top = model.half_length, model.half_width, 2.0 * model.half_height
    is_bicycle = model.base_type == "bicycle"
    thin, radius = (0.025, 0.34) if is_bicycle else (0.07, 0.30)
    hub = min(model.wheelbase / 2.0, x - radius)
    for along in (hub, -hub):
        for side in (-1.0, 1.0):
            add_wheel(builder, tag, (along, 0.0), radius, side, thin)
    seat = 0.52 * top
    low = 0.9 * radius if is_bicycle else 0.55 * radius
    half = (0.55 * hub, 0.03 if is_bicycle else 0.14, (seat - low) / 2.0)
    centre = (-0.1 * hub, 0.0, (seat + low) / 2.0)
    if is_bicycle:
        builder.box(
            (0.0, 0.0, seat - 0.14), (hub, 0.025, 0.04), 0.0, tag, PAINT, part=Part.PAINT,
            is_open_below=False,
        )  # fmt: skip
        half = (0.05, 0.025, half[2])
    builder.box(centre, half, 0.0, tag, PAINT, part=Part.PAINT, is_open_below=False)
    fork = (hub - 0.06, 0.0, (radius + seat + 0.1) / 2.0)
    builder.box(fork, (0.04, thin + 0.02, (seat + 0.1 - radius) / 2.0), 0.0, tag, TRIM)
    bar = (hub - 0.12, 0.0, seat + 0.14)
    builder.box(bar, (0.03, y, 0.03), 0.0, tag, TRIM, is_open_below=False)
    for at, colour, part in ((x, HEADLAMP, Part.HEADLAMP), (-x, REARLAMP, Part.REARLAMP)):
        sign = 1.0 if at > 0.0 else -1.0
        builder.box((at - 0.04 * sign, 0.0, seat), (0.04, 0.07, 0.06), 0.0, tag, colour,
                    part=part, is_open_below=False)  # fmt: skip
    _add_rider(builder, y, seat, top)
    return builder.mesh()


def _add_rider(builder: MeshBuilder, y: float, seat: float, top: float) -> None:
    """Adds who sits on the seat and reaches up to a height."""
    tag, back = Tag.RIDER, -0.15
    head = 0.13
    shoulder = top - 2.0 * head
    wide = min(0.21, y)
    for side in (-1.0, 1.0):
        builder.box((back + 0.16, side * 0.13, 0.5 * seat + 0.12), (0.16, 0.07, 0.5 * seat - 0.1),
                    0.0, tag, TROUSERS, is_open_below=False)  # fmt: skip
        builder.box((back + 0.22, side * (wide - 0.04), shoulder - 0.12), (0.24, 0.04, 0.06), 0.0,
                    tag, SHIRT, is_open_below=False)  # fmt: skip
    middle = (seat + shoulder) / 2.0
    builder.box((back, 0.0, middle), (0.12, wide - 0.08, (shoulder - seat) / 2.0), 0.0, tag, SHIRT,
                is_open_below=False)  # fmt: skip
    builder.box((back + 0.05, 0.0, top - 1.3 * head), (0.1, 0.08, 0.7 * head), 0.0, tag, SKIN,
                is_open_below=False)  # fmt: skip
    builder.box((back + 0.04, 0.0, top - 0.6 * head), (0.13, 0.11, 0.6 * head), 0.0, tag, HELMET,
                is_open_below=False)  # fmt: skip
