"""Navigation meshes are made beside the world, once on a machine, each for its own town."""

import contextlib
import hashlib
import socket
import sys
import threading

import msgpack
import pytest

from dreamdrive.envs.embedded.limits import Limits
from dreamdrive.envs.embedded.navigation import meshes
from dreamdrive.envs.embedded.navigation.files import navigation_file
from dreamdrive.envs.embedded.navigation.mesh import navigation_mesh
from dreamdrive.envs.embedded.server import Server
from dreamdrive.envs.embedded.simulator import Simulator
from dreamdrive.envs.embedded.towns import load_town
from support.server import ask

FIRST, SECOND = "Dream01", "Dream02"
HELD = """
import runpy, socket, sys
socket.create_connection(("127.0.0.1", int(sys.argv.pop(1)))).recv(1)
runpy.run_module("dreamdrive.envs.embedded.navigation", run_name="__main__")
"""
REFUSED = "import sys; sys.exit('no ground to walk on')"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty folder for what can be made again."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "dreamdrive" / "navigation"


@pytest.fixture(scope="module")
def expected():
    return {name: navigation_mesh(load_town(name).xodr) for name in (FIRST, SECOND)}


@contextlib.contextmanager
def serving(**limits):
    server = Server(Simulator(load_town(FIRST), synchronous=True, limits=Limits(**limits)))
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    yield server
    server.running = False
    with connected(server):
        thread.join(20.0)
    server.close()


@contextlib.contextmanager
def connected(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=20.0) as peer:
        yield peer


@pytest.fixture
def server():
    with serving() as made:
        yield made


@pytest.fixture
def builders(monkeypatch):
    """Accepts those who begin to make a mesh, each of whom goes on when its socket is closed."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20.0)
        port = str(listener.getsockname()[1])
        monkeypatch.setattr(meshes, "COMMAND", (sys.executable, "-c", HELD, port))
        yield listener


def send(peer, method, *arguments):
    peer.sendall(msgpack.packb([0, 7, method, [["", False], *arguments]]))


def received(peer, count):
    """Returns the results of the next answers."""
    unpacker, found = msgpack.Unpacker(), []
    while len(found) < count:
        data = peer.recv(1 << 16)
        assert data, "the server hung up without an answer"
        unpacker.feed(data)
        found += [result for _, _, _, result in unpacker]
    return found


def test_others_tick_while_a_mesh_is_made(server, builders, expected):
    with connected(server) as new, connected(server) as old:
        send(new, "request_file", navigation_file(load_town(FIRST)))
        send(new, "tick_cue")
        builder, _ = builders.accept()
        frames = [ask(old, "tick_cue")[3] for _ in range(100)]
        assert frames == [[[1, frame]] for frame in range(1, 101)]
        builder.close()
        assert received(new, 2) == [[[1, expected[FIRST]]], [[1, 101]]]


def test_who_waits_for_a_mesh_may_go(server, builders, expected):
    with connected(server) as new:
        send(new, "get_navigation_mesh")
        builder, _ = builders.accept()
    with connected(server) as other:
        assert ask(other, "tick_cue")[3] == [[1, 1]]
        builder.close()
        assert ask(other, "get_navigation_mesh")[3] == [[1, expected[FIRST]]]


def test_who_calls_on_and_on_while_it_waits_is_dropped(builders):
    with (
        serving(max_message_bytes=1 << 16) as server, connected(server) as new,
        connected(server) as other,
    ):  # fmt: skip
        send(new, "get_navigation_mesh")
        with builders.accept()[0]:
            with contextlib.suppress(ConnectionError):
                new.sendall(bytes(1 << 18))
                assert not new.recv(1)
            assert ask(other, "tick_cue")[3] == [[1, 1]]


def test_each_town_has_its_own_mesh_even_when_the_world_changes_meanwhile(
    server, builders, expected
):
    with connected(server) as new, connected(server) as changing:
        send(new, "request_file", navigation_file(load_town(FIRST)))
        builder, _ = builders.accept()
        ask(changing, "load_new_episode", SECOND, False)
        ask(changing, "query_lights_state", "")  # It has its stream: the town may be opened.
        ask(changing, "tick_cue")
        assert server.sim.world.town.name == SECOND
        send(changing, "get_navigation_mesh")
        builder.close()
        assert received(new, 1) == [[[1, expected[FIRST]]]]
        builders.accept()[0].close()
        assert received(changing, 1) == [[[1, expected[SECOND]]]]
    assert expected[FIRST] != expected[SECOND]


def test_a_second_server_makes_no_mesh_anew(expected, monkeypatch):
    with serving() as first, connected(first) as peer:
        assert ask(peer, "get_navigation_mesh")[3] == [[1, expected[FIRST]]]
    monkeypatch.setattr(meshes, "COMMAND", (sys.executable, "-c", REFUSED))
    with serving() as second, connected(second) as peer:
        assert ask(peer, "get_navigation_mesh")[3] == [[1, expected[FIRST]]]


@pytest.mark.parametrize(
    "spoil", [lambda kept: kept[:-1], lambda kept: b"", lambda kept: b"\0" * 99]
)
def test_a_broken_file_is_made_anew(server, cache, expected, spoil):
    name = navigation_file(load_town(FIRST)).rsplit("/", 1)[-1]
    whole = hashlib.sha256(expected[FIRST]).digest() + expected[FIRST]
    cache.mkdir(parents=True)
    (cache / name).write_bytes(spoil(whole))
    with connected(server) as peer:
        assert ask(peer, "get_navigation_mesh")[3] == [[1, expected[FIRST]]]
    assert (cache / name).read_bytes() == whole


def test_what_cannot_be_made_is_said_and_tried_again(server, expected, monkeypatch):
    usual = meshes.COMMAND
    monkeypatch.setattr(meshes, "COMMAND", (sys.executable, "-c", REFUSED))
    with connected(server) as peer:
        kind, (text,) = ask(peer, "get_navigation_mesh")[3][0]
        assert (kind, text) == (0, "the navigation mesh cannot be made: no ground to walk on")
        monkeypatch.setattr(meshes, "COMMAND", usual)
        assert ask(peer, "get_navigation_mesh")[3] == [[1, expected[FIRST]]]
