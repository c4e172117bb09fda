import re

import pytest
import torch

from dreamdrive.envs.dream import room as subject
from dreamdrive.envs.dream.vector import DreamVectorEnv
from dreamdrive.errors import ConfigError
from support.tiny_world import tiny_contexts, tiny_model


def test_more_dreams_than_fit_are_refused_and_the_most_that_fit_do(monkeypatch):
    model = tiny_model()
    each = subject.bytes_a_dream(model)
    monkeypatch.setattr(subject, "free_bytes", lambda device: 10 * each + 1)
    with pytest.raises(ConfigError, match="11 dreams need at least") as told:
        DreamVectorEnv(11, model, tiny_contexts())
    most = int(re.search(r"At most (\d+) fit", str(told.value))[1])
    assert most == 10
    DreamVectorEnv(most, model, tiny_contexts())


def test_the_bytes_of_a_dream_are_those_that_it_keeps():
    env = DreamVectorEnv(4, tiny_model(), tiny_contexts())
    kept = [*env.state.leaves(), env._program.image_BHWC]
    assert sum(x.untyped_storage().nbytes() for x in kept) == 4 * subject.bytes_a_dream(env.model)


def test_a_device_that_runs_out_of_memory_in_a_step_is_said_with_a_batch_that_fits(monkeypatch):
    env = DreamVectorEnv(8, tiny_model(), tiny_contexts(), as_torch=True)
    env.reset(seed=0)

    def full(action):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(env, "_step", full)
    with pytest.raises(ConfigError, match=r"out of memory with 8 dreams.*Try 4"):
        env.step(torch.zeros(8, 2))


def test_where_nobody_says_what_is_free_nothing_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(subject, "MEMINFO", tmp_path / "missing")
    assert subject.free_bytes(torch.device("cpu")) is None
    subject.check_room(tiny_model(), 10**12)
