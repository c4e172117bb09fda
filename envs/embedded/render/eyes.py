"""The sensors of a world that look at its geometry."""

from collections.abc import Sequence

from dreamdrive.envs.embedded import wire
from dreamdrive.envs.embedded.render.cameras import Gallery, camera_payload
from dreamdrive.envs.embedded.render.scene import Scene
from dreamdrive.envs.embedded.render.settings import CameraSettings, settings_of
from dreamdrive.envs.embedded.render.view import Pose
from dreamdrive.envs.embedded.render.weather import is_dark
from dreamdrive.envs.embedded.sensors import sensor_transform
from dreamdrive.envs.embedded.world import World


class Eyes:
    """What the sensors of a world see; the scene is built here, once.

    Args:
        world: The world that they are in.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._scene = Scene(world)
        self._settings: dict[int, CameraSettings] = {}
        self._frame = -1
        self._gallery = Gallery(self._scene.triangles)

    def messages(self, sensor: int, weather: Sequence[float]) -> list[bytes]:
        """Returns what a sensor sends after the last tick.

        Args:
            sensor: Its actor number.
            weather: Weather parameters in their order on the wire.
        """
        world = self._world
        if self._frame != world.frame:
            self._look(weather)
        if sensor not in self._settings:
            actor = world.actors[sensor]
            self._settings[sensor] = settings_of(actor.kind, actor.attributes)
        place = sensor_transform(world, sensor)
        name, payload = camera_payload(self._settings[sensor], Pose(*place), self._gallery, weather)
        return [wire.header(name, world.frame, world.time_s, place) + payload]

    def _look(self, weather: Sequence[float]) -> None:
        """Brings the scene to the current frame."""
        self._frame = self._world.frame
        self._scene.update(is_dark(weather))
        self._gallery = Gallery(self._scene.triangles)
