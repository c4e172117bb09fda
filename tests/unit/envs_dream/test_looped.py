"""The program by compiled loops dreams what the plain one does, whatever ends."""

import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode

from dreamdrive.envs.dream.looped import NO_LIMIT, LoopedProgram
from dreamdrive.envs.dream.noise import NoiseStreams
from dreamdrive.envs.dream.program import DreamProgram
from dreamdrive.envs.dream.vector import DreamVectorEnv
from dreamdrive.kernels import processor_dream


def pair(world, **how):
    """Two environments that step the model itself, with the plain program and the loops."""
    made = []
    for kind in (DreamProgram, LoopedProgram):
        env = DreamVectorEnv(4, model=world, as_torch=True, **{"max_steps": 7} | how)
        plain = env._program
        assert type(plain) is DreamProgram
        if kind is LoopedProgram:
            env._program = looped = LoopedProgram(
                env.model, 4, plain._face, plain._info, num_steps=1, max_steps=plain._max_steps,
                autoreset_mode=plain._mode, is_sampled=plain._is_sampled,
                uncertainty_limit=plain._limit, has_pixels=True,
            )  # fmt: skip
            env._step = looped.step
        env.reset(seed=3)
        made.append(env)
    return made


def flat(values, prefix=""):
    for name, value in values.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize(
    "how", [{}, {"termination": "threshold"}, {"uncertainty_limit": 0.01, "max_steps": 100}]
)
def test_dreams_ends_causes_and_costs_are_the_plain_programs(world, mode, how):
    plain, looped = pair(world, autoreset_mode=mode, **how)
    generator, num_ends = torch.Generator().manual_seed(0), 0
    for _ in range(6 if mode is AutoresetMode.DISABLED else 20):
        action = torch.rand(4, 2, generator=generator) * 2.0 - 1.0
        told = [env.step(action) for env in (plain, looped)]
        done = told[0][2] | told[0][3]
        for a, b in zip(*(dict(flat(x[4])).items() for x in told), strict=True):
            assert a[0] == b[0]
            # A picture's number may round to its neighbour.
            is_picture = a[1].dtype == torch.uint8
            first, second = (x[1].int() if is_picture else x[1] for x in (a, b))
            atol = 1.0 if is_picture else 2e-3
            torch.testing.assert_close(first, second, atol=atol, rtol=2e-3)
        for i in (1, 2, 3):
            torch.testing.assert_close(told[0][i], told[1][i], atol=1e-4, rtol=1e-4)
        state = told[0][0]["state"], told[1][0]["state"]
        torch.testing.assert_close(*state, atol=1e-3, rtol=1e-3)
        num_ends += int(done.sum())
        if mode is AutoresetMode.DISABLED and done.any():
            for env in (plain, looped):
                env.reset(options={"reset_mask": done})
    assert num_ends or mode is AutoresetMode.DISABLED


@pytest.mark.parametrize("count", [2, 33, 1038])
def test_noise_is_that_of_the_streams(count):
    seeds = torch.tensor([0, 5, -(2**62), 2**63 - 1])
    streams = NoiseStreams(4, count, torch.device("cpu"))
    streams.seed_B, streams.episode_B = seeds, torch.tensor([0, 1, 2, 3])
    step = torch.tensor([0, 9, 199, 10_000])
    first, second = np.zeros((4, count - 1), np.float32), np.zeros((4, 1), np.float32)
    halves = np.zeros((2, (count + 1) // 2), np.float32)
    counters = (x.numpy().view(np.uint64) for x in (seeds, streams.episode_B, step))
    processor_dream.normals(*counters, halves, first, second)
    found = torch.from_numpy(np.concatenate([first, second], 1))
    torch.testing.assert_close(found, streams.normals(step, count), atol=3e-6, rtol=3e-6)


@pytest.mark.parametrize("termination", ["sampled", "threshold"])
def test_probabilities_decide_as_in_the_plain_program(world, termination):
    """Hundreds of them, of every size: the same ends, of the same causes."""
    made = pair(world, max_steps=10**6, termination=termination)
    plain, looped = (env._program for env in made)
    seen = plain.model.imagine_step(
        plain.state, torch.zeros(4, 2), noise=plain._noise(), num_steps=1
    )[1]
    generator, causes = torch.Generator().manual_seed(1), set()
    for _ in range(300):
        share = torch.rand(seen.termination_BC.shape, generator=generator)
        now = seen._replace(termination_BC=share / share.shape[1])
        told = plain._judged(now), looped._judged(now)
        for a, b in zip(*told, strict=True):
            assert torch.equal(a, b)
        causes |= set(told[0][2].tolist())
    assert len(causes) > 3


def test_each_limit_truncates_by_its_own_doubt_as_in_the_plain_program(world):
    plain, looped = (env._program for env in pair(world, max_steps=10**6))
    seen = plain.model.imagine_step(
        plain.state, torch.zeros(4, 2), noise=plain._noise(), num_steps=1
    )[1]
    never = torch.zeros_like(seen.termination_BC)
    low, high = torch.tensor([0.1, 0.9, 0.1, 0.9]), torch.tensor([0.1, 0.1, 0.9, 0.9])
    now = seen._replace(termination_BC=never, uncertainty_B=low, doubt_B=high)
    for limits, expected in (
        ((None, None), [False] * 4), ((0.5, None), [False, True, False, True]),
        ((None, 0.5), [False, False, True, True]), ((0.5, 0.5), [False, True, True, True]),
    ):  # fmt: skip
        for program in (plain, looped):
            program._limit, program._doubt_limit = limits
        looped._limits[:] = [NO_LIMIT if limit is None else limit for limit in limits]
        for terminated, truncated, cause in (plain._judged(now), looped._judged(now)):
            assert not terminated.any()
            assert truncated.tolist() == expected
            assert (cause == plain._info.uncertain).tolist() == expected
