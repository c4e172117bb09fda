"""What a recording says of a moment: the tables as they were, or between two frames."""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dreamdrive.envs.embedded.recorder.columns import TableReader
from dreamdrive.envs.embedded.recorder.file_format import TABLES, Frame
from dreamdrive.errors import RecordingError

SMOOTH = ("pose", "velocity", "acceleration", "yaw_rate", "z", "pitch", "roll", "walked")
"""Fields that pass through the values between two frames; others keep those of the earlier one."""
ANGLES = ("pitch", "roll")

Table = tuple[NDArray[np.int64], NDArray[Any]]
"""Ids, shape (n,), and rows, shape (n,)."""


class Moment(NamedTuple):
    """A time and the tables that belong to it, by name."""

    time_s: float
    tables: dict[str, Table]


class MomentReader:
    """Builds the tables of each frame from those before it."""

    def __init__(self) -> None:
        self._readers = {name: TableReader(dtype) for name, dtype in TABLES.items()}

    def read(self, frame: Frame) -> Moment:
        """Returns the moment of the next frame.

        Raises:
            RecordingError: If the frame lacks a table or its parts do not fit.
        """
        for name, reader in self._readers.items():
            packed = frame.content.get(name)
            if not isinstance(packed, list) or len(packed) != 3:
                raise RecordingError(f"Frame {frame.number} lacks its {name}")
            reader.unpack(packed)
        return Moment(frame.time_s, {n: (r.ids, r.table) for n, r in self._readers.items()})


def between(first: Moment, second: Moment, time_s: float) -> dict[str, Table]:
    """Returns the tables at a time between two moments.

    Bodies that are in both move in straight lines and turn the shorter way; what else there is
    stays as it was at the first.
    """
    share = (time_s - first.time_s) / (second.time_s - first.time_s)
    found = dict(first.tables)
    for name in ("vehicles", "walkers"):
        ids, rows = first.tables[name]
        later_ids, later = second.tables[name]
        if not np.array_equal(ids, later_ids):
            _, here, there = np.intersect1d(ids, later_ids, return_indices=True)
        else:
            here = there = np.arange(len(ids))
        mixed = rows.copy()
        for field in (field for field in SMOOTH if field in (rows.dtype.names or ())):
            step = later[field][there] - rows[field][here]
            if field == "pose":
                step[:, 2] = _wrapped(step[:, 2])
            elif field in ANGLES:
                step = _wrapped(step)
            mixed[field][here] += share * step
        found[name] = (ids, mixed)
    return found


def _wrapped(angle: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns angles within half a turn of 0."""
    return (angle + math.pi) % (2.0 * math.pi) - math.pi
