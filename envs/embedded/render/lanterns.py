"""Who shines by night, and how: street lamps, and headlamps and brake lights of vehicles."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from dreamdrive.envs.embedded.lamps import INTENSITY
from dreamdrive.envs.embedded.render.lamplight import LIGHT
from dreamdrive.envs.embedded.render.models import model_of
from dreamdrive.envs.embedded.render.scene import Triangles
from dreamdrive.envs.embedded.render.switches import BRAKE, HIGH_BEAM, LOW_BEAM
from dreamdrive.envs.embedded.render.vehicle_parts import Part
from dreamdrive.envs.embedded.world import World

MOST_LIGHTS, FAR_M = 64, 100.0
"""So many of the lights that are so near to the eye shine, the nearest ones."""
LAMP_STRENGTH, LAMP_REACH_M, MOST_INTENSE = 60.0, 24.0, 1e4
"""Light of a street lamp of the usual intensity at a metre, how far it shines, and the most that it
may shine over that."""
STOPPING = (3, 4, 14, 20)
"""Semantic tags of solid objects that stop beams: buildings, walls, parked cars and obstacles."""
HEAD_COLOUR, BRAKE_COLOUR = (1.0, 0.95, 0.86), (1.0, 0.08, 0.05)
LOW, HIGH, BRAKES = (
    (3000.0, 60.0, 0.55, 0.2, 0.03), (5000.0, 110.0, 0.55, 0.25, 0.2),
    (40.0, 8.0, 1.0, 0.6, 0.6),
)  # fmt: skip
"""Of low and high beams and brake lights: the light at a metre, how far it shines, and the slopes
to the side, downwards and upwards over which it falls."""


def lights_around(
    world: World, triangles: Triangles, flags: NDArray[np.int64], eye: NDArray[np.float64]
) -> NDArray[np.void]:
    """Returns what shines around an eye, rows of `LIGHT`, the nearest first.

    Args:
        world: The world.
        triangles: Its triangles, with the places of its vehicles.
        flags: As `vehicle_flags` returns them.
        eye: Where one looks from, shape (3,).
    """
    found = np.concatenate([_street_lamps(world), *_vehicle_lamps(world, triangles, flags)])
    away_m = np.linalg.norm(found["at"] - eye, axis=1)
    order = np.argsort(away_m, kind="stable")[:MOST_LIGHTS]
    return found[order[away_m[order] < FAR_M]]


def _street_lamps(world: World) -> NDArray[np.void]:
    lamps = world.lamps
    lit = [
        (state[1], state[2], state[4])
        for post, state in zip(lamps.posts, lamps.states.values(), strict=True)
        if state[5] and post not in world.away
    ]
    found = np.zeros(len(lit), LIGHT)
    for row, (place, intensity, colour) in zip(found, lit, strict=True):
        row["at"] = place
        row["colour"] = (
            np.array(colour) / 255.0 * (LAMP_STRENGTH * min(intensity / INTENSITY, MOST_INTENSE))
        )
    found["reach"], found["owner"] = LAMP_REACH_M, -1
    return found


def _vehicle_lamps(
    world: World, triangles: Triangles, flags: NDArray[np.int64]
) -> list[NDArray[np.void]]:
    cars = world.vehicles
    has_high = flags & HIGH_BEAM > 0
    made = []
    for part, is_on, colour, beam in (
        (Part.HEADLAMP, has_high, HEAD_COLOUR, HIGH),
        (Part.HEADLAMP, (flags & LOW_BEAM > 0) & ~has_high, HEAD_COLOUR, LOW),
        (Part.REARLAMP, flags & BRAKE > 0, BRAKE_COLOUR, BRAKES),
    ):
        rows = np.nonzero(is_on)[0]
        found = np.zeros(len(rows), LIGHT)
        axes = triangles.axes[rows]
        kinds = [world.actors[actor].kind for actor in cars.id[rows].tolist()]
        local = np.array([_lamp_place(kind, part) for kind in kinds]).reshape(-1, 3)
        places = triangles.places[rows]
        for d, name in enumerate(("x", "y", "z")):
            found["at"][:, d] = places[name] + (local * axes[:, :, d]).sum(1)
        sign = 1.0 if part == Part.HEADLAMP else -1.0
        found["axes"] = axes * np.array([sign, sign, 1.0])[:, None]
        strength, *shape = beam
        found["colour"] = strength * np.array(colour)
        for name, value in zip(("reach", "wide", "below", "above"), shape, strict=True):
            found[name] = value
        found["owner"] = rows
        made.append(found)
    return made


def boxes_around(world: World, eye: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns what stops beams: vehicles and then houses, walls and parked cars near an eye.

    They are rows of x, y, half length, half width, yaw, lowest and highest, shape (n, 7).
    """
    cars, town = world.vehicles, world.town
    moving = np.column_stack([cars.boxes(), cars.z, cars.z + cars.top])
    is_near = np.abs(town.static_boxes[:, :2] - eye[:2]).max(1) < FAR_M + 60.0
    is_near &= np.isin(town.static_tags, STOPPING)
    is_near[list(world.away)] = False
    still = np.column_stack([town.static_boxes[is_near], town.static_spans[is_near]])
    return np.concatenate([moving, still])


@lru_cache(maxsize=128)
def _lamp_place(kind: str, part: Part) -> tuple[float, float, float]:
    """Returns where a vehicle's lamps of a kind are on average, a little before their glass."""
    model = model_of(kind)
    points = model.points[model.part == part].reshape(-1, 3)
    x, _, z = points.mean(0).tolist()
    return x + np.copysign(0.1, x), 0.0, z
