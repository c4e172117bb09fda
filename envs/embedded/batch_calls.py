"""Batches of commands, each with an answer of its own.

Each method is a remote procedure of its own name; arguments and answers are as the wire has them.
"""

from collections.abc import Callable, Mapping
from typing import Any

from dreamdrive.envs.embedded import wire
from dreamdrive.envs.embedded.arguments import CallError, check_finite, items
from dreamdrive.envs.embedded.simulator import Simulator
from dreamdrive.envs.embedded.spawning import spawn

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


class BatchCalls:
    """Procedures that run others.

    Args:
        simulator: The world.
        procedures: What commands run, by name.
    """

    def __init__(self, simulator: Simulator, procedures: Mapping[str, Callable[..., Any]]) -> None:
        self.sim = simulator
        self._procedures = procedures

    def apply_batch(self, commands: list[Any], do_tick: bool, *, is_finite: bool) -> Any:
        answers = [self._answer(command, 0, is_finite) for command in items(commands, "commands")]
        if do_tick:
            self.sim.tick()
        return answers

    def _answer(self, command: Any, future: int, is_finite: bool) -> Any:
        """Returns the response to one command; actor 0 is the one just spawned.

        A command with a number that is not finite is refused and the others are run: the client's
        Traffic Manager sends such commands, and a batch that is refused whole ends its thread.
        """
        try:
            if not is_finite:
                check_finite([command])
            return wire.ok(self._run(command, future, is_finite))
        except CallError as error:
            return wire.failed(str(error))
        except (TypeError, ValueError, LookupError, OverflowError) as error:
            return wire.failed(f"broken command ({error})")

    def _run(self, command: Any, future: int, is_finite: bool) -> int:
        index, payload = items(command, "command", 1)[0]
        if not 0 <= index < len(COMMANDS):
            raise CallError(f"unknown command {index}")
        name = COMMANDS[index]
        if name == "spawn":
            description, place, parent, attachment, _, following = payload
            owner = parent[1] if parent[0] else 0
            actor = spawn(self.sim, description, place, owner, attachment)
            for inner in following:
                self._answer(inner, actor, is_finite)
            return actor
        if name == "console_command":
            raise CallError("there is no console that could run a command")
        number: int = payload[0] or future
        if name == "destroy_actor":
            if not self.sim.destroy(number):
                raise CallError(f"unable to destroy actor {number}: not found")
        else:
            self._procedures[name](number, *payload[1:])
        return number
