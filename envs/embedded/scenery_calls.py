"""Calls about what stands around: objects of the town, boxes by label, lamps, weather, shapes.

Each method is a remote procedure of its own name; arguments and answers are as the wire has them.
"""

from typing import Any

from dreamdrive.envs.embedded import wire
from dreamdrive.envs.embedded.arguments import CallError, flag, integer, items, number, numbers
from dreamdrive.envs.embedded.blueprints import VEHICLES, WALKERS
from dreamdrive.envs.embedded.debug_shapes import SHAPES, STRINGS, ShapeKind
from dreamdrive.envs.embedded.environment import ALL_LAYERS, environment_of, in_layers
from dreamdrive.envs.embedded.simulator import Simulator
from dreamdrive.errors import MapError

ANY, TRAFFIC_LIGHT, TRAFFIC_SIGN, PEDESTRIAN = 255, 7, 8, 12
FIRST_OBJECT = 1 << 32
"""Numbers of environment objects begin here, beyond those of actors."""


class SceneryCalls:
    """Procedures that concern what does not drive or walk."""

    def __init__(self, simulator: Simulator) -> None:
        self.sim = simulator

    # --- weather ---------------------------------------------------------------------------------

    def get_weather_parameters(self) -> Any:
        return wire.ok(self.sim.weather)

    def set_weather_parameters(self, weather: list[float]) -> None:
        self.sim.weather = numbers(weather, "weather", 14)
        self.sim.let_lamps_follow_sun()

    # --- environment objects and boxes -----------------------------------------------------------

    def _objects(self) -> list[list[Any]]:
        """Returns the solid objects of the town as EnvironmentObjects.

        Raises:
            CallError: If an object of the map has a word where a number belongs.
        """
        try:
            objects = environment_of(self.sim.world.town)
        except MapError as error:
            raise CallError(str(error)) from error
        found = []
        for index, made in enumerate(objects):
            (x, y, z), yaw_deg = made.place, made.yaw_deg
            box = wire.bounding_box((x, y, z + made.half[2]), made.half, 0, yaw_deg)
            place = wire.transform(x, y, z, yaw_deg)
            found.append([place, box, FIRST_OBJECT + index, made.name, made.label])
        return found

    def get_environment_objects(self, label: int) -> Any:
        wanted = integer(label, "object_type", 0, ANY)
        return wire.ok([made for made in self._objects() if wanted in (ANY, made[4])])

    def enable_environment_objects(self, numbers: list[int], enable: bool) -> None:
        world, is_there = self.sim.world, flag(enable, "enable")
        last = FIRST_OBJECT + len(world.town.static_boxes) - 1
        named = {
            integer(number, "environment object", FIRST_OBJECT, last) - FIRST_OBJECT
            for number in items(numbers, "env_objects_ids")
        }
        world.take_away(world.away - named if is_there else world.away | named)

    def load_map_layer(self, layers: int) -> None:
        self.sim.world.take_away(self.sim.world.away - self._in_layers(layers))

    def unload_map_layer(self, layers: int) -> None:
        self.sim.world.take_away(self.sim.world.away | self._in_layers(layers))

    def _in_layers(self, layers: int) -> frozenset[int]:
        flags = integer(layers, "map_layers", 0, ALL_LAYERS)
        try:
            return in_layers(self.sim.world.town, flags)
        except MapError as error:
            raise CallError(str(error)) from error

    def get_all_level_BBs(self, label: int) -> Any:  # noqa: N802
        wanted = integer(label, "bb_type", 0, ANY)
        boxes = [(made[4], made[1]) for made in self._objects()]
        for actor, known in self.sim.world.actors.items():
            x, y, z, yaw_deg = self.sim.world.place(actor)
            if known.kind in VEHICLES or known.kind in WALKERS:
                model = VEHICLES.get(known.kind)
                tag = model.tag if model else PEDESTRIAN
                up = known.extent[2] if model else 0.0
                boxes.append((tag, wire.bounding_box((x, y, z + up), known.extent, actor, yaw_deg)))
            elif known.kind.startswith("traffic."):
                tag = TRAFFIC_LIGHT if known.kind == "traffic.traffic_light" else TRAFFIC_SIGN
                box = wire.bounding_box((x, y, 5.0), (0.2, 0.2, 0.5), actor, yaw_deg)
                boxes.append((tag, box))
        return wire.ok([box for tag, box in boxes if wanted in (ANY, tag)])

    def get_names_of_all_objects(self) -> Any:
        actors = (f"{known.kind}_{actor}" for actor, known in self.sim.world.actors.items())
        return wire.ok([*(made[3] for made in self._objects()), *actors])

    # --- lamps -----------------------------------------------------------------------------------

    def query_lights_state(self, *_: Any) -> Any:
        self.sim.hear(self.sim.caller)
        return wire.ok(list(self.sim.world.lamps.states.values()))

    def update_lights_state(self, _client: str, lights: list[Any], *_: Any) -> None:
        self.sim.world.lamps.update(lights)

    def update_day_night_cycle(self, _client: str, active: bool) -> None:
        self.sim.world.lamps.follow_sun = flag(active, "active")
        self.sim.let_lamps_follow_sun()

    # --- debug shapes ----------------------------------------------------------------------------

    def draw_debug_shape(self, shape: list[Any]) -> None:
        variant, colour, life_s, _ = items(shape, "shape", 4)
        kind, primitive = items(variant, "primitive", 2)
        if integer(kind, "kind", 0, 8) <= ShapeKind.STRING:
            shade = [integer(value, "color", 0, 255) for value in items(colour, "color", 3)]
            life = number(life_s, "life_time")
            now_s = self.sim.world.time_s
            self.sim.debug_shapes.add(ShapeKind(kind), primitive, shade, life, now_s)

    def clear_debug_shape(self) -> None:
        self.sim.debug_shapes.clear(SHAPES)

    def clear_debug_string(self) -> None:
        self.sim.debug_shapes.clear(STRINGS)

    def set_annotations_traverse_translucency(self, enable: bool) -> None:
        flag(enable, "enable")
