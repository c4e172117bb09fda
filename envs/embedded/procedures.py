"""All remote procedures by name, and how each is answered."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dreamdrive.envs.embedded import refused_calls, wire
from dreamdrive.envs.embedded.actor_calls import ActorCalls
from dreamdrive.envs.embedded.arguments import CallError, NotReadyError, check_finite, check_tree
from dreamdrive.envs.embedded.batch_calls import BatchCalls
from dreamdrive.envs.embedded.bone_calls import BoneCalls
from dreamdrive.envs.embedded.ray_calls import RayCalls
from dreamdrive.envs.embedded.recorder_calls import RecorderCalls
from dreamdrive.envs.embedded.scenery_calls import SceneryCalls
from dreamdrive.envs.embedded.simulator import Simulator
from dreamdrive.envs.embedded.texture_calls import TextureCalls
from dreamdrive.envs.embedded.traffic_light_calls import TrafficLightCalls
from dreamdrive.envs.embedded.vehicle_calls import VehicleCalls
from dreamdrive.envs.embedded.walker_calls import WalkerCalls
from dreamdrive.envs.embedded.world_calls import WorldCalls

BATCH = "apply_batch"
GROUPS = (
    WorldCalls, SceneryCalls, RayCalls, ActorCalls, VehicleCalls, WalkerCalls, TrafficLightCalls,
    RecorderCalls, BoneCalls, TextureCalls,
)  # fmt: skip
Run = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Procedure:
    """What answers a call, and whether the answer is a `Response<void>`."""

    run: Callable[..., Any]
    is_void: bool


class Procedures:
    """All procedures of a simulator.

    Methods of the groups whose return annotation is None answer with a `Response<void>`.
    """

    def __init__(self, simulator: Simulator) -> None:
        self._limits = simulator.limits
        self._known: dict[str, Procedure] = {}
        for group in (made(simulator) for made in GROUPS):
            self._add(group)
        runs = {name: procedure.run for name, procedure in self._known.items()}
        self._add(BatchCalls(simulator, runs))
        for reasons, is_void in ((refused_calls.VALUED, False), (refused_calls.VOID, True)):
            for name, reason in reasons.items():
                self._known[name] = Procedure(refused_calls.refusal(reason), is_void)

    def _add(self, group: object) -> None:
        for name, run in inspect.getmembers(group, inspect.ismethod):
            if not name.startswith("_"):
                self._known[name] = Procedure(run, inspect.signature(run).return_annotation is None)

    def names(self) -> list[str]:
        """Returns the names of all procedures."""
        return sorted(self._known)

    def answer(
        self, method: str, arguments: list[Any], again: Callable[[], Any] | None = None
    ) -> tuple[Any, Any, str]:
        """Returns a call's error, its result, and the cause where it was refused.

        Args:
            method: Name of the procedure.
            arguments: As they came, the metadata in front.
            again: What answers it, if it was put off before.

        Raises:
            NotReadyError: If what it asks for is still being made.
        """
        procedure = self._known.get(method)
        if procedure is None:
            text = f"no such function: {method[:80]}"
            return text, None, text
        try:
            is_finite = check_tree(arguments, self._limits.max_depth)
            if again is not None:
                result = again()
            elif method == BATCH:
                result = procedure.run(*arguments[1:], is_finite=is_finite)
            else:
                if not is_finite:
                    check_finite(arguments)
                result = procedure.run(*arguments[1:])
        except NotReadyError:
            raise
        except CallError as error:
            text = str(error)
        except Exception as error:  # Whatever it is, it must not end the server.
            text = f"{method}: broken arguments ({error})"
        else:
            return None, wire.OK_VOID if procedure.is_void else result, ""
        if method == BATCH:  # Its result has no room for an error of the whole.
            return text, None, text
        return None, wire.failed_void(text) if procedure.is_void else wire.failed(text), text
