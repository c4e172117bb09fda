"""The handler is process-wide, so each case runs in a process of its own."""

import subprocess
import sys

import pytest

from dreamdrive.envs.carla.thread_guard import guard_threads

PROGRAM = """
import ctypes, sys, threading, time
from dreamdrive.envs.carla.thread_guard import guard_threads
assert guard_threads() and guard_threads()
terminate = ctypes.CDLL("libstdc++.so.6")._ZSt9terminatev
if sys.argv[1] == "main":
    terminate()
thread = threading.Thread(target=terminate, daemon=True)
thread.start()
thread.join(0.2)
print("alive", thread.is_alive(), flush=True)
"""


@pytest.mark.skipif(not guard_threads(), reason="no libstdc++ here")
@pytest.mark.parametrize(("where", "status", "output"), [("main", -6, ""), ("thread", 0, "alive")])
def test_a_thread_that_fails_sleeps_and_the_main_thread_aborts(where, status, output):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, where], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == status
    assert output in done.stdout
