"""Errors that a user can act on: each says what is wrong, where, and what to do."""


class DreamdriveError(Exception):
    """Base of every error that this project raises for its users.

    Args:
        what: What is wrong, as one sentence without a full stop.
        where: The file, port, field or index it was found at.
        do: What the user can do about it.
    """

    def __init__(self, what: str, *, where: object = "", do: str = "") -> None:
        self.what, self.where, self.do = what, str(where), do
        text = what + (f" ({self.where})" if self.where else "") + "."
        super().__init__(f"{text} {do}".strip())

    def __reduce__(self) -> tuple[object, ...]:
        """Keeps the parts when the error crosses a process boundary."""
        return (_rebuild, (type(self), self.what, self.where, self.do))


def _rebuild(cls: type["DreamdriveError"], what: str, where: str, do: str) -> "DreamdriveError":
    return cls(what, where=where, do=do)


class MissingExtraError(DreamdriveError, ImportError):
    """An optional dependency is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"This needs the package {package!r}, which is not installed",
            do=f"Install it with: pip install 'dreamdrive[{extra}]'",
        )

    def __reduce__(self) -> tuple[object, ...]:
        """Keeps the parts when the error crosses a process boundary."""
        return (ImportError, (str(self),))


class MissingAssetsError(DreamdriveError, OSError):
    """Files that an optional dependency fetches by itself are not there and cannot be fetched."""


class ConfigError(DreamdriveError, ValueError):
    """A configuration has an unknown field, a wrong type or an impossible value."""


class CheckpointError(DreamdriveError, ValueError):
    """A checkpoint is missing, truncated, or of a schema that this version cannot read."""


class EpisodeError(DreamdriveError, ValueError):
    """An episode on disk is cut short or does not fit its own description."""


class EventLogError(DreamdriveError, ValueError):
    """The event log of a drive is missing, cut short, or of a schema that cannot be read."""


class RecordingError(DreamdriveError, ValueError):
    """A recording of a world cannot be written or read, or is of another format."""


class NotMeasuredError(DreamdriveError, ValueError):
    """A score needs a fact that the log of a drive does not hold."""


class StorageError(DreamdriveError, OSError):
    """Something could not be written; what was committed before is intact."""


class ActionError(DreamdriveError, ValueError):
    """An action has the wrong shape, is not a number, or lies outside its bounds."""


class MapError(DreamdriveError, ValueError):
    """An OpenDRIVE map cannot be read or driven."""


class ServerError(DreamdriveError, RuntimeError):
    """A CARLA server cannot be reached, has another version, or stopped answering."""


class ServerVersionError(ServerError):
    """What answers is not a server of the version that the client speaks: no retry helps."""


class TownError(ConfigError, ServerError):
    """A server has no town of the name that was asked for."""


class WorkerError(DreamdriveError, RuntimeError):
    """A process that worked for this one ended or failed; what it finished is intact."""


class RouteError(DreamdriveError, ValueError):
    """A route does not exist on its map."""


class KernelError(DreamdriveError, ValueError):
    """A kernel that was asked for by name cannot take these arguments or run on this device."""
