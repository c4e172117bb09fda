"""The dream as TorchRL's environment, and its tensors in other libraries by DLPack."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torchrl.envs.utils import check_env_specs

from dreamdrive.envs.dream.torchrl import DreamTorchRLEnv
from dreamdrive.envs.dream.vector import DreamVectorEnv
from dreamdrive.errors import ConfigError


@pytest.mark.parametrize("observations", ["pixels", "latent"])
def test_torchrls_own_check_passes(world: Path, observations: str) -> None:
    check_env_specs(DreamTorchRLEnv(3, model=world, observations=observations), seed=0)


def test_it_dreams_what_the_vector_environment_dreams(world: Path) -> None:
    env = DreamTorchRLEnv(3, model=world, max_steps=100, termination="threshold")
    env.set_seed(5)
    plain = DreamVectorEnv(3, model=world, max_steps=100, termination="threshold", as_torch=True)
    seen, _ = plain.reset(seed=5)
    given = env.reset()
    assert torch.equal(given["image"], seen["image"])
    action = torch.full((3, 2), 0.25)
    for _ in range(4):
        given = env.step(given.set("action", action))["next"]
        seen, reward, *_ = plain.step(action)
        assert torch.equal(given["state"], seen["state"])
        assert torch.equal(given["image"], seen["image"])
        assert torch.equal(given["reward"][:, 0], reward)


def test_a_rollout_goes_over_the_ends_of_episodes_each_in_its_own_time(world: Path) -> None:
    env = DreamTorchRLEnv(4, model=world, max_steps=5)
    env.set_seed(0)
    out = env.rollout(20, break_when_any_done=False)
    done = out["next", "done"][..., 0]
    assert done.sum() >= 12
    assert out.shape == (4, 20)
    # Pictures of a rollout are its own: a buffer that is written over would make them all alike.
    assert (out["next", "image"][:, 0] != out["next", "image"][:, 3]).any()
    first = out["next", "state"][:, :-1][done[:, :-1]]
    after = out["state"][:, 1:][done[:, :-1]]
    assert not torch.equal(first, after)


def test_what_torchrl_fixes_cannot_be_chosen(world: Path) -> None:
    with pytest.raises(ConfigError, match="autoreset_mode is fixed by TorchRL"):
        DreamTorchRLEnv(1, model=world, autoreset_mode="NextStep")


def test_arrays_of_other_libraries_share_the_dreams_memory_and_steer_it(world: Path) -> None:
    """NumPy stands for JAX and CuPy here: all three read and give DLPack."""
    env = DreamVectorEnv(2, model=world, as_torch=True, copy=False)
    seen, _ = env.reset(seed=0)
    image = np.from_dlpack(seen["image"])
    assert image.ctypes.data == seen["image"].data_ptr()
    before = image.copy()
    action = np.zeros((2, 2), np.float32)
    again, *_ = env.step(torch.from_dlpack(action))
    assert np.from_dlpack(again["image"]).ctypes.data == image.ctypes.data
    assert not np.array_equal(image, before)
