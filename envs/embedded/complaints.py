"""One line for each thing that a peer did wrong, but never so many that they take long."""

import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import TextIO

PER_MINUTE, PER_PEER = 60, 20
"""Lines in a minute, and of one peer, so that a flood of one hides nobody else's first."""


class Complaints:
    """Writes who did what wrong.

    Args:
        clock: Returns the time in seconds.
        stream: Where the lines go; standard error where it is None.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, stream: TextIO | None = None
    ) -> None:
        self._clock, self._stream = clock, stream
        self._since, self._unsaid = clock(), 0
        self._written: Counter[str] = Counter()

    def say(self, peer: str, cause: str) -> None:
        """Writes a peer's address and what it did; beyond its lines of a minute only counts."""
        if self._clock() - self._since >= 60.0:
            if self._unsaid:
                self._write(f"{self._unsaid} more complaints in the last minute")
            self._since, self._unsaid = self._clock(), 0
            self._written.clear()
        if self._written.total() >= PER_MINUTE or self._written[peer] >= PER_PEER:
            self._unsaid += 1
            return
        self._written[peer] += 1
        printable = "".join(c if c.isprintable() else "?" for c in cause)
        self._write(f"{peer}: {printable[:300]}")

    def _write(self, line: str) -> None:
        try:
            print(line, file=self._stream or sys.stderr, flush=True)
        except OSError:
            return  # Nobody reads the complaints any more; the world goes on.
