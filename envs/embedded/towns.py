"""Towns as the server sees them: what an OpenDRIVE map means for traffic.

Everything here is in CARLA's axes: left-handed, y is the negative of OpenDRIVE's, yaw in degrees,
clockwise from above.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dreamdrive.envs.embedded.curves import wrap
from dreamdrive.envs.embedded.generator import TownPlan, plan_network
from dreamdrive.envs.embedded.ground import Ground, ground_of
from dreamdrive.envs.embedded.network import PARKED_CAR
from dreamdrive.envs.embedded.opendrive import (
    OpenDrive,
    Road,
    boxes_of,
    parse_opendrive,
)
from dreamdrive.envs.embedded.opendrive_writer import write_opendrive
from dreamdrive.envs.embedded.phases import phases_of
from dreamdrive.envs.embedded.road_signals import LIMIT_KIND
from dreamdrive.envs.embedded.styles import STYLED
from dreamdrive.envs.embedded.town_signals import (
    APPROACH_M,
    LIGHT_KIND,
    STOP_KIND,
    TownSignal,
    carla_pose,
    driving_lanes,
    signals_of,
)
from dreamdrive.errors import MapError, TownError

TRAIN_TOWNS = ("Dream01", "Dream02", "Dream03", "Dream04", "Dream05")
DEV_TOWNS = ("Dream06",)
TEST_TOWNS = ("Dream07", "Dream08")
SEEDS = {name: seed for seed, name in enumerate((*TRAIN_TOWNS, *DEV_TOWNS, *TEST_TOWNS), start=1)}

SOLID_TAGS = {"building": 3, "barrier": 4, "pole": 6, "tree": 9, "obstacle": 20}
"""CARLA's semantic tags of solid objects, by their type in OpenDRIVE."""
PARKED_TAG = 14
SAMPLE_M = 1.5
CELL_M = 1.0
MOST_CELLS = 120_000_000
"""Cells of the lane grid at most, each of which takes 12 bytes while it is made."""
SPAWN_EVERY_M = 17.0
BEND_MPS2, SLOW_DOWN_MPS2, AHEAD_M = 4.0, 1.5, 40.0
"""Sideways acceleration in sharp bends, deceleration before them, how far ahead they are seen."""
BEND_OVER_M = 4.0
"""A road's bend is taken over this length."""
SOLID_M = 8.0
"""Height of solid objects, as far as bodies can touch them."""


@dataclass(frozen=True)
class LaneGrid:
    """The lane at any place, by look-up.

    Attributes:
        origin: x and y of the first cell's corner.
        nearest: Index of the nearest lane sample of each cell, -1 off the road, shape (X, Y).
        speed_mps: Speed limit at each sample.
        light: Index of the light that holds at each sample, -1 for none.
        road, lane, s: The lane of each sample and its arc length.
    """

    origin: tuple[float, float]
    nearest: NDArray[np.int32]
    speed_mps: NDArray[np.float32]
    light: NDArray[np.int32]
    road: NDArray[np.int32]
    lane: NDArray[np.int32]
    s: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Town:
    """A map and all that follows from it; one is equal to itself alone.

    Attributes:
        name: The town's name.
        xodr: Its OpenDRIVE text, which the client reads for itself.
        spawn_points: (x, y, z, yaw in degrees) on driving lanes outside junctions.
        lights: Its traffic lights.
        phases: For each junction with lights, the sets of lights that are green together.
        stop_signs: Its stop signs.
        static_boxes: Solid objects, shape (n, 5): x, y, half length, half width, yaw in radians.
        grid: The lane at any place.
        ground: What bodies stand on.
        static_spans: Between which heights each solid object is, shape (n, 2).
        static_tags: The semantic tag of each, shape (n,).
        signs_hold: Whether its stop signs tell vehicles to stop.
        limit_signs: Its speed limits as signs; how fast one may be is a matter of the road.
    """

    name: str
    xodr: str
    spawn_points: tuple[tuple[float, float, float, float], ...]
    lights: tuple[TownSignal, ...]
    phases: tuple[tuple[tuple[int, ...], ...], ...]
    stop_signs: tuple[TownSignal, ...]
    static_boxes: NDArray[np.float64]
    grid: LaneGrid
    ground: Ground
    static_spans: NDArray[np.float64]
    static_tags: NDArray[np.int64]
    signs_hold: bool = True
    limit_signs: tuple[TownSignal, ...] = ()

    @property
    def signs(self) -> tuple[TownSignal, ...]:
        """All its signs."""
        return (*self.stop_signs, *self.limit_signs)


_ADDED: dict[str, Path] = {}


def available_towns() -> list[str]:
    """Returns the names of the towns that ship, and of those added from files."""
    return [*SEEDS, *STYLED, *_ADDED]


def check_towns(names: Iterable[str], maps: Sequence[Path] = ()) -> None:
    """Does nothing if a server with these files as maps has all the towns.

    Raises:
        TownError: If it lacks one.
    """
    known = [*SEEDS, *STYLED, *(path.stem for path in maps)]
    for name in names:
        if name not in known:
            raise TownError(
                f"The embedded server has no town {name!r}",
                do=f"Give its OpenDRIVE file with --maps, or one of {', '.join(known)}.",
            )


def add_map(path: Path) -> str:
    """Makes an OpenDRIVE file a town of this process, and returns its name, that of the file.

    Raises:
        MapError: If the file cannot be read, or a town of this name ships.
    """
    if path.stem in SEEDS or path.stem in STYLED:
        raise MapError(
            f"A town called {path.stem} ships already", where=path, do="Rename the file."
        )
    load_town(str(path))
    _ADDED[path.stem] = path
    return path.stem


@lru_cache(maxsize=16)
def load_town(name_or_path: str) -> Town:
    """Returns a town by name, or that of an OpenDRIVE file.

    Raises:
        MapError: If there is neither, or if the file cannot be read.
    """
    name = name_or_path.rsplit("/", 1)[-1]
    if name in SEEDS:
        # The shipped figures are of traffic that stop signs do not hold.
        xodr = write_opendrive(name, plan_network(SEEDS[name], TownPlan()))
        return replace(build_town(name, xodr), signs_hold=False)
    if name in STYLED:
        style, seed = STYLED[name]
        return build_town(name, write_opendrive(name, style(seed)))
    path = _ADDED.get(name, Path(name_or_path))
    if path.suffix != ".xodr" or not path.is_file():
        raise MapError(
            "There is no such town", where=name_or_path,
            do=f"Give one of {', '.join([*SEEDS, *STYLED])}, or the path of an .xodr file.",
        )  # fmt: skip
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise MapError(f"The map cannot be read: {error}", where=path) from error
    return build_town(path.stem, text, path)


def build_town(name: str, xodr: str, where: object = "OpenDRIVE text") -> Town:
    """Returns the town that an OpenDRIVE text describes.

    Raises:
        MapError: If the text is broken or has no lane to drive on.
    """
    drive = parse_opendrive(xodr, where)
    lights = signals_of(drive, LIGHT_KIND)
    stops = signals_of(drive, STOP_KIND)
    spawn_points = tuple(point for road in drive.roads.values() for point in _spawn_points(road))
    if not spawn_points:
        raise MapError("The map has no driving lane outside its junctions", where=where)
    boxes = [
        (box.x, -box.y, box.half_length, box.half_width, -box.heading)
        for road in drive.roads.values()
        for box in boxes_of(road)
    ]
    floors = [road.height(box[0]) for road in drive.roads.values() for box in road.boxes]
    tags = [
        PARKED_TAG if label == PARKED_CAR else SOLID_TAGS[kind]
        for road in drive.roads.values()
        for kind, label in road.box_kinds
    ]
    return Town(
        name, xodr, spawn_points, lights,
        phases_of(drive, [(light.id, light.yaw_deg) for light in lights]), stops,
        np.array(boxes, np.float64).reshape(-1, 5), _grid(drive, lights, where), ground_of(drive),
        np.array([(z, z + SOLID_M) for z in floors], np.float64).reshape(-1, 2),
        np.array(tags, np.int64), limit_signs=signals_of(drive, LIMIT_KIND),
    )  # fmt: skip


def _spawn_points(road: Road) -> list[tuple[float, float, float, float]]:
    if road.junction != -1 or road.length < 2.0 * SPAWN_EVERY_M:
        return []
    count = max(1, int((road.length - 16.0) / SPAWN_EVERY_M))
    found = []
    for i in range(count):
        s = 8.0 + (i + 0.5) * (road.length - 16.0) / count
        for lane in driving_lanes(road, s):
            x, y, yaw = carla_pose(road.lane_pose(lane, s))
            found.append((x, y, road.height(s) + 0.3, yaw))
    return found


def _limit(road: Road, s: float) -> float:
    """Returns the speed limit at a place: the road's, and in a sharp bend what one can drive.

    Maps give one limit for a long road and the bend at its end. Junctions keep theirs.
    """
    if road.junction != -1:
        return road.speed_mps
    low, high = max(s - BEND_OVER_M / 2.0, 0.0), min(s + BEND_OVER_M / 2.0, road.length)
    turn = abs(wrap(road.at(high).heading - road.at(low).heading))
    if turn < 1e-6:
        return road.speed_mps
    return min(road.speed_mps, math.sqrt(BEND_MPS2 * (high - low) / turn))


def _slow_before_bends(table: NDArray[np.float64], limits: list[float]) -> None:
    """Lowers the limits of lane samples that lead to a sharp bend, in place.

    Args:
        table: Rows of x, y, limit, ..., heading as `_grid` collects them.
        limits: The limit of each sample's road.
    """
    x, y, told, yaw = table[:, 0], table[:, 1], table[:, 2].copy(), table[:, -1]
    order = np.argsort(x, kind="stable")
    slow = np.nonzero(told < np.array(limits) - 1e-9)[0]
    first, end = (np.searchsorted(x[order], x[slow] + reach) for reach in (-AHEAD_M, AHEAD_M))
    for k, i in enumerate(slow):
        near = order[first[k] : end[k]]
        near = near[np.abs(y[near] - y[i]) < AHEAD_M]
        dx, dy, cos, sin = x[i] - x[near], y[i] - y[near], np.cos(yaw[near]), np.sin(yaw[near])
        ahead, aside = dx * cos + dy * sin, dy * cos - dx * sin
        leads = (ahead > 0.0) & (ahead < AHEAD_M) & (np.abs(aside) < 1.0 + 0.5 * ahead)
        leads &= np.cos(yaw[near] - yaw[i]) > -0.2
        speed = np.sqrt(told[i] ** 2 + 2.0 * SLOW_DOWN_MPS2 * ahead[leads])
        table[near[leads], 2] = np.minimum(table[near[leads], 2], speed)


def _grid(drive: OpenDrive, lights: tuple[TownSignal, ...], where: object) -> LaneGrid:
    held = {
        (line.road_id, line.lane_id): (index, line.s)
        for index, light in enumerate(lights)
        for line in light.lines
    }
    rows = []
    for road in drive.roads.values():
        count = max(2, math.ceil(road.length / SAMPLE_M) + 1)
        for i in range(count):
            s = road.length * i / (count - 1)
            for lane in driving_lanes(road, s):
                pose = road.lane_pose(lane, s)
                light, stop = held.get((road.id, lane), (-1, 0.0))
                before = (stop - s) if lane < 0 else (s - stop)
                if not -0.75 <= before <= APPROACH_M:
                    light = -1
                yaw = -pose.heading
                rows.append((pose.x, -pose.y, _limit(road, s), light, road.id, lane, s, yaw))
    table = np.array(rows, np.float64)
    _slow_before_bends(table, [drive.roads[int(number)].speed_mps for number in table[:, 4]])
    low = table[:, :2].min(0) - 4.0
    size = (table[:, :2].max(0) + 4.0 - low) / CELL_M
    if not size.prod() <= MOST_CELLS:
        raise MapError(
            f"The map spans {size[0]:.0f} m by {size[1]:.0f} m: more than "
            f"{MOST_CELLS // 10**6} km²",
            where=where,
        )  # fmt: skip
    shape = size.astype(int) + 1
    nearest = np.full(shape, -1, np.int32)
    best = np.full(shape, 2.2)
    cell = ((table[:, :2] - low) / CELL_M).astype(int)
    for di in range(-3, 4):
        for dj in range(-3, 4):
            at = np.clip(cell + np.array([di, dj]), 0, shape - 1)
            centre = low + (at + 0.5) * CELL_M
            distance = np.hypot(*(centre - table[:, :2]).T)
            order = np.argsort(-distance, kind="stable")
            i, j = at[order, 0], at[order, 1]
            closer = distance[order] < best[i, j]
            i, j, chosen = i[closer], j[closer], order[closer]
            best[i, j], nearest[i, j] = distance[chosen], chosen
    return LaneGrid(
        (float(low[0]), float(low[1])), nearest, table[:, 2].astype(np.float32),
        table[:, 3].astype(np.int32), table[:, 4].astype(np.int32), table[:, 5].astype(np.int32),
        table[:, 6].astype(np.float32),
    )  # fmt: skip
