"""What stands beside streets: houses and other solids, posts and traffic lights."""

import math
from collections.abc import Sequence
from zlib import crc32

from dreamdrive.envs.embedded.far_side import middle_of_lines, second_post
from dreamdrive.envs.embedded.network import LAMP, PARKED_CAR
from dreamdrive.envs.embedded.opendrive import OpenDrive
from dreamdrive.envs.embedded.render import roadside
from dreamdrive.envs.embedded.render.appearance import Appearance, Solid
from dreamdrive.envs.embedded.render.mesh import Colour, Finish, MeshBuilder, Tag
from dreamdrive.envs.embedded.touching import FIRST_SOLID
from dreamdrive.envs.embedded.towns import Town

FACADES: tuple[Colour, ...] = (
    (0.70, 0.60, 0.48), (0.62, 0.36, 0.28), (0.74, 0.71, 0.66), (0.55, 0.57, 0.60),
    (0.80, 0.70, 0.52), (0.50, 0.42, 0.38),
)  # fmt: skip
ROOF: Colour = (0.36, 0.27, 0.25)
GLASS: Colour = (0.20, 0.26, 0.32)
STEEL: Colour = (0.42, 0.43, 0.44)
HOUSING: Colour = (0.09, 0.09, 0.09)
SOLID_LOOKS: dict[str, tuple[Tag, Colour]] = {
    "building": (Tag.BUILDING, ROOF),
    "pole": (Tag.POLE, STEEL),
    "barrier": (Tag.WALL, (0.60, 0.60, 0.58)),
    "obstacle": (Tag.STATIC, (0.50, 0.45, 0.40)),
}
FLOOR_M, WINDOW_EVERY_M = 2.8, 2.6
RELIEF_M = 0.015
"""How far windows and lamps stand out, so that they are drawn in front of what bears them."""
POST_M, HEAD_M = 3.4, 0.54
"""Height of a traffic light's post, and half the height of its head."""
FIRST_LENS = 1_000_000
LAMP_M, LAMP_STEP_M = 0.15, 0.34
LAMP_COLOURS: dict[int, Colour] = {0: (1.0, 0.10, 0.06), 1: (1.0, 0.75, 0.08), 2: (0.1, 1.0, 0.35)}
"""What the lamps of the states red, yellow and green show."""


def lamp_part(light: int, state: int) -> int:
    """Returns the part number of a light's lamp for a state: 0 red, 1 yellow, 2 green."""
    return 1 + 3 * light + state


def lens_part(solid: int) -> int:
    """Returns the part number of the lens of a street lamp, by its number among solid objects."""
    return FIRST_LENS + solid


def add_solids(builder: MeshBuilder, drive: OpenDrive, looks: Appearance) -> None:
    """Adds the solid objects of all roads where the world has their bodies."""
    number = FIRST_SOLID
    for road in drive.roads.values():
        for solid in looks.solids[road.id]:
            if min(solid.length, solid.width) > 0.0:
                pose = road.at(solid.s, solid.t)
                place = (pose.x, -pose.y, road.height(solid.s), -pose.heading - solid.heading)
                if solid.kind == "building":
                    _add_house(builder, solid, place, number)
                elif solid.kind == "tree":
                    roadside.add_tree(builder, solid, place, number)
                elif solid.name == LAMP:
                    towards = -pose.heading + math.copysign(math.pi / 2.0, solid.t)
                    lens = lens_part(FIRST_SOLID - number)
                    roadside.add_lamp(builder, solid, place, number, towards, lens)
                elif solid.name == PARKED_CAR:
                    roadside.add_parked_car(builder, solid, place, number)
                else:
                    tag, colour = SOLID_LOOKS[solid.kind]
                    half = solid.length / 2.0, solid.width / 2.0, solid.height / 2.0
                    centre = (*place[:2], place[2] + half[2])
                    builder.box(centre, half, place[3], tag, colour, instance=number)
                number -= 1


def _add_house(
    builder: MeshBuilder, solid: Solid, place: tuple[float, float, float, float], number: int
) -> None:
    x, y, z, yaw = place
    facade = FACADES[crc32(f"{x:.1f} {y:.1f}".encode()) % len(FACADES)]
    half = solid.length / 2.0, solid.width / 2.0, solid.height / 2.0
    builder.box((x, y, z + half[2]), half, yaw, Tag.BUILDING, facade, instance=number)
    roof = half[0] + RELIEF_M, half[1] + RELIEF_M, 0.25
    builder.box(
        (x, y, z + solid.height - 0.2), roof, yaw, Tag.BUILDING, ROOF, instance=number,
        is_open_below=False,
    )  # fmt: skip
    floors = int((solid.height - 0.6) / FLOOR_M)
    for side in range(4):
        out, along = (half[0], half[1]) if side % 2 == 0 else (half[1], half[0])
        turn = yaw + side * math.pi / 2.0
        count = int(2.0 * along / WINDOW_EVERY_M)
        for k in range(count):
            across = (k - (count - 1) / 2.0) * WINDOW_EVERY_M
            for floor in range(floors):
                is_door = floor == 0 and k == count // 2 and side % 2 == 1
                size = (0.5, 1.05) if is_door else (0.6, 0.65)
                middle = 1.05 if is_door else floor * FLOOR_M + 1.65
                add_panel(
                    builder, (x, y, z + middle), turn, out + RELIEF_M, across, size,
                    Tag.BUILDING, (0.33, 0.22, 0.15) if is_door else GLASS, instance=number,
                )  # fmt: skip


def add_panel(
    builder: MeshBuilder, centre: tuple[float, float, float], yaw: float, out: float, across: float,
    half: tuple[float, float], tag: Tag, colour: Colour, **look: int,
) -> None:  # fmt: skip
    """Adds an upright rectangle that faces along `yaw`, `out` metres before a centre."""
    cos, sin = math.cos(yaw), math.sin(yaw)
    x, y, z = centre
    corners = [
        (x + out * cos - (across + a * half[0]) * sin, y + out * sin + (across + a * half[0]) * cos,
         z + b * half[1])
        for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))
    ]  # fmt: skip
    builder.polygon(corners, tag, colour, **look)


def add_traffic_light(
    builder: MeshBuilder, drive: OpenDrive, town: Town, number: int, actor: int
) -> None:
    """Adds posts with heads that face the traffic that a light holds.

    A light beside its stop line has a second post beyond the junction, since who waits there does
    not see the first.

    Args:
        builder: Where to.
        drive: The town's map.
        town: The town.
        number: The light's index in the town, which names the parts of its lamps.
        actor: Its actor, the instance of its triangles.
    """
    signal = town.lights[number]
    back = math.radians(signal.yaw_deg) + math.pi
    _add_post(builder, (signal.x, signal.y, signal.z), back, number, actor)
    far = second_post(drive, town, signal)
    if far is not None:
        x, y = middle_of_lines(signal)
        facing = math.atan2(y - far[1], x - far[0])
        foot = (far[0], far[1], town.ground.height(far[0], far[1], signal.z))
        _add_post(builder, foot, facing, number, actor)


def _add_post(
    builder: MeshBuilder, foot: tuple[float, float, float], back: float, number: int, actor: int
) -> None:
    """Adds a post with a head that faces along `back`."""
    x, y, z = foot
    post = (0.07, 0.07, POST_M / 2.0)
    builder.box((x, y, z + POST_M / 2.0), post, back, Tag.POLE, STEEL, instance=actor)
    head = (x, y, z + POST_M + HEAD_M)
    builder.box(
        head, (0.14, 0.21, HEAD_M), back, Tag.TRAFFIC_LIGHT, HOUSING, instance=actor,
        is_open_below=False,
    )  # fmt: skip
    for side in (-1.0, 1.0):  # Blinkers, so that cross traffic does not take it for its own.
        aside = (
            x + 0.24 * math.cos(back) - 0.20 * side * math.sin(back),
            y + 0.24 * math.sin(back) + 0.20 * side * math.cos(back),
            z + POST_M + HEAD_M,
        )
        builder.box(
            aside, (0.10, 0.01, HEAD_M), back, Tag.TRAFFIC_LIGHT, HOUSING, instance=actor,
            is_open_below=False,
        )  # fmt: skip
    for state in range(3):
        lamp = (x, y, z + POST_M + HEAD_M + (1 - state) * LAMP_STEP_M)
        add_disc(
            builder, lamp, back, 0.14 + RELIEF_M, LAMP_M, Tag.TRAFFIC_LIGHT, HOUSING,
            instance=actor, part=lamp_part(number, state), finish=Finish.GLOWING,
        )  # fmt: skip


def add_disc(
    builder: MeshBuilder, centre: Sequence[float], yaw: float, out: float, radius: float, tag: Tag,
    colour: Colour, **look: int,
) -> None:  # fmt: skip
    """Adds an upright octagon that faces along `yaw`, `out` metres before a centre."""
    cos, sin = math.cos(yaw), math.sin(yaw)
    corners = []
    for k in range(8):
        angle = (k + 0.5) * math.pi / 4.0
        across, up = radius * math.cos(angle), radius * math.sin(angle)
        corners.append(
            (centre[0] + out * cos - across * sin, centre[1] + out * sin + across * cos,
             centre[2] + up)
        )  # fmt: skip
    builder.polygon(corners, tag, colour, **look)
