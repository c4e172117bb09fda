"""Everything that sensors can see of a world, as triangles in groups with a box around each.

What stands still is built once for a town; what moves is placed anew for each frame.
"""

import dataclasses
import math
from typing import Any

import numpy as np
from numba import float32, float64, from_dtype, int64, void
from numpy.typing import NDArray

from dreamdrive.envs.embedded.blueprints import PROPS, WALKERS
from dreamdrive.envs.embedded.compiled import compiled
from dreamdrive.envs.embedded.gait import STANDING, STEPS, STRIDE_M
from dreamdrive.envs.embedded.render import furniture
from dreamdrive.envs.embedded.render.doors import doors_of
from dreamdrive.envs.embedded.render.mesh import Finish, MeshBuilder, joined
from dreamdrive.envs.embedded.render.models import (
    model_of,
    walker_in_step,
)
from dreamdrive.envs.embedded.render.still import GROUP, still_of
from dreamdrive.envs.embedded.render.switches import BRAKE, SHINING, lit_posts, vehicle_flags
from dreamdrive.envs.embedded.render.vehicle_parts import REARLAMP, Part
from dreamdrive.envs.embedded.world import World

BRAKE_GLOW, LENS_GLOW = (1.0, 0.08, 0.05), (1.0, 0.96, 0.84)
DEFAULT_PAINT = (120, 120, 130)

Shown = tuple[int, str, int]
"""An actor: its number, its blueprint and the flags of its open doors."""

PLACE = np.dtype(
    [("x", "f8"), ("y", "f8"), ("z", "f8"), ("pitch", "f8"), ("yaw", "f8"), ("roll", "f8")],
    align=True,
)
"""Where something is, its angles in radians."""


@dataclasses.dataclass
class Triangles:
    """All triangles of a frame; the first `num_still` never move.

    Attributes:
        points: Corners in metres, shape (n, 3, 3).
        normal: Unit normals, shape (n, 3).
        colour: Red, green, blue within [0, 1], shape (n, 3).
        tag, instance, finish: As in a `Mesh`, shape (n,).
        num_still: Number of triangles that stand still.
        groups: Rows of `GROUP`; the first `num_still_groups` never change.
        num_still_groups: Number of groups of triangles that stand still.
        owner: Row in `places` of each triangle that moves, shape (n - num_still,).
        actors: Number of each actor that can move, shape (k,).
        places: Rows of `PLACE`, where each of them is, shape (k,).
        axes: Their unit vectors ahead, to the right and up, as rows, shape (k, 3, 3).
        ground_m: Height of the lowest road, on which fog lies.
    """

    points: NDArray[np.float32]
    normal: NDArray[np.float32]
    colour: NDArray[np.float32]
    tag: NDArray[np.uint8]
    instance: NDArray[np.int32]
    finish: NDArray[np.uint8]
    num_still: int
    groups: NDArray[Any]
    num_still_groups: int
    owner: NDArray[np.int64]
    actors: NDArray[np.int64]
    places: NDArray[Any]
    axes: NDArray[np.float64]
    ground_m: float


class Scene:
    """The triangles of a world, kept up to date with it.

    Args:
        world: What is seen.

    Attributes:
        away: Numbers of the town's solid objects that it was built without.
        flags: Of the lamps of each vehicle that are on.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._actors: tuple[Shown, ...] | None = None
        self._steps = np.zeros(0, np.int64)
        self._stand()
        self.update()

    def _stand(self) -> None:
        """Takes over what stands still in the world."""
        world = self._world
        self.away, self._paints = world.away, world.paints
        still = still_of(world.town)
        if self.away:
            still = still.without(self.away)
        actors = np.array([*world.light_ids, *world.sign_ids], np.int32)
        self._still = dataclasses.replace(
            still.mesh, instance=still.instances(actors), colour=still.painted(self._paints)
        )
        self._still_normals, self._still_groups = still.normals, still.groups
        self._ground_m = still.ground_m
        self._lamps, self._actors = still.parts, None
        self._lenses = np.nonzero(still.mesh.part >= furniture.FIRST_LENS)[0]
        self._lens_post = still.mesh.part[self._lenses] - furniture.FIRST_LENS

    def update(self, is_dark: bool = False) -> None:
        """Brings triangles to where the world's actors are now.

        Args:
            is_dark: Whether vehicles of whom nobody has told drive with their lamps on, and the
                lenses of street lamps glow.
        """
        world = self._world
        if world.away is not self.away or world.paints is not self._paints:
            self._stand()
        props = [actor for actor in world.actors.values() if actor.kind in PROPS]
        actors = tuple(
            (actor, world.actors[actor].kind, world.doors.get(actor, 0))
            for actor in (*world.vehicles.row, *world.walkers.row, *(prop.id for prop in props))
        )
        if actors != self._actors:
            self._lay_out(actors)
        cars, walkers, found = world.vehicles, world.walkers, self.triangles
        place = np.zeros(len(actors), PLACE)
        for start, bodies in ((0, cars), (len(cars), walkers)):
            rows = place[start : start + len(bodies)]
            rows["x"], rows["y"], rows["yaw"] = bodies.pose.T
            rows["z"], rows["pitch"], rows["roll"] = bodies.z, bodies.pitch, bodies.roll
        for row, prop in zip(place[len(cars) + len(walkers) :], props, strict=True):
            row["x"], row["y"], row["z"], *angles = world.pose(prop.id)
            row["pitch"], row["yaw"], row["roll"] = (math.radians(angle) for angle in angles)
        found.places, found.axes = place, np.empty((len(place), 3, 3))
        _turn_all(place, found.axes)
        self._swing_limbs()
        groups = found.groups[found.num_still_groups :]
        _place_all(
            self._local, self._local_normals, place, found.axes, found.points[found.num_still :],
            found.normal[found.num_still :], groups, found.num_still,
        )  # fmt: skip
        for light, state in enumerate(world.lights.colour.tolist()):
            for shown in range(3):
                lamp = self._lamps[furniture.lamp_part(light, shown)]
                is_lit = shown == state
                found.colour[lamp] = furniture.LAMP_COLOURS[shown] if is_lit else furniture.HOUSING
        self._switch_lamps(is_dark)

    def _switch_lamps(self, is_dark: bool) -> None:
        """Lets the glass of lamps glow that are on."""
        found, self.flags = self.triangles, vehicle_flags(self._world, is_dark)
        is_braking, is_on = self.flags & BRAKE > 0, self.flags & SHINING > 0
        is_red = is_braking[self._rear_owner]
        found.colour[self._rear] = np.where(is_red[:, None], BRAKE_GLOW, REARLAMP)
        is_lit = is_red | is_on[self._rear_owner]
        found.finish[self._rear] = np.where(is_lit, Finish.GLOWING, Finish.MATT)
        is_lit = is_on[self._front_owner]
        found.finish[self._front] = np.where(is_lit, Finish.GLOWING, Finish.MATT)
        if len(self._lenses):
            posts = lit_posts(self._world) if is_dark else []
            is_lit = np.isin(self._lens_post, posts)
            plain = self._still.colour[self._lenses]
            found.colour[self._lenses] = np.where(is_lit[:, None], LENS_GLOW, plain)
            found.finish[self._lenses] = np.where(is_lit, Finish.GLOWING, Finish.MATT)

    def _swing_limbs(self) -> None:
        """Brings the limbs of walkers to where their way has them."""
        walkers = self._world.walkers
        steps = np.where(
            walkers.speed > 0.0, walkers.walked / STRIDE_M * STEPS % STEPS, STANDING
        ).astype(np.int64)
        for row in np.nonzero(steps != self._steps)[0].tolist():
            kind, start, end = self._limbs[row]
            mesh = walker_in_step(kind, int(steps[row]))
            self._local[start:end], self._local_normals[start:end] = mesh.points, mesh.normals()
        self._steps = steps

    def _lay_out(self, actors: tuple[Shown, ...]) -> None:
        """Makes room for the triangles of actors, in their order."""
        self._actors = actors
        models = [
            joined([model_of(kind), doors_of(kind, doors)]) if doors else model_of(kind)
            for _, kind, doors in actors
        ]
        counts = [len(model) for model in models]
        moving = joined([MeshBuilder().mesh(), *models])
        owner = np.repeat(np.arange(len(models)), counts)
        for row, (actor, *_) in enumerate(actors):
            is_paint = (owner == row) & (moving.part == Part.PAINT)
            moving.colour[is_paint] = _paint(self._world.actors[actor].attributes)
        moving.instance[:] = np.array([actor for actor, *_ in actors], np.int32)[owner]
        everything = joined([self._still, moving])
        groups = np.zeros(len(models), GROUP)
        ends = len(self._still) + np.cumsum(counts, dtype=np.int64)
        groups["end"], groups["start"] = ends, ends - np.array(counts, np.int64)
        self._local, self._local_normals = moving.points, moving.normals()
        at = ends - len(self._still)
        self._limbs = [
            (kind, int(at[row]) - counts[row], int(at[row]))
            for row, (_, kind, _) in enumerate(actors) if kind in WALKERS
        ]  # fmt: skip
        self._steps = np.full(len(self._limbs), STANDING)
        self._rear = len(self._still) + np.nonzero(moving.part == Part.REARLAMP)[0]
        self._rear_owner = owner[moving.part == Part.REARLAMP]
        self._front = len(self._still) + np.nonzero(moving.part == Part.HEADLAMP)[0]
        self._front_owner = owner[moving.part == Part.HEADLAMP]
        self.triangles = Triangles(
            everything.points, np.concatenate([self._still_normals, self._local_normals]),
            everything.colour, everything.tag, everything.instance, everything.finish,
            len(self._still), np.concatenate([self._still_groups, groups]),
            len(self._still_groups), owner.astype(np.int64),
            np.array([actor for actor, *_ in actors], np.int64), np.zeros(len(models), PLACE),
            np.zeros((len(models), 3, 3)), self._ground_m,
        )  # fmt: skip


def _paint(attributes: dict[str, str]) -> list[float]:
    """Returns the colour that an actor's attributes ask for; a grey where they are broken."""
    try:
        values = [int(value) for value in attributes.get("color", "").split(",")]
    except ValueError:
        values = []
    chosen = values if len(values) == 3 else DEFAULT_PAINT
    return [min(max(value, 0), 255) / 255.0 for value in chosen]


@compiled(void(from_dtype(PLACE)[::1], float64[:, :, ::1]))
def _turn_all(places: Any, axes: Any) -> None:
    """Writes the axes of places, shape (k, 3, 3), as a `Pose` has them."""
    for k in range(len(places)):
        place = places[k]
        cp, sp = math.cos(place.pitch), math.sin(place.pitch)
        cy, sy = math.cos(place.yaw), math.sin(place.yaw)
        cr, sr = math.cos(place.roll), math.sin(place.roll)
        axes[k, 0] = cp * cy, cp * sy, sp
        axes[k, 1] = cy * sp * sr - sy * cr, sy * sp * sr + cy * cr, -cp * sr
        axes[k, 2] = -cy * sp * cr - sy * sr, cy * sr - sy * sp * cr, cp * cr


@compiled(
    void(
        float32[:, :, ::1], float32[:, ::1], from_dtype(PLACE)[::1], float64[:, :, ::1],
        float32[:, :, ::1], float32[:, ::1], from_dtype(GROUP)[::1], int64,
    )
)  # fmt: skip
def _place_all(
    local: Any, local_normals: Any, places: Any, axes: Any, points: Any, normals: Any,
    groups: Any, first: int,
) -> None:  # fmt: skip
    """Turns and moves models to their places, and fits the boxes of their groups.

    Args:
        local, local_normals: Corners and normals in the models' axes, shape (m, 3, 3) and (m, 3).
        places, axes: Rows of `PLACE` and their axes, shape (k,) and (k, 3, 3).
        points, normals: Where the world's corners and normals go.
        groups: Rows of `GROUP` of the places, shape (k,).
        first: Number of the first of these triangles.
    """
    for k in range(len(places)):
        place, group = places[k], groups[k]
        at = (place.x, place.y, place.z)
        for d in range(3):
            group.low[d], group.high[d] = math.inf, -math.inf
        for i in range(group.start - first, group.end - first):
            for c in range(3):
                x, y, z = local[i, c, 0], local[i, c, 1], local[i, c, 2]
                for d in range(3):
                    ahead, right, up = axes[k, 0, d], axes[k, 1, d], axes[k, 2, d]
                    points[i, c, d] = at[d] + x * ahead + y * right + z * up
                    group.low[d] = min(group.low[d], points[i, c, d])
                    group.high[d] = max(group.high[d], points[i, c, d])
            x, y, z = local_normals[i, 0], local_normals[i, 1], local_normals[i, 2]
            for d in range(3):
                normals[i, d] = x * axes[k, 0, d] + y * axes[k, 1, d] + z * axes[k, 2, d]
