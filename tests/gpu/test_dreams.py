"""On a GPU: a step of many dreams is one graph, waits for nothing, and dreams what the CPU does."""

import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode

from dreamdrive.envs.dream.vector import DreamVectorEnv

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def dreams(num_envs: int, **how) -> DreamVectorEnv:
    return DreamVectorEnv(num_envs, as_torch=True, device="cuda", **how)


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_a_thousand_steps_wait_for_nothing(mode):
    env = dreams(64, autoreset_mode=mode, max_steps=20)
    env.reset(seed=0)
    action = torch.zeros(64, 2, device="cuda")
    env.step(action)
    torch.cuda.synchronize()
    held = torch.cuda.memory_allocated()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(1000):
            env.step(action)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.cuda.memory_allocated() == held


def test_the_graph_gives_what_the_program_gives():
    graphed, plain = dreams(8), dreams(8)
    plain._step = plain._program.step
    for env in (graphed, plain):
        env.reset(seed=3)
    for i in range(30):
        action = torch.full((8, 2), 0.01 * i, device="cuda")
        mine, theirs = graphed.step(action), plain.step(action)
        assert torch.equal(mine[2], theirs[2])
        torch.testing.assert_close(mine[0]["state"], theirs[0]["state"])
        torch.testing.assert_close(mine[1], theirs[1])


def test_a_gpu_dreams_what_the_processor_dreams():
    there, here = dreams(4, termination="threshold"), DreamVectorEnv(4, termination="threshold")
    there.reset(seed=1)
    here.reset(seed=1)
    for _ in range(15):
        mine = there.step(torch.zeros(4, 2, device="cuda"))
        theirs = here.step(np.zeros((4, 2), np.float32))
        np.testing.assert_allclose(mine[0]["state"].cpu(), theirs[0]["state"], atol=5e-3)


def test_dlpack_shares_the_gpus_memory():
    env = dreams(2, copy=False)
    seen, _ = env.reset(seed=0)
    again = torch.from_dlpack(seen["image"].__dlpack__())
    assert again.data_ptr() == seen["image"].data_ptr()
