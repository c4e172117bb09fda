"""An embedded server in a process of its own, and what tests often ask of it."""

import contextlib
import queue
import socket
import subprocess
import sys

import msgpack

CAR = "vehicle.lincoln.mkz_2020"
DT_S = 0.05


@contextlib.contextmanager
def server_process(*arguments):
    process = subprocess.Popen(
        [sys.executable, "-m", "dreamdrive.envs.embedded", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def spawn(world, index=0, kind=CAR):
    blueprint = world.get_blueprint_library().find(kind)
    return world.spawn_actor(blueprint, world.get_map().get_spawn_points()[index])


def ticks(world, count):
    for _ in range(count):
        world.tick()


def listen(world, kind, place, parent, **attributes):
    """Returns a sensor that is attached to an actor, and a queue of what it sends."""
    blueprint = world.get_blueprint_library().find(kind)
    for name, value in attributes.items():
        blueprint.set_attribute(name, value)
    sensor = world.spawn_actor(blueprint, place, attach_to=parent)
    messages = queue.Queue()
    sensor.listen(messages.put)
    return sensor, messages


def seen(world, messages, ticks=200):
    """Ticks until a message of the newest frame has come, and returns it.

    A subscription travels on a socket of its own, so the first frames may pass without one.
    """
    for _ in range(ticks):
        frame = world.tick()
        with contextlib.suppress(queue.Empty):
            found = messages.get(timeout=0.05)
            while found.frame < frame:
                found = messages.get(timeout=0.5)
            return found
    raise AssertionError("no sensor data")


def drained(messages, first_s=10.0, next_s=0.3):
    """Returns all messages that have come or come soon, the first within `first_s`."""
    found = []
    with contextlib.suppress(queue.Empty):
        found.append(messages.get(timeout=first_s))
        while True:
            found.append(messages.get(timeout=next_s))
    return found


def call(server, method, *arguments):
    """Returns the raw answer to one remote call."""
    with socket.create_connection(("127.0.0.1", server), timeout=10.0) as peer:
        return ask(peer, method, *arguments)


def ask(peer, method, *arguments):
    """Returns the raw answer to one remote call over a connection."""
    peer.sendall(msgpack.packb([0, 1, method, [["", False], *arguments]]))
    unpacker = msgpack.Unpacker()
    while True:
        data = peer.recv(65536)
        assert data, "the server hung up without an answer"
        unpacker.feed(data)
        for message in unpacker:
            return message
