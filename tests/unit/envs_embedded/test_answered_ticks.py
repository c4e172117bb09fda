"""Ticks are made after their answer, whatever becomes of it; by themselves while nobody loads."""

import socket
import struct
import threading

import pytest

from dreamdrive.envs.embedded import simulator
from dreamdrive.envs.embedded.server import Server
from dreamdrive.envs.embedded.simulator import Simulator
from dreamdrive.envs.embedded.towns import load_town
from support.server import ask

TOWN = load_town("Dream01")


@pytest.fixture(params=[True])
def server(request):
    made = Server(Simulator(TOWN, synchronous=request.param))
    thread = threading.Thread(target=made.serve, daemon=True)
    thread.start()
    yield made
    made.running = False
    with socket.create_connection(("127.0.0.1", made.port), timeout=5.0):
        thread.join(5.0)
    made.close()


def connected(server, port=0):
    return socket.create_connection(("127.0.0.1", server.port + port), timeout=5.0)


def test_the_number_that_a_tick_begins_with_is_that_of_the_frame_it_makes():
    sim, made = Simulator(TOWN, synchronous=True), []
    sim.on_tick = lambda: made.append(sim.world.frame)
    assert sim.begin_tick() == 1
    assert sim.world.frame == 0
    sim.finish_tick()
    sim.finish_tick()  # Nothing has begun.
    assert made == [1]
    assert sim.tick() == 2
    assert made == [1, 2]


def test_who_asks_is_answered_before_the_world_has_ticked(server, monkeypatch):
    """The client wakes up to look for the snapshot while it is being made."""
    may_go = threading.Event()
    tick = type(server.sim.world).tick

    def slow_tick(world, *steps_s):
        assert may_go.wait(5.0)
        tick(world, *steps_s)

    monkeypatch.setattr(type(server.sim.world), "tick", slow_tick)
    with connected(server) as peer, connected(server, 1) as stream:
        stream.sendall(struct.pack("<I", 1))
        size = struct.unpack("<I", stream.recv(4, socket.MSG_WAITALL))[0]
        stream.recv(size, socket.MSG_WAITALL)  # The world as it is.
        assert ask(peer, "tick_cue")[3] == [[1, 1]]
        stream.setblocking(False)
        with pytest.raises(BlockingIOError):
            stream.recv(4)
        stream.settimeout(5.0)
        may_go.set()
        size = struct.unpack("<I", stream.recv(4, socket.MSG_WAITALL))[0]
        data = stream.recv(size, socket.MSG_WAITALL)
        assert struct.unpack_from("<Q", data, 8) == (1,)


def test_a_tick_that_fails_ends_no_server_and_is_said(server, monkeypatch, caplog, capsys):
    def fail(*_):
        raise ZeroDivisionError("the world is broken")

    with monkeypatch.context() as broken, connected(server) as peer:
        broken.setattr(type(server.sim.world), "tick", fail)
        assert ask(peer, "tick_cue")[3] == [[1, 1]]
        assert ask(peer, "version")[2] is None
    with connected(server) as peer:
        assert ask(peer, "tick_cue")[3] == [[1, 1]]
        assert ask(peer, "tick_cue")[3] == [[1, 2]]
    said = capsys.readouterr().err
    assert "tick_cue could not be finished: the world is broken" in said
    assert said.count("127.0.0.1:") == 1


@pytest.mark.parametrize("server", [False], indirect=True)
def test_a_world_that_ticks_by_itself_stands_still_while_a_client_changes_its_stream(
    server, monkeypatch
):
    """A snapshot on the old stream crashed one in six clients that loaded six towns."""
    monkeypatch.setattr(simulator, "LOADED_AFTER_S", 600.0)
    server.sim.dt_s = 1e-4

    def until(peer, happens):
        for _ in range(20_000):
            ask(peer, "version")
            if happens():
                return
        raise AssertionError("it never happens")

    def until_it_ticks(peer):
        before = server.sim.world.frame
        until(peer, lambda: server.sim.world.frame > before)

    with connected(server) as peer, connected(server) as other:
        until_it_ticks(other)
        ask(peer, "load_new_episode", "Dream02", False, 0)
        before = server.sim.world.frame
        for _ in range(100):
            ask(other, "version")
        assert server.sim.world.frame == before
        ask(peer, "get_sensor_token", 1)
        with connected(server, 1) as stream:
            stream.sendall(struct.pack("<I", 1))
            stream.recv(4, socket.MSG_WAITALL)
            until_it_ticks(other)  # The client waits for a snapshot, of whatever episode.
            assert server.sim.world.town is TOWN
            ask(peer, "query_lights_state", "127.0.0.1:1")
            until(other, lambda: server.sim.world.town is not TOWN)
