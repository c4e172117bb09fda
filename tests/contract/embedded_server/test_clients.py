"""Several clients of the embedded server at once, some killed, some sending nonsense."""

import contextlib
import os
import socket
import struct
import subprocess
import sys

import msgpack
import pytest

from support.server import ask, call, server_process, spawn, ticks

carla = pytest.importorskip("carla")

CLIENT_PROGRAM = """
import sys, carla
client = carla.Client("127.0.0.1", int(sys.argv[1]))
client.set_timeout(10.0)
world = client.get_world()
car = world.get_blueprint_library().find("vehicle.audi.tt")
world.spawn_actor(car, world.get_map().get_spawn_points()[int(sys.argv[2])])
print("ready", flush=True)
sys.stdin.readline()
"""


def test_two_clients_see_one_world(server, world):
    car = spawn(world)
    world.tick()
    other = carla.Client("127.0.0.1", server, 2)
    other.set_timeout(20.0)
    seen = other.get_world()
    # A client knows of actors from the first frame that reaches it, and that takes a tick.
    frame = seen.tick()
    assert car.id in [a.id for a in seen.get_actors()]
    assert world.get_snapshot().frame >= frame - 1
    world.tick()
    assert world.get_snapshot().frame == frame + 1


def test_a_client_that_is_killed_leaves_the_server_answering(server, world):
    other = subprocess.Popen(
        [sys.executable, "-c", CLIENT_PROGRAM, str(server), "30"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert "ready" in other.stdout.readline()
    other.kill()
    other.communicate()
    ticks(world, 3)
    assert "vehicle.audi.tt" in [a.type_id for a in world.get_actors()]


def test_a_client_waits_no_longer_than_its_timeout():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = carla.Client("127.0.0.1", silent.getsockname()[1], 1)
        client.set_timeout(0.2)
        with pytest.raises(RuntimeError, match="time-out of 200ms"):
            client.get_world()


GARBAGE = [
    b"\xff" * 64,
    b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    msgpack.packb([0, 1]),
    msgpack.packb({"a": 1}),
    msgpack.packb([0, 1, 2, 3]),
    msgpack.packb([0, 1, "version", None]),
    msgpack.packb([[[[[]]]]]) * 100,
    b"\x91" * 5000,
    b"\xdf\xff\xff\xff\xff",
    os.urandom(4096),
    struct.pack("<I", 1 << 31),
]


@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("data", GARBAGE, ids=range(len(GARBAGE)))
def test_garbage_on_either_port_hurts_nobody_else(server, client, offset, data):
    with socket.create_connection(("127.0.0.1", server + offset), timeout=10.0) as peer:
        peer.sendall(data)
        peer.shutdown(socket.SHUT_WR)
        peer.settimeout(10.0)
        with contextlib.suppress(ConnectionError):
            while peer.recv(4096):
                pass
    assert client.get_server_version() == "0.9.16"


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("spawn_actor", []),
        ("spawn_actor", [["a"], 3]),
        ("apply_control_to_vehicle", [1, [float("nan")] * 8]),
        ("set_actor_transform", [10**9, [[0.0] * 3, [0.0] * 3]]),
        ("set_traffic_light_state", ["x", None]),
        ("apply_batch", [[[[99, []]]], False]),
        ("apply_batch", [[[[2, [1]]]], False]),
        ("apply_batch", [[7], False]),
        ("set_episode_settings", [[]]),
        ("get_actors_by_id", [[[]]]),
    ],
)
def test_broken_arguments_are_answered_and_forgotten(server, client, method, arguments):
    kind, number, error, result = call(server, method, *arguments)
    assert (kind, number) == (1, 1)
    assert error is not None or result is not None
    assert client.get_server_version() == "0.9.16"


def test_an_unknown_call_is_named(server):
    assert "make_coffee" in call(server, "make_coffee")[2]


def test_a_traffic_manager_that_sleeps_through_a_tick_is_woken():
    with (
        server_process("--port", "0", "--sync", "--wake-after", "0.5") as process,
        socket.create_server(("127.0.0.1", 0)) as manager,
    ):
        server = int(process.stdout.readline().rsplit(":", 1)[1])
        manager.settimeout(20.0)
        port = manager.getsockname()[1]
        with socket.create_connection(("127.0.0.1", server), timeout=10.0) as peer:
            ask(peer, "add_traffic_manager_running", ["10.0.0.1", port])
            for _ in range(10):
                ask(peer, "tick_cue")
                ask(peer, "get_vehicle_light_states")
            ask(peer, "tick_cue")
            waking, _ = manager.accept()
        with waking:
            waking.settimeout(10.0)
            calls = msgpack.Unpacker()
            found = []
            while len(found) < 2:
                calls.feed(waking.recv(4096))
                found += [(name, arguments) for _, _, name, arguments in calls]
                waking.sendall(msgpack.packb([1, len(found) - 1, None, None]))
    assert found == [("set_synchronous_mode", [False]), ("set_synchronous_mode", [True])]
