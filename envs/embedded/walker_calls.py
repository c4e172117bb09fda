"""Calls about walkers.

Each method is a remote procedure of its own name; arguments and answers are as the wire has them.
"""

import math

from dreamdrive.envs.embedded.arguments import CallError, flag, items, number, numbers, transform
from dreamdrive.envs.embedded.blueprints import WALKER_EXTENT
from dreamdrive.envs.embedded.simulator import Simulator
from dreamdrive.envs.embedded.walking import JUMP_MPS

MAX_WALK_MPS = 1000.0


class WalkerCalls:
    """Procedures that concern walkers."""

    def __init__(self, simulator: Simulator) -> None:
        self.sim = simulator

    def _row(self, actor: int) -> int:
        row = self.sim.world.walkers.row.get(actor)
        if row is None:
            raise CallError(f"unable to control actor {actor}: walker not found")
        if actor in self.sim.dead:
            raise CallError(f"unable to control actor {actor}: it is dead")
        return row

    def apply_control_to_walker(self, actor: int, control: list[object]) -> None:
        row, walkers = self._row(actor), self.sim.world.walkers
        direction, speed, jump = items(control, "control", 3)
        towards = numbers(direction, "direction", 3)
        speed_mps = number(speed, "speed", -MAX_WALK_MPS, MAX_WALK_MPS)
        is_jumping = flag(jump, "jump")
        walkers.direction[row], walkers.speed[row] = towards, max(0.0, speed_mps)
        walkers.jump[row] = is_jumping
        if is_jumping and not walkers.airborne[row] and walkers.physics[row]:
            walkers.airborne[row], walkers.rise[row] = 1.0, JUMP_MPS
            walkers.floor[row] = walkers.z[row]

    def set_walker_state(self, actor: int, place: list[object], speed: float) -> None:
        # The place is that of the feet, as the client's navigation has it.
        row, walkers = self._row(actor), self.sim.world.walkers
        x, y, z, _, yaw_deg, _ = transform(place, "transform")
        speed_mps = number(speed, "speed", 0.0, MAX_WALK_MPS)
        yaw = math.radians(yaw_deg)
        walkers.direction[row] = math.cos(yaw), math.sin(yaw), 0.0
        walkers.speed[row] = speed_mps
        self.sim.world.move(actor, x, y, z + WALKER_EXTENT[2], yaw_deg)
