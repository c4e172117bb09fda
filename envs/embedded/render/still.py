"""What stands still in a town, built once however many worlds it is opened for."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamdrive.envs.embedded.opendrive import parse_opendrive
from dreamdrive.envs.embedded.render import furniture, signs, streets, terrain
from dreamdrive.envs.embedded.render.appearance import read_appearance
from dreamdrive.envs.embedded.render.mesh import Colour, Mesh, MeshBuilder, Tag
from dreamdrive.envs.embedded.touching import FIRST_SOLID
from dreamdrive.envs.embedded.towns import Town

CELL_M = 16.0
"""Side of the squares by which triangles are grouped."""
FIRST_SIGNAL = -1_000_000
"""Lights and then signs have instances from here downwards; a world has actors for them. Solid
objects have theirs from `FIRST_SOLID` downwards."""
GROUP = np.dtype([("start", "i8"), ("end", "i8"), ("low", "f8", 3), ("high", "f8", 3)], align=True)
"""Triangles from start to end (not included), and the corners of the box around them."""


@dataclass(frozen=True)
class Still:
    """The triangles of a town, ordered by the square of the ground that they lie in.

    Attributes:
        mesh: The triangles.
        normals: Their unit normals, shape (n, 3).
        groups: Rows of `GROUP`, one for each square.
        parts: The triangles of each named part.
        ground_m: Height of the lowest road; 0 without any.
    """

    mesh: Mesh
    normals: NDArray[np.float32]
    groups: NDArray[Any]
    parts: dict[int, NDArray[np.int64]]
    ground_m: float

    def without(self, objects: frozenset[int]) -> "Still":
        """Returns what is left when solid objects of the town, by their numbers, are taken away."""
        gone = np.array([FIRST_SOLID - number for number in objects], np.int32)
        return _still(self.mesh.taken(np.nonzero(~np.isin(self.mesh.instance, gone))[0]))

    def painted(self, paints: Mapping[int, Colour]) -> NDArray[np.float32]:
        """Returns the colours of all triangles, shape (n, 3), when some objects are painted.

        What is painted is what most of an object's surface shows: walls, and not their windows.

        Args:
            paints: Colours of solid objects of the town, by their numbers.
        """
        found = self.mesh.colour.copy()
        a, b, c = self.mesh.points.swapaxes(0, 1)
        area = np.linalg.norm(np.cross(b - a, c - a), axis=1) if paints else np.zeros(0)
        for number, colour in paints.items():
            rows = np.nonzero(self.mesh.instance == FIRST_SOLID - number)[0]
            _, kind = np.unique(found[rows], axis=0, return_inverse=True)
            if len(rows):
                most = np.bincount(kind.ravel(), area[rows]).argmax()
                found[rows[kind.ravel() == most]] = colour
        return found

    def instances(self, actors: NDArray[np.int32]) -> NDArray[np.int32]:
        """Returns the instances in a world, shape (n,).

        Args:
            actors: Numbers of its lights and then its signs.
        """
        found = self.mesh.instance.copy()
        is_signal = found <= FIRST_SIGNAL
        found[is_signal] = actors[FIRST_SIGNAL - found[is_signal]]
        return found


@lru_cache(maxsize=4)
def still_of(town: Town) -> Still:
    """Returns what stands still in a town.

    Raises:
        MapError: If a mark or an object of its map has a word where a number belongs.
    """
    drive, looks = parse_opendrive(town.xodr), read_appearance(town.xodr)
    builder = MeshBuilder()
    terrain.add_land(builder, drive)
    streets.add_streets(builder, drive, looks)
    streets.add_crosswalks(builder, drive, looks)
    has_own = any(looks.crosswalks.values())
    streets.add_stop_lines(builder, drive, town.lights, has_crossings=not has_own)
    streets.add_stop_lines(builder, drive, town.stop_signs, has_crossings=False)
    furniture.add_solids(builder, drive, looks)
    for number in range(len(town.lights)):
        furniture.add_traffic_light(builder, drive, town, number, FIRST_SIGNAL - number)
    for number, sign in enumerate(town.signs, start=len(town.lights)):
        signs.add_sign(builder, sign, FIRST_SIGNAL - number)
    return _still(builder.mesh())


def _still(mesh: Mesh) -> Still:
    mesh, groups = _grouped(mesh)
    names = np.unique(mesh.part[mesh.part > 0]).tolist()
    parts = {name: np.nonzero(mesh.part == name)[0] for name in names}
    roads = mesh.points[mesh.tag == Tag.ROAD, :, 2]
    ground_m = float(roads.min()) if roads.size else 0.0
    return Still(mesh, mesh.normals(), groups, parts, ground_m)


def _grouped(mesh: Mesh) -> tuple[Mesh, NDArray[Any]]:
    """Returns triangles ordered by the square of the ground that they lie in, and the groups."""
    middle = mesh.points[:, :, :2].mean(1)
    cell = np.floor(middle / CELL_M).astype(np.int64)
    order = np.lexsort((cell[:, 1], cell[:, 0]))
    ordered, cell = mesh.taken(order), cell[order]
    starts = np.nonzero(np.any(np.diff(cell, axis=0, prepend=cell[:1] - 1) != 0, axis=1))[0]
    groups = np.zeros(len(starts), GROUP)
    groups["start"], groups["end"] = starts, np.append(starts[1:], len(cell))
    groups["low"] = np.minimum.reduceat(ordered.points.min(1), starts)
    groups["high"] = np.maximum.reduceat(ordered.points.max(1), starts)
    return ordered, groups
