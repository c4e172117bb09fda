"""Calls that nothing in a world of boxes could answer truly, and why."""

from collections.abc import Callable
from typing import Any

from dreamdrive.envs.embedded.arguments import CallError

NO_GBUFFERS = "the embedded server has no G-buffers"
NO_ROS = "the embedded server does not publish to ROS"
NO_RADIO = "the embedded server has no V2X radio"
NO_CARSIM = "the embedded server has no CarSim"
NO_CHRONO = "the embedded server has no Chrono physics"
ALL_SEE = "the sensors of the embedded server can ignore no vehicles"

VALUED: dict[str, str] = {"get_gbuffer_token": NO_GBUFFERS}
"""Why, by name, where the answer would be a value."""
VOID: dict[str, str] = {
    "enable_gbuffers": NO_GBUFFERS,
    **dict.fromkeys(("enable_sensor_for_ros", "disable_sensor_for_ros"), NO_ROS),
    "send": NO_RADIO,
    **dict.fromkeys(("enable_carsim", "use_carsim_road"), NO_CARSIM),
    "enable_chrono_physics": NO_CHRONO,
    "set_ignored_vehicles": ALL_SEE,
}  # fmt: skip
"""Why, by name, where the answer would be nothing."""


def refusal(reason: str) -> Callable[..., Any]:
    """Returns a procedure that refuses whatever it is asked."""

    def refuse(*_: Any) -> Any:
        raise CallError(reason)

    return refuse
