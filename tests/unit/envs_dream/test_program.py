"""A step is a static program: one graph could hold it, whatever the dreams do."""

import gc
from pathlib import Path

import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode

from dreamdrive.envs.dream import program as subject
from dreamdrive.envs.dream.vector import DreamVectorEnv
from support.static_program import NotStaticError, addresses, static


def dreams(world: Path, num_envs: int = 4, **how) -> DreamVectorEnv:
    env = DreamVectorEnv(num_envs, model=world, as_torch=True, **{"max_steps": 5} | how)
    env.reset(seed=0)
    env.step(torch.zeros(num_envs, 2))
    return env


@pytest.mark.parametrize("num_steps", [1, 4])
@pytest.mark.parametrize("observations", ["pixels", "latent"])
@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_a_step_asks_nothing_of_the_host(world, mode, observations, num_steps):
    env = dreams(
        world, autoreset_mode=mode, observations=observations, num_steps=num_steps,
        uncertainty_limit=1.0,
    )  # fmt: skip
    program = env._program
    before = addresses(program.buffers())
    ended = 0
    with torch.no_grad():
        for _ in range(12):
            with static():
                stepped = program.step(torch.zeros(4, 2))
            ended += int((stepped.terminated_B | stepped.truncated_B).sum())
    assert ended
    assert addresses(program.buffers()) == before


def test_a_step_leaves_no_memory_behind(world):
    env = dreams(world)
    program, action = env._program, torch.zeros(4, 2)

    def tensors() -> int:
        gc.collect()
        return sum(type(x) is torch.Tensor for x in gc.get_objects())

    with torch.no_grad():
        program.step(action)
        before = tensors()
        for _ in range(10):
            program.step(action)
        assert tensors() == before


PLANTED = {
    "item": lambda program: program.step_B.sum().item(),
    "cpu": lambda program: program.step_B.cpu(),
    "bool": lambda program: bool(program.over_B.any()),
    "mask": lambda program: program.step_B[program.over_B],
    "mask written": lambda program: program.step_B.__setitem__(program.over_B, 0),
    "nonzero": lambda program: program.over_B.nonzero(),
    "host": lambda program: torch.tensor(1.0),
}


@pytest.mark.parametrize("fault", PLANTED)
def test_a_fault_that_a_graph_could_not_hold_is_noticed(world, monkeypatch, fault):
    env = dreams(world)
    right = subject.DreamProgram.restart

    def wrong(self, mask_B):
        PLANTED[fault](self)
        return right(self, mask_B)

    monkeypatch.setattr(subject.DreamProgram, "restart", wrong)
    with torch.no_grad(), static(), pytest.raises(NotStaticError):
        env._program.step(torch.zeros(4, 2))


def test_a_buffer_that_is_replaced_is_noticed(world, monkeypatch):
    env = dreams(world)
    before = addresses(env._program.buffers())

    def wrong(self, mask_B, *_):
        self.step_B = self.step_B + 1

    monkeypatch.setattr(subject.DreamProgram, "begin", wrong)
    with torch.no_grad():
        env._program.step(torch.zeros(4, 2))
    assert addresses(env._program.buffers()) != before


def test_the_ring_is_written_in_place_and_gives_what_a_copy_gives(world):
    """The trajectory is that of steps which leave the state before them whole, to the last bit."""
    env = dreams(world, termination="threshold", max_steps=100)
    model, program = env.model, env._program
    state, step_B = program.state.clone(), program.step_B.clone()
    size = program._noise_sizes
    with torch.no_grad():
        for i in range(8):
            action = torch.full((4, 2), 0.1 * i)
            latent, vector = program.noise.normals(step_B, sum(size)).split(size, 1)
            noise = (latent.unflatten(1, model.latent_shape), vector)
            kept = state.clone()
            after, seen = model.imagine_step(state, action, noise=noise)
            for a, b in zip(state.leaves(), kept.leaves(), strict=True):
                assert torch.equal(a, b)
            stepped = program.step(action)
            assert torch.equal(stepped.reward_B, seen.reward_B * model.config.reward_scale)
            _, state = model.decode_step(after)
            for a, b in zip(state.leaves(), program.state.leaves(), strict=True):
                assert torch.equal(a, b)
            step_B += 1


def test_a_ring_is_not_written_in_place_where_gradients_are_recorded(world):
    env = dreams(world)
    state = env.state.clone()
    with pytest.raises(ValueError, match="no gradient"):
        env.model.imagine_step(state, torch.zeros(4, 2), in_place=True)


def test_going_back_repeats_the_same_steps(world):
    program = dreams(world)._program
    with torch.no_grad():
        kept = program.copy_of()
        first = [program.step(torch.zeros(4, 2)).reward_B for _ in range(7)]
        program.put_back(kept)
        again = [program.step(torch.zeros(4, 2)).reward_B for _ in range(7)]
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def test_without_a_copy_pictures_are_the_buffer_itself(world):
    env = DreamVectorEnv(2, model=world, copy=False)
    first, _ = env.reset(seed=0)
    address = first["image"].__array_interface__["data"][0]
    kept = first["image"].copy()
    seen, *_ = env.step(np.ones((2, 2), np.float32))
    assert seen["image"].__array_interface__["data"][0] == address
    assert not np.array_equal(kept, seen["image"])
