import pytest
import torch

from dreamdrive.kernels.qk_rope import rotate
from dreamdrive.worldmodel.blocks import Ring
from dreamdrive.worldmodel.dynamics import Dynamics, DynamicsConfig
from dreamdrive.worldmodel.rope import angles, space_angles
from support.random_frames import SIZES, between, random_frames

WINDOW = 4


@pytest.fixture
def network() -> Dynamics:
    """A network whose every weight matters: no zero gate is left."""
    torch.manual_seed(0)
    config = DynamicsConfig(width=32, num_layers=4, num_heads=2, num_key_heads=1, window=WINDOW)
    network = Dynamics(config, **SIZES)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.15)
    return network.eval().requires_grad_(False)


def test_frames_see_the_past_within_the_window_and_never_the_future(network: Dynamics) -> None:
    frames = random_frames(1, 10)
    before, _ = network(frames)
    changed = frames._replace(action=frames.action.clone())
    changed.action[:, 5] += 1.0
    after, _ = network(changed)
    same = [torch.equal(before.latent[:, t], after.latent[:, t]) for t in range(10)]
    assert same[:5] == [True] * 5
    assert same[5:7] == [False, False]


def test_a_reset_row_forgets_and_the_others_do_not(network: Dynamics) -> None:
    frames = random_frames(2, 6)
    ring = network.init_ring(2, torch.device("cpu"))
    for t in range(5):
        _, ring = network(between(frames, t, t + 1), ring)
    assert ring is not None
    fresh = Ring(ring.key_BLNGWP, ring.value_BLNGWP, torch.tensor([0, 5]))
    reset, _ = network(between(frames, 5, 6), fresh)
    kept, _ = network(between(frames, 5, 6), ring)
    alone, _ = network(between(frames, 5, 6))
    torch.testing.assert_close(reset.latent[0, 0], alone.latent[0, 0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(reset.latent[1, 0], kept.latent[1, 0], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(kept.latent[0, 0], alone.latent[0, 0], atol=1e-3)


def test_the_agent_token_is_read_by_no_other(network: Dynamics) -> None:
    frames = random_frames(1, 3)
    before, _ = network(frames)
    network.place[-1] += 5.0
    after, _ = network(frames)
    assert torch.equal(before.latent, after.latent)
    assert torch.equal(before.vector, after.vector)
    assert not torch.allclose(before.agent, after.agent)


def test_patches_go_back_where_they_came_from(network: Dynamics) -> None:
    x = torch.arange(2 * 4 * 4 * 4, dtype=torch.float32).view(1, 2, 4, 4, 4)
    p, g = 2, 2
    patches = x.reshape(1, 2, 4, g, p, g, p).permute(0, 1, 3, 5, 2, 4, 6).reshape(1, 2, 4, 16)
    assert torch.equal(network._unpatch(patches), x)


def test_rotation_depends_on_the_distance_alone_and_keeps_length() -> None:
    g = torch.Generator().manual_seed(0)
    query, key = torch.randn(2, 8, generator=g)

    def product(i: int, j: int) -> float:
        turn = angles(torch.tensor([i, j]), 4, 100.0)
        return float(rotate(query, turn[0]) @ rotate(key, turn[1]))

    assert product(7, 3) == pytest.approx(product(4, 0), abs=1e-5)
    assert product(7, 3) != pytest.approx(product(7, 4), abs=1e-3)
    turned = rotate(query, angles(torch.tensor(5), 4, 100.0))
    assert float(turned.norm()) == pytest.approx(float(query.norm()), rel=1e-5)


def test_space_angles_tell_rows_from_columns_and_leave_extra_tokens_alone() -> None:
    table = space_angles(2, 1, 8)
    assert table.shape == (5, 4)
    assert table[1].tolist()[:2] == [0.0, 0.0], "same row"
    assert table[1, 2] == 1.0, "next column"
    assert table[2, 0] == 1.0, "next row"
    assert table[4].tolist() == [0.0] * 4


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="num_key_heads"):
        DynamicsConfig(num_heads=4, num_key_heads=3)
    with pytest.raises(ValueError, match="width"):
        DynamicsConfig(width=30)
