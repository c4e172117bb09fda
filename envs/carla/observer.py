"""What the environment shows of a scene: bird's-eye view, front camera, objects, and the state."""

from collections.abc import Container, Iterable
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from dreamdrive.envs.carla.bev import Overlay
from dreamdrive.envs.carla.episode import Drive
from dreamdrive.envs.carla.front_camera import FrontCamera
from dreamdrive.envs.carla.scene import VEHICLE, WALKER, Scene
from dreamdrive.envs.carla.session import Session
from dreamdrive.envs.carla.tokens import Tokenizer, token_spaces
from dreamdrive.envs.carla.town_map import GREEN, RED, TownMap
from dreamdrive.envs.carla.tracker import ego_state
from dreamdrive.envs.spaces import driving_observation_space, driving_state_space
from dreamdrive.errors import ConfigError

BEV, CAMERA, OBJECTS = PARTS = ("bev", "camera", "objects")
BOTH = "both"

Observation = dict[str, NDArray[Any]]


def parts_of(observation: str | Iterable[str]) -> frozenset[str]:
    """Returns the parts that an observation is made of beside the state.

    Args:
        observation: Names of `PARTS`, joined by `+` or in a list; `both` is `bev+camera`.

    Raises:
        ConfigError: If there is none, or one that is not there.
    """
    text = observation if isinstance(observation, str) else "+".join(observation)
    parts = frozenset(text.replace(BOTH, f"{BEV}+{CAMERA}").split("+"))
    if not parts <= set(PARTS):
        raise ConfigError(
            f"There is no observation {text!r}",
            do=f"Known: {', '.join(PARTS)}, joined by + where there are several; {BOTH} is "
            f"{BEV}+{CAMERA}.",
        )
    return parts


class Observer:
    """Makes observations.

    Args:
        observation: What they show, as for `parts_of`.
        camera_size: Width and height of the camera's picture in pixels.

    Raises:
        ConfigError: If there is no such observation or size.

    Attributes:
        parts: What they show beside the state.
        last: The last observation.
    """

    def __init__(self, observation: str | Iterable[str], camera_size: tuple[int, int]) -> None:
        self.parts = parts_of(observation)
        self._camera = FrontCamera(camera_size) if CAMERA in self.parts else None
        self._tokenizer: Tokenizer | None = None
        self.last: Observation = {}
        self._past: list[dict[int, NDArray[np.float64]]] = []

    def space(self) -> gym.spaces.Dict:
        """Returns the space of the observations."""
        spaces: dict[str, gym.Space[Any]] = {"state": driving_state_space()}
        if BEV in self.parts:
            spaces["image"] = driving_observation_space()["image"]
        if self._camera is not None:
            width, height = self._camera.size
            picture = gym.spaces.Box(0, 255, (height, width, 3), np.uint8)
            spaces["camera" if BEV in self.parts else "image"] = picture
        if OBJECTS in self.parts:
            spaces |= token_spaces()
        return gym.spaces.Dict(spaces)

    def mount(self, session: Session, ego: Any) -> None:
        """Starts an episode; where there is a camera, time passes until it sends.

        Raises:
            ServerError: If the camera cannot be mounted, or the server stops answering.
        """
        self._past, self._tokenizer = [], None
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
            ServerError: If the picture has not come by the tick deadline, or was lost.
        """
        return None if self._camera is None else self._camera.picture(frame)

    def observe(
        self, scene: Scene, drive: Drive, town: TownMap, speed_limit_mps: float,
        picture: NDArray[np.uint8] | None, things: Container[int] = (),
    ) -> Observation:  # fmt: skip
        """Returns the observation of a scene.

        Args:
            scene: The scene.
            drive: The drive in it.
            town: The town.
            speed_limit_mps: The speed limit at the ego.
            picture: What the camera saw of it.
            things: Ids of those of its actors that are no vehicles and no walkers.
        """
        state = ego_state(scene.ego, drive.position, drive.route, speed_limit_mps).vector()
        shown: Observation = {"state": state}
        if BEV in self.parts:
            shown["image"] = self.view(scene, drive, town)
        if picture is not None:
            shown["camera" if BEV in self.parts else "image"] = picture
        if OBJECTS in self.parts:
            if self._tokenizer is None:
                self._tokenizer = Tokenizer(town, drive.route)
            shown |= self._tokenizer.tokens(scene, drive, things)
        self.last = shown
        return shown

    def view(self, scene: Scene, drive: Drive, town: TownMap) -> NDArray[np.uint8]:
        """Returns the bird's-eye view of a scene, shape (64, 64, 3)."""
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
