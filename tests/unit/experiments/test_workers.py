"""Work that is spread over processes, some of which fail."""

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
