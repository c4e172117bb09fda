"""Radars, obstacle detectors, and single rays that a client asks for."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dreamdrive.envs.embedded import wire
from dreamdrive.envs.embedded.render.look import Look, Payload
from dreamdrive.envs.embedded.render.mesh import Tag
from dreamdrive.envs.embedded.render.ray_tree import NO_TRIANGLE
from dreamdrive.envs.embedded.render.settings import AGE
from dreamdrive.envs.embedded.render.view import Pose
from dreamdrive.envs.embedded.world import World
from dreamdrive.seeding import numpy_generator

FLAT = (Tag.ROAD, Tag.ROAD_LINE, Tag.SIDEWALK, Tag.TERRAIN, Tag.GROUND)
"""What no obstacle detector takes for an obstacle."""
STEP_M = 1e-3
"""How far behind a surface a ray that goes on starts again."""
RINGS = ((0.0, 1), (0.5, 6), (1.0, 12))
"""Rays of an obstacle detector: on circles of a share of its radius, so many on each."""


class LabelledPoint(NamedTuple):
    """A place and the semantic tag there."""

    place: tuple[float, float, float]
    tag: int


class Radar:
    """A radar: detections at random directions within a cone, with their relative speed.

    Args:
        kind: Name of its blueprint.
        settings: Its attributes as numbers.
    """

    def __init__(self, kind: str, settings: Mapping[str, float]) -> None:
        self._settings = settings
        self._count = int(settings.get(AGE, 0))

    def sense(self, look: Look, sensor: int, pose: Pose, interval_s: float) -> list[Payload]:
        """Returns velocity in m/s (positive away), azimuth and altitude, and distance of each."""
        known = self._settings
        count = int(known["points_per_second"] * interval_s)
        random = numpy_generator(int(known["noise_seed"]), "radar", self._count)
        self._count += 1
        radius = random.random(count)
        angle = 2.0 * math.pi * random.random(count)
        wide, high = (
            math.tan(math.radians(known[name]) / 2.0) for name in ("horizontal_fov", "vertical_fov")
        )
        direction = np.ones((count, 3))
        direction[:, 1] = wide * radius * np.cos(angle)
        direction[:, 2] = high * radius * np.sin(angle)
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        rays = direction @ pose.axes()
        hits = look.cast(np.array([pose[:3]]), rays, known["range"])
        is_met = np.isfinite(hits.distance)
        direction, rays, distance = direction[is_met], rays[is_met], hits.distance[is_met]
        targets = look.triangles.instance[hits.triangle[is_met]]
        places = np.array(pose[:3]) + rays * distance[:, None]
        own = _velocity(look.world, look.world.actors[sensor].parent, np.array([pose[:3]]))
        moving = np.zeros((len(targets), 3))
        for actor in np.unique(targets[targets > 0]).tolist():
            moving[targets == actor] = _velocity(look.world, actor, places[targets == actor])
        found = np.empty((len(distance), 4), "<f4")
        found[:, 0] = np.einsum("nd,nd->n", moving - own, rays)
        found[:, 1] = np.arctan2(direction[:, 1], direction[:, 0])
        found[:, 2] = np.arcsin(direction[:, 2])
        found[:, 3] = distance
        return [Payload("radar", found.tobytes())]


def _velocity(world: World, actor: int, places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the velocity of an actor's body at places, shape (n, 3); 0 if it has no body."""
    found = np.zeros((len(places), 3))
    body = world.body(actor)
    if body is not None:
        row = body.row[actor]
        arm = places[:, :2] - body.pose[row, :2]
        rate = float(body.yaw_rate[row])
        found[:, 0] = body.velocity[row, 0] - rate * arm[:, 1]
        found[:, 1] = body.velocity[row, 1] + rate * arm[:, 0]
    return found


class ObstacleDetector:
    """Tells of what lies ahead within a cylinder, the ground and its own parent left out.

    Args:
        kind: Name of its blueprint.
        settings: Its attributes as numbers.
    """

    def __init__(self, kind: str, settings: Mapping[str, float]) -> None:
        self._settings = settings
        radius = settings["hit_radius"]
        self._offsets = np.array(
            [
                (0.0, share * radius * math.cos(angle), share * radius * math.sin(angle))
                for share, count in RINGS
                for angle in np.arange(count) * 2.0 * math.pi / count
            ]
        )

    def sense(self, look: Look, sensor: int, pose: Pose, interval_s: float) -> list[Payload]:
        """Returns a message for each obstacle with its distance, the nearest first."""
        far, parent = self._settings["distance"], look.world.actors[sensor].parent
        axes = pose.axes()
        origins = np.array(pose[:3]) + self._offsets @ axes
        directions = np.tile(axes[0], (len(origins), 1))
        nearest: dict[int, float] = {}
        passed = np.zeros(len(origins))
        while len(origins):
            hits = look.cast(origins, directions, far)
            reach = passed + hits.distance
            is_on = reach <= far
            seen, tag = look.triangles.instance, look.triangles.tag
            for t, distance in zip(hits.triangle[is_on].tolist(), reach[is_on], strict=True):
                actor = int(seen[t])
                is_obstacle = actor != parent and tag[t] not in FLAT
                if self._settings["only_dynamics"]:
                    is_obstacle = is_obstacle and look.world.body(actor) is not None
                if is_obstacle:
                    nearest[actor] = min(nearest.get(actor, math.inf), float(distance))
            step = (hits.distance + STEP_M)[is_on]
            origins = origins[is_on] + directions[is_on] * step[:, None]
            directions, passed = directions[is_on], passed[is_on] + step
        own = look.describe(parent)
        return [
            Payload("obstacle", wire.pack([own, look.describe(actor), distance]))
            for actor, distance in sorted(nearest.items(), key=lambda item: item[1])
        ]


def points_along(look: Look, start: Sequence[float], end: Sequence[float]) -> list[LabelledPoint]:
    """Returns where a line enters objects, in order; each object once while it stays in it."""
    place, goal = np.array(start, np.float64), np.array(end, np.float64)
    length = float(np.linalg.norm(goal - place))
    if not 0.0 < length < math.inf:
        return []
    direction = (goal - place) / length
    found: list[LabelledPoint] = []
    before, passed = (0, 0), 0.0
    while passed < length:
        at = place + passed * direction
        hits = look.cast(at[None], direction[None], length - passed)
        triangle = int(hits.triangle[0])
        if triangle == NO_TRIANGLE:
            break
        passed += float(hits.distance[0])
        what = int(look.triangles.instance[triangle]), int(look.triangles.tag[triangle])
        if what != before:
            x, y, z = (place + passed * direction).tolist()
            found.append(LabelledPoint((x, y, z), what[1]))
        before, passed = what, passed + STEP_M
    return found
