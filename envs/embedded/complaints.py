"""One line for each thing that a peer did wrong, but never so many that they take long."""

import sys
import time
from collections.abc import Callable
from typing import TextIO

PER_MINUTE = 60


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
        self._since, self._written, self._unsaid = clock(), 0, 0

    def say(self, peer: str, cause: str) -> None:
        """Writes a peer's address and what it did; beyond 60 lines a minute only counts them."""
        if self._clock() - self._since >= 60.0:
            if self._unsaid:
                self._write(f"{self._unsaid} more complaints in the last minute")
            self._since, self._written, self._unsaid = self._clock(), 0, 0
        if self._written >= PER_MINUTE:
            self._unsaid += 1
            return
        self._written += 1
        printable = "".join(c if c.isprintable() else "?" for c in cause)
        self._write(f"{peer}: {printable[:300]}")

    def _write(self, line: str) -> None:
        try:
            print(line, file=self._stream or sys.stderr, flush=True)
        except OSError:
            return  # Nobody reads the complaints any more; the world goes on.
