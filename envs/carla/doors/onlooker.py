"""A world that somebody else ticks and populates, as our policies see their own environment."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamdrive.envs.carla.client import carla
from dreamdrive.envs.carla.episode import Drive, EpisodeRules
from dreamdrive.envs.carla.events import ContactLog
from dreamdrive.envs.carla.observer import Observer
from dreamdrive.envs.carla.play import DEFAULT_LIMIT_MPS, KMH_PER_MPS
from dreamdrive.envs.carla.routes import Route
from dreamdrive.envs.carla.scenarios.scenario import Detour, Priority
from dreamdrive.envs.carla.scene import Scene, SceneReader
from dreamdrive.envs.carla.town_map import TownMap

SEEN_M = 100.0
"""How far from the ego others are read: twice what the expert looks ahead."""

PROPS = "static.prop."
OTHERS = ("vehicle.", "walker.pedestrian.", PROPS)
FLAT_M = 0.1
"""Half the height of what a car drives over, such as the debris of a ControlLoss."""

COUNTLESS = 10**9


class Onlooker:
    """Looks on as an ego is driven along a route, and makes `CarlaDrive-v0`'s observations of it.

    Rule-based drivers take it for their environment. It knows of no scenarios, so that nobody tells
    them what a scenario asks.

    Args:
        world: The client's `carla.World`, in a tick's state whenever this looks.
        carla_map: Its map.
        ego: The vehicle that is driven.
        route: What it should drive.
    """

    detours: Sequence[Detour] = ()
    priorities: Sequence[Priority] = ()

    def __init__(self, world: Any, carla_map: Any, ego: Any, route: Route) -> None:
        self._world, self._ego = world, ego
        self.route: Route | None = route
        self.town_map = TownMap(world, carla_map)
        self._reader = SceneReader({})
        self._observer = Observer("bev", (1, 1))
        wheels = ego.get_physics_control().wheels
        self.steer_limit_rad = float(np.radians(wheels[0].max_steer_angle))
        rules = EpisodeRules(
            infractions_end_episode=False, deviation_m=float("inf"), blocked_s=float("inf"),
            max_steps=COUNTLESS,
        )  # fmt: skip
        self.scene: Scene | None = self._read()
        self.drive: Drive | None = Drive(route, self.town_map, ContactLog(), rules, self.scene)

    @property
    def speed_limit_mps(self) -> float:
        """The speed limit at the ego."""
        limit = self._ego.get_speed_limit() / KMH_PER_MPS
        return limit if limit > 0.0 else DEFAULT_LIMIT_MPS

    def look(self) -> dict[str, NDArray[Any]]:
        """Returns the observation of the present tick; called once a decision."""
        assert self.drive is not None
        assert self.scene is not None
        scene = self._read()
        if scene.frame > self.scene.frame:
            self._observer.remember(self.scene)
            self.scene = scene
            self.drive.advance(scene)
        return self._observer.observe(
            self.scene, self.drive, self.town_map, self.speed_limit_mps, None
        )

    def _read(self) -> Scene:
        snapshot = self._world.get_snapshot()
        here = snapshot.find(self._ego.id).get_transform().location
        others = []
        for actor in self._world.get_actors():
            if actor.id == self._ego.id or not actor.type_id.startswith(OTHERS):
                continue
            if actor.type_id.startswith(PROPS) and actor.bounding_box.extent.z < FLAT_M:
                continue
            now = snapshot.find(actor.id)
            if now is not None and now.get_transform().location.distance(here) < SEEN_M:
                others.append(actor)
        self._reader.watch(self._ego, others)
        return self._reader.read(snapshot)


def find_hero(world: Any) -> Any | None:
    """Returns the vehicle with the role name `hero`, or None where there is none yet."""
    for actor in world.get_actors().filter("vehicle.*"):
        if actor.attributes.get("role_name") == "hero":
            return actor
    return None


def as_control(action: NDArray[np.float32]) -> Any:
    """Returns an action (steer to the left, acceleration) as a `carla.VehicleControl`."""
    steer, pedal = (float(value) for value in action)
    return carla.VehicleControl(throttle=max(0.0, pedal), steer=-steer, brake=max(0.0, -pedal))
