"""Writes the event log of a drive while it is driven, and finishes it with the drive's result."""

import json
from pathlib import Path
from typing import Any

from dreamdrive.config import to_dict
from dreamdrive.errors import StorageError
from dreamdrive.experiments.drives import DriveResult
from dreamdrive.experiments.event_log import (
    ACTOR_COLUMNS,
    SCHEMA,
    TICK_COLUMNS,
    UNWATCHED,
    LogEvent,
)
from dreamdrive.files import write_atomically

ROWS_PER_LINE = 100
"""Ticks that are kept in memory: a process that is killed loses at most these."""


def unfinished(path: Path) -> Path:
    """Returns where the log of a drive stands until its result is there."""
    return path.with_name(f".{path.name}.part")


class LogWriter:
    """The log of a drive that is going on; a context manager.

    Args:
        path: Where the finished log will stand.
        start: What is known at the start: `route`, `seed`, `length_m`, `tick_s` and the like.

    Raises:
        StorageError: If it could not be written.
    """

    def __init__(self, path: Path, start: dict[str, Any]) -> None:
        self._part = unfinished(path)
        self._rows: list[list[Any]] = []
        try:
            self._part.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._part.open("w")
        except OSError as error:
            raise _not_written(self._part, error) from error
        form = {"columns": TICK_COLUMNS, "actor_columns": ACTOR_COLUMNS}
        told = {"unwatched": UNWATCHED, **start}
        self._line({"kind": "start", "schema": SCHEMA, **told, **form})
        self._flush()

    def tick(self, row: list[Any]) -> None:
        """Takes the values of `TICK_COLUMNS` and the list of actors around.

        Raises:
            StorageError: If it could not be written.
        """
        self._rows.append(row)
        if len(self._rows) >= ROWS_PER_LINE:
            self._flush()

    def event(self, event: LogEvent) -> None:
        """Takes an infraction.

        Raises:
            StorageError: If it could not be written.
        """
        self._line({"kind": "event", **to_dict(event)})

    def close(self) -> None:
        """Writes what is left.

        Raises:
            StorageError: If it could not be written.
        """
        try:
            self._flush()
        finally:
            self._file.close()

    def __enter__(self) -> "LogWriter":
        """Returns itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """Writes what is left."""
        self.close()

    def _flush(self) -> None:
        if self._rows:
            self._line({"kind": "ticks", "rows": self._rows})
            self._rows = []
        try:
            self._file.flush()
        except OSError as error:
            raise _not_written(self._part, error) from error

    def _line(self, content: dict[str, Any]) -> None:
        try:
            self._file.write(json.dumps(content, separators=(",", ":")) + "\n")
        except OSError as error:
            raise _not_written(self._part, error) from error


def finish_log(path: Path, result: DriveResult) -> None:
    """Ends the log of a drive with its result, and puts it where it belongs, whole or not at all.

    What a killed process left of its last line is dropped. A drive that was not logged, or of
    which not one line was written, has no log afterwards either.

    Raises:
        StorageError: If it could not be written.
    """
    part = unfinished(path)
    begun = part.read_bytes() if part.is_file() else b""
    whole = begun[: begun.rfind(b"\n") + 1]
    if not whole:
        path.unlink(missing_ok=True)
        part.unlink(missing_ok=True)
        return
    outcome = to_dict(result)
    del outcome["events"]
    if not outcome["scenarios"]:
        del outcome["scenarios"]
    end = json.dumps({"kind": "end", "result": outcome}, separators=(",", ":")) + "\n"
    write_atomically(path, whole + end.encode())
    part.unlink(missing_ok=True)


def _not_written(path: Path, error: OSError) -> StorageError:
    return StorageError(
        f"Could not write the event log: {error.strerror or error}", where=path,
        do="Free some space or choose another folder, then run the same command again.",
    )  # fmt: skip
