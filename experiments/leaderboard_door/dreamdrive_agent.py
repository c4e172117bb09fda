"""Any of our policies as a leaderboard agent: `--agent` takes this file, `--agent-config` a policy.

The evaluator loads it by its path and makes one agent a route. The config is a policy as
`dreamdrive evaluate --policies` takes it; the shipped agent without one.

The policies read a bird's-eye view with other vehicles, walkers and lights, which no sensor of the
leaderboard gives. The agent draws it from the map, which it declares as a sensor, and from the
actors of the world, which it looks at through the client: privileged, as Roach, PlanT and PDM-Lite
are. It registers for the track MAP, since it reads the map, but what it scores is comparable with
privileged agents alone, and the leaderboard's server would refuse it.
"""

import sys
import time
from typing import Any

from leaderboard.autoagents.autonomous_agent import AutonomousAgent, Track

from dreamdrive.driving.actions import checked_action
from dreamdrive.envs.carla.client import carla
from dreamdrive.envs.carla.doors.onlooker import Onlooker, as_control, find_hero
from dreamdrive.envs.carla.doors.plan import on_lanes
from dreamdrive.envs.carla.front_camera import FOV_DEG, MOUNT_X_M, MOUNT_Z_M
from dreamdrive.envs.carla.play import TICKS_PER_DECISION
from dreamdrive.envs.carla.routes import route_from_waypoints
from dreamdrive.errors import ConfigError, ServerError
from dreamdrive.experiments.policies import AtTheWheel, Privileged, make_policy

DEFAULT = "dreamdrive-cpu-agent"
PROVIDER = "srunner.scenariomanager.carla_data_provider"
CAMERA_PX = 64
SNAPSHOT_DEADLINE_S = 10.0


def get_entry_point() -> str:
    """Returns the name of the agent's class."""
    return "DreamdriveAgent"


class DreamdriveAgent(AutonomousAgent):  # type: ignore[misc]
    """Decides at 10 Hz and holds each action for two ticks, as in `CarlaDrive-v0`.

    Args:
        carla_host: Where the server is.
        carla_port: Its RPC port.
        debug: Unused: it draws nothing.
    """

    def __init__(self, carla_host: str, carla_port: int, debug: bool = False) -> None:
        super().__init__(carla_host, carla_port, debug)
        self._server = carla_host, carla_port
        self._plan: Any = ()
        self._onlooker: Onlooker | None = None
        self._tick = 0
        self._control = carla.VehicleControl(brake=1.0)

    def setup(self, path_to_conf_file: str) -> None:
        """Makes the policy.

        Raises:
            DreamdriveError: If there is no such policy.
        """
        self.track = Track.MAP
        self._policy = make_policy(path_to_conf_file or DEFAULT)
        if isinstance(self._policy, AtTheWheel):
            raise ConfigError(
                f"{path_to_conf_file} is an agent of its own", where="--agent-config",
                do="Give its own file as --agent.",
            )  # fmt: skip

    def set_global_plan(self, global_plan_gps: Any, global_plan_world_coord: Any) -> None:
        """Takes the route, and keeps all of it, of which the leaderboard tells a point in 200 m."""
        super().set_global_plan(global_plan_gps, global_plan_world_coord)
        self._plan = global_plan_world_coord

    def sensors(self) -> list[dict[str, Any]]:
        """Returns the map, what a vehicle knows of itself, and a camera as `CarlaDrive-v0`'s."""
        level = {"roll": 0.0, "pitch": 0.0, "yaw": 0.0}
        return [
            {"type": "sensor.opendrive_map", "id": "map", "reading_frequency": 1},
            {"type": "sensor.speedometer", "id": "speed", "reading_frequency": 20},
            {"type": "sensor.other.gnss", "id": "gnss", "x": 0.0, "y": 0.0, "z": 0.0, **level},
            {"type": "sensor.other.imu", "id": "imu", "x": 0.0, "y": 0.0, "z": 0.0, **level},
            {
                "type": "sensor.camera.rgb", "id": "camera", "x": MOUNT_X_M, "y": 0.0,
                "z": MOUNT_Z_M, **level, "width": CAMERA_PX, "height": CAMERA_PX, "fov": FOV_DEG,
            },
        ]  # fmt: skip

    def run_step(self, input_data: dict[str, Any], timestamp: float) -> Any:
        """Returns the control of a tick."""
        if self._onlooker is None:
            self._begin(input_data["map"][1]["opendrive"], input_data["camera"][0])
        else:
            self._await(input_data["camera"][0])
        if self._tick % TICKS_PER_DECISION == 0:
            assert self._onlooker is not None
            observation = self._onlooker.look()
            # A view of blue, green, red and alpha turned to red, green and blue.
            observation["camera"] = input_data["camera"][1][:, :, 2::-1].copy()
            self._control = as_control(checked_action(self._policy.act(observation)))
        self._tick += 1
        return self._control

    def destroy(self) -> None:
        """Forgets the world and the policy."""
        self._onlooker = None

    def _begin(self, xodr: str, frame: int) -> None:
        """Looks at the world for the first time.

        Raises:
            ServerError: If there is no vehicle to drive.
            RouteError: If the plan is not on the map's lanes.
        """
        provider = sys.modules.get(PROVIDER)
        self._world: Any = provider.CarlaDataProvider.get_world() if provider is not None else None
        if self._world is None:
            self._client = carla.Client(*self._server)
            self._client.set_timeout(SNAPSHOT_DEADLINE_S)
            self._world = self._client.get_world()
        self._await(frame)
        ego = find_hero(self._world)
        if ego is None:
            raise ServerError(
                "No vehicle has the role name hero", do="Let the evaluator spawn the ego."
            )
        town_map = self._world.get_map()
        if town_map.to_opendrive() != xodr:
            town_map = carla.Map(town_map.name, xodr)
        points = [point for point, _ in on_lanes(town_map, self._plan)]
        route = route_from_waypoints(points, name="leaderboard", town=town_map.name)
        self._onlooker = Onlooker(self._world, town_map, ego, route)
        if isinstance(self._policy, Privileged):
            self._policy.attach(self._onlooker)  # type: ignore[arg-type]
        self._policy.reset()

    def _await(self, frame: int) -> None:
        """Waits until this client has the tick that the sensors' data are of.

        Raises:
            ServerError: If it does not come.
        """
        deadline = time.monotonic() + SNAPSHOT_DEADLINE_S
        while self._world.get_snapshot().frame < frame:
            if time.monotonic() > deadline:
                raise ServerError(f"Tick {frame} has not come", do="See the server's own log.")
            time.sleep(0.0005)
