import struct

import msgpack
import numpy as np
import pytest

from dreamdrive.envs.embedded import wire


def test_every_actors_record_has_the_clients_size():
    for dtype in (wire.ACTOR_RECORD, wire.VEHICLE_RECORD, wire.LIGHT_RECORD, wire.WALKER_RECORD):
        assert dtype.itemsize == wire.RECORD_SIZE == 119


def test_a_snapshot_is_header_fixed_part_and_records():
    record = np.zeros(2, wire.VEHICLE_RECORD)
    record["id"] = 7, 9
    record["location"][1] = 1.0, 2.0, 3.0
    data = wire.snapshot(3, 41, 2.05, 9.5, 0.05, [record])
    assert len(data) == 48 + 36 + 2 * 119
    kind, frame, time_s = struct.unpack_from("<QQd", data)
    assert (kind, frame, time_s) == (17, 41, 2.05)
    episode, platform_s, dt_s = struct.unpack_from("<Qdf", data, 48)
    assert (episode, platform_s) == (3, 9.5)
    assert dt_s == pytest.approx(0.05)
    second = np.frombuffer(data[-119:], wire.VEHICLE_RECORD)[0]
    assert second["id"] == 9
    assert second["location"].tolist() == [1.0, 2.0, 3.0]


def test_stream_messages_carry_their_length():
    framed = wire.framed(b"abc")
    assert framed == b"\x03\x00\x00\x00abc"


def test_a_token_names_stream_and_port_and_is_24_bytes():
    token = wire.token(12, 2001)
    assert len(token) == 24
    assert struct.unpack_from("<IH", token) == (12, 2001)


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (wire.ok([1, "a"]), [[1, [1, "a"]]]),
        (wire.failed("no"), [[0, ["no"]]]),
        (wire.OK_VOID, [[False]]),
        (wire.failed_void("no"), [[True, ["no"]]]),
        (wire.transform(1.0, 2.0, 3.0, 90.0), [[1.0, 2.0, 3.0], [0.0, 90.0, 0.0]]),
    ],
)
def test_answers_survive_the_wire(value, plain):
    assert msgpack.unpackb(wire.pack(value)) == plain


def test_messages_may_arrive_in_any_pieces():
    messages = [[0, i, "tick_cue", ["", i]] for i in range(5)]
    stream = b"".join(wire.pack(message) for message in messages)
    unpacker, found = msgpack.Unpacker(), []
    for byte in stream:
        unpacker.feed(bytes([byte]))
        found += list(unpacker)
    assert found == messages


def test_floats_keep_their_precision():
    assert msgpack.unpackb(wire.pack(0.1)) == 0.1
