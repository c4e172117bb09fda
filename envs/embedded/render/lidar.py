"""LiDAR sensors: what each sends for the part of a turn that a frame lasts.

Order, drop-off, attenuation and noise are as CARLA has them; points are in the sensor's axes.
"""

import math
import struct
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dreamdrive.envs.embedded.render.look import Look, Payload
from dreamdrive.envs.embedded.render.settings import AGE
from dreamdrive.envs.embedded.render.view import Pose
from dreamdrive.seeding import numpy_generator

SEMANTIC_POINT = np.dtype(
    [("place", "<f4", 3), ("cosine", "<f4"), ("instance", "<u4"), ("tag", "<u4")]
)


class _Rays(NamedTuple):
    """Rays that are cast, channel by channel from the highest, or those of them that met something.

    Attributes:
        channel: Channel of each, shape (n,).
        direction: Unit vectors in the sensor's axes, shape (n, 3).
    """

    channel: NDArray[np.int64]
    direction: NDArray[np.float64]


class _Turning:
    """Rays one above the other that turn to the right about the sensor's upright axis.

    Args:
        settings: The sensor's attributes as numbers.
    """

    def __init__(self, settings: Mapping[str, float]) -> None:
        self._settings = settings
        self._num_channels = int(settings["channels"])
        self._count = int(settings.get(AGE, 0))
        self._angle_deg = 0.0

    def rays(self, interval_s: float) -> _Rays:
        """Returns the rays of an interval, and turns on."""
        known = self._settings
        count = max(1, round(known["points_per_second"] * interval_s / self._num_channels))
        fov = known["horizontal_fov"]
        turn = known["rotation_frequency"] * fov * interval_s
        start = math.fmod(turn * self._count, fov)
        degrees = np.mod(start + turn * np.arange(count) / count, fov) - fov / 2.0
        self._count += 1
        self._angle_deg = math.fmod(turn * self._count, fov)
        up = np.radians(np.linspace(known["upper_fov"], known["lower_fov"], self._num_channels))
        across = np.radians(degrees)
        direction = np.empty((self._num_channels, count, 3))
        direction[:, :, 0] = np.cos(up)[:, None] * np.cos(across)
        direction[:, :, 1] = np.cos(up)[:, None] * np.sin(across)
        direction[:, :, 2] = np.sin(up)[:, None]
        return _Rays(np.repeat(np.arange(self._num_channels), count), direction.reshape(-1, 3))

    def header(self, channel: NDArray[np.int64]) -> bytes:
        """Returns the angle, the number of channels, and how many points each has."""
        counts = np.bincount(channel, minlength=self._num_channels).astype("<u4")
        angle = math.radians(self._angle_deg)
        return struct.pack("<fI", angle, self._num_channels) + counts.tobytes()

    def met(
        self, look: Look, pose: Pose, rays: _Rays
    ) -> tuple[_Rays, NDArray[np.float64], NDArray[np.int32]]:
        """Returns the rays that meet something within range, at what distance, and what it is."""
        origin = np.array([pose[:3]])
        hits = look.cast(origin, rays.direction @ pose.axes(), self._settings["range"])
        is_met = np.isfinite(hits.distance)
        kept = _Rays(rays.channel[is_met], rays.direction[is_met])
        return kept, hits.distance[is_met], hits.triangle[is_met]


class Lidar:
    """A LiDAR that sends points with their intensity; some are lost on the way.

    Args:
        kind: Name of its blueprint.
        settings: Its attributes as numbers.
    """

    def __init__(self, kind: str, settings: Mapping[str, float]) -> None:
        self._settings, self._turning = settings, _Turning(settings)
        self._count = int(settings.get(AGE, 0))

    def sense(self, look: Look, sensor: int, pose: Pose, interval_s: float) -> list[Payload]:
        """Returns what it sends of a frame."""
        known = self._settings
        random = numpy_generator(int(known["noise_seed"]), "lidar", self._count)
        self._count += 1
        rays = self._turning.rays(interval_s)
        if known["dropoff_general_rate"] > 0.0:
            is_cast = random.random(len(rays.channel)) >= known["dropoff_general_rate"]
            rays = _Rays(rays.channel[is_cast], rays.direction[is_cast])
        rays, distance, _ = self._turning.met(look, pose, rays)
        intensity = np.exp(-known["atmosphere_attenuation_rate"] * distance)
        limit, at_zero = known["dropoff_intensity_limit"], known["dropoff_zero_intensity"]
        if limit > 0.0 and at_zero > 0.0:
            kept_share = at_zero / limit * intensity + 1.0 - at_zero
            is_kept = (intensity > limit) | (random.random(len(intensity)) < kept_share)
            rays = _Rays(rays.channel[is_kept], rays.direction[is_kept])
            distance, intensity = distance[is_kept], intensity[is_kept]
        if known["noise_stddev"] > 0.0:
            distance = distance + random.normal(0.0, known["noise_stddev"], len(distance))
        points = np.empty((len(distance), 4), "<f4")
        points[:, :3] = rays.direction * distance[:, None]
        points[:, 3] = intensity
        return [Payload("lidar", self._turning.header(rays.channel) + points.tobytes())]


class SemanticLidar:
    """A LiDAR that sends, with each point, the angle of incidence, the actor and the tag there.

    Args:
        kind: Name of its blueprint.
        settings: Its attributes as numbers.
    """

    def __init__(self, kind: str, settings: Mapping[str, float]) -> None:
        self._turning = _Turning(settings)

    def sense(self, look: Look, sensor: int, pose: Pose, interval_s: float) -> list[Payload]:
        """Returns what it sends of a frame."""
        rays, distance, triangle = self._turning.met(look, pose, self._turning.rays(interval_s))
        seen = look.triangles
        points = np.empty(len(distance), SEMANTIC_POINT)
        points["place"] = rays.direction * distance[:, None]
        normal = seen.normal[triangle] @ pose.axes().T
        points["cosine"] = -np.einsum("nd,nd->n", normal, rays.direction)
        points["instance"] = np.maximum(seen.instance[triangle], 0)
        points["tag"] = seen.tag[triangle]
        return [Payload("semantic_lidar", self._turning.header(rays.channel) + points.tobytes())]
