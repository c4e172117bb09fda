"""Camera sensors: what each sends for a frame."""

import struct
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from dreamdrive.envs.embedded.render import pixels
from dreamdrive.envs.embedded.render.paint import paint
from dreamdrive.envs.embedded.render.raster import Image
from dreamdrive.envs.embedded.render.scene import Triangles
from dreamdrive.envs.embedded.render.settings import CameraSettings
from dreamdrive.envs.embedded.render.view import Lens, Pose
from dreamdrive.envs.embedded.render.weather import light_of

SAMPLES = 2
"""Colours are the mean of the square of so many by so many samples; all else has one."""
_HEADER = struct.Struct("<IIf")

SHOWN: dict[str, tuple[str, Callable[[Image], NDArray[np.uint8]]]] = {
    "sensor.camera.depth": ("depth", pixels.depth_pixels),
    "sensor.camera.semantic_segmentation": ("semantic", pixels.tag_pixels),
    "sensor.camera.instance_segmentation": ("instance", pixels.instance_pixels),
    "sensor.camera.normals": ("normals", pixels.normal_pixels),
}
"""What each camera is called on the wire, and how it shows an image."""


class Gallery:
    """The images of one frame; cameras that stand in one place and have one lens share theirs.

    Args:
        triangles: What there is to see.
    """

    def __init__(self, triangles: Triangles) -> None:
        self._triangles = triangles
        self._images: dict[tuple[Pose, Lens], Image] = {}

    def image(self, pose: Pose, lens: Lens) -> Image:
        """Returns what a camera sees."""
        if (pose, lens) not in self._images:
            self._images[pose, lens] = Image(self._triangles, pose, lens)
        return self._images[pose, lens]


def camera_payload(
    settings: CameraSettings, pose: Pose, gallery: Gallery, weather: Sequence[float]
) -> tuple[str, bytes]:
    """Returns a camera's name on the wire and what it sends after the header of all streams."""
    lens = settings.lens
    if settings.kind in SHOWN:
        name, shown = SHOWN[settings.kind]
        picture = shown(gallery.image(pose, lens))
    else:
        name = "rgb"
        fine = Lens(SAMPLES * lens.width, SAMPLES * lens.height, lens.fov)
        picture = paint(gallery.image(pose, fine), light_of(weather), SAMPLES)
    return name, _HEADER.pack(lens.width, lens.height, lens.fov) + picture.tobytes()
