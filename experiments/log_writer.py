"""Writes the event log of a drive while it is driven, and finishes it with the drive's result."""

import contextlib
import json
import math
from dataclasses import replace
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
    parse_log,
)
from dreamdrive.files import write_atomically


def unfinished(path: Path) -> Path:
    """Returns where the log of a drive stands until its result is there."""
    return path.with_name(f".{path.name}.part")


class LogWriter:
    """The log of a drive that is going on; a context manager.

    Each line is handed to the system at once, so that a process that is killed loses none.

    Args:
        path: Where the finished log will stand.
        start: What is known at the start: `route`, `seed`, `length_m`, `tick_s` and the like.

    Raises:
        StorageError: If it could not be written.
    """

    def __init__(self, path: Path, start: dict[str, Any]) -> None:
        self._part = unfinished(path)
        try:
            self._part.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._part.open("w", buffering=1)
        except OSError as error:
            raise _not_written(self._part, error) from error
        form = {"columns": TICK_COLUMNS, "actor_columns": ACTOR_COLUMNS}
        told = {"unwatched": UNWATCHED, **start}
        self._line({"kind": "start", "schema": SCHEMA, **told, **form})

    def tick(self, row: list[Any]) -> None:
        """Takes the values of `TICK_COLUMNS` and the list of actors around.

        Raises:
            StorageError: If it could not be written.
        """
        self._line({"kind": "ticks", "rows": [row]})

    def event(self, event: LogEvent) -> None:
        """Takes an infraction.

        Raises:
            StorageError: If it could not be written.
        """
        self._line({"kind": "event", **to_dict(event)})

    def close(self) -> None:
        """Closes the file; what stands in it stays."""
        with contextlib.suppress(OSError):
            self._file.close()

    def __enter__(self) -> "LogWriter":
        """Returns itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """Closes the file."""
        self.close()

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
    whole = _whole_lines(part)
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


def result_of_unfinished(path: Path, blank: DriveResult) -> DriveResult:
    """Returns what a drive had come to when the process that drove it was ended.

    Args:
        path: Where its finished log would stand.
        blank: The result with all that was known before the drive, and why it ended.
    """
    lines = _whole_lines(unfinished(path)).decode().splitlines()
    if not lines:
        return blank
    begun = replace(blank, length_m=float(json.loads(lines[0])["length_m"]))
    end = json.dumps({"kind": "end", "result": to_dict(begun)})
    log = parse_log([*lines, end], str(path))
    if log.ticks is None or not len(log.ticks):
        return begun
    found = log.until(math.inf, blank.cause).result
    return replace(
        found, outside_route_m=round(found.outside_route_m, 3),
        mean_speed_mps=round(found.mean_speed_mps, 4),
    )  # fmt: skip


def _whole_lines(part: Path) -> bytes:
    """Returns an unfinished log without a line that was cut short."""
    begun = part.read_bytes() if part.is_file() else b""
    return begun[: begun.rfind(b"\n") + 1]


def _not_written(path: Path, error: OSError) -> StorageError:
    return StorageError(
        f"Could not write the event log: {error.strerror or error}", where=path,
        do="Free some space or choose another folder, then run the same command again.",
    )  # fmt: skip
