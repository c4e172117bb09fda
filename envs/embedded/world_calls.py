"""Calls about the world: connection, settings, maps, time, weather, the Traffic Manager's port.

Each method is a remote procedure of its own name; arguments and answers are as the wire has them.
"""

from functools import partial
from typing import Any

from dreamdrive.envs.embedded import wire
from dreamdrive.envs.embedded.arguments import (
    CallError,
    NotReadyError,
    flag,
    integer,
    items,
    number,
    text,
)
from dreamdrive.envs.embedded.environment import ALL_LAYERS, environment_of
from dreamdrive.envs.embedded.navigation.files import navigation_file
from dreamdrive.envs.embedded.simulator import Simulator
from dreamdrive.envs.embedded.towns import Town, available_towns, build_town, load_town
from dreamdrive.errors import MapError

OPENDRIVE_MAP = "OpenDriveMap"
NAVIGATION = "Nav"
"""The folder that clients ask for navigation meshes."""
LONGEST_TICK_S = 10.0
"""CARLA's own examples go up to 3 s; a tick is cut into steps, and those must end somewhere."""
FLAGS = {
    0: "synchronous_mode", 1: "no_rendering_mode", 3: "substepping", 7: "deterministic_ragdolls",
    10: "spectator_as_ego",
}  # fmt: skip
NUMBERS = {
    4: "max_substep_delta_time", 6: "max_culling_distance", 8: "tile_stream_distance",
    9: "actor_active_distance",
}  # fmt: skip
"""Names of the settings by their place."""


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
        checked = _checked_settings(settings)
        delta = checked[2]
        self.sim.settings = checked
        self.sim.synchronous = checked[0]
        self.sim.dt_s = float(delta[1]) if delta[0] else None
        return wire.ok(self.sim.world.frame)

    def tick_cue(self) -> Any:
        self.sim.hear(self.sim.caller)
        return wire.ok(self.sim.begin_tick())

    def get_map_info(self) -> Any:
        town = self.sim.world.town
        points = [wire.transform(*point) for point in town.spawn_points]
        return wire.ok([f"Carla/Maps/{town.name}", points])

    def get_map_data(self) -> Any:
        return wire.ok(self.sim.world.town.xodr)

    def get_available_maps(self) -> Any:
        return wire.ok([f"/Game/Carla/Maps/{name}" for name in available_towns()])

    def get_required_files(self, folder: str, *_: Any) -> Any:
        is_mesh = text(folder, "folder").strip("/") == NAVIGATION
        return wire.ok([navigation_file(self.sim.town_of_caller())] if is_mesh else [])

    def request_file(self, name: str) -> Any:
        town = self.sim.town_of_caller()
        mesh = navigation_file(town)
        if text(name, "name") == mesh:
            return self.get_navigation_mesh()
        stem = name.rsplit("/", 1)[-1]
        if stem == f"{town.name}.xodr":
            return wire.ok(town.xodr.encode())
        raise CallError(
            f"there is no file {stem[:80]!r}: of the current town there are {town.name}.xodr "
            f"and {mesh}"
        )

    def get_navigation_mesh(self) -> Any:
        return self._mesh_of(self.sim.town_of_caller())

    def _mesh_of(self, town: Town) -> Any:
        mesh = self.sim.meshes.find(town)
        if mesh is None:
            raise NotReadyError(partial(self._mesh_of, town))
        return wire.ok(mesh)

    def load_new_episode(
        self, name: str, reset_settings: bool, map_layers: int = ALL_LAYERS
    ) -> None:
        wanted = text(name, "map") or self.sim.world.town.name
        flag(reset_settings, "reset_settings")
        layers = integer(map_layers, "map_layers", 0, ALL_LAYERS)
        try:
            if name.rsplit("/", 1)[-1] == OPENDRIVE_MAP:
                town: Town = build_town(OPENDRIVE_MAP, self.custom_map)
            elif wanted == self.sim.world.town.name:
                town = self.sim.world.town
            else:
                town = load_town(wanted)
            if layers != ALL_LAYERS:
                environment_of(town)
        except MapError as error:
            raise CallError(str(error)) from error
        self.sim.load(town, layers)
        if reset_settings:
            self.sim.settings = [False, True, [False], *self.sim.settings[3:]]
            self.sim.synchronous, self.sim.dt_s = False, None

    def copy_opendrive_to_file(self, xodr: str, *_: Any) -> None:
        try:
            build_town(OPENDRIVE_MAP, xodr)
        except MapError as error:
            raise CallError(str(error)) from error
        self.custom_map = xodr

    def get_imui_gravity(self) -> Any:
        return wire.ok(self.sim.gravity_mps2)

    def set_imui_gravity(self, gravity: float) -> None:
        self.sim.gravity_mps2 = number(gravity, "gravity", 0.0, 1000.0)

    def console_command(self, *_: Any) -> Any:
        return wire.ok(False)

    def is_sensor_enabled_for_ros(self, _actor: int) -> Any:
        return wire.ok(False)

    def is_traffic_manager_running(self, port: int) -> Any:
        return wire.ok(port in self.sim.traffic_managers)

    def get_traffic_manager_running(self, port: int) -> Any:
        host, at, _ = self.sim.traffic_managers.get(port, ("", 0, 0))
        return wire.ok([host, at])

    def add_traffic_manager_running(self, address: list[Any]) -> Any:
        host, port = items(address, "address", 2)
        text(host, "host")
        integer(port, "port", 0, 65535)
        if port in self.sim.traffic_managers:
            return wire.ok(False)
        self.sim.traffic_managers[port] = (host, port, self.sim.caller)
        return wire.ok(True)

    def destroy_traffic_manager(self, port: int) -> Any:
        self.sim.traffic_managers.pop(port, None)
        return wire.ok(True)


def _checked_settings(settings: Any) -> list[Any]:
    """Returns episode settings, each part of which is what other clients expect.

    Raises:
        CallError: If they are not.
    """
    items(settings, "settings", 11)
    delta = items(settings[2], "fixed_delta_seconds")
    for index, name in FLAGS.items():
        flag(settings[index], name)
    if flag(delta[0], "fixed_delta_seconds") and not 0.0 < delta[1] <= LONGEST_TICK_S:
        raise CallError(
            f"fixed_delta_seconds must lie within (0, {LONGEST_TICK_S:g}], got {delta[1]}"
        )
    for index, name in NUMBERS.items():
        number(settings[index], name)
    integer(settings[5], "max_substeps", 0, 1 << 16)
    return settings
