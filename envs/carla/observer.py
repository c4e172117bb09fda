"""What the environment shows of a scene: the bird's-eye view, the front camera, the state."""

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from dreamdrive.envs.carla.bev import Overlay
from dreamdrive.envs.carla.episode import Drive
from dreamdrive.envs.carla.front_camera import FrontCamera
from dreamdrive.envs.carla.scene import VEHICLE, WALKER, Scene
from dreamdrive.envs.carla.session import Session
from dreamdrive.envs.carla.town_map import GREEN, RED, TownMap
from dreamdrive.envs.carla.tracker import ego_state
from dreamdrive.envs.spaces import driving_observation_space
from dreamdrive.errors import ConfigError

OBSERVATIONS = ("bev", "camera", "both")


class Observer:
    """Makes observations.

    Args:
        kind: One of `OBSERVATIONS`.
        camera_size: Width and height of the camera's picture in pixels.

    Raises:
        ConfigError: If there is no such observation or size.

    Attributes:
        last: The last observation.
    """

    def __init__(self, kind: str, camera_size: tuple[int, int]) -> None:
        if kind not in OBSERVATIONS:
            raise ConfigError(
                f"There is no observation {kind!r}", do=f"Known: {', '.join(OBSERVATIONS)}."
            )
        self._kind = kind
        self._camera = FrontCamera(camera_size) if kind != "bev" else None
        self.last: dict[str, NDArray[Any]] = {}
        self._past: list[dict[int, NDArray[np.float64]]] = []

    def space(self) -> gym.spaces.Dict:
        """Returns the space of the observations."""
        spaces = dict(driving_observation_space().spaces)
        if self._camera is not None:
            width, height = self._camera.size
            picture = gym.spaces.Box(0, 255, (height, width, 3), np.uint8)
            spaces["image" if self._kind == "camera" else "camera"] = picture
        return gym.spaces.Dict(spaces)

    def begin(self, session: Session, ego: Any) -> None:
        """Starts an episode; where there is a camera, time passes until it sends.

        Raises:
            ServerError: If the camera cannot be mounted, or the server stops answering.
        """
        self._past = []
        if self._camera is not None:
            self._camera.attach(session, ego)

    def remember(self, scene: Scene) -> None:
        """Keeps where the vehicles were at the two decisions before."""
        past = {
            int(i): box
            for i, kind, box in zip(scene.ids, scene.kinds, scene.boxes, strict=True)
            if kind == VEHICLE
        }
        self._past = [*self._past[-1:], past]

    def photograph(self, frame: int) -> NDArray[np.uint8] | None:
        """Returns the camera's picture of a tick, shape (H, W, 3); None without a camera.

        Raises:
            ServerError: If the picture has not come by the tick deadline.
        """
        return None if self._camera is None else self._camera.picture(frame)

    def observe(
        self, scene: Scene, drive: Drive, town: TownMap, speed_limit_mps: float,
        picture: NDArray[np.uint8] | None,
    ) -> dict[str, NDArray[Any]]:  # fmt: skip
        """Returns the observation of a scene; `picture` is what the camera saw of it."""
        state = ego_state(scene.ego, drive.position, drive.route, speed_limit_mps).vector()
        if self._kind == "camera":
            assert picture is not None
            self.last = {"image": picture, "state": state}
            return self.last
        self.last = {"image": self._view(scene, drive, town), "state": state}
        if picture is not None:
            self.last["camera"] = picture
        return self.last

    def _view(self, scene: Scene, drive: Drive, town: TownMap) -> NDArray[np.uint8]:
        lines, states = town.light_lines.boxes, town.light_states()
        past = [box for boxes in self._past for box in boxes.values()]
        overlay = Overlay(
            ego=scene.ego.box,
            vehicles=scene.boxes_of(VEHICLE),
            vehicles_past=np.array(past).reshape(-1, 5),
            walkers=scene.boxes_of(WALKER),
            red_lines=lines[states == RED],
            green_lines=lines[states == GREEN],
            stop_signs=town.sign_lines[drive.binding_signs],
            route_xy=drive.tracker.ahead(drive.position),
        )
        return town.view.draw(scene.ego.x, scene.ego.y, scene.ego.yaw_rad, overlay)
