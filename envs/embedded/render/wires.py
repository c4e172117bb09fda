"""The camera that CARLA calls `cosmos_visualization`: actors, crossings and stop lines as lines.

CARLA draws edges of bounding boxes in front of nothing, for video models that are steered by such
pictures; poles and the routes of its towns, which it draws too, are left out here.
"""

import math
from collections.abc import Iterator, Mapping
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from dreamdrive.envs.embedded.opendrive import parse_opendrive
from dreamdrive.envs.embedded.render.appearance import read_appearance
from dreamdrive.envs.embedded.render.cameras import IMAGE_HEADER, lens_of
from dreamdrive.envs.embedded.render.look import Look, Payload
from dreamdrive.envs.embedded.render.streets import crossings_of
from dreamdrive.envs.embedded.render.view import Lens, Pose, camera_rows
from dreamdrive.envs.embedded.towns import Town
from dreamdrive.envs.embedded.world import World

Colour = tuple[int, int, int]
VEHICLE, WALKER, LIGHT, SIGN, CROSSING, STOP_LINE = (
    (255, 0, 0), (0, 255, 0), (109, 144, 136), (214, 144, 137), (202, 132, 58), (255, 0, 0),
)  # fmt: skip
"""Red, green, blue of each kind of line; CARLA's."""
NEAR_M = 0.1
HEAD_M, HALF_HEAD_M = 5.0, (0.2, 0.2, 0.5)
"""How high a light or sign hangs, and half the size of its box."""
CORNERS = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
EDGES = [(i, i | bit) for i in range(8) for bit in (1, 2, 4) if not i & bit]


class WireCamera:
    """A camera that draws lines of one pixel on black.

    Args:
        kind: Name of its blueprint.
        settings: Its attributes as numbers.
    """

    def __init__(self, kind: str, settings: Mapping[str, float]) -> None:
        self._lens = lens_of(settings)

    def sense(self, look: Look, sensor: int, pose: Pose, interval_s: float) -> list[Payload]:
        """Returns what it sends of a frame."""
        picture = np.zeros((self._lens.height, self._lens.width, 4), np.uint8)
        picture[:, :, 3] = 255
        camera = camera_rows(pose, self._lens)
        for (red, green, blue), lines in _lines(look.world):
            for u, v in pixels(lines, camera, self._lens):
                picture[v, u, :3] = blue, green, red
        return [Payload("cosmos", IMAGE_HEADER.pack(*self._lens) + picture.tobytes())]


def _lines(world: World) -> Iterator[tuple[Colour, NDArray[np.float64]]]:
    """Yields a colour and lines, shape (n, 2, 3), from what is to lie below to what above."""
    yield from _painted(world.town)
    for actor in (*world.light_index, *world.sign_ids):
        x, y, z, yaw_deg = world.place(actor)
        colour = LIGHT if actor in world.light_index else SIGN
        yield colour, box_edges((x, y, z + HEAD_M), HALF_HEAD_M, yaw_deg)
    for bodies, colour in ((world.walkers, WALKER), (world.vehicles, VEHICLE)):
        for actor in bodies.row:
            x, y, z, yaw_deg = world.place(actor)
            extent = world.actors[actor].extent
            up = extent[2] if bodies is world.vehicles else 0.0
            yield colour, box_edges((x, y, z + up), extent, yaw_deg)


@lru_cache(maxsize=4)
def _painted(town: Town) -> tuple[tuple[Colour, NDArray[np.float64]], ...]:
    drive = parse_opendrive(town.xodr)
    outlines = [
        np.stack([corners, np.roll(corners, -1, 0)], 1)
        for corners in crossings_of(drive, read_appearance(town.xodr), town.lights)
    ]
    bars = []
    for line in (line for light in town.lights for line in light.lines):
        road = drive.roads[line.road_id]
        half, yaw = road.lane_width(line.lane_id, line.s) / 2.0, math.radians(line.yaw_deg)
        dx, dy, z = -half * math.sin(yaw), half * math.cos(yaw), road.height(line.s)
        bars.append([(line.x - dx, line.y - dy, z), (line.x + dx, line.y + dy, z)])
    return (
        (CROSSING, np.concatenate(outlines) if outlines else np.zeros((0, 2, 3))),
        (STOP_LINE, np.array(bars, np.float64).reshape(-1, 2, 3)),
    )


def box_edges(
    middle: tuple[float, float, float], half: tuple[float, float, float], yaw_deg: float
) -> NDArray[np.float64]:
    """Returns the twelve edges of a box, shape (12, 2, 3)."""
    points = CORNERS * half
    cos, sin = math.cos(math.radians(yaw_deg)), math.sin(math.radians(yaw_deg))
    turned = np.stack(
        [points[:, 0] * cos - points[:, 1] * sin, points[:, 0] * sin + points[:, 1] * cos,
         points[:, 2]], 1,
    )  # fmt: skip
    return (turned + middle)[EDGES]


def pixels(
    lines: NDArray[np.float64], camera: NDArray[np.float64], lens: Lens
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Yields the columns and rows of the pixels that each line crosses.

    Args:
        lines: Their ends, shape (n, 2, 3).
        camera: The camera, as `camera_rows` has it.
        lens: Its lens.
    """
    place, axes, (focal, middle_u, middle_v) = camera[0], camera[1:4], camera[4]
    for a, b in (lines - place) @ axes.T:
        if max(a[0], b[0]) <= NEAR_M:
            continue
        cut = (NEAR_M - a[0]) / (b[0] - a[0]) if a[0] != b[0] else 0.0
        if a[0] < NEAR_M:
            a = a + cut * (b - a)
        elif b[0] < NEAR_M:
            b = a + cut * (b - a)
        ends = np.array([
            (focal * p[1] / p[0] + middle_u, middle_v - focal * p[2] / p[0]) for p in (a, b)
        ])  # fmt: skip
        inside = _clipped(ends, (lens.width, lens.height))
        if inside is None:
            continue
        count = int(np.abs(inside[1] - inside[0]).max()) + 2
        u, v = np.linspace(inside[0], inside[1], count).T.astype(np.intp)
        yield np.clip(u, 0, lens.width - 1), np.clip(v, 0, lens.height - 1)


def _clipped(ends: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float64] | None:
    """Returns the part of a line within an image, or None (Liang & Barsky 1984)."""
    low, high, along = 0.0, 1.0, ends[1] - ends[0]
    for axis in range(2):
        for sign, bound in ((-1.0, 0.0), (1.0, float(size[axis]))):
            step, room = sign * along[axis], sign * (bound - ends[0][axis])
            if step == 0.0:
                if room < 0.0:
                    return None
            elif step < 0.0:
                low = max(low, room / step)
            else:
                high = min(high, room / step)
    return None if low > high else np.array([ends[0] + low * along, ends[0] + high * along])
