"""Hostile and broken peers: the server goes on, others are unharmed, one line names the cause."""

import contextlib
import random
import socket
import struct
import subprocess
import sys
import time

import msgpack
import pytest

from dreamdrive.envs.embedded.procedures import Procedures
from dreamdrive.envs.embedded.simulator import Simulator
from dreamdrive.envs.embedded.towns import load_town
from support.fuzz import Victim, fuzz
from support.server import CAR, call

LIMITS = {
    "max-message-bytes": 200_000, "max-items": 1000, "max-actors": 60, "max-connections": 12,
    "max-subscriptions": 4, "max-queued-bytes": 100_000,
}  # fmt: skip

PATIENCE_S = 60.0
"""How long anything is waited for, on a machine that does much else."""


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    return tmp_path_factory.mktemp("server") / "stderr.txt"


@pytest.fixture(scope="module")
def server(log):
    """Returns the port of a server with tight limits."""
    options = [word for name, value in LIMITS.items() for word in (f"--{name}", str(value))]
    options += ["--recordings", str(log.parent / "recordings")]
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "dreamdrive.envs.embedded", "--port", "0", "--sync", *options],
            stdout=subprocess.PIPE, stderr=stderr, text=True,
        )  # fmt: skip
        try:
            yield int(process.stdout.readline().rsplit(":", 1)[1])
            assert process.poll() is None, log.read_text()
        finally:
            process.kill()
            process.communicate()


@pytest.fixture(autouse=True)
def witness(server):
    """Another client whose calls are answered before and after, with the frames in a row."""
    with connect(server) as peer:
        before = ask(peer, "tick_cue")[3][0][1]
        yield peer
        assert ask(peer, "tick_cue")[3][0][1] > before


@contextlib.contextmanager
def connect(port):
    for _ in range(100):
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as peer:
            if not is_closed(peer):
                yield peer
                return
        time.sleep(0.01)
    pytest.fail("no connection")


def is_closed(peer):
    peer.settimeout(0.0)
    try:
        return peer.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    finally:
        peer.settimeout(PATIENCE_S)


def ask(peer, method, *arguments):
    peer.sendall(msgpack.packb([0, 1, method, [[False], *arguments]]))
    unpacker = msgpack.Unpacker(raw=False)
    while True:
        data = peer.recv(65536)
        assert data, "the server hung up without an answer"
        unpacker.feed(data)
        for message in unpacker:
            return message


def until_closed(peer):
    peer.settimeout(PATIENCE_S)
    with contextlib.suppress(ConnectionError):
        while peer.recv(65536):
            pass


def wait_for(condition):
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def random_value(rng, depth=0):
    """Returns a value of any type that msgpack has."""
    kind = rng.randrange(9 if depth < 5 else 7)
    if kind == 0:
        return rng.choice([0, 1, -1, 20, 255, 2**31, 2**63, -(2**63), 2**64 - 1])
    if kind == 1:
        return rng.choice([0.0, 1.5, -1e9, 1e38, float("nan"), float("inf"), -float("inf")])
    if kind in (2, 3):
        return rng.choice([None, True, False])
    if kind == 4:
        return rng.choice(["", "x", CAR, "vehicle.*", "\0" * 9, "Dream03x", "9" * 300])
    if kind == 5:
        return rng.randbytes(rng.randrange(30))
    if kind == 6:
        return [float(rng.randrange(-9, 9)) for _ in range(rng.choice([0, 2, 3, 5, 7, 14]))]
    if kind == 7:
        return {str(rng.random()): random_value(rng, depth + 1)}
    return [random_value(rng, depth + 1) for _ in range(rng.randrange(6))]


NAMES = [
    name for name in Procedures(Simulator(load_town("Dream01"))).names()
    if name not in ("load_new_episode", "copy_opendrive_to_file")
]  # fmt: skip


@pytest.mark.parametrize("seed", range(4))
def test_random_arguments_are_always_answered(server, seed):
    rng = random.Random(seed)
    with connect(server) as peer:
        for name in NAMES:
            for _ in range(6):
                arguments = [random_value(rng) for _ in range(rng.randrange(5))]
                kind, number, error, result = ask(peer, name, *arguments)
                assert (kind, number) == (1, 1)
                assert error is not None or isinstance(result, list), name


@pytest.mark.parametrize("seed", range(4))
def test_random_changes_to_good_messages_harm_nobody(server, seed):
    rng = random.Random(100 + seed)
    good = [
        msgpack.packb([0, 7, name, [[False], 20, [[0.0, 1.0, 2.0], [0.0, 1.0, 2.0]], "a", True]])
        for name in NAMES
    ]
    for _ in range(40):
        with connect(server + rng.randrange(2)) as peer:
            data = bytearray(rng.choice(good))
            for _ in range(rng.randrange(4)):
                data[rng.randrange(len(data))] = rng.randrange(256)
            with contextlib.suppress(OSError):
                peer.sendall(data[: rng.randrange(len(data)) + 1])


def test_rounds_of_whatever_may_come_over_a_wire_harm_nobody(tmp_path):
    """For longer: `PYTHONPATH=tests python -m support.fuzz --seconds 600 --seed 1`."""
    assert fuzz(tmp_path, seed=0, rounds=60) == 60


def test_the_fuzzer_notices_harm(tmp_path):
    victim = Victim(tmp_path)
    victim.check()
    with victim.log.open("a") as file:
        file.write("Traceback (most recent call last):\n")
    with pytest.raises(AssertionError, match="Traceback"):
        victim.check()
    victim.process.kill()
    victim.process.wait()
    with pytest.raises(AssertionError, match="the server ended"):
        victim.check()
    victim.witness.close()
    victim.close()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (msgpack.packb("x" * 300_000), "closed after a broken message"),
        (msgpack.packb([0] * 2000), "exceeds max_array_len(1000)"),
        (b"\xdd\x7f\xff\xff\xff", "exceeds max_array_len(1000)"),
        (b"\x91" * 5000, "closed after a broken message"),
        (msgpack.packb([2, "version", []]), "closed after a broken message"),
        (msgpack.packb([0, 1, 5, []]), "not a request"),
    ],
    ids=["long", "many", "promised", "deep", "notification", "no-name"],
)
def test_what_is_no_call_costs_the_connection_and_one_line(server, log, data, words):
    with connect(server) as peer:
        name = f"127.0.0.1:{peer.getsockname()[1]}"
        with contextlib.suppress(OSError):
            peer.sendall(data)
        until_closed(peer)
    wait_for(lambda: name in log.read_text())
    (line,) = [line for line in log.read_text().splitlines() if line.startswith(name + ":")]
    assert words in line


def nested(depth):
    return [] if depth == 0 else [nested(depth - 1)]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([20, nested(100)], "nested too deeply"), ([{"a": 1}], "a map"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["add_actor_impulse", "get_actors_by_id", "apply_batch"])
def test_what_is_too_deep_or_a_map_is_refused(server, method, arguments, words):
    _, _, error, result = call(server, method, *arguments)
    text = error or result[0][1][0]
    assert words in (text.decode() if isinstance(text, bytes) else text)


@pytest.mark.parametrize("bad", ["nan", "inf", "-inf"])
@pytest.mark.parametrize("method", ["add_actor_impulse", "get_actors_by_id"])
def test_a_number_that_is_not_finite_is_refused(server, method, bad):
    result = call(server, method, 20, [0.0, float(bad), 0.0])[3]
    text = result[0][1][0]
    told = text.decode() if isinstance(text, bytes) else text
    assert f"{bad}, which is not finite" in told


@pytest.mark.parametrize("bad", ["nan", "inf", "-inf"])
def test_of_a_batch_only_the_command_that_is_not_finite_is_refused(server, world, car, bad):
    """The Traffic Manager sends such controls, and a batch that is refused whole ends it."""
    control = [0.7, 0.2, 0.0, False, False, False, 0]
    broken = [0.1, 0.1, float(bad), False, False, False, 0]
    commands = [[[2, [car.id, control]]], [[2, [car.id, broken]]], [[2, [10**6, control]]]]
    error, answers = call(server, "apply_batch", commands, False)[2:]
    assert error is None
    assert [kind for ((kind, _),) in answers] == [1, 0, 0]
    world.tick()
    assert car.get_control().throttle == pytest.approx(0.7)
    assert car.get_control().steer == pytest.approx(0.2)


def test_a_refused_call_whose_answer_nobody_reads_is_said(server, log):
    with connect(server) as peer:
        name = f"127.0.0.1:{peer.getsockname()[1]}"
        peer.sendall(msgpack.packb([0, 1, "enable_carsim", [[True], 999, "a"]]))
        assert peer.recv(4096)
    wait_for(lambda: name in log.read_text())
    (line,) = [line for line in log.read_text().splitlines() if line.startswith(name + ":")]
    assert "enable_carsim" in line
    assert "no CarSim" in line


def test_the_world_holds_so_many_actors_and_no_more(server, witness):
    made = []
    description = [0, "sensor.other.imu", []]
    place = [[0.0] * 3, [0.0] * 3]
    for _ in range(LIMITS["max-actors"]):
        kind, value = ask(witness, "spawn_actor", description, place)[3][0]
        if kind == 0:
            break
        made.append(value[0])
    assert "--max-actors" in value[0]
    for actor in made:
        assert ask(witness, "destroy_actor", actor)[3] == [[1, True]]
    kind, value = ask(witness, "spawn_actor", description, place)[3][0]
    assert kind == 1
    ask(witness, "destroy_actor", value[0])


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("set_actor_transform", [[[1e300, 0.0, 0.0], [0.0] * 3]]),
        ("set_actor_transform", [[[0.0] * 3, [0.0, 0.0, -1e300]]]),
        ("set_actor_location", [[0.0, 0.0, 1e10]]),
        ("enable_actor_constant_velocity", [[0.0, 1e300, 0.0]]),
    ],
)  # fmt: skip
def test_what_no_stream_could_carry_is_refused(server, witness, method, arguments):
    place = [[22.3, -3.4, 0.3], [0.0, -171.1, 0.0]]
    ((kind, value),) = ask(witness, "spawn_actor", [0, CAR, []], place)[3]
    assert kind == 1
    ((is_refused, (words,)),) = ask(witness, method, value[0], *arguments)[3]
    assert is_refused
    assert "must lie within" in words
    ask(witness, "destroy_actor", value[0])


@pytest.mark.parametrize(
    "description",
    [
        [0, "sensor.other.imu", [["sensor_tick", 3, "soon"]]],
        [0, "sensor.other.imu", [["sensor_tick", 3, "inf"]]],
        [0, "sensor.other.imu", [["sensor_tick", 3, 1.0]]],
        [0, "sensor.other.imu", [["role_name", 4, "x" * 5000]]],
        [0, "sensor.other.imu", [["a", 4, "b"]] * 200],
        [0, CAR, [["color", 5, ["not", "text"]]]],
        [0, 7, []], [0, CAR], "car",
    ],
)  # fmt: skip
def test_attributes_that_would_harm_later_are_refused(server, description):
    answer = call(server, "spawn_actor", description, [[50.0] * 3, [0.0] * 3])[3][0]
    assert answer[0] == 0


def test_open_sockets_that_say_nothing_are_bounded(server, log):
    with contextlib.ExitStack() as stack:
        peers = [
            stack.enter_context(socket.create_connection(("127.0.0.1", server), timeout=PATIENCE_S))
            for _ in range(LIMITS["max-connections"] + 3)
        ]
        wait_for(lambda: sum(map(is_closed, peers)) >= 3)
        assert ask(peers[0], "version")[3] == [[1, "0.9.16"]]
        assert "connections are open" in log.read_text()
    wait_for(lambda: can_connect(server))


def can_connect(server):
    with socket.create_connection(("127.0.0.1", server), timeout=PATIENCE_S) as peer:
        time.sleep(0.02)
        return not is_closed(peer)


def test_subscriptions_are_bounded(server, log):
    with contextlib.ExitStack() as stack:
        peers = []
        for _ in range(LIMITS["max-subscriptions"] + 1):
            peer = stack.enter_context(socket.create_connection(("127.0.0.1", server + 1), 10.0))
            peer.sendall(struct.pack("<I", 1))
            peers.append(peer)
        wait_for(lambda: "subscriptions are open" in log.read_text())
        wait_for(lambda: any(map(is_closed, peers)))


def test_a_dead_stream_is_silent_and_stays_open(server, witness):
    with socket.create_connection(("127.0.0.1", server + 1), timeout=PATIENCE_S) as peer:
        peer.sendall(struct.pack("<I", 4_000_000_000))
        for _ in range(20):
            ask(witness, "tick_cue")
        peer.settimeout(0.1)
        with pytest.raises(TimeoutError):
            peer.recv(1)


def frames_of(data):
    """Returns the frame numbers of whole snapshots in what a subscriber read."""
    found, at = [], 0
    while at + 4 <= len(data):
        (size,) = struct.unpack_from("<I", data, at)
        if at + 4 + size > len(data):
            break
        found.append(struct.unpack_from("<Q", data, at + 12)[0])
        at += 4 + size
    return found


def test_a_slow_subscriber_loses_old_frames_and_never_stalls_the_world(server, witness):
    with socket.socket() as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.settimeout(PATIENCE_S)
        peer.connect(("127.0.0.1", server + 1))
        peer.sendall(struct.pack("<I", 1))
        first = ask(witness, "tick_cue")[3][0][1]
        for _ in range(4000):
            last = ask(witness, "tick_cue")[3][0][1]
        assert last == first + 4000
        data, frames = b"", []
        while not frames or frames[-1] < last:
            data += peer.recv(1 << 20)
            frames = frames_of(data)
    assert frames == sorted(set(frames))
    assert 10 < len(frames) < 3900
    assert frames[-1] == last


def test_a_caller_that_does_not_read_loses_its_connection(server, log):
    with connect(server) as peer:
        name = f"127.0.0.1:{peer.getsockname()[1]}"
        request = msgpack.packb([0, 1, "get_map_data", [[False]]])
        with contextlib.suppress(OSError):
            for _ in range(2000):
                peer.sendall(request)
        wait_for(lambda: name in log.read_text())
    (line,) = [line for line in log.read_text().splitlines() if line.startswith(name + ":")]
    assert "wait to be read" in line or "closed after" in line


@pytest.mark.parametrize(("option", "value"), [("--max-actors", "0"), ("--max-depth", "-1")])
def test_limits_are_checked_at_the_start(option, value):
    done = subprocess.run(
        [sys.executable, "-m", "dreamdrive.envs.embedded", option, value],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    assert "must be at least 1" in done.stderr
