"""Calls about the world: connection, settings, maps, time, weather, the Traffic Manager's port.

Each method is a remote procedure of its own name; arguments and answers are as the wire has them.
"""

import math
from typing import Any

from dreamdrive.envs.embedded import wire
from dreamdrive.envs.embedded.simulator import CallError, Simulator
from dreamdrive.envs.embedded.towns import Town, available_towns, build_town, load_town
from dreamdrive.envs.embedded.world import World
from dreamdrive.errors import MapError

OPENDRIVE_MAP = "OpenDriveMap"


class WorldCalls:
    """Procedures that concern the world as a whole."""

    def __init__(self, simulator: Simulator) -> None:
        self.sim = simulator
        self.custom_map = ""

    def version(self) -> Any:
        return wire.ok(wire.VERSION)

    def get_episode_info(self) -> Any:
        token = wire.token(wire.SNAPSHOT_STREAM, self.sim.stream_port)
        return wire.ok([self.sim.episode, [token]])

    def get_sensor_token(self, stream: int) -> Any:
        return wire.ok([wire.token(stream, self.sim.stream_port)])

    def get_episode_settings(self) -> Any:
        return wire.ok(self.sim.settings)

    def set_episode_settings(self, settings: list[Any]) -> Any:
        delta = settings[2]
        if delta[0] and not 0.0 < delta[1] <= 1.0:
            raise CallError(f"fixed_delta_seconds must lie within (0, 1], got {delta[1]}")
        self.sim.settings = settings
        self.sim.synchronous = bool(settings[0])
        self.sim.dt_s = float(delta[1]) if delta[0] else None
        return wire.ok(self.sim.world.frame)

    def tick_cue(self) -> Any:
        return wire.ok(self.sim.tick())

    def get_map_info(self) -> Any:
        town = self.sim.world.town
        points = [wire.transform(*point) for point in town.spawn_points]
        return wire.ok([f"Carla/Maps/{town.name}", points])

    def get_map_data(self) -> Any:
        return wire.ok(self.sim.world.town.xodr)

    def get_available_maps(self) -> Any:
        return wire.ok([f"/Game/Carla/Maps/{name}" for name in available_towns()])

    def get_required_files(self, _folder: str, *_: Any) -> Any:
        return wire.ok([])

    def request_file(self, _name: str) -> Any:
        return wire.ok(b"")

    def get_navigation_mesh(self) -> Any:
        return wire.ok(b"")

    def load_new_episode(self, name: str, reset_settings: bool, *_: Any) -> Any:
        try:
            if name.rsplit("/", 1)[-1] == OPENDRIVE_MAP:
                town: Town = build_town(OPENDRIVE_MAP, self.custom_map)
            else:
                town = load_town(name)
        except MapError as error:
            raise CallError(str(error)) from error
        old = self.sim.world
        self.sim.open(World(town, first_id=old.next_id, frame=old.frame + 1))
        self.sim.episode += 1
        if reset_settings:
            self.sim.settings = [False, True, [False], *self.sim.settings[3:]]
            self.sim.synchronous, self.sim.dt_s = False, None
        self.sim.on_tick()
        return wire.OK_VOID

    def copy_opendrive_to_file(self, xodr: str, *_: Any) -> Any:
        try:
            build_town(OPENDRIVE_MAP, xodr)
        except MapError as error:
            raise CallError(str(error)) from error
        self.custom_map = xodr
        return wire.OK_VOID

    def get_weather_parameters(self) -> Any:
        return wire.ok(self.sim.weather)

    def set_weather_parameters(self, weather: list[float]) -> Any:
        values = [float(value) for value in weather]
        if len(values) != len(self.sim.weather) or not all(map(math.isfinite, values)):
            raise CallError(f"weather must be {len(self.sim.weather)} finite numbers")
        self.sim.weather = values
        return wire.OK_VOID

    def get_imui_gravity(self) -> Any:
        return wire.ok(9.81)

    def query_lights_state(self, *_: Any) -> Any:
        return wire.ok([])

    def update_lights_state(self, *_: Any) -> Any:
        return wire.ok(True)

    def update_day_night_cycle(self, *_: Any) -> Any:
        return wire.ok(True)

    def get_environment_objects(self, *_: Any) -> Any:
        return wire.ok([])

    def enable_environment_objects(self, *_: Any) -> Any:
        return wire.OK_VOID

    def get_all_level_BBs(self, *_: Any) -> Any:  # noqa: N802
        return wire.ok([])

    def get_names_of_all_objects(self, *_: Any) -> Any:
        return wire.ok([])

    def cast_ray(self, start: list[float], end: list[float]) -> Any:
        eyes = self.sim.eyes()
        return wire.ok([[list(p.place), p.tag] for p in eyes.along(start, end, self.sim.weather)])

    def project_point(self, location: list[float], direction: list[float], distance: float) -> Any:
        end = [a + distance * b for a, b in zip(location, direction, strict=True)]
        points = self.sim.eyes().along(location, end, self.sim.weather)
        found = [list(points[0].place), points[0].tag] if points else [[0.0, 0.0, 0.0], 0]
        return wire.ok([bool(points), found])

    def draw_debug_shape(self, *_: Any) -> Any:
        return wire.OK_VOID

    def console_command(self, *_: Any) -> Any:
        return wire.ok(False)

    def is_traffic_manager_running(self, port: int) -> Any:
        return wire.ok(port in self.sim.traffic_managers)

    def get_traffic_manager_running(self, port: int) -> Any:
        host, at, _ = self.sim.traffic_managers.get(port, ("", 0, 0))
        return wire.ok([host, at])

    def add_traffic_manager_running(self, address: list[Any]) -> Any:
        host, port = address
        if port in self.sim.traffic_managers:
            return wire.ok(False)
        self.sim.traffic_managers[port] = (host, port, self.sim.caller)
        return wire.ok(True)

    def destroy_traffic_manager(self, port: int) -> Any:
        self.sim.traffic_managers.pop(port, None)
        return wire.ok(True)

    def start_recorder(self, *_: Any) -> Any:
        raise CallError("the embedded server has no recorder")

    def stop_recorder(self) -> Any:
        return wire.OK_VOID

    def show_recorder_file_info(self, *_: Any) -> Any:
        raise CallError("the embedded server has no recorder")

    def show_recorder_collisions(self, *_: Any) -> Any:
        raise CallError("the embedded server has no recorder")

    def show_recorder_actors_blocked(self, *_: Any) -> Any:
        raise CallError("the embedded server has no recorder")

    def replay_file(self, *_: Any) -> Any:
        raise CallError("the embedded server has no recorder")
