"""Calls about traffic lights: their colours, set times, junctions and pauses.

Each method is a remote procedure of its own name; arguments and answers are as the wire has them.
"""

from typing import Any

from dreamdrive.envs.embedded import wire
from dreamdrive.envs.embedded.arguments import CallError, flag, integer, number
from dreamdrive.envs.embedded.simulator import Simulator

HEAD_HEIGHT_M = 5.0
HEAD_EXTENT = (0.2, 0.2, 0.5)


class TrafficLightCalls:
    """Procedures that concern traffic lights."""

    def __init__(self, simulator: Simulator) -> None:
        self.sim = simulator

    def _light(self, actor: int) -> int:
        if actor not in self.sim.world.light_index:
            raise CallError(f"actor {actor} is no traffic light")
        return self.sim.world.light_index[actor]

    def set_traffic_light_state(self, actor: int, state: int) -> None:
        light = self._light(actor)
        self.sim.world.lights.set_colour(light, integer(state, "state", 0, 4))
        self.sim.world.fill()

    def set_traffic_light_green_time(self, actor: int, seconds: float) -> None:
        self._set_time("green_s", actor, seconds)

    def set_traffic_light_yellow_time(self, actor: int, seconds: float) -> None:
        self._set_time("yellow_s", actor, seconds)

    def set_traffic_light_red_time(self, actor: int, seconds: float) -> None:
        self._set_time("red_s", actor, seconds)

    def _set_time(self, name: str, actor: int, seconds: float) -> None:
        light = self._light(actor)
        getattr(self.sim.world.lights, name)[light] = number(seconds, "time", 0.0, 1e6)
        self.sim.world.fill()

    def freeze_traffic_light(self, actor: int, frozen: bool) -> None:
        self.sim.world.lights.freeze_group(self._light(actor), flag(frozen, "frozen"))
        self.sim.world.fill()

    def freeze_all_traffic_lights(self, frozen: bool) -> None:
        self.sim.world.lights.freeze(flag(frozen, "frozen"))
        self.sim.world.fill()

    def reset_traffic_light_group(self, actor: int) -> None:
        self.sim.world.lights.reset_group(self._light(actor))
        self.sim.world.fill()

    def reset_all_traffic_lights(self) -> None:
        self.sim.world.lights.reset()
        self.sim.world.fill()

    def get_group_traffic_lights(self, actor: int) -> Any:
        members = self.sim.world.lights.members(self._light(actor))
        return wire.ok([self.sim.world.light_ids[i] for i in members])

    def get_light_boxes(self, actor: int) -> Any:
        light = self.sim.world.town.lights[self._light(actor)]
        centre = (light.x, light.y, HEAD_HEIGHT_M)
        return wire.ok([wire.bounding_box(centre, HEAD_EXTENT, actor, light.yaw_deg)])
