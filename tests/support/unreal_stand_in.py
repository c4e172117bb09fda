"""Stands in for CARLA's Unreal server: the embedded one behind Unreal's options, with its faults.

`python unreal_stand_in.py FOLDER FAULT... -- OPTION...`: the first start has the first fault, the
second the second, and so on; the last holds for all that follow. `FAULT:N` begins at the Nth tick
that a client asks for.
"""

import contextlib
import itertools
import os
import re
import signal
import socket
import sys
import time
from pathlib import Path

import msgpack

TOWN = "Dream01"
LEAK_MIB, SLOW_S = 64, 0.02


def main(arguments):
    end = arguments.index("--")
    folder, faults, options = Path(arguments[0]), arguments[1:end], arguments[end + 1 :]
    assert "-RenderOffScreen" in options
    port = int(next(filter(None, (re.fullmatch(r"-carla-rpc-port=(\d+)", o) for o in options)))[1])
    fault, _, number = faults[min(starts(folder), len(faults) - 1)].partition(":")
    if fault == "hangs":
        signal.pause()
    if fault == "crashes":
        sys.exit("LowLevelFatalError: no Vulkan device")
    if fault in ("deaf", "old", "babbles"):
        answer(port, fault)
    from dreamdrive.envs.embedded.server import Server
    from dreamdrive.envs.embedded.simulator import Simulator
    from dreamdrive.envs.embedded.towns import load_town

    simulator = Simulator(load_town(TOWN))
    under_load(simulator, fault, int(number or 0))
    server = Server(simulator, "127.0.0.1", port)
    server._answer = garbled(server._answer)
    server.serve()


def starts(folder):
    """Returns how many starts there were before, and counts this one."""
    for number in itertools.count():
        with contextlib.suppress(FileExistsError):
            (folder / f"start-{number}").touch(exist_ok=False)
            return number


def under_load(simulator, fault, number):
    """Gives the simulator its fault from a tick on."""
    kept, count, begin = [], itertools.count(), simulator.begin_tick

    def begun():
        if simulator.synchronous and next(count) >= number:
            if fault == "dies":
                os.kill(os.getpid(), signal.SIGKILL)
            if fault == "freezes":
                os.kill(os.getpid(), signal.SIGSTOP)
            if fault == "garbles":
                raise ZeroDivisionError
            if fault == "leaks":
                kept.append(bytes([1]) * (LEAK_MIB << 20))
            if fault == "slow":
                time.sleep(SLOW_S)
        return begin()

    simulator.begin_tick = begun


def garbled(answer):
    """Returns an answering that sends bytes of no protocol where a tick says so."""

    def answered(message, connection):
        try:
            return answer(message, connection)
        except ZeroDivisionError:
            return b"\xc1\xff\x00 no protocol \xc1" * 100

    return answered


def answer(port, fault):
    """Answers every call with another version, with nonsense, or not at all."""
    with socket.create_server(("127.0.0.1", port)) as server:
        while True:
            peer, _ = server.accept()
            with peer:
                unpacker = msgpack.Unpacker()
                while data := peer.recv(4096):
                    unpacker.feed(data)
                    for _, number, *_ in unpacker:
                        if fault == "old":
                            peer.sendall(msgpack.packb([1, number, None, [[1, "0.9.15"]]]))
                        if fault == "babbles":
                            peer.sendall(b"\xc1HTTP/1.1 400 Bad Request\r\n\r\n")


if __name__ == "__main__":
    main(sys.argv[1:])
