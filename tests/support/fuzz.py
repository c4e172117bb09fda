"""Sends an embedded server whatever may come over a wire, and watches what becomes of it.

`PYTHONPATH=tests python -m support.fuzz --seconds 600 --seed 1`: calls with any arguments, good
calls with a part replaced, broken and endless messages, slow readers, silent sockets, floods.
After each round another client's tick is answered, with the next frame, and before the server has
computed for 20 s or done nothing for as long: by its own time, so that what else the machine does
changes no verdict. A round depends on its number and the seed alone: `--first N --rounds 1` plays
it again.
"""

import argparse
import contextlib
import copy
import os
import random
import re
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgpack

from dreamdrive.envs.embedded.procedures import Procedures
from dreamdrive.envs.embedded.simulator import Simulator
from dreamdrive.envs.embedded.towns import load_town

TOWN = load_town("Dream01")
NAMES = Procedures(Simulator(TOWN)).names()
LIMITS = {
    "max-message-bytes": 400_000, "max-items": 2000, "max-actors": 60, "max-connections": 40,
    "max-subscriptions": 12, "max-queued-bytes": 200_000, "max-debug-shapes": 500,
    "max-recording-bytes": 2_000_000,
}  # fmt: skip
ANSWERED_IN_S, LOOK_S, GIVEN_UP_S, GROWTH_MIB = 20.0, 1.0, 240.0, 200.0
"""In how much of the server's own time a tick is answered, how often that is looked at, when it is
given up by the clock, and by how much the server may grow."""
LINE = re.compile(
    r"(127\.0\.0\.1:\d+|a new peer|recordings|Traffic Manager \d+|\d+ more complaints)"
)
PLACES = [[[x, y, z], [0.0, yaw, 0.0]] for x, y, z, yaw in TOWN.spawn_points[:40]]
CONTROL = [0.7, 0.2, 0.0, False, False, False, 0]
GOOD = [
    ("spawn_actor", [0, "vehicle.lincoln.mkz_2020", []], PLACES[0]),
    ("spawn_actor", [0, "walker.pedestrian.0001", []], PLACES[5]),
    ("spawn_actor", [0, "sensor.other.gnss", [["sensor_tick", 3, "0.1"]]], PLACES[0]),
    ("spawn_actor", [0, "sensor.other.imu", []], PLACES[0]),
    ("spawn_actor", [0, "static.prop.streetbarrier", []], PLACES[9]),
    ("destroy_actor", 90), ("set_actor_transform", 90, PLACES[3]),
    ("apply_control_to_vehicle", 90, CONTROL), ("add_actor_impulse", 90, [1.0, 2.0, 3.0]),
    ("set_actor_simulate_physics", 90, False), ("set_actor_collisions", 90, False),
    ("apply_control_to_walker", 91, [[1.0, 0.0, 0.0], 1.5, False]),
    ("apply_batch", [[[2, [90, CONTROL]]], [[1, [91]]]], True),
    ("enable_environment_objects", [1 << 32, (1 << 32) + 3], False),
    ("load_map_layer", 0xFFFF), ("unload_map_layer", 1), ("update_day_night_cycle", "x", True),
    ("load_new_episode", "Dream02", False, 0xFFFF), ("load_new_episode", "", False, 1),
    ("copy_opendrive_to_file", TOWN.xodr[:3000]), ("copy_opendrive_to_file", TOWN.xodr),
    ("set_weather_parameters", [5.0] * 14), ("get_environment_objects", 255),
    ("get_all_level_BBs", 255), ("get_names_of_all_objects",), ("get_physics_control", 90),
    ("set_episode_settings", [True, True, [True, 0.05], True, 0.01, 9, 0.0, True, 3e3, 2e3, True]),
    ("start_recorder", "fuzz", True), ("stop_recorder",),
    ("replay_file", "fuzz", 0.0, 0.0, 0, False),
    ("show_recorder_file_info", "fuzz", True), ("freeze_all_traffic_lights", True),
    ("cast_ray", [0.0, 0.0, 5.0], [30.0, 0.0, 0.0]), ("get_group_traffic_lights", 5),
    ("draw_debug_shape", [[0, [[0.0] * 3, 1.0]], [1, 2, 3], 1.0, True]), ("get_sensor_token", 92),
    ("add_traffic_manager_running", ["127.0.0.1", 1]), ("get_episode_info",), ("tick_cue",),
]  # fmt: skip


def any_value(rng, depth=0):
    """Returns a value of any type that msgpack has."""
    kind = rng.randrange(9 if depth < 5 else 7)
    if kind == 0:
        return rng.choice([0, 1, -1, 20, 90, 255, 2**31, 2**63, -(2**63), 2**64 - 1])
    if kind == 1:
        return rng.choice([0.0, 1.5, -1e9, 1e38, float("nan"), float("inf"), -float("inf")])
    if kind in (2, 3):
        return rng.choice([None, True, False])
    if kind == 4:
        return rng.choice(["", "x", "vehicle.*", "\0" * 9, "Dream03x", "9" * 300, "../../x", "é"])
    if kind == 5:
        return rng.randbytes(rng.randrange(30))
    if kind == 6:
        return [float(rng.randrange(-9, 9)) for _ in range(rng.choice([0, 2, 3, 5, 7, 14]))]
    if kind == 7:
        return {str(rng.random()): any_value(rng, depth + 1)}
    return [any_value(rng, depth + 1) for _ in range(rng.randrange(6))]


def changed(rng, call):
    """Returns a good call with some of its parts replaced, or as it is."""
    arguments = copy.deepcopy(list(call[1:]))
    for _ in range(rng.randrange(3) if arguments else 0):
        at = arguments
        while True:
            index = rng.randrange(len(at))
            if not isinstance(at[index], list) or not at[index] or rng.random() < 0.2:
                break
            at = at[index]
        known = at[index]
        if type(known) in (int, float) and rng.random() < 0.6:
            at[index] = type(known)(rng.choice([0, 1, -1, 2, 85, 88, 90, 93, 95, 100, 1e6, 1e12]))
        else:
            at[index] = any_value(rng)
    return [call[0], *arguments]


def packed(name, arguments, number=1):
    return msgpack.packb([0, number, name, [[False], *arguments]])


class Victim:
    """A server with tight limits, its log, and another client of it.

    Args:
        folder: Where its log and recordings go.
    """

    def __init__(self, folder):
        self.log = Path(folder) / "stderr.txt"
        options = [word for name, value in LIMITS.items() for word in (f"--{name}", str(value))]
        with self.log.open("w") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "dreamdrive.envs.embedded", "--port", "0", "--sync",
                 "--sensors", "--recordings", str(Path(folder) / "recordings"), *options],
                stdout=subprocess.PIPE, stderr=stderr, text=True,
            )  # fmt: skip
        self.port = int(self.process.stdout.readline().rsplit(":", 1)[1])
        self.witness = self.connect()
        self.frame = self.tick()
        self.mib = self.resident_mib()

    def connect(self, beside=0):
        return socket.create_connection(("127.0.0.1", self.port + beside), ANSWERED_IN_S)

    def computed_s(self):
        """Returns for how long the server has computed, and whether it waits for something."""
        words = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(") ")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK"), words[0] in "ST"

    def resident_mib(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s*(\d+)", status)[1]) / 1024.0

    def tick(self):
        """Returns the frame of a tick that the other client asks for."""
        self.witness.settimeout(LOOK_S)
        self.witness.sendall(packed("tick_cue", []))
        unpacker = msgpack.Unpacker()
        began, idle_s = self.computed_s()[0], 0.0
        computed, given_up = began, time.monotonic() + GIVEN_UP_S
        while True:
            try:
                data = self.witness.recv(1 << 16)
            except TimeoutError:
                before, (computed, is_waiting) = computed, self.computed_s()
                idle_s = idle_s + LOOK_S if is_waiting and computed == before else 0.0
                assert computed - began < ANSWERED_IN_S, "it computes, and answers nobody else"
                assert idle_s < ANSWERED_IN_S, "it does nothing, and does not answer"
                assert time.monotonic() < given_up, "it does this and that, and does not answer"
                continue
            assert data, "the other client was hung up on"
            unpacker.feed(data)
            for message in unpacker:
                assert message[2] is None, message
                return message[3][0][1]

    def check(self):
        """Raises an AssertionError where the server or its other client came to harm."""
        assert self.process.poll() is None, f"the server ended: {self.log.read_text()[-2000:]}"
        frame = self.tick()
        assert frame > self.frame, f"frame {frame} after {self.frame}"
        self.frame = frame
        grown = self.resident_mib() - self.mib
        assert grown < GROWTH_MIB, f"grown by {grown:.0f} MiB"
        lines = self.log.read_text().splitlines()
        odd = [line for line in lines if not LINE.match(line)]
        assert not odd, f"said in the log: {odd[:5]}"

    def close(self):
        self.process.kill()
        self.process.communicate()


def play(victim, seed, number, kept):
    """Plays a round; `kept` holds sockets that stay open for some rounds."""
    rng = random.Random(f"{seed}/{number}")
    kind = rng.randrange(8)
    while len(kept) > 12:
        kept.pop(rng.randrange(len(kept))).close()
    peer = victim.connect(1 if kind in (5, 6) else 0)
    with contextlib.suppress(OSError):
        if kind < 4:
            calls = [
                [rng.choice(NAMES), *(any_value(rng) for _ in range(rng.randrange(5)))]
                if rng.random() < 0.3 else changed(rng, rng.choice(GOOD))
                for _ in range(rng.randrange(1, 25))
            ]  # fmt: skip
            data = bytearray(b"".join(packed(name, rest) for name, *rest in calls))
            for _ in range(rng.randrange(4) if kind == 3 else 0):
                data[rng.randrange(len(data))] = rng.randrange(256)
            peer.sendall(data[: rng.randrange(len(data)) + 1] if kind == 3 else data)
            peer.settimeout(0.2)
            peer.recv(1 << 18)
        elif kind == 4:
            depth, size = rng.choice([10, 5000]), rng.choice([10, 10**6])
            peer.sendall(rng.choice(
                [b"\x91" * depth, b"\xdd\xff\xff\xff\xff", b"\xdb\x7f\xff\xff\xff" + b"x" * size,
                 rng.randbytes(size), b"\x94\x00\x01\xa7version" + b"\x91" * depth]
            ))  # fmt: skip
        elif kind == 5:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            peer.sendall(struct.pack("<I", rng.choice([1, 1, 90, 92, 93, 4_000_000_000])))
        elif kind == 6:
            peer.sendall(rng.randbytes(rng.randrange(9)))
        else:
            peer.sendall(packed("version", []) * rng.randrange(1, 5000))
    if rng.random() < 0.5:
        kept.append(peer)
    else:
        if rng.random() < 0.3:  # Reset instead of closed.
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()


def fuzz(folder, *, seed, rounds=None, seconds=None, first=0):
    """Plays rounds until their number or the time is reached; returns how many.

    Raises:
        AssertionError: If the server or another client of it comes to harm.
    """
    victim, kept, number, began = Victim(folder), [], first, time.monotonic()
    try:
        while (rounds is None or number < first + rounds) and (
            seconds is None or time.monotonic() - began < seconds
        ):
            try:
                play(victim, seed, number, kept)
                victim.check()
            except (AssertionError, OSError) as error:
                raise AssertionError(f"seed {seed}, round {number}: {error!r}") from error
            number += 1
        return number - first
    finally:
        for peer in (*kept, victim.witness):
            peer.close()
        victim.close()


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float)
    options.add_argument("--rounds", type=int)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--first", type=int, default=0)
    asked = vars(options.parse_args())
    with tempfile.TemporaryDirectory() as made:
        sys.stdout.write(f"{fuzz(made, **asked)} rounds without harm\n")
