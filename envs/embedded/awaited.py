"""Streams that a client has asked the way to and has not come for yet.

`sensor.listen` asks for the token of a stream and connects to it in another thread, so a tick that
is asked for at once would find nobody listening: its frame would be lost, and a client that waits
for the frame of each tick would wait for ever. Such a tick is put off until the client has come.
"""

import time
from collections.abc import Callable

COMING_S = 0.25
"""How long a client may take to come; one that never does delays one tick by so much."""


class AwaitedStreams:
    """Remembers who has asked for which stream.

    Args:
        clock: Returns the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._asked: list[tuple[float, int, int]] = []

    def ask(self, caller: int, stream: int) -> None:
        """Notes that a client has asked the way to a stream."""
        self._asked.append((self._clock() + COMING_S, caller, stream))

    def come(self, stream: int) -> int | None:
        """Notes that somebody listens to a stream: the one who has asked first, if anybody has."""
        for entry in self._asked:
            if entry[2] == stream:
                self._asked.remove(entry)
                return entry[1]
        return None

    def forget(self, caller: int) -> None:
        """Forgets a client that has gone."""
        self._asked = [entry for entry in self._asked if entry[1] != caller]

    def are_for(self, caller: int) -> bool:
        """Returns whether a client is still expected at a stream."""
        if not self._asked:
            return False
        now = self._clock()
        self._asked = [entry for entry in self._asked if entry[0] > now]
        return any(entry[1] == caller for entry in self._asked)
