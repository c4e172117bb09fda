"""Calls about vehicles: controls, physics, telemetry, lights, wheels.

Each method is a remote procedure of its own name; arguments and answers are as the wire has them.
"""

import math
from typing import Any

from dreamdrive.envs.embedded import wire
from dreamdrive.envs.embedded.ackermann import DEFAULT_SETTINGS, Target
from dreamdrive.envs.embedded.arguments import CallError, flag, integer, items, number, numbers
from dreamdrive.envs.embedded.blueprints import DOORS, VEHICLES
from dreamdrive.envs.embedded.physics_control import check_physics, default_physics, telemetry
from dreamdrive.envs.embedded.simulator import Simulator
from dreamdrive.envs.embedded.tuning import tune

ALL_DOORS = 6
"""What stands for all doors on the wire."""
WHEELS = 15
"""Where the wheels stand in a VehiclePhysicsControl."""


class VehicleCalls:
    """Procedures that concern vehicles."""

    def __init__(self, simulator: Simulator) -> None:
        self.sim = simulator

    def _living(self, actor: int) -> int:
        if actor in self.sim.dead:
            raise CallError(f"unable to control actor {actor}: it is dead")
        return self.sim.vehicle(actor)

    # --- controls --------------------------------------------------------------------------------

    def apply_control_to_vehicle(self, actor: int, control: list[Any]) -> None:
        row, cars = self._living(actor), self.sim.world.vehicles
        throttle, steer, brake, hand_brake, reverse, manual, gear = items(control, "control", 7)
        if not math.isfinite(throttle + steer + brake):
            raise CallError(f"the control of vehicle {actor} is not finite")
        cars.throttle[row] = min(max(throttle, 0.0), 1.0)
        cars.steer[row] = min(max(steer, -1.0), 1.0)
        cars.brake[row] = min(max(brake, 0.0), 1.0)
        cars.hand_brake[row], cars.reverse[row] = float(hand_brake), float(reverse)
        cars.manual[row], cars.gear[row] = float(manual), integer(gear, "gear", -128, 127)
        self.sim.ackermann.targets.pop(actor, None)

    def apply_ackermann_control_to_vehicle(self, actor: int, control: list[float]) -> None:
        row = self._living(actor)
        steer, steer_speed, speed, acceleration, jerk = numbers(control, "control", 5)
        target = Target(steer, abs(steer_speed), speed, abs(acceleration), abs(jerk))
        before = self.sim.ackermann.targets.get(actor)
        if before is not None:
            target.pull_mps2, target.error_m = before.pull_mps2, before.error_m
        cars = self.sim.world.vehicles
        cars.hand_brake[row] = cars.manual[row] = cars.gear[row] = 0.0
        self.sim.ackermann.targets[actor] = target

    def get_ackermann_controller_settings(self, actor: int) -> Any:
        self.sim.vehicle(actor)
        return wire.ok(self.sim.ackermann.settings.get(actor, list(DEFAULT_SETTINGS)))

    def apply_ackermann_controller_settings(self, actor: int, settings: list[float]) -> None:
        self.sim.vehicle(actor)
        self.sim.ackermann.settings[actor] = numbers(settings, "settings", 6)

    def set_actor_autopilot(self, actor: int, enabled: bool) -> None:
        self.sim.vehicle(actor)
        flag(enabled, "enabled")

    # --- physics ---------------------------------------------------------------------------------

    def get_physics_control(self, actor: int) -> Any:
        return wire.ok(self._physics(actor))

    def _physics(self, actor: int) -> list[Any]:
        """Returns what a vehicle was told of its physics, its wheels where they are."""
        row, cars = self.sim.vehicle(actor), self.sim.world.vehicles
        told = self.sim.physics_controls.get(actor)
        control = default_physics(cars, row, VEHICLES[self.sim.world.actors[actor].kind])
        if told is not None:
            places = [wheel[-1] for wheel in control[WHEELS]]
            wheels = [[*w[:-1], at] for w, at in zip(told[WHEELS], places, strict=True)]
            control = [*told[:WHEELS], wheels, *told[WHEELS + 1 :]]
        return control

    def apply_physics_control(self, actor: int, control: list[Any]) -> None:
        row, cars = self.sim.vehicle(actor), self.sim.world.vehicles
        check_physics(control)
        model = VEHICLES[self.sim.world.actors[actor].kind]
        tune(cars, row, model, control, default_physics(cars, row, model))
        self.sim.physics_controls[actor] = control

    def get_telemetry_data(self, actor: int) -> Any:
        row = self.sim.vehicle(actor)
        return wire.ok(telemetry(self.sim.world.vehicles, row, self._physics(actor)))

    def show_vehicle_debug_telemetry(self, actor: int, enabled: bool) -> None:
        self.sim.vehicle(actor)
        flag(enabled, "enabled")

    def restore_physx_physics(self, actor: int) -> None:
        self.sim.vehicle(actor)

    # --- wheels ----------------------------------------------------------------------------------

    def get_wheel_steer_angle(self, actor: int, wheel: int) -> Any:
        row, cars = self.sim.vehicle(actor), self.sim.world.vehicles
        integer(wheel, "wheel", 0, 3)
        shown = self.sim.wheel_angles.get((actor, "steer", wheel))
        if shown is not None and cars.physics[row] == 0.0:
            return wire.ok(shown)
        angle = math.degrees(float(cars.steer[row] * cars.max_steer[row]))
        return wire.ok(angle if wheel < 2 else 0.0)

    def set_wheel_steer_direction(self, actor: int, wheel: int, angle_deg: float) -> None:
        self._show_wheel(actor, "steer", wheel, angle_deg)

    def get_wheel_pitch_angle(self, actor: int, wheel: int) -> Any:
        self.sim.vehicle(actor)
        key = (actor, "pitch", integer(wheel, "wheel", 0, 3))
        return wire.ok(self.sim.wheel_angles.get(key, 0.0))

    def set_wheel_pitch_angle(self, actor: int, wheel: int, angle_deg: float) -> None:
        self._show_wheel(actor, "pitch", wheel, angle_deg)

    def _show_wheel(self, actor: int, axis: str, wheel: int, angle_deg: float) -> None:
        self.sim.vehicle(actor)
        key = (actor, axis, integer(wheel, "wheel", 0, 3))
        self.sim.wheel_angles[key] = number(angle_deg, "angle", -360.0, 360.0)

    # --- doors -----------------------------------------------------------------------------------

    def open_vehicle_door(self, actor: int, door: int) -> None:
        doors = self.sim.doors
        doors[actor] = self._flags(actor, door) | doors.get(actor, 0)

    def close_vehicle_door(self, actor: int, door: int) -> None:
        doors = self.sim.doors
        doors[actor] = doors.get(actor, 0) & ~self._flags(actor, door)

    def _flags(self, actor: int, door: int) -> int:
        """Returns the flags of a door, or of all."""
        self.sim.vehicle(actor)
        kind = self.sim.world.actors[actor].kind
        if not VEHICLES[kind].has_doors:
            raise CallError(f"the doors of {kind} do not open: has_dynamic_doors is false")
        chosen = integer(door, "door", 0, ALL_DOORS)
        if DOORS <= chosen < ALL_DOORS:
            raise CallError(f"neither bonnet nor boot of {kind} opens")
        return (1 << DOORS) - 1 if chosen == ALL_DOORS else 1 << chosen

    # --- lights ----------------------------------------------------------------------------------

    def set_vehicle_light_state(self, actor: int, state: Any) -> None:
        self.sim.vehicle(actor)
        flags = state[0] if isinstance(state, list) else state
        self.sim.light_states[actor] = integer(flags, "light_state")

    def get_vehicle_light_state(self, actor: int) -> Any:
        self.sim.vehicle(actor)
        return wire.ok([self.sim.light_states.get(actor, 0)])

    def get_vehicle_light_states(self) -> Any:
        known = self.sim.light_states
        return wire.ok([[int(i), known.get(int(i), 0)] for i in self.sim.world.vehicles.id])
