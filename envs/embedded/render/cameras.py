"""Camera sensors: what each sends for a frame."""

import struct
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from dreamdrive.envs.embedded.render import pixels
from dreamdrive.envs.embedded.render.look import Look, Payload
from dreamdrive.envs.embedded.render.raster import Image
from dreamdrive.envs.embedded.render.view import Lens, Pose

SAMPLES = 2
"""Colours are the mean of the square of so many by so many samples; all else has one."""
IMAGE_HEADER = struct.Struct("<IIf")

SHOWN: dict[str, tuple[str, Callable[[Image], NDArray[np.uint8]]]] = {
    "sensor.camera.depth": ("depth", pixels.depth_pixels),
    "sensor.camera.semantic_segmentation": ("semantic", pixels.tag_pixels),
    "sensor.camera.instance_segmentation": ("instance", pixels.instance_pixels),
    "sensor.camera.normals": ("normals", pixels.normal_pixels),
}
"""What each camera is called on the wire, and how it shows an image."""


def lens_of(settings: Mapping[str, float]) -> Lens:
    """Returns the lens that a camera's settings ask for."""
    return Lens(int(settings["image_size_x"]), int(settings["image_size_y"]), settings["fov"])


class Camera:
    """A camera that shows an image in one of the ways above.

    Args:
        kind: Name of its blueprint.
        settings: Its attributes as numbers.
    """

    def __init__(self, kind: str, settings: Mapping[str, float]) -> None:
        self._name, self._shown = SHOWN[kind]
        self._lens = lens_of(settings)

    def sense(self, look: Look, sensor: int, pose: Pose, interval_s: float) -> list[Payload]:
        """Returns what it sends of a frame."""
        picture = self._shown(look.image(pose, self._lens))
        return [Payload(self._name, IMAGE_HEADER.pack(*self._lens) + picture.tobytes())]


class ColourCamera:
    """A camera that shows colours in the light of the weather.

    Args:
        kind: Name of its blueprint.
        settings: Its attributes as numbers.
    """

    def __init__(self, kind: str, settings: Mapping[str, float]) -> None:
        self._lens = lens_of(settings)

    def sense(self, look: Look, sensor: int, pose: Pose, interval_s: float) -> list[Payload]:
        """Returns what it sends of a frame."""
        picture = look.coloured(pose, self._lens, SAMPLES)
        return [Payload("rgb", IMAGE_HEADER.pack(*self._lens) + picture.tobytes())]
