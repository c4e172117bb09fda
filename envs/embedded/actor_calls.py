"""Calls about actors of any kind: spawning, places, velocities, pushes.

Each method is a remote procedure of its own name; arguments and answers are as the wire has them.
"""

import math
from typing import Any

import numpy as np

from dreamdrive.envs.embedded import wire
from dreamdrive.envs.embedded.arguments import FAR_M, CallError, flag, number, numbers, transform
from dreamdrive.envs.embedded.bodies import Bodies
from dreamdrive.envs.embedded.simulator import Simulator
from dreamdrive.envs.embedded.spawning import RIGID, spawn

MAX_SPEED_MPS = 1000.0


class ActorCalls:
    """Procedures that concern single actors."""

    def __init__(self, simulator: Simulator) -> None:
        self.sim = simulator

    # --- life ------------------------------------------------------------------------------------

    def get_actor_definitions(self) -> Any:
        return wire.ok(self.sim.definitions)

    def get_spectator(self) -> Any:
        return wire.ok(self.sim.describe(self.sim.world.spectator))

    def get_actors_by_id(self, ids: list[int]) -> Any:
        return wire.ok([self.sim.describe(i) for i in ids if i in self.sim.world.actors])

    def spawn_actor(self, description: list[Any], place: list[Any]) -> Any:
        return wire.ok(self.sim.describe(spawn(self.sim, description, place)))

    def spawn_actor_with_parent(
        self, description: list[Any], place: list[Any], parent: int, attachment: int = RIGID,
        *_: Any,
    ) -> Any:  # fmt: skip
        return wire.ok(self.sim.describe(spawn(self.sim, description, place, parent, attachment)))

    def destroy_actor(self, actor: int) -> Any:
        return wire.ok(self.sim.destroy(actor))

    def get_actor_bounding_box(self, actor: int) -> Any:
        if actor in self.sim.world.actors:
            return wire.ok(self.sim.box(actor))
        if actor in self.sim.dead_boxes:
            return wire.ok(self.sim.dead_boxes[actor])
        raise CallError(f"actor {actor} not found")

    def set_actor_dead(self, actor: int) -> None:
        body, row = self.sim.body(actor)
        body.physics[row] = 0.0
        self.sim.ackermann.release(actor)
        self.sim.dead.add(actor)
        if actor in self.sim.world.walkers.row:
            self.sim.world.walkers.speed[row] = 0.0

    # --- places ----------------------------------------------------------------------------------

    def set_actor_transform(self, actor: int, place: list[Any]) -> None:
        x, y, z, pitch, yaw_deg, roll = transform(place, "transform")
        self._move(actor, x, y, z, yaw_deg, (pitch, roll))

    def set_actor_location(self, actor: int, location: list[float]) -> None:
        x, y, z = numbers(location, "location", 3, FAR_M)
        yaw_deg, tilt = 0.0, (0.0, 0.0)
        if actor in self.sim.world.actors:
            yaw_deg, tilt = self.sim.world.place(actor)[3], self.sim.world.actors[actor].tilt
        self._move(actor, x, y, z, yaw_deg, tilt)

    def _move(
        self, actor: int, x: float, y: float, z: float, yaw_deg: float, tilt: tuple[float, float]
    ) -> None:
        if actor not in self.sim.world.actors:
            raise CallError(f"actor {actor} not found")
        self.sim.world.move(actor, x, y, z, yaw_deg, tilt)

    # --- switches --------------------------------------------------------------------------------

    def set_actor_simulate_physics(self, actor: int, enabled: bool) -> None:
        if actor in self.sim.world.actors and self.sim.world.body(actor) is None:
            flag(enabled, "enabled")  # Props and sensors stay where they are in any case.
            return
        body, row = self.sim.body(actor)
        body.physics[row] = float(flag(enabled, "enabled") and actor not in self.sim.dead)
        if body.physics[row]:
            body.pitch[row] = body.roll[row] = 0.0

    def set_actor_collisions(self, actor: int, enabled: bool) -> None:
        body, row = self.sim.body(actor)
        # As on the Unreal server, led walkers can be hit if they are not invincible, although their
        # client asks to spare them.
        is_frail = self.sim.world.actors[actor].attributes.get("is_invincible") == "false"
        body.ghost[row] = float(not flag(enabled, "enabled") and not is_frail)

    def set_actor_enable_gravity(self, actor: int, enabled: bool) -> None:
        body, row = self.sim.body(actor)
        body.weightless[row] = float(not flag(enabled, "enabled"))

    # --- velocities ------------------------------------------------------------------------------

    def set_actor_target_velocity(self, actor: int, velocity: list[float]) -> None:
        body, row = self.sim.body(actor)
        vx, vy, _ = numbers(velocity, "velocity", 3)
        _set_velocity(body, row, vx, vy)

    def set_actor_target_angular_velocity(self, actor: int, velocity: list[float]) -> None:
        row = self._vehicle(actor, "turned")
        rate = math.radians(_limited(numbers(velocity, "angular_velocity", 3)[2], 36e3, "turn"))
        self.sim.world.vehicles.yaw_rate[row] = self.sim.world.vehicles.spin[row] = rate

    def enable_actor_constant_velocity(self, actor: int, velocity: list[float]) -> None:
        row = self._vehicle(actor, "kept at a velocity")
        vx, vy, _ = numbers(velocity, "velocity", 3)
        _limited(math.hypot(vx, vy), MAX_SPEED_MPS, "velocity")
        self.sim.world.vehicles.constant[row] = vx, vy, 1.0

    def disable_actor_constant_velocity(self, actor: int) -> None:
        self.sim.world.vehicles.constant[self._vehicle(actor, "kept at a velocity")] = 0.0

    # --- pushes ----------------------------------------------------------------------------------

    def add_actor_impulse(self, actor: int, impulse: list[float]) -> None:
        row, cars = self._vehicle(actor, "pushed"), self.sim.world.vehicles
        x, y, _ = numbers(impulse, "impulse", 3)
        vx, vy = cars.velocity[row] + np.array([x, y]) / cars.mass[row]
        _set_velocity(cars, row, float(vx), float(vy))

    def add_actor_impulse_at_location(
        self, actor: int, impulse: list[float], location: list[float]
    ) -> None:
        row, cars = self._vehicle(actor, "pushed"), self.sim.world.vehicles
        x, y, _ = numbers(impulse, "impulse", 3)
        at_x, at_y, _ = numbers(location, "location", 3)
        arm_x, arm_y = at_x - float(cars.pose[row, 0]), at_y - float(cars.pose[row, 1])
        self.add_actor_impulse(actor, impulse)
        self._turn(row, arm_x * y - arm_y * x)

    def add_actor_force(self, actor: int, force: list[float]) -> None:
        self.add_actor_impulse(actor, self._for_a_tick(force, "force"))

    def add_actor_force_at_location(
        self, actor: int, force: list[float], location: list[float]
    ) -> None:
        self.add_actor_impulse_at_location(actor, self._for_a_tick(force, "force"), location)

    def add_actor_angular_impulse(self, actor: int, impulse: list[float]) -> None:
        row = self._vehicle(actor, "turned")
        self._turn(row, math.radians(numbers(impulse, "angular_impulse", 3)[2]))

    def add_actor_torque(self, actor: int, torque: list[float]) -> None:
        self.add_actor_angular_impulse(actor, self._for_a_tick(torque, "torque"))

    def _for_a_tick(self, values: list[float], name: str) -> list[float]:
        dt_s = self.sim.dt_s or 0.05
        return [value * dt_s for value in numbers(values, name, 3)]

    def _turn(self, row: int, impulse: float) -> None:
        """Adds an angular impulse in kg m²/s, with the moment of inertia of the vehicle's box."""
        cars = self.sim.world.vehicles
        length, width = 2.0 * cars.half[row]
        inertia = cars.mass[row] * (length**2 + width**2) / 12.0
        cars.spin[row] = _limited(float(cars.spin[row] + impulse / inertia), 630.0, "turn")

    def _vehicle(self, actor: int, what: str) -> int:
        row = self.sim.world.vehicles.row.get(actor)
        if row is not None:
            return row
        if actor in self.sim.world.actors:
            raise CallError(f"actor {actor} cannot be {what}: only vehicles can")
        raise CallError(f"actor {actor} not found")


def _limited(value: float, most: float, name: str) -> float:
    return number(value, name, -most, most)


def _set_velocity(body: Bodies, row: int, vx: float, vy: float) -> None:
    _limited(math.hypot(vx, vy), MAX_SPEED_MPS, "velocity")
    body.velocity[row] = vx, vy
