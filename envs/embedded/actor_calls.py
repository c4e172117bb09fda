"""Calls about actors: spawning, motion, control, lights, and batches of commands.

Each method is a remote procedure of its own name; arguments and answers are as the wire has them.
"""

import math
from typing import Any

import numpy as np

from dreamdrive.envs.embedded import wire
from dreamdrive.envs.embedded.render.attributes import RENDERED
from dreamdrive.envs.embedded.render.view import Pose, on_spring_arm
from dreamdrive.envs.embedded.simulator import CallError, Simulator
from dreamdrive.envs.embedded.world import SpawnError

RIGID = 0
"""How an actor is attached that moves as its parent does; the other ways are spring arms."""
COMMANDS = (
    "spawn", "destroy_actor", "apply_control_to_vehicle", "apply_ackermann_control_to_vehicle",
    "apply_control_to_walker", "apply_physics_control", "set_actor_transform", "set_walker_state",
    "set_actor_target_velocity", "set_actor_target_angular_velocity", "add_actor_impulse",
    "add_actor_force", "add_actor_angular_impulse", "add_actor_torque",
    "set_actor_simulate_physics", "set_actor_enable_gravity", "set_actor_autopilot",
    "show_vehicle_debug_telemetry", "set_vehicle_light_state", "set_actor_location",
    "console_command", "set_traffic_light_state",
)  # fmt: skip
"""Procedures by the number of their command in a batch."""


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

    def spawn_actor(self, description: list[Any], transform: list[Any]) -> Any:
        return wire.ok(self.sim.describe(self._spawn(description, transform, 0)))

    def spawn_actor_with_parent(
        self, description: list[Any], transform: list[Any], parent: int, attachment: int = RIGID,
        *_: Any,
    ) -> Any:  # fmt: skip
        return wire.ok(self.sim.describe(self._spawn(description, transform, parent, attachment)))

    def _spawn(
        self, description: list[Any], transform: list[Any], parent: int, attachment: int = RIGID
    ) -> int:
        (x, y, z), (pitch, yaw, roll) = transform
        if not all(math.isfinite(v) for v in (x, y, z, pitch, yaw, roll)):
            raise CallError("unable to spawn actor: its transform is not finite")
        attributes = {name: value for name, _, value in description[2]}
        try:
            if description[1] in RENDERED:
                self.sim.open_eyes(description[1], attributes)
                if parent and attachment != RIGID:
                    x, y, z, pitch, yaw, roll = on_spring_arm(Pose(x, y, z, pitch, yaw, roll))
            place, tilt = (x, y, z, yaw), (pitch, roll)
            return self.sim.world.spawn(description[1], attributes, *place, parent, tilt).id
        except SpawnError as error:
            raise CallError(str(error)) from error

    def destroy_actor(self, actor: int) -> Any:
        world = self.sim.world
        if actor in world.actors:
            if len(self.sim.dead_boxes) > 4096:
                self.sim.dead_boxes.clear()
            self.sim.dead_boxes[actor] = self.sim.box(actor)
        return wire.ok(world.destroy(actor))

    def get_actor_bounding_box(self, actor: int) -> Any:
        if actor in self.sim.world.actors:
            return wire.ok(self.sim.box(actor))
        if actor in self.sim.dead_boxes:
            return wire.ok(self.sim.dead_boxes[actor])
        raise CallError(f"actor {actor} not found")

    # --- motion ----------------------------------------------------------------------------------

    def set_actor_transform(self, actor: int, transform: list[Any]) -> Any:
        (x, y, z), (pitch, yaw, roll) = transform
        return self._move(actor, x, y, z, yaw, (pitch, roll))

    def set_actor_location(self, actor: int, location: list[float]) -> Any:
        if actor not in self.sim.world.actors:
            raise CallError(f"actor {actor} not found")
        x, y, z = location
        known = self.sim.world.actors[actor]
        return self._move(actor, x, y, z, self.sim.world.place(actor)[3], known.tilt)

    def _move(
        self, actor: int, x: float, y: float, z: float, yaw: float, tilt: tuple[float, float]
    ) -> Any:
        if actor not in self.sim.world.actors:
            raise CallError(f"actor {actor} not found")
        if not all(math.isfinite(v) for v in (x, y, z, yaw, *tilt)):
            raise CallError(f"unable to move actor {actor}: its transform is not finite")
        self.sim.world.move(actor, x, y, z, yaw, tilt)
        return wire.OK_VOID

    def set_actor_simulate_physics(self, actor: int, enabled: bool) -> Any:
        body, row = self.sim.body(actor)
        body.physics[row] = float(enabled)
        return wire.OK_VOID

    def set_actor_collisions(self, actor: int, _enabled: bool) -> Any:
        self.sim.body(actor)
        return wire.OK_VOID

    def set_actor_enable_gravity(self, actor: int, _enabled: bool) -> Any:
        self.sim.body(actor)
        return wire.OK_VOID

    def set_actor_dead(self, actor: int) -> Any:
        self.sim.body(actor)
        return wire.OK_VOID

    def set_actor_target_velocity(self, actor: int, velocity: list[float]) -> Any:
        body, row = self.sim.body(actor)
        body.velocity[row] = velocity[:2]
        return wire.OK_VOID

    def set_actor_target_angular_velocity(self, actor: int, velocity: list[float]) -> Any:
        body, row = self.sim.body(actor)
        body.yaw_rate[row] = math.radians(velocity[2])
        return wire.OK_VOID

    def enable_actor_constant_velocity(self, actor: int, velocity: list[float]) -> Any:
        body, row = self.sim.body(actor)
        body.constant[row] = velocity[0], velocity[1], 1.0
        return wire.OK_VOID

    def disable_actor_constant_velocity(self, actor: int) -> Any:
        body, row = self.sim.body(actor)
        body.constant[row] = 0.0
        return wire.OK_VOID

    def add_actor_impulse(self, actor: int, impulse: list[float]) -> Any:
        body, row = self.sim.body(actor)
        body.velocity[row] += np.array(impulse[:2]) / body.mass[row]
        return wire.OK_VOID

    def add_actor_impulse_at_location(self, actor: int, impulse: list[float], _at: Any) -> Any:
        return self.add_actor_impulse(actor, impulse)

    def add_actor_force(self, actor: int, force: list[float]) -> Any:
        dt_s = self.sim.dt_s or 0.05
        return self.add_actor_impulse(actor, [value * dt_s for value in force])

    def add_actor_force_at_location(self, actor: int, force: list[float], _at: Any) -> Any:
        return self.add_actor_force(actor, force)

    def add_actor_angular_impulse(self, actor: int, _impulse: list[float]) -> Any:
        self.sim.body(actor)
        return wire.OK_VOID

    def add_actor_torque(self, actor: int, _torque: list[float]) -> Any:
        self.sim.body(actor)
        return wire.OK_VOID

    # --- vehicles --------------------------------------------------------------------------------

    def apply_control_to_vehicle(self, actor: int, control: list[Any]) -> Any:
        row, cars = self.sim.vehicle(actor), self.sim.world.vehicles
        throttle, steer, brake = (float(value) for value in control[:3])
        if not math.isfinite(throttle + steer + brake):
            raise CallError(f"the control of vehicle {actor} is not finite")
        cars.throttle[row] = min(max(throttle, 0.0), 1.0)
        cars.steer[row] = min(max(steer, -1.0), 1.0)
        cars.brake[row] = min(max(brake, 0.0), 1.0)
        cars.hand_brake[row], cars.reverse[row] = float(control[3]), float(control[4])
        cars.manual[row], cars.gear[row] = float(control[5]), float(control[6])
        return wire.OK_VOID

    def apply_ackermann_control_to_vehicle(self, actor: int, control: list[float]) -> Any:
        row, cars = self.sim.vehicle(actor), self.sim.world.vehicles
        steer, _, speed, acceleration, _ = control
        u = float(np.hypot(*cars.velocity[row]))
        limit = acceleration if acceleration > 0.0 else 3.0
        pull = min(max(2.0 * (speed - u), -2.0 * limit), limit)
        cars.steer[row] = min(max(steer / cars.max_steer[row], -1.0), 1.0)
        cars.throttle[row] = min(max(pull / 4.5, 0.0), 1.0)
        cars.brake[row] = min(max(-pull / 8.0, 0.0), 1.0)
        return wire.OK_VOID

    def get_ackermann_controller_settings(self, actor: int) -> Any:
        self.sim.vehicle(actor)
        return wire.ok([0.15, 0.0, 0.25, 0.01, 0.0, 0.01])

    def apply_ackermann_controller_settings(self, actor: int, _settings: Any) -> Any:
        self.sim.vehicle(actor)
        return wire.OK_VOID

    def get_physics_control(self, actor: int) -> Any:
        row, cars = self.sim.vehicle(actor), self.sim.world.vehicles
        x, y, yaw = cars.pose[row]
        steer = math.degrees(float(cars.max_steer[row]))
        wheels = []
        for along, across in ((1, -1), (1, 1), (-1, -1), (-1, 1)):
            dx = along * cars.wheelbase[row] / 2.0
            dy = across * (cars.half[row, 1] - 0.1)
            at = (x + dx * math.cos(yaw) - dy * math.sin(yaw),
                  y + dx * math.sin(yaw) + dy * math.cos(yaw))  # fmt: skip
            wheels.append(
                [3.5, 0.25, steer if along > 0 else 0.0, 35.0, 1500.0, 3000.0, 2.0, 17.0, 1000.0,
                 [100.0 * float(at[0]), 100.0 * float(at[1]), 35.0]]
            )  # fmt: skip
        return wire.ok(
            [
                [[0.0, 400.0], [5000.0, 400.0]], 6000.0, 1.0, 0.15, 2.0, 0.35, True, 0.5, 10.0, 4.0,
                [[1.0, 0.5, 0.65]], float(cars.mass[row]), 0.3, [0.0, 0.0, 0.0],
                [[0.0, 1.0], [20.0, 0.9], [60.0, 0.8], [120.0, 0.7]], wheels, False,
            ]
        )  # fmt: skip

    def apply_physics_control(self, actor: int, control: list[Any]) -> Any:
        row, cars = self.sim.vehicle(actor), self.sim.world.vehicles
        cars.mass[row] = max(1.0, float(control[11]))
        cars.max_steer[row] = math.radians(max(float(wheel[2]) for wheel in control[15]))
        return wire.OK_VOID

    def get_telemetry_data(self, actor: int) -> Any:
        row, cars = self.sim.vehicle(actor), self.sim.world.vehicles
        speed = float(np.hypot(*cars.velocity[row]))
        wheels = [[0.0] * 11 for _ in range(4)]
        return wire.ok(
            [speed, cars.steer[row], cars.throttle[row], cars.brake[row], 800.0, 1, 0.0, wheels]
        )

    def get_wheel_steer_angle(self, actor: int, wheel: int) -> Any:
        row, cars = self.sim.vehicle(actor), self.sim.world.vehicles
        angle = math.degrees(float(cars.steer[row] * cars.max_steer[row]))
        return wire.ok(angle if wheel < 2 else 0.0)

    def set_wheel_steer_direction(self, actor: int, *_: Any) -> Any:
        self.sim.vehicle(actor)
        return wire.OK_VOID

    def set_actor_autopilot(self, actor: int, _enabled: bool) -> Any:
        self.sim.vehicle(actor)
        return wire.OK_VOID

    def show_vehicle_debug_telemetry(self, *_: Any) -> Any:
        return wire.OK_VOID

    def set_vehicle_light_state(self, actor: int, state: Any) -> Any:
        self.sim.vehicle(actor)
        self.sim.light_states[actor] = state[0] if isinstance(state, list) else int(state)
        return wire.OK_VOID

    def get_vehicle_light_state(self, actor: int) -> Any:
        self.sim.vehicle(actor)
        return wire.ok([self.sim.light_states.get(actor, 0)])

    def get_vehicle_light_states(self) -> Any:
        known = self.sim.light_states
        return wire.ok([[int(i), known.get(int(i), 0)] for i in self.sim.world.vehicles.id])

    def open_vehicle_door(self, actor: int, _door: int) -> Any:
        self.sim.vehicle(actor)
        return wire.OK_VOID

    def close_vehicle_door(self, actor: int, _door: int) -> Any:
        self.sim.vehicle(actor)
        return wire.OK_VOID

    # --- walkers ---------------------------------------------------------------------------------

    def apply_control_to_walker(self, actor: int, control: list[Any]) -> Any:
        walkers = self.sim.world.walkers
        if actor not in walkers.row:
            raise CallError(f"unable to control actor {actor}: walker not found")
        row = walkers.row[actor]
        walkers.direction[row], walkers.speed[row] = control[0], max(0.0, control[1])
        return wire.OK_VOID

    def set_walker_state(self, actor: int, transform: list[Any], _speed: float) -> Any:
        return self.set_actor_transform(actor, transform)

    # --- traffic lights --------------------------------------------------------------------------

    def _light(self, actor: int) -> int:
        if actor not in self.sim.world.light_index:
            raise CallError(f"actor {actor} is no traffic light")
        return self.sim.world.light_index[actor]

    def set_traffic_light_state(self, actor: int, state: int) -> Any:
        self.sim.world.lights.set_colour(self._light(actor), state)
        self.sim.world.fill()
        return wire.OK_VOID

    def set_traffic_light_green_time(self, actor: int, seconds: float) -> Any:
        self.sim.world.lights.green_s[self._light(actor)] = seconds
        return wire.OK_VOID

    def set_traffic_light_yellow_time(self, actor: int, seconds: float) -> Any:
        self.sim.world.lights.yellow_s[self._light(actor)] = seconds
        return wire.OK_VOID

    def set_traffic_light_red_time(self, actor: int, seconds: float) -> Any:
        self.sim.world.lights.red_s[self._light(actor)] = seconds
        return wire.OK_VOID

    def freeze_traffic_light(self, actor: int, frozen: bool) -> Any:
        self._light(actor)
        return self.freeze_all_traffic_lights(frozen)

    def freeze_all_traffic_lights(self, frozen: bool) -> Any:
        self.sim.world.lights.frozen = bool(frozen)
        self.sim.world.fill()
        return wire.OK_VOID

    def reset_traffic_light_group(self, actor: int) -> Any:
        self.sim.world.lights.reset_group(self._light(actor))
        self.sim.world.fill()
        return wire.OK_VOID

    def reset_all_traffic_lights(self) -> Any:
        self.sim.world.lights.reset()
        self.sim.world.fill()
        return wire.OK_VOID

    def get_group_traffic_lights(self, actor: int) -> Any:
        members = self.sim.world.lights.members(self._light(actor))
        return wire.ok([self.sim.world.light_ids[i] for i in members])

    def get_light_boxes(self, actor: int) -> Any:
        self._light(actor)
        return wire.ok([])

    # --- batches ---------------------------------------------------------------------------------

    def apply_batch(self, commands: list[Any], do_tick: bool) -> Any:
        answers = [self._command(command, 0) for command in commands]
        if do_tick:
            self.sim.tick()
        return answers

    def _command(self, command: list[Any], future: int) -> Any:
        """Returns the response to one command; actor 0 is the one just spawned."""
        index, payload = command[0]
        try:
            if index == 0:
                description, transform, parent, attachment, _, following = payload
                owner = parent[1] if parent[0] else 0
                actor = self._spawn(description, transform, owner, attachment)
                for inner in following:
                    self._command(inner, actor)
                return wire.ok(actor)
            if index >= len(COMMANDS):
                raise CallError(f"unknown command {index}")
            if COMMANDS[index] == "console_command":
                return wire.ok(0)
            actor = payload[0] or future
            getattr(self, COMMANDS[index])(actor, *payload[1:])
            return wire.ok(actor)
        except CallError as error:
            return wire.failed(str(error))
