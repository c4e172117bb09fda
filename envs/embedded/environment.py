"""What stands beside the roads of a town and can be taken away: houses, trees, lamps, parked cars.

Each is one of the solid objects of the town's map; CARLA calls them environment objects.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

from dreamdrive.envs.embedded.network import LAMP, PARKED_CAR
from dreamdrive.envs.embedded.opendrive import parse_opendrive
from dreamdrive.envs.embedded.towns import Town

BUILDING, WALL, POLE, VEGETATION, CAR, STATIC = 3, 4, 6, 9, 14, 20
"""CARLA's labels, those that cameras show too."""
KINDS = {
    "building": ("Building", BUILDING), "tree": ("Tree", VEGETATION), "pole": ("Pole", POLE),
    "barrier": ("Wall", WALL), "obstacle": ("Obstacle", STATIC), LAMP: ("StreetLamp", POLE),
    PARKED_CAR: ("ParkedCar", CAR),
}  # fmt: skip
"""The name and label of each kind of solid object; lamps and parked cars are told by their name."""
ALL_LAYERS = 0xFFFF
LAYERS = {
    "Building": 1, "Tree": 4, "ParkedCar": 16, "Obstacle": 64, "Pole": 64, "StreetLamp": 128,
    "Wall": 256,
}  # fmt: skip
"""The layer of the map, one of CARLA's flags, that each kind belongs to."""


@dataclass(frozen=True, slots=True)
class EnvironmentObject:
    """A solid object of a town.

    Attributes:
        name: Its kind and its number among the solid objects of the town.
        label: Its semantic label.
        layer: The layer of the map that it belongs to.
        place: x, y and z of its foot.
        half: Half length, width and height.
        yaw_deg: Where its length points.
    """

    name: str
    label: int
    layer: int
    place: tuple[float, float, float]
    half: tuple[float, float, float]
    yaw_deg: float


@lru_cache(maxsize=4)
def environment_of(town: Town) -> tuple[EnvironmentObject, ...]:
    """Returns the solid objects of a town, in the order of its `static_boxes`.

    Raises:
        MapError: If an object of its map has a word where a number belongs.
    """
    from dreamdrive.envs.embedded.render.appearance import read_appearance

    solids = read_appearance(town.xodr).solids
    found: list[EnvironmentObject] = []
    for road in parse_opendrive(town.xodr).roads.values():
        for solid in solids[road.id]:
            if min(solid.length, solid.width) > 0.0:
                kind, label = KINDS.get(solid.name) or KINDS[solid.kind]
                x, y, length, width, yaw = town.static_boxes[len(found)].tolist()
                foot = (x, y, road.height(solid.s))
                half = (length, width, solid.height / 2.0)
                name = f"{kind}_{len(found)}"
                turned = math.degrees(yaw)
                found.append(EnvironmentObject(name, label, LAYERS[kind], foot, half, turned))
    return tuple(found)


@lru_cache(maxsize=4)
def lamp_posts(town: Town) -> tuple[tuple[int, tuple[float, float, float]], ...]:
    """Returns which solid objects of a town are street lamps, and where their light comes from.

    Raises:
        MapError: If an object of its map has a word where a number belongs.
    """
    from dreamdrive.envs.embedded.render.appearance import read_appearance
    from dreamdrive.envs.embedded.render.roadside import lamp_head

    if f'name="{LAMP}"' not in town.xodr:
        return ()
    solids, found, number = read_appearance(town.xodr).solids, [], 0
    for road in parse_opendrive(town.xodr).roads.values():
        for solid in solids[road.id]:
            if min(solid.length, solid.width) > 0.0:
                if solid.name == LAMP:
                    pose = road.at(solid.s, solid.t)
                    towards = math.copysign(math.pi / 2.0, solid.t) - pose.heading
                    foot = (pose.x, -pose.y, road.height(solid.s))
                    found.append((number, lamp_head(solid, foot, towards)))
                number += 1
    return tuple(found)


def in_layers(town: Town, layers: int) -> frozenset[int]:
    """Returns the numbers of the objects in any of some layers, which are flags.

    Raises:
        MapError: If an object of the map has a word where a number belongs.
    """
    objects = environment_of(town)
    return frozenset(k for k, made in enumerate(objects) if made.layer & layers)
