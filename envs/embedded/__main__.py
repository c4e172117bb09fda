"""Runs the embedded server: `python -m dreamdrive.envs.embedded --port 2000 --town Dream01`."""

import argparse
import signal
import sys
from collections.abc import Sequence

from dreamdrive.envs.embedded.server import Server
from dreamdrive.envs.embedded.simulator import Simulator
from dreamdrive.envs.embedded.towns import available_towns, load_town
from dreamdrive.errors import DreamdriveError


def parser() -> argparse.ArgumentParser:
    """Returns the command line's parser."""
    description = "A server that speaks CARLA 0.9.16's protocol, without Unreal and without a GPU."
    found = argparse.ArgumentParser(prog="dreamdrive serve", description=description)
    found.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    found.add_argument("--port", type=int, default=2000, help="calls; streams are on the next")
    towns = ", ".join(available_towns())
    found.add_argument("--town", default="Dream01", help=f"an .xodr file, or one of {towns}")
    found.add_argument("--sync", action="store_true", help="start in synchronous mode, 0.05 s")
    found.add_argument(
        "--only-answer", action="store_true", help="answer ticks without simulating (a yardstick)"
    )
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Serves until it is told to stop; returns the exit status."""
    options = parser().parse_args(arguments)
    try:
        town = load_town(options.town)
        simulator = Simulator(town, synchronous=options.sync, only_answer=options.only_answer)
        server = Server(simulator, options.host, options.port)
    except DreamdriveError as error:
        print(error, file=sys.stderr)
        return 2

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
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
