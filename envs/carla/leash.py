"""Runs a program that ends with the process that started it, however that ends.

`python -I leash.py PROGRAM ARGUMENT...` waits for the program, and for the end of its own standard
input, whose other end the supervisor holds. When that closes, its whole process group ends: it
leads one, since CARLA's launcher starts the server proper as a child that outlives it.
"""

import contextlib
import os
import selectors
import signal
import subprocess
import sys

GRACE_S = 3.0
"""How long the program may take to end by itself."""

NOT_STARTED = 127


def main(command: list[str]) -> int:
    """Runs the command and returns its exit status."""
    # The group is asked to end as a whole: this process then waits for the program to do so. A
    # signal that is ignored would stay so in the program.
    signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        program = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    except OSError as error:
        sys.stdout.write(f"{command[0]} cannot be started: {error.strerror}\n")
        return NOT_STARTED
    if _ends_before_stdin(program.pid):
        status = program.wait()
        return status if status >= 0 else 128 - status
    program.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        program.wait(GRACE_S)
    os.killpg(0, signal.SIGKILL)
    return NOT_STARTED


def _ends_before_stdin(pid: int) -> bool:
    """Waits until a child ends or standard input closes; returns whether it was the child."""
    child, stdin = os.pidfd_open(pid), sys.stdin.fileno()
    with selectors.DefaultSelector() as selector:
        selector.register(child, selectors.EVENT_READ)
        selector.register(stdin, selectors.EVENT_READ)
        while True:
            ready = {key.fd for key, _ in selector.select()}
            if child in ready:
                return True
            if not os.read(stdin, 4096):
                return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
