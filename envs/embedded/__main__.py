"""Runs the embedded server: `python -m dreamdrive.envs.embedded --port 2000 --town Dream01`."""

import argparse
import contextlib
import ipaddress
import os
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from dreamdrive.envs.embedded.limits import MEANINGS, Limits
from dreamdrive.envs.embedded.lost_ticks import LOST_AFTER_S
from dreamdrive.envs.embedded.server import Server
from dreamdrive.envs.embedded.simulator import RECORDINGS, Simulator
from dreamdrive.envs.embedded.towns import add_map, available_towns, load_town
from dreamdrive.errors import DreamdriveError

EXAMPLES = """examples:
  dreamdrive serve
  dreamdrive serve --town Dream03 --port 2000
  dreamdrive serve --town my_town.xodr --sync"""


def parser() -> argparse.ArgumentParser:
    """Returns the command line's parser."""
    description = "A server that speaks CARLA 0.9.16's protocol, without Unreal and without a GPU."
    found = argparse.ArgumentParser(
        prog="dreamdrive serve", description=description, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    found.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    found.add_argument("--port", type=int, default=2000, help="calls; streams are on the next")
    towns = ", ".join(available_towns())
    found.add_argument("--town", default="Dream01", help=f"an .xodr file, or one of {towns}")
    found.add_argument(
        "--maps", nargs="+", default=[], metavar="FILE", type=Path,
        help=".xodr files that clients may load as towns too, by the files' names",
    )  # fmt: skip
    found.add_argument("--sync", action="store_true", help="start in synchronous mode, 0.05 s")
    found.add_argument(
        "--sensors", action="store_true",
        help="be ready for cameras and LiDARs before any client connects; else the first of them "
        "waits for it, on a new machine for some ten seconds",
    )  # fmt: skip
    found.add_argument(
        "--recordings", default=RECORDINGS, metavar="DIR", type=Path,
        help="the folder of recordings, which no client's file name leads out of (./%(default)s)",
    )  # fmt: skip
    found.add_argument(
        "--road-hazards", action="store_true",
        help="kerbs jolt, and posts of lights and signs are solid",
    )  # fmt: skip
    found.add_argument(
        "--wet-grip", action="store_true",
        help="tyres grip less on wet roads, which Traffic Managers do not know",
    )  # fmt: skip
    found.add_argument(
        "--only-answer", action="store_true", help="answer ticks without simulating (a yardstick)"
    )
    found.add_argument(
        "--wake-after", type=float, default=LOST_AFTER_S, metavar="S",
        help="wake a client's Traffic Manager that sleeps through a tick for so long, as CARLA's "
        "own sometimes does for ever (%(default)s)",
    )  # fmt: skip
    found.add_argument(
        "--until-stdin-closes", action="store_true",
        help="end with the process that holds the other end of standard input",
    )  # fmt: skip
    bounds = found.add_argument_group("limits", "what clients may ask for")
    for field in fields(Limits):
        bounds.add_argument(
            f"--{field.name.replace('_', '-')}", type=int, default=field.default, metavar="N",
            help=f"{MEANINGS[field.name]} (%(default)s)",
        )  # fmt: skip
    return found


def is_loopback(host: str) -> bool:
    """Returns whether an address is one of this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _end_with_stdin() -> None:
    """Ends this process, as SIGTERM does, once standard input is closed."""
    with contextlib.suppress(OSError):
        while os.read(sys.stdin.fileno(), 4096):
            pass
    os.kill(os.getpid(), signal.SIGTERM)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serves until it is told to stop; returns the exit status."""
    options = parser().parse_args(arguments)
    try:
        limits = Limits(**{field.name: getattr(options, field.name) for field in fields(Limits)})
        for path in options.maps:
            add_map(path)
        town = load_town(options.town)
        simulator = Simulator(
            town, synchronous=options.sync, only_answer=options.only_answer, limits=limits,
            recordings=options.recordings, has_road_hazards=options.road_hazards,
            has_wet_grip=options.wet_grip,
        )  # fmt: skip
        simulator.meshes.begin(town)
        if options.sensors:
            simulator.eyes()
        server = Server(simulator, options.host, options.port, options.wake_after)
    except DreamdriveError as error:
        print(error, file=sys.stderr)
        return 2

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    if options.until_stdin_closes:
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    if not is_loopback(options.host):
        print(
            f"WARNING: listening on {options.host}: whoever can reach it can drive this world and "
            "write recordings; nobody is asked who they are", file=sys.stderr, flush=True,
        )  # fmt: skip
    print(f"ready {options.host}:{server.port}", flush=True)
    try:
        server.serve()
    except KeyboardInterrupt:
        pass
    finally:
        server.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
