"""Why an episode ends: terminations by cause, which a model predicts, and truncations."""

TERMINATION_CAUSES: tuple[str, ...] = (
    "collision_vehicle",
    "collision_walker",
    "collision_static",
    "red_light",
    "stop_sign",
    "off_road",
    "route_deviation",
)
"""Ends of an episode by the driver's own fault; a world model predicts one probability for each."""

TRUNCATION_CAUSES: tuple[str, ...] = ("route_finished", "time_limit", "blocked", "sim_error")
"""Ends that are no fault of the state reached: values bootstrap through them."""

CAUSES: tuple[str, ...] = ("", *TERMINATION_CAUSES, *TRUNCATION_CAUSES)
"""All causes by number, as episodes store them; 0 means that the episode goes on."""

CAUSE_INDEX: dict[str, int] = {name: i for i, name in enumerate(CAUSES)}


def is_collision(cause: str) -> bool:
    """Returns whether a cause is a collision of any kind."""
    return cause.startswith("collision_")
