import os
import subprocess
import sys
import time

import pytest

from dreamdrive.experiments.processor_time import processor_s

BURN = """
import sys, time
while time.process_time() < 0.3:
    pass
if sys.argv[1:]:
    import subprocess
    subprocess.run([sys.executable, "-c", sys.argv[1]], check=True)
print("done", flush=True)
sys.stdin.read()
"""


def test_it_is_the_time_of_this_process_where_nothing_else_runs():
    own = os.times()
    assert processor_s(os.getpid()) >= own.user + own.system - 0.02


def test_children_count_and_those_of_children_that_have_ended():
    before, own = processor_s(os.getpid()), time.process_time()
    ended = "import time\nwhile time.process_time() < 0.3: pass"
    with subprocess.Popen(
        [sys.executable, "-c", BURN, ended], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout.readline() == b"done\n"
        alive = processor_s(os.getpid()) - before - (time.process_time() - own)
        child.stdin.close()
    gone = processor_s(os.getpid()) - before - (time.process_time() - own)
    assert 0.55 < alive < 5.0
    assert gone == pytest.approx(alive, abs=0.5)


def test_others_do_not_count():
    with subprocess.Popen(
        [sys.executable, "-c", BURN], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout.readline() == b"done\n"
        assert 0.25 < processor_s(child.pid) < 5.0
        child.stdin.close()
        child.wait()
        assert processor_s(child.pid) == 0.0
