"""What one client may ask of the server, so that it cannot starve the others."""

from dataclasses import dataclass, fields

from dreamdrive.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Bounds on what clients send and leave behind.

    Attributes:
        max_message_bytes: Size of one call, and of all that wait behind one; a sender of more loses
            the connection.
        max_items: Length of one list in a call; a longer one costs the connection.
        max_depth: How deep lists in a call may be nested; a deeper call is refused.
        max_actors: Actors in the world, those of the town included; a further spawn is refused.
        max_connections: Open sockets of both ports; a further one is closed.
        max_subscriptions: Subscribers of streams; a further one is closed.
        max_queued_bytes: What may wait for one peer. A subscriber loses its oldest frames, a
            caller that does not read its answers the connection.
        max_debug_shapes: Debug shapes that are kept; the oldest go first.
        max_recording_bytes: What all recordings may hold together; at that length one ends.
    """

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
