"""The optical flow camera: how each point moved over the image since the last one."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numba import float32, float64, from_dtype, int32, int64, void
from numpy.typing import NDArray

from dreamdrive.envs.embedded.compiled import compiled
from dreamdrive.envs.embedded.render.cameras import IMAGE_HEADER, lens_of
from dreamdrive.envs.embedded.render.look import Look, Payload
from dreamdrive.envs.embedded.render.raster import Image
from dreamdrive.envs.embedded.render.scene import PLACE
from dreamdrive.envs.embedded.render.view import Pose, camera_rows

FAR_M = 1e6
"""Where the sky is taken to be."""


class FlowCamera:
    """A camera that sends motion over the image, as shares of its width and height.

    Positive is to the right and down. The first image after it was spawned shows no motion.

    Args:
        kind: Name of its blueprint.
        settings: Its attributes as numbers.
    """

    def __init__(self, kind: str, settings: Mapping[str, float]) -> None:
        self._lens = lens_of(settings)
        self._before: tuple[Pose, dict[int, tuple[Any, Any]]] | None = None

    def sense(self, look: Look, sensor: int, pose: Pose, interval_s: float) -> list[Payload]:
        """Returns what it sends of a frame."""
        now = look.triangles
        actors = now.actors.tolist()
        pose_before, places_before = self._before or (pose, {})
        known = list(zip(now.places, now.axes, strict=True))
        then = [places_before.get(actor, known[row]) for row, actor in enumerate(actors)]
        places = np.array([place for place, _ in then], PLACE)
        axes = np.array([turned for _, turned in then], np.float64).reshape(-1, 3, 3)
        self._before = pose, dict(zip(actors, known, strict=True))
        image = look.image(pose, self._lens)
        flow = flow_of(image, places, axes, camera_rows(pose_before, self._lens))
        return [Payload("optical_flow", IMAGE_HEADER.pack(*self._lens) + flow.tobytes())]


def flow_of(
    image: Image, places: NDArray[Any], axes: NDArray[np.float64], camera: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Returns how far the point at each pixel has moved, shape (H, W, 2).

    Args:
        image: What is seen now.
        places: Rows of `PLACE`, where the actors of the image's triangles were before.
        axes: How they were turned, shape (k, 3, 3).
        camera: Where the camera was, as `camera_rows` has it.
    """
    flow = np.empty((*image.triangle.shape, 2), np.float32)
    now = image.triangles
    _flow(image.triangle, image.inverse_depth, image.camera, camera, now.num_still, now.owner,
          now.places, now.axes, places, axes, flow)  # fmt: skip
    return flow


_PLACES, _AXES = from_dtype(PLACE)[::1], float64[:, :, ::1]


@compiled(
    void(
        int32[:, ::1], float32[:, ::1], float64[:, ::1], float64[:, ::1], int64, int64[::1],
        _PLACES, _AXES, _PLACES, _AXES, float32[:, :, ::1],
    )
)  # fmt: skip
def _flow(
    triangle: Any, inverse_depth: Any, camera: Any, camera_before: Any, num_still: int, owner: Any,
    places: Any, axes: Any, places_before: Any, axes_before: Any, flow: Any,
) -> None:  # fmt: skip
    """Writes the flow at each pixel: 0 where the point was behind the camera."""
    height, width = triangle.shape
    focal, middle_x, middle_y = camera[4]
    place, seen, local = np.empty(3), np.empty(3), np.empty(3)
    for v in range(height):
        for u in range(width):
            across, down = (u + 0.5 - middle_x) / focal, (v + 0.5 - middle_y) / focal
            t, depth = triangle[v, u], FAR_M
            if t >= 0:
                depth = 1.0 / inverse_depth[v, u]
            for d in range(3):
                ray = camera[1, d] + across * camera[2, d] - down * camera[3, d]
                place[d] = camera[0, d] + depth * ray
            if t >= num_still:
                k = owner[t - num_still]
                now, then = places[k], places_before[k]
                x, y, z = place[0] - now.x, place[1] - now.y, place[2] - now.z
                for d in range(3):
                    local[d] = x * axes[k, d, 0] + y * axes[k, d, 1] + z * axes[k, d, 2]
                place[0], place[1], place[2] = then.x, then.y, then.z
                for row in range(3):
                    for d in range(3):
                        place[d] += local[row] * axes_before[k, row, d]
            if t < 0:
                for d in range(3):  # The sky goes along.
                    place[d] += camera_before[0, d] - camera[0, d]
            for row in range(3):
                seen[row] = 0.0
                for d in range(3):
                    away = place[d] - camera_before[0, d]
                    seen[row] += away * camera_before[1 + row, d]
            flow[v, u, 0] = flow[v, u, 1] = 0.0
            if seen[0] > 0.0:
                flow[v, u, 0] = focal * (across - seen[1] / seen[0]) / width
                flow[v, u, 1] = focal * (down + seen[2] / seen[0]) / height
