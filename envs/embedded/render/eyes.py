"""The sensors of a world that look at its geometry."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from dreamdrive.envs.embedded import wire
from dreamdrive.envs.embedded.debug_shapes import DebugShapes
from dreamdrive.envs.embedded.render.cameras import SHOWN, Camera, ColourCamera
from dreamdrive.envs.embedded.render.events import EventCamera
from dreamdrive.envs.embedded.render.flow import FlowCamera
from dreamdrive.envs.embedded.render.lidar import Lidar, SemanticLidar
from dreamdrive.envs.embedded.render.look import Look, Payload
from dreamdrive.envs.embedded.render.probes import (
    LabelledPoint,
    ObstacleDetector,
    Radar,
    points_along,
)
from dreamdrive.envs.embedded.render.settings import AGE, settings_of
from dreamdrive.envs.embedded.render.view import Pose
from dreamdrive.envs.embedded.render.wires import WireCamera
from dreamdrive.envs.embedded.sensors import sensor_transform, ticks_between
from dreamdrive.envs.embedded.world import World


class Sensor(Protocol):
    """Something that looks at geometry."""

    def sense(self, look: Look, sensor: int, pose: Pose, interval_s: float) -> list[Payload]:
        """Returns what it sends of a frame.

        Args:
            look: What there is to see.
            sensor: Its actor number.
            pose: Where it is.
            interval_s: Time from one message to the next.
        """


SENSORS: dict[str, Callable[[str, dict[str, float]], Sensor]] = {
    **dict.fromkeys(SHOWN, Camera),
    "sensor.camera.rgb": ColourCamera,
    "sensor.camera.optical_flow": FlowCamera,
    "sensor.camera.dvs": EventCamera,
    "sensor.camera.cosmos_visualization": WireCamera,
    "sensor.lidar.ray_cast": Lidar,
    "sensor.lidar.ray_cast_semantic": SemanticLidar,
    "sensor.other.radar": Radar,
    "sensor.other.obstacle": ObstacleDetector,
}


class Eyes:
    """What the sensors of a world see; the scene is built here, once.

    Args:
        world: The world that they are in.
        describe: Returns an actor as the wire has it, by its number; 0 is a building.
        weather: Weather parameters in their order on the wire.
        shapes: What clients have drawn for debugging.
    """

    def __init__(
        self, world: World, describe: Callable[[int], list[Any]], weather: Sequence[float],
        shapes: DebugShapes,
    ) -> None:  # fmt: skip
        self._world = world
        self._look = Look(world, describe, weather, shapes)
        self._frame = world.frame
        self._sensors: dict[int, Sensor] = {}
        self._last: dict[int, int] = {}  # Frame of each sensor's last message.

    def messages(self, sensor: int, weather: Sequence[float]) -> list[bytes]:
        """Returns what a sensor sends after the last tick."""
        world = self._world
        if self._frame != world.frame:
            self._look.update(weather)
            self._frame = world.frame
            gone = [actor for actor in self._sensors if actor not in world.actors]
            for actor in gone:
                del self._sensors[actor], self._last[actor]
        ticks = ticks_between(world, sensor)
        if self._last.get(sensor) != world.frame - ticks:  # One begins to listen, perhaps again.
            known = world.actors[sensor]
            settings = settings_of(known.kind, known.attributes)
            settings[AGE] = float(max(0, (world.frame - known.born - 1) // ticks))
            self._sensors[sensor] = SENSORS[known.kind](known.kind, settings)
        self._last[sensor] = world.frame
        place = sensor_transform(world, sensor)
        interval_s = world.dt_s * ticks
        payloads = self._sensors[sensor].sense(self._look, sensor, Pose(*place), interval_s)
        return [
            wire.header(name, world.frame, world.time_s, place) + data for name, data in payloads
        ]

    def along(
        self, start: Sequence[float], end: Sequence[float], weather: Sequence[float]
    ) -> list[LabelledPoint]:
        """Returns where a line enters objects, as they are now."""
        self._look.update(weather)
        return points_along(self._look, start, end)
