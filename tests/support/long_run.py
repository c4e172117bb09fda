"""Ticks a server for long and tells how its memory grows.

`PYTHONPATH=tests python -m support.long_run --ticks 1000000`: twenty vehicles under controls that
change, walkers, sensors that are listened to, actors that come and go, a recording now and then.
"""

import argparse
import contextlib
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path

import msgpack

from dreamdrive.envs.embedded.towns import load_town
from support.server import CAR, server_process

SENSORS = {
    "sensor.other.imu": {"noise_accel_stddev_x": "0.1"}, "sensor.other.gnss": {},
    "sensor.other.collision": {},
    "sensor.lidar.ray_cast": {"points_per_second": "2000", "sensor_tick": "0.5"},
    "sensor.camera.rgb": {"image_size_x": "32", "image_size_y": "24", "sensor_tick": "1.0"},
}  # fmt: skip
WINDOW = 50
"""Ticks that are asked for before their answers are read."""


class Peer:
    """A caller that reads its answers in order."""

    def __init__(self, port):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=60.0)
        self.unpacker = msgpack.Unpacker(raw=False)
        self.waiting = 0

    def send(self, method, *arguments):
        self.sock.sendall(msgpack.packb([0, 1, method, [[False], *arguments]]))
        self.waiting += 1

    def answers(self):
        found = []
        while len(found) < self.waiting:
            for message in self.unpacker:
                found.append(message)
            if len(found) < self.waiting:
                data = self.sock.recv(1 << 16)
                assert data, "the server hung up"
                self.unpacker.feed(data)
        self.waiting = 0
        return found

    def ask(self, method, *arguments):
        self.send(method, *arguments)
        error, result = self.answers()[0][2:]
        assert error is None, error
        assert result[0][0] in (1, False), result
        return result[0][-1]


def swallow(sock):
    with contextlib.suppress(OSError):
        while sock.recv(1 << 20):
            pass


def memory_mib(pid):
    """Returns a process' resident memory."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024.0
    raise AssertionError("no resident memory")


def described(kind, attributes=()):
    return [0, kind, [[name, 4, value] for name, value in dict(attributes).items()]]


def at(place, up=0.3):
    x, y, _, yaw = place
    return [[x, y, up], [0.0, yaw, 0.0]]


def run(num_ticks, folder, say=lambda line: None):
    """Returns the server's memory in MiB at eleven moments, the first after a fifth of all."""
    places = load_town("Dream01").spawn_points
    with (
        server_process("--port", "0", "--sync", "--recordings", str(folder)) as process,
        contextlib.ExitStack() as open_sockets,
    ):
        port = int(process.stdout.readline().rsplit(":", 1)[1])
        drain = threading.Thread(target=process.stderr.read, daemon=True)
        drain.start()
        peer = Peer(port)
        open_sockets.enter_context(peer.sock)
        cars = [peer.ask("spawn_actor", described(CAR), at(places[3 * k]))[0] for k in range(20)]
        for k in range(5):
            walker = peer.ask(
                "spawn_actor", described("walker.pedestrian.0001"), at(places[70 + k], 1.0)
            )[0]
            peer.ask("apply_control_to_walker", walker, [[1.0, 0.2, 0.0], 1.4, False])
        streams = [1]
        for kind, attributes in SENSORS.items():
            streams.append(
                peer.ask("spawn_actor_with_parent", described(kind, attributes),
                         [[0.0, 0.0, 2.0], [0.0, 0.0, 0.0]], cars[0], 0, "")[0]
            )  # fmt: skip
        for stream in streams:
            sock = socket.create_connection(("127.0.0.1", port + 1))
            open_sockets.enter_context(sock)
            sock.sendall(stream.to_bytes(4, "little"))
            threading.Thread(target=swallow, args=(sock,), daemon=True).start()
        found, begin, extra = [], time.monotonic(), 0
        marks = [num_ticks // 5 + k * (num_ticks - num_ticks // 5) // 10 for k in range(11)]
        for tick in range(num_ticks + 1):
            if tick in marks:
                peer.answers()
                found.append(memory_mib(process.pid))
                say(f"{tick} ticks, {time.monotonic() - begin:.0f} s, {found[-1]:.1f} MiB")
            if tick % 500 == 0:
                peer.answers()
                if extra:
                    peer.ask("destroy_actor", extra)
                extra = peer.ask("spawn_actor", described("vehicle.audi.tt"), at(places[64]))[0]
                shape = [[0, [[0.0, 0.0, 0.0], 0.1]], [255, 0, 0], 1.0, False]
                peer.ask("draw_debug_shape", shape)
            if tick % (num_ticks // 10) == 0:
                peer.ask("start_recorder", "long.log")
            elif tick % (num_ticks // 10) == 500:
                peer.ask("stop_recorder")
            if tick % 20 == 0:
                steer, throttle = ((tick // 20) % 7 - 3) / 10.0, 0.3 + (tick // 20 % 3) / 10.0
                control = [throttle, steer, 0.0, False, False, False, 0]
                peer.send("apply_batch", [[[2, [car, control]]] for car in cars], False)
            peer.send("tick_cue")
            if peer.waiting > WINDOW:
                peer.answers()
        return found


def main():
    """Prints the memory as it runs; returns the exit status."""
    options = argparse.ArgumentParser(prog="python -m support.long_run")
    options.add_argument("--ticks", type=int, default=100_000)
    ticks = options.parse_args().ticks
    with tempfile.TemporaryDirectory() as folder:
        found = run(ticks, Path(folder), say=lambda line: print(line, flush=True))  # noqa: T201
    print(f"growth {max(found[1:]) - found[0]:.2f} MiB")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
