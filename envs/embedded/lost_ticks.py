"""Wakes Traffic Managers that sleep through a tick of their client.

In synchronous mode `World.tick` of CARLA 0.9.16 hands over to the Traffic Manager's thread by a
condition variable that it notifies without the lock: once in some thousand ticks, more often on a
busy machine, the notification falls between the other thread's check and its wait, and client and
manager wait for each other for ever. A server of twenty ticks a second rarely sees it. This one
does, and it can tell: it has answered the tick, and the manager, which after each tick so far asked
for the vehicles' lights, has not. Switching the manager's mode off and on notifies it once more.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from dreamdrive.envs.manager_port import switch_off_and_on

TICK, STEP = "tick_cue", "get_vehicle_light_states"
"""What a client calls to tick, and what its Traffic Manager calls in each step."""
SURE_AFTER = 10
"""Ticks in a row with a step each, after which one without is lost."""
LOST_AFTER_S = 12.0
"""How long a manager may take to begin its step. Waking one that is merely slow costs it a step of
its own, after which its vehicles drive otherwise; clients that look after themselves do it before.
"""
LOOK_EVERY_S = 0.25


@dataclass(slots=True)
class Ticking:
    """A client that ticks.

    Attributes:
        host: Its address.
        steps: Ticks in a row with a step each.
        since_s: When the last tick without a step was answered, 0 for none.
    """

    host: str
    steps: int = 0
    since_s: float = 0.0


def _wake(port: int, host: str) -> None:
    """Wakes a manager without waiting for it."""

    def switch() -> None:
        with contextlib.suppress(OSError):
            switch_off_and_on(port, host)

    threading.Thread(target=switch, daemon=True).start()


class LostTicks:
    """Watches what clients with Traffic Managers call.

    Args:
        managers: Host, port and client of each Traffic Manager, by its port, as they change.
        wake: Wakes the manager at a port and host.
        clock: Returns the time in seconds.
        lost_after_s: How long a manager may take to begin its step.
    """

    def __init__(
        self, managers: Mapping[int, tuple[str, int, int]],
        wake: Callable[[int, str], None] = _wake, clock: Callable[[], float] = time.monotonic,
        lost_after_s: float = LOST_AFTER_S,
    ) -> None:  # fmt: skip
        self._managers, self._wake, self._clock = managers, wake, clock
        self._lost_after_s = lost_after_s
        self._ticking: dict[int, Ticking] = {}

    @property
    def wait_s(self) -> float | None:
        """How long the server may sleep; None for as long as it likes."""
        return LOOK_EVERY_S if self._managers else None

    def hear(self, caller: int, host: str, method: str) -> None:
        """Notes a call that has been answered."""
        if method == TICK:
            found = self._ticking.setdefault(caller, Ticking(host))
            if found.since_s:
                found.steps = 0
            found.since_s = self._clock()
        elif method == STEP and caller in self._ticking:
            found = self._ticking[caller]
            found.steps += bool(found.since_s)
            found.since_s = 0.0

    def forget(self, caller: int) -> None:
        """Forgets a client that has gone."""
        self._ticking.pop(caller, None)

    def free(self) -> list[int]:
        """Wakes the managers of lost ticks and returns their ports."""
        freed, now = [], self._clock()
        for port, (_, _, caller) in self._managers.items():
            found = self._ticking.get(caller)
            if not port or found is None or not found.since_s or found.steps < SURE_AFTER:
                continue
            if now - found.since_s >= self._lost_after_s:
                found.since_s = now
                self._wake(port, found.host)
                freed.append(port)
        return freed
