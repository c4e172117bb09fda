"""Work that is spread over processes, some of which fail."""

import os
import select
import subprocess
import sys

import pytest

from dreamdrive.errors import WorkerError
from dreamdrive.experiments import workers
from support.odd_work import doubled, failing, vanishing


@pytest.mark.parametrize("num_workers", [1, 2])
def test_every_item_is_worked_on_once(num_workers):
    assert sorted(workers.spread(doubled, 2, [1, 2, 3], num_workers)) == [2, 4, 6]


@pytest.mark.parametrize("code", [0, 3])
def test_a_process_that_ends_without_a_word_is_an_error(monkeypatch, code):
    monkeypatch.setattr(workers, "WAIT_S", 0.5)
    with pytest.raises(WorkerError, match="without a word"):
        list(workers.spread(vanishing, code, [1, 2], 2))


def test_a_process_that_fails_says_why():
    with pytest.raises(WorkerError, match="no reason"):
        list(workers.spread(failing, None, [1, 2], 2))


def test_workers_end_with_whoever_started_them(tmp_path):
    script = tmp_path / "main.py"
    script.write_text(
        "from dreamdrive.experiments.workers import spread\n"
        "from support.odd_work import naming_itself\n"
        "if __name__ == '__main__':\n"
        "    for pid in spread(naming_itself, None, [1, 2], 2):\n"
        "        print(pid, flush=True)\n"
    )
    path = os.pathsep.join(filter(None, sys.path))
    with subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": path},
    ) as parent:  # fmt: skip
        workers = [os.pidfd_open(int(parent.stdout.readline())) for _ in range(2)]
        parent.kill()
    for worker in workers:
        assert select.select([worker], [], [], 60.0)[0], "a worker outlived its parent"
        os.close(worker)
