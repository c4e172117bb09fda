import pytest
import torch

from dreamdrive.envs.dream.noise import NoiseStreams

CPU = torch.device("cpu")


def streams(seeds: list[int], count: int = 64) -> NoiseStreams:
    made = NoiseStreams(len(seeds), count, CPU)
    made.seed_B = torch.tensor(seeds)
    return made


def test_normals_have_the_moments_of_a_unit_gaussian() -> None:
    made = streams(list(range(500)), 400)
    x = made.normals(torch.zeros(500, dtype=torch.long), 400).double()
    assert float(x.mean()) == pytest.approx(0.0, abs=0.01)
    assert float(x.var()) == pytest.approx(1.0, abs=0.02)
    assert float((x**4).mean()) == pytest.approx(3.0, abs=0.1)
    neighbours = torch.corrcoef(torch.stack([x[:, :-1].flatten(), x[:, 1:].flatten()]))
    assert float(neighbours[0, 1]) == pytest.approx(0.0, abs=0.01)


def test_steps_episodes_and_seeds_have_numbers_of_their_own() -> None:
    made = streams([1, 2])
    step = torch.zeros(2, dtype=torch.long)
    first = made.normals(step, 10)
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first, made.normals(step + 1, 10))
    made.episode_B += 1
    assert not torch.equal(first, made.normals(step, 10))
    made.episode_B -= 1
    assert torch.equal(first, made.normals(step, 10))


def test_a_stream_is_the_same_in_any_batch() -> None:
    step = torch.tensor([3, 0, 7])
    together = streams([5, 6, 7]).normals(step, 33)
    for i, seed in enumerate([5, 6, 7]):
        alone = streams([seed]).normals(step[i : i + 1], 33)
        torch.testing.assert_close(alone[0], together[i], atol=1e-6, rtol=1e-6)


def test_uniforms_and_integers_are_even() -> None:
    made = streams(list(range(20000)), 2)
    u = made.uniforms(torch.zeros(20000, dtype=torch.long))
    assert float(u.min()) > 0.0
    assert float(u.max()) <= 1.0
    assert float(u.mean()) == pytest.approx(0.5, abs=0.01)
    share = torch.bincount(made.integers(5), minlength=5) / 20000
    assert share.tolist() == pytest.approx([0.2] * 5, abs=0.02)
