"""The watchdog against a stand-in for the Traffic Manager's RPC port."""

import socket
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import msgpack
import pytest

from dreamdrive.envs.carla.tick_watchdog import EXIT_CODE, IN_VAIN, TickWatchdog
from dreamdrive.envs.manager_port import switch_off_and_on

WAIT_S = 5.0


class FakeManager:
    """Answers msgpack-RPC calls and keeps them."""

    def __init__(self):
        self.calls = []
        self.seen = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            unpacker = msgpack.Unpacker()
            with connection:
                while data := connection.recv(4096):
                    unpacker.feed(data)
                    for kind, number, name, arguments in unpacker:
                        assert kind == 0
                        self.calls.append((name, arguments))
                        connection.sendall(msgpack.packb([1, number, None, None]))
                        if len(self.calls) >= 2:
                            self.seen.set()

    def close(self):
        self._listener.close()


@pytest.fixture
def manager():
    made = FakeManager()
    yield made
    made.close()


def world_at(frame):
    return SimpleNamespace(get_snapshot=lambda: SimpleNamespace(frame=frame))


def test_the_mode_is_switched_off_and_on_again(manager):
    switch_off_and_on(manager.port)
    assert manager.calls == [("set_synchronous_mode", [False]), ("set_synchronous_mode", [True])]


def test_nobody_on_the_port_is_an_error():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(OSError, match="refused"):
        switch_off_and_on(port)


def answer():
    """A server that has nothing else to do."""


def resting_tick(watchdog, world, manager, seconds=WAIT_S):
    """A tick of another thread that sleeps until the Traffic Manager's mode is switched."""

    def tick():
        watchdog.begin(world, manager.port, 7)
        manager.seen.wait(seconds)
        watchdog.end()

    ticking = threading.Thread(target=tick)
    ticking.start()
    ticking.join()
    watchdog.close()


def test_a_tick_at_rest_that_the_server_has_answered_is_freed(manager):
    asked = []
    watchdog = TickWatchdog(lambda: asked.append(True), lost_after_s=0.2)
    resting_tick(watchdog, world_at(8), manager)
    assert manager.seen.is_set()
    assert asked
    assert (watchdog.num_freed, watchdog.num_lost) == (1, 1)


def test_a_process_whose_tick_nothing_can_end_ends(manager):
    over = threading.Event()
    watchdog = TickWatchdog(answer, lost_after_s=0.05, end_process=over.set)

    def tick():
        watchdog.begin(world_at(8), manager.port, 7)
        assert over.wait(4 * WAIT_S)
        watchdog.end()

    ticking = threading.Thread(target=tick)
    ticking.start()
    ticking.join()
    watchdog.close()
    assert watchdog.num_freed >= IN_VAIN
    assert watchdog.num_lost == 1, "it is one tick, however often it was freed"


def test_ticks_that_are_freed_one_after_the_other_end_nothing(manager):
    ended = []
    watchdog = TickWatchdog(answer, lost_after_s=0.05, end_process=lambda: ended.append(True))

    def ticks():
        for _ in range(IN_VAIN + 2):
            manager.calls.clear()
            manager.seen.clear()
            watchdog.begin(world_at(8), manager.port, 7)
            manager.seen.wait(WAIT_S)
            watchdog.end()

    ticking = threading.Thread(target=ticks)
    ticking.start()
    ticking.join()
    watchdog.close()
    assert watchdog.num_freed >= IN_VAIN + 1
    assert not ended


def test_the_process_ends_with_a_sentence():
    program = "from dreamdrive.envs.carla.tick_watchdog import end_process; end_process()"
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == EXIT_CODE
    assert "The Traffic Manager of this process has ended" in ended.stderr


def busy_tick(watchdog, world, manager, seconds):
    """A tick that computes all the time: slow, but not lost."""
    watchdog.begin(world, manager.port, 7)
    ends = time.monotonic() + seconds
    while time.monotonic() < ends and not manager.seen.is_set():
        sum(range(10_000))
    watchdog.end()
    watchdog.close()


def test_a_tick_that_still_computes_is_slow_and_not_lost(manager):
    watchdog = TickWatchdog(answer, lost_after_s=0.1)
    busy_tick(watchdog, world_at(8), manager, 0.8)
    assert manager.calls == []
    assert watchdog.num_freed == 0


def test_a_tick_is_given_up_in_the_end_whoever_is_awake(manager):
    watchdog = TickWatchdog(answer, lost_after_s=0.1, given_up_after_s=0.4)
    busy_tick(watchdog, world_at(8), manager, WAIT_S)
    assert watchdog.num_freed >= 1


def test_a_server_that_does_not_answer_is_waited_for(manager):
    asked = threading.Event()

    def refuse():
        asked.set()
        raise TimeoutError

    watchdog = TickWatchdog(refuse, lost_after_s=0.1)
    resting_tick(watchdog, world_at(8), manager, 0.8)
    assert asked.is_set()
    assert manager.calls == []


def test_a_server_that_has_ended_is_not_waited_for(manager):
    def refuse():
        raise ConnectionRefusedError

    over = threading.Event()
    watchdog = TickWatchdog(refuse, lost_after_s=0.05, end_process=over.set)
    ticking = threading.Thread(
        target=lambda: [watchdog.begin(world_at(8), manager.port, 7), over.wait(4 * WAIT_S)]
    )
    ticking.start()
    ticking.join()
    watchdog.end()
    watchdog.close()
    assert over.is_set()


def test_a_slow_server_and_a_tick_that_is_over_are_left_alone(manager):
    watchdog = TickWatchdog(answer, lost_after_s=0.0)
    looked = threading.Event()

    def look():
        looked.set()
        return SimpleNamespace(frame=7)

    watchdog.begin(SimpleNamespace(get_snapshot=look), manager.port, 7)
    assert looked.wait(WAIT_S)
    watchdog.end()
    watchdog.close()
    assert manager.calls == []
    assert watchdog.num_freed == 0
