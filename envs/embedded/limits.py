"""What one client may ask of the server, so that it cannot starve the others."""

from dataclasses import dataclass, fields

from dreamdrive.errors import ConfigError

MEANINGS = {
    "max_message_bytes": "size of one call, and of all that wait behind one; a sender of more "
    "loses the connection",
    "max_items": "length of one list in a call; a longer one costs the connection",
    "max_depth": "how deep lists in a call may be nested; a deeper call is refused",
    "max_actors": "actors in the world, those of the town included; a further spawn is refused",
    "max_connections": "open sockets of both ports; a further one is closed",
    "max_subscriptions": "subscribers of streams; a further one is closed",
    "max_queued_bytes": "what may wait for one peer; a subscriber loses its oldest frames, a "
    "caller that does not read its answers the connection",
    "max_debug_shapes": "debug shapes that are kept; the oldest go first",
    "max_recording_bytes": "what all recordings may hold together; at that length one ends",
}
"""What each limit bounds, and what happens beyond it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Bounds on what clients send and leave behind, which `MEANINGS` explains."""

    max_message_bytes: int = 64 << 20
    max_items: int = 1 << 17
    max_depth: int = 32
    max_actors: int = 10_000
    max_connections: int = 900
    max_subscriptions: int = 600
    max_queued_bytes: int = 64 << 20
    max_debug_shapes: int = 10_000
    max_recording_bytes: int = 4 << 30

    def __post_init__(self) -> None:
        """Checks the bounds.

        Raises:
            ConfigError: If one is not positive.
        """
        for field in fields(self):
            if getattr(self, field.name) < 1:
                raise ConfigError(f"{field.name} must be at least 1")
