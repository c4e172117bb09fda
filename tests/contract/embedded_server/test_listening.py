"""Who listens to a sensor misses no frame of what it asks for next."""

import socket
import struct
import time

import msgpack
import pytest

from support.server import ask, listen

carla = pytest.importorskip("carla")


def test_the_tick_after_listen_is_seen(world, car):
    for _ in range(10):
        sensor, messages = listen(world, "sensor.other.gnss", carla.Transform(), car)
        frame = world.tick()
        assert messages.get(timeout=5.0).frame == frame
        sensor.stop()
        sensor.destroy()


def calls(*methods):
    return b"".join(
        msgpack.packb([0, number, method, [["", False], *arguments]])
        for number, (method, *arguments) in enumerate(methods)
    )


def answers(peer, count):
    unpacker, found = msgpack.Unpacker(), []
    while len(found) < count:
        unpacker.feed(peer.recv(65536))
        found += list(unpacker)
    return found


def value(answer):
    """The innermost value of an answer without an error."""
    assert answer[2] is None
    found = answer[3]
    while isinstance(found, list):
        found = found[-1]
    return found


def test_a_tick_waits_for_the_one_who_asked_the_way_to_a_stream(server, world, car):
    """On the wire: the tick and what comes behind it are answered once the stream has a reader."""
    blueprint = world.get_blueprint_library().find("sensor.other.gnss")
    sensor = world.spawn_actor(blueprint, carla.Transform(), attach_to=car)
    frame = world.tick()
    with socket.create_connection(("127.0.0.1", server), timeout=5.0) as peer:
        assert ask(peer, "get_sensor_token", sensor.id)[2] is None
        peer.sendall(calls(("tick_cue",), ("version",)))
        # Another client is answered all the while, and nothing has ticked.
        assert world.get_snapshot().frame == frame
        with socket.create_connection(("127.0.0.1", server + 1), timeout=5.0) as stream:
            stream.sendall(struct.pack("<I", sensor.id))
            tick, version = answers(peer, 2)
            assert value(tick) == frame + 1
            assert value(version) == "0.9.16"
            assert stream.recv(4)  # The frame of that tick.
    sensor.destroy()


def test_a_reader_that_never_comes_delays_one_tick(server, world, car):
    blueprint = world.get_blueprint_library().find("sensor.other.gnss")
    sensor = world.spawn_actor(blueprint, carla.Transform(), attach_to=car)
    frame = world.tick()
    with socket.create_connection(("127.0.0.1", server), timeout=5.0) as peer:
        ask(peer, "get_sensor_token", sensor.id)
        began = time.monotonic()
        assert value(ask(peer, "tick_cue")) == frame + 1
        assert time.monotonic() - began > 0.1
        began = time.monotonic()
        assert value(ask(peer, "tick_cue")) == frame + 2
    sensor.destroy()


def test_a_peer_that_goes_while_its_tick_waits_leaves_nothing_behind(server, world, car):
    blueprint = world.get_blueprint_library().find("sensor.other.gnss")
    sensor = world.spawn_actor(blueprint, carla.Transform(), attach_to=car)
    frame = world.tick()
    with socket.create_connection(("127.0.0.1", server), timeout=5.0) as peer:
        ask(peer, "get_sensor_token", sensor.id)
        peer.sendall(calls(("tick_cue",)))
    assert world.tick() in (frame + 1, frame + 2)
    sensor.destroy()
