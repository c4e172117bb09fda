"""The watchdog against a stand-in for the Traffic Manager's RPC port."""

import socket
import threading
from types import SimpleNamespace

import msgpack
import pytest

from dreamdrive.envs.carla.tick_watchdog import TickWatchdog, switch_off_and_on

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


def test_a_tick_that_the_server_has_answered_is_freed(manager):
    watchdog = TickWatchdog(lost_after_s=0.0)
    watchdog.begin(world_at(8), manager.port, 7)
    assert manager.seen.wait(WAIT_S)
    watchdog.end()
    watchdog.close()
    assert watchdog.num_freed >= 1


def test_a_slow_server_and_a_tick_that_is_over_are_left_alone(manager):
    watchdog = TickWatchdog(lost_after_s=0.0)
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
