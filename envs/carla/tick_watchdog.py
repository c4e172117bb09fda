"""Frees a tick that the Traffic Manager has lost.

In synchronous mode the client's `World.tick` hands over to the Traffic Manager's thread by
condition variables that are notified without their lock. Once in some thousand ticks a notification
falls between the other thread's check and its wait: both sides then wait for ever, and no deadline
of the client covers it. Switching synchronous mode off and on again notifies the sleeping side once
more. The lost tick holds the lock of the Python API's Traffic Manager, so the switch goes through
its own RPC port, whose thread needs no lock.

The Traffic Manager's own thread ends with the first of its calls that the server answers too late,
be it that the whole process stood still meanwhile, or never, since it has ended. Then no switch
helps: the tick waits for ever, with a lock that nothing else can take from it. Such a process ends
with a sentence, so that who watches it can start another.

The switch costs the Traffic Manager a step of its own, after which its vehicles drive otherwise. So
a tick that is merely slow, on a machine that has more to do than cores, must not be taken for a
lost one: a tick is lost when the server has answered all that it was asked and no thread that could
end the tick is running or waits for a core.
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable
from typing import Any, ClassVar

from dreamdrive.envs.carla.rest import Rest
from dreamdrive.envs.manager_port import switch_off_and_on

POLL_S = 0.05
LOST_AFTER_S = 0.3
"""How long all threads must have rested; far longer than a step of the Traffic Manager takes."""

IN_VAIN = 5
"""Who is there to be woken ends his tick after the first switch."""

ENDED = (
    "The Traffic Manager of this process has ended, since the server was too slow for a call of "
    "its own, or has ended, or the process stood still. A tick waits for it that nothing can end, "
    "so the process ends; what it has written stands. A slow server wants a longer tick deadline."
)
EXIT_CODE = 75
"""`EX_TEMPFAIL` of sysexits.h: another try may succeed."""

GIVEN_UP_AFTER_S = 10.0
"""A tick that lasts so long after the server has answered is lost, whoever is awake."""


def end_process() -> None:
    """Ends this process at once: its main thread no longer can."""
    os.write(2, f"dreamdrive: {ENDED}\n".encode())
    os._exit(EXIT_CODE)


class TickWatchdog:
    """Watches the ticks of one world from a thread of its own.

    A tick of any world of a process runs every Traffic Manager of that process, so each of them may
    be the one that is lost.

    Args:
        ask_server: Returns once the server has answered everything that it was asked before.
        lost_after_s: How long all threads must have rested.
        given_up_after_s: A tick that goes on for so long is lost in any case.
        end_process: Called where a tick was freed `IN_VAIN` times and still waits.
    """

    _ports: ClassVar[set[int]] = set()

    def __init__(
        self,
        ask_server: Callable[[], object],
        lost_after_s: float = LOST_AFTER_S,
        given_up_after_s: float = GIVEN_UP_AFTER_S,
        end_process: Callable[[], None] = end_process,
    ) -> None:
        self.num_freed = self.num_lost = 0
        self._num_begun = self._lost_tick = 0
        self._end_process = end_process
        self._ask_server = ask_server
        self._lost_after_s, self._given_up_after_s = lost_after_s, given_up_after_s
        self._world: Any = None
        self._port = 0
        self._frame = 0
        self._since = 0.0
        self._caller = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, world: Any, manager_port: int, frame: int) -> None:
        """Notes that a tick begins.

        Args:
            world: The world that ticks.
            manager_port: The RPC port of its Traffic Manager, on this machine.
            frame: The frame before the tick.
        """
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, daemon=True, name="tick-watchdog")
            self._thread.start()
        if self._port != manager_port:
            self._ports.discard(self._port)
            self._ports.add(manager_port)
        self._world, self._port, self._frame = world, manager_port, frame
        self._caller = threading.get_native_id()
        self._num_begun += 1
        self._since = time.monotonic()

    def end(self) -> None:
        """Notes that the tick is over."""
        self._since = 0.0

    def close(self) -> None:
        """Stops watching."""
        self._ports.discard(self._port)
        self._port = 0
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._stop = threading.Event()

    def _watch(self) -> None:
        rest, rested_since, watched, is_answered = Rest(), 0.0, 0.0, False
        tick = in_vain = 0
        while not self._stop.wait(POLL_S):
            since, now = self._since, time.monotonic()
            if tick != self._num_begun:
                tick, in_vain = self._num_begun, 0
            unbroken = rest.is_unbroken(self._caller)
            if since != watched or not unbroken:
                watched, rested_since, is_answered = since, now, False
            if not since or now - since < self._lost_after_s:
                continue
            # A server that has not answered yet is merely slow, and has a deadline of its own.
            if self._world.get_snapshot().frame <= self._frame:
                continue
            if now - since < self._given_up_after_s:
                if now - rested_since < self._lost_after_s:
                    continue
                if not is_answered:
                    with contextlib.suppress(OSError):
                        # One that nobody listens for has ended, and given its last answer.
                        with contextlib.suppress(ConnectionRefusedError):
                            self._ask_server()
                        is_answered = True
                    rested_since = time.monotonic() - self._lost_after_s / 2.0
                    continue
                if in_vain == IN_VAIN:
                    self._end_process()
                in_vain += 1
            self._free(since)

    def _free(self, since: float) -> None:
        if self._since != since:
            return
        self._since = time.monotonic()
        for port in sorted(self._ports):
            with contextlib.suppress(OSError):
                switch_off_and_on(port)
        self.num_freed += 1
        if self._lost_tick != self._num_begun:
            self._lost_tick, self.num_lost = self._num_begun, self.num_lost + 1
