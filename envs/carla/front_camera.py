"""The camera in front of the ego, as CARLA's examples mount it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamdrive.envs.carla.client import carla
from dreamdrive.envs.carla.frames import FrameQueue, pixels
from dreamdrive.envs.carla.session import Session
from dreamdrive.errors import ConfigError

MOUNT_X_M, MOUNT_Z_M = 1.5, 2.4
FOV_DEG = 90.0
LARGEST = 4096


class FrontCamera:
    """An RGB camera that looks ahead, one picture a tick.

    Args:
        size: Width and height in pixels.

    Raises:
        ConfigError: If there is no such size.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        if len(size) != 2 or not all(1 <= int(side) <= LARGEST for side in size):
            raise ConfigError(
                f"A camera cannot have the size {tuple(size)}",
                do=f"Give width and height, each from 1 to {LARGEST} pixels.",
            )
        self.size = int(size[0]), int(size[1])
        self._frames: FrameQueue | None = None

    def attach(self, session: Session, ego: Any) -> None:
        """Mounts a camera on an ego that stands, and ticks until it sends.

        Raises:
            ServerError: If it cannot be mounted or sends nothing by the tick deadline.
        """
        blueprint = session.world.get_blueprint_library().find("sensor.camera.rgb")
        width, height = self.size
        for name, value in (
            ("image_size_x", width), ("image_size_y", height), ("fov", FOV_DEG),
        ):  # fmt: skip
            blueprint.set_attribute(name, str(value))
        place = carla.Transform(carla.Location(x=MOUNT_X_M, z=MOUNT_Z_M))
        self._frames = FrameQueue(session, session.spawn(blueprint, place, ego))
        self._frames.open()

    def picture(self, frame: int) -> NDArray[np.uint8]:
        """Returns what it saw at a tick, shape (H, W, 3).

        Raises:
            ServerError: If the picture has not come by the tick deadline.
        """
        assert self._frames is not None
        return pixels(self._frames.take(frame))
