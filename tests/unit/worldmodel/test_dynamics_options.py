"""Every option of the transformer: a rollout equals the window, nothing looks ahead, files load."""

import dataclasses

import pytest
import torch

from dreamdrive.config import from_dict, to_dict
from dreamdrive.kernels.qk_rope import rotate
from dreamdrive.worldmodel.blocks import Ring
from dreamdrive.worldmodel.dynamics import Dynamics, DynamicsConfig
from dreamdrive.worldmodel.recurrence import Recurrence
from dreamdrive.worldmodel.rope import num_time_pairs, space_time_angles
from support.random_frames import SIZES, between, random_frames

WINDOW = 4
BASE = DynamicsConfig(width=48, num_layers=4, num_heads=2, num_key_heads=1, window=WINDOW)
OPTIONS = {
    "defaults": {},
    "dense": {"attention": "dense"},
    "registers": {"num_registers": 2},
    "dense with registers": {"attention": "dense", "num_registers": 2},
    "a projection of low rank": {"modulation": "lora", "modulation_rank": 4},
    "a whole projection": {"modulation": "full"},
    "open gates": {"gates": "one"},
    "no norm of queries": {"has_qk_norm": False},
    "no rotary positions": {"has_rope": False},
    "velocity": {"predicts": "velocity"},
}


def network(lively: bool = True, **options: object) -> Dynamics:
    torch.manual_seed(0)
    config = dataclasses.replace(BASE, **options)
    made = Dynamics(config, **SIZES)
    if lively:
        for parameter in made.parameters():
            torch.nn.init.normal_(parameter, std=0.15)
    return made.eval().requires_grad_(False)


@pytest.mark.parametrize("name", OPTIONS)
def test_a_rollout_with_the_ring_equals_the_whole_window(name: str) -> None:
    made = network(**OPTIONS[name])
    T = 3 * WINDOW
    frames = random_frames(2, T)
    whole, _ = made(frames)
    ring: Ring | None = made.init_ring(2, torch.device("cpu"))
    for t in range(T):
        one, ring = made(between(frames, t, t + 1), ring)
        for ours, theirs in zip(one, whole, strict=True):
            torch.testing.assert_close(ours[:, 0], theirs[:, t], atol=5e-4, rtol=1e-3)


@pytest.mark.parametrize("name", OPTIONS)
def test_nothing_looks_ahead_and_no_token_reads_the_agents(name: str) -> None:
    made = network(**OPTIONS[name])
    frames = random_frames(1, 6)
    before, _ = made(frames)
    changed = frames._replace(action=frames.action.clone())
    changed.action[:, 3] += 1.0
    after, _ = made(changed)
    same = [torch.equal(before.latent[:, t], after.latent[:, t]) for t in range(6)]
    assert same[:3] == [True] * 3
    assert not same[3]
    assert not same[4]
    made.place[-1] += torch.linspace(-5.0, 5.0, 48)
    moved, _ = made(frames)
    torch.testing.assert_close(moved.latent, before.latent, atol=1e-6, rtol=1e-6)
    assert not torch.allclose(moved.agent, before.agent, atol=1e-2)


@pytest.mark.parametrize("name", [name for name in OPTIONS if name != "velocity"])
def test_a_new_network_predicts_the_frame_before(name: str) -> None:
    frames = random_frames(2, 3)
    predicted, _ = network(lively=False, **OPTIONS[name])(frames)
    assert torch.equal(predicted.latent, frames.previous_latent)
    assert torch.equal(predicted.vector, frames.previous_vector)


def test_gates_at_zero_make_new_blocks_do_nothing_and_gates_at_one_do_not() -> None:
    frames = random_frames(1, 2)
    agents = {}
    for gates in ("zero", "one"):
        made = network(lively=False, gates=gates)
        for block in made.blocks:
            block.register_forward_hook(
                lambda _, given, out, gates=gates: agents.setdefault(gates, []).append(
                    torch.equal(given[0], out)
                )
            )
        made(frames)
    assert agents == {"zero": [True] * 4, "one": [False] * 4}


def test_a_network_for_velocities_returns_clean_data() -> None:
    made = network(lively=False, predicts="velocity")
    frames = random_frames(1, 2)
    predicted, _ = made(frames)
    assert torch.equal(predicted.latent, frames.latent)  # v = 0: what is there stays
    torch.nn.init.ones_(made.to_patch.bias)
    predicted, _ = made(frames)
    expected = frames.latent + (1.0 - frames.tau)[..., None, None, None]
    torch.testing.assert_close(predicted.latent, expected)


def test_dense_attention_reads_other_places_of_earlier_frames_and_factorised_does_not() -> None:
    frames = random_frames(1, 2)
    changed = frames._replace(latent=frames.latent.clone())
    changed.latent[:, 0, :, 0, 0] += 3.0  # a corner of the first frame
    for attention, reads in (("factorised", False), ("dense", True)):
        made = network(attention=attention, num_layers=1, time_every=1)
        here, there = (made(x)[0].latent[0, 1, :, 3, 3] for x in (frames, changed))
        assert torch.equal(here, there) != reads


def test_angles_of_space_and_time_leave_the_pairs_of_time_to_time() -> None:
    table = space_time_angles(2, 1, 24)
    pairs = num_time_pairs(24)
    assert table.shape == (5, 12)
    assert pairs == 4
    assert not table[:, :pairs].any()
    assert not table[-1].any()
    x = torch.randn(24)
    moved = [rotate(x, table[i]) for i in range(4)]
    assert all(not torch.allclose(moved[0], other) for other in moved[1:])


@pytest.mark.parametrize("attention", ["factorised", "dense"])
def test_segments_with_recurrence_equal_the_whole_window_but_for_the_gradient(
    attention: str,
) -> None:
    made = network(attention=attention)
    frames = random_frames(2, 9)
    whole, _ = made(frames)
    recurrence = Recurrence(WINDOW)
    first = frames.action.clone().requires_grad_(True)
    frames = frames._replace(action=first)
    found = [
        made(between(frames, a, b), recurrence=recurrence)[0] for a, b in ((0, 5), (5, 7), (7, 9))
    ]
    latent = torch.cat([x.latent for x in found], 1)
    torch.testing.assert_close(latent, whole.latent, atol=5e-4, rtol=1e-3)
    gradient = torch.autograd.grad(found[-1].latent.sum(), first)[0]
    assert not gradient[:, :7].any()
    assert gradient[:, 7:].any()
    alone, _ = made(between(frames, 5, 7))
    assert not torch.allclose(alone.latent, whole.latent[:, 5:7], atol=1e-2)


def test_options_survive_a_file_and_an_old_file_has_none() -> None:
    config = dataclasses.replace(BASE, attention="dense", num_registers=2, modulation="lora")
    assert from_dict(DynamicsConfig, to_dict(config)) == config
    assert from_dict(DynamicsConfig, {}) == DynamicsConfig()
