"""One frame as the sensors of a world find it: images and rays over the same triangles."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dreamdrive.envs.embedded.debug_shapes import DebugShapes
from dreamdrive.envs.embedded.render.lamplight import Lamplight
from dreamdrive.envs.embedded.render.lanterns import boxes_around, lights_around
from dreamdrive.envs.embedded.render.marks import mark
from dreamdrive.envs.embedded.render.paint import paint
from dreamdrive.envs.embedded.render.rain import rain
from dreamdrive.envs.embedded.render.raster import Image
from dreamdrive.envs.embedded.render.ray_tree import Hits, RayTree
from dreamdrive.envs.embedded.render.scene import Scene, Triangles
from dreamdrive.envs.embedded.render.shadows import Shadows
from dreamdrive.envs.embedded.render.view import Lens, Pose
from dreamdrive.envs.embedded.render.weather import PRECIPITATION, is_dark, light_of
from dreamdrive.envs.embedded.world import World


class Payload(NamedTuple):
    """What a sensor sends: its name on the wire and the bytes after the header of all streams."""

    name: str
    data: bytes


class Look:
    """What there is to see of a world, brought up to date by `update`.

    Cameras that stand in one place and have one lens share their image. The tree for rays is built
    when the first ray is cast.

    Args:
        world: The world.
        describe: Returns an actor as the wire has it, by its number; 0 is a building.
        weather: Weather parameters in their order on the wire.
        shapes: What clients have drawn for debugging.

    Attributes:
        weather: Those of the last update.
    """

    def __init__(
        self, world: World, describe: Callable[[int], list[Any]], weather: Sequence[float],
        shapes: DebugShapes,
    ) -> None:  # fmt: skip
        self.world, self.describe, self._shapes = world, describe, shapes
        self._scene = Scene(world)
        self._shadows = Shadows()
        self._images: dict[tuple[Pose, Lens], Image] = {}
        self._tree: RayTree | None = None
        self.update(weather)

    def update(self, weather: Sequence[float]) -> None:
        """Brings everything to where the world's actors are now."""
        self.weather = weather
        away = self._scene.away
        self._scene.update(is_dark(weather))
        if self._scene.away is not away:  # The tree holds what stands still.
            self._tree = None
        self._images.clear()
        self._shadows.forget_moving()
        self._is_tree_old = True

    @property
    def triangles(self) -> Triangles:
        """The scene's triangles."""
        return self._scene.triangles

    def image(self, pose: Pose, lens: Lens) -> Image:
        """Returns what a camera sees."""
        if (pose, lens) not in self._images:
            self._images[pose, lens] = Image(self.triangles, pose, lens)
        return self._images[pose, lens]

    def coloured(self, pose: Pose, lens: Lens, samples: int) -> NDArray[np.uint8]:
        """Returns what a camera sees in the light of the weather, as `paint` does, rain and shapes.

        Args:
            pose, lens: The camera, with its size in pixels of the result.
            samples: Each pixel is the mean of the square of so many by so many.
        """
        width, height, fov = lens
        image = self.image(pose, Lens(samples * width, samples * height, fov))
        light = light_of(self.weather)
        shadows = self._shadows.around(image.camera[0], light, self.triangles)
        painted = paint(image, light, shadows, samples)
        lamplight = self._lamplight(image.camera[0]) if is_dark(self.weather) else None
        if lamplight is not None:
            lamplight.add(painted, image, light, shadows, samples)
        if self.weather[PRECIPITATION] > 0.0:
            rain(painted, image, self.weather, light, lamplight, self.world.time_s, samples)
        if len(self._shapes):
            mark(painted, image, self._shapes, samples)
        return painted

    def _lamplight(self, eye: NDArray[np.float64]) -> Lamplight | None:
        """Returns the light of the lamps around an eye; None without any."""
        lamps = lights_around(self.world, self.triangles, self._scene.flags, eye)
        return Lamplight(eye, lamps, boxes_around(self.world, eye)) if len(lamps) else None

    def cast(
        self, origins: NDArray[np.float64], directions: NDArray[np.float64], far: float
    ) -> Hits:
        """Returns what rays meet first; the arguments are those of `RayTree.cast`."""
        if self._tree is None:
            self._tree = RayTree(self.triangles)
        elif self._is_tree_old:
            self._tree.update(self.triangles)
        self._is_tree_old = False
        return self._tree.cast(origins, directions, far)
