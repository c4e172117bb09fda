"""Tables of numbers that change a little from tick to tick, as the words that changed.

A table is a structured array whose fields are all eight bytes wide. Words are compared as bits, so
that what comes back is what went in, to the last one.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamdrive.errors import RecordingError

Packed = list[bytes]
"""Ids, nothing and all values; or no ids, a mask of the words that changed, and their values."""


def _words(table: NDArray[Any]) -> NDArray[np.uint64]:
    """Returns a table's words, shape (n, k)."""
    return table.view(np.uint64).reshape(len(table), table.dtype.itemsize // 8)


class TableWriter:
    """Says how a table differs from what it was."""

    def __init__(self) -> None:
        self._ids = b""
        self._before = np.zeros((0, 0), np.uint64)

    def pack(self, ids: NDArray[np.int64], table: NDArray[Any], *, whole: bool) -> Packed:
        """Returns a table, whole or as what changed since the last call.

        Args:
            ids: What each row is about, shape (n,).
            table: Structured array, shape (n,).
            whole: Whether a reader has to understand it without what came before.
        """
        words, names = _words(table), ids.tobytes()
        if whole or names != self._ids or words.shape != self._before.shape:
            self._ids, self._before = names, words.copy()
            return [names, b"", self._before.tobytes()]
        changed = words != self._before
        values = words[changed]
        if len(values):
            self._before = words.copy()
        return [b"", np.packbits(changed).tobytes() if len(values) else b"", values.tobytes()]


class TableReader:
    """Builds a table from its changes.

    Args:
        dtype: Of its rows.

    Attributes:
        ids: What each row is about, shape (n,).
        table: The rows, shape (n,); replaced, never written, when something changes.
    """

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._dtype = dtype
        self.ids = np.zeros(0, np.int64)
        self.table = np.zeros(0, dtype)

    def unpack(self, packed: Packed) -> None:
        """Takes over a table or what changed in it.

        Raises:
            RecordingError: If the parts do not fit each other.
        """
        names, mask, values = packed
        try:
            if not mask and not values and not names:
                return
            if not mask:
                self.ids = np.frombuffer(names, np.int64)
                table = np.frombuffer(values, self._dtype)
                if len(table) != len(self.ids):
                    raise ValueError(f"{len(self.ids)} ids, {len(table)} rows")
                self.table = table
                return
            words = _words(self.table).copy()
            bits = np.unpackbits(np.frombuffer(mask, np.uint8), count=words.size)
            words[bits.view(bool).reshape(words.shape)] = np.frombuffer(values, np.uint64)
            self.table = words.reshape(-1).view(self._dtype)
        except (ValueError, TypeError) as error:
            raise RecordingError(f"A frame's numbers do not fit each other: {error}") from error
