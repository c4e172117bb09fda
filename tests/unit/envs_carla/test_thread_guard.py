"""The handler is process-wide, so each case runs in a process of its own."""

import subprocess
import sys

import pytest

from dreamdrive.envs.carla.thread_guard import guard_threads

PROGRAM = """
import ctypes, sys
from dreamdrive.envs.carla.thread_guard import guard_threads
assert guard_threads() and guard_threads()
terminate = ctypes.CDLL("libstdc++.so.6")._ZSt9terminatev
if sys.argv[1] == "main":
    terminate()
threads = ctypes.CDLL(None)
thread = ctypes.c_ulong()
for _ in range(100):
    assert threads.pthread_create(ctypes.byref(thread), None, terminate, None) == 0
    assert threads.pthread_join(thread, None) == 0
print("joined", flush=True)
"""


@pytest.mark.skipif(not guard_threads(), reason="no libstdc++, or another machine")
@pytest.mark.parametrize(("where", "status", "output"), [("main", -6, ""), ("thread", 0, "joined")])
def test_a_thread_that_fails_ends_alone_and_the_main_thread_aborts(where, status, output):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, where], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == status
    assert output in done.stdout
