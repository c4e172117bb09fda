"""The external memory against the equations of the paper, and what it is for: to remember."""

import math

import pytest
import torch
from torch import Tensor

from dreamdrive.kernels.ntm import attend, read, write
from dreamdrive.worldmodel.dynamics import DynamicsConfig
from dreamdrive.worldmodel.losses import Batch, LossConfig, flow_loss
from dreamdrive.worldmodel.memory import (
    EMPTY,
    Address,
    ExternalMemory,
    MemoryConfig,
    moved,
)
from dreamdrive.worldmodel.model import WorldModel, WorldModelConfig
from dreamdrive.worldmodel.tokenizer import TokenizerConfig
from dreamdrive.worldmodel.transformer import Remembered, TransformerDynamics

SLOTS = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]]])
STAY = torch.tensor([[0.0, 1.0, 0.0]])
FIRST = torch.tensor([[1.0, 0.0, 0.0, 0.0]])


def address(
    *, strength: float = 1.0, gate: float = 1.0, shift: Tensor = STAY, sharpness: float = 1.0
) -> Address:
    key = torch.tensor([[0.0, 2.0]])
    one = torch.ones(1)
    return Address(key, strength * one, gate * one, shift, sharpness * one)


def test_content_is_found_by_its_direction() -> None:
    weight = attend(address(strength=3.0), SLOTS, FIRST)
    raised = torch.tensor([0.0, 3.0, 0.0, -3.0]).exp()
    torch.testing.assert_close(weight, (raised / raised.sum())[None])


def test_the_gate_keeps_the_focus_of_before() -> None:
    torch.testing.assert_close(attend(address(gate=0.0), SLOTS, FIRST), FIRST)
    half = attend(address(gate=0.5), SLOTS, FIRST)
    whole = attend(address(), SLOTS, FIRST)
    torch.testing.assert_close(half, (whole + FIRST) / 2.0)


@pytest.mark.parametrize(("move", "slot"), [(0, 3), (1, 0), (2, 1)])
def test_the_focus_moves_around_the_ring(move: int, slot: int) -> None:
    shift = torch.zeros(1, 3)
    shift[0, move] = 1.0
    weight = attend(address(gate=0.0, shift=shift), SLOTS, FIRST)
    assert int(weight.argmax()) == slot
    assert float(weight.max()) == pytest.approx(1.0, abs=1e-6)


def test_a_focus_is_sharpened() -> None:
    before = torch.tensor([[0.5, 0.3, 0.2, 0.0]])
    weight = attend(address(gate=0.0, sharpness=2.0), SLOTS, before)
    torch.testing.assert_close(weight, torch.tensor([[0.25, 0.09, 0.04, 0.0]]) / 0.38)


def test_weights_sum_to_one() -> None:
    generator = torch.Generator().manual_seed(0)
    raw = 4.0 * torch.randn(64, Address.size(5), generator=generator)
    before = torch.rand(64, 7, generator=generator)
    slots = torch.randn(64, 7, 5, generator=generator)
    weight = attend(Address.of(raw, 5), slots, before / before.sum(1, keepdim=True))
    torch.testing.assert_close(weight.sum(1), torch.ones(64))
    assert float(weight.min()) >= 0.0


def test_what_is_written_is_read() -> None:
    erase, add = torch.tensor([[1.0, 0.5]]), torch.tensor([[0.7, -0.2]])
    slots = write(SLOTS, torch.tensor([[0.0, 1.0, 0.0, 0.0]]), erase, add)
    # M + w ⊗ a - (w ⊗ e) ⊙ M: the second slot was (0, 1); nothing else changes.
    torch.testing.assert_close(slots[0, 1], torch.tensor([0.7, 0.3]))
    torch.testing.assert_close(slots[0, [0, 2, 3]], SLOTS[0, [0, 2, 3]])
    found = read(slots, torch.tensor([[0.0, 0.5, 0.5, 0.0]]))
    torch.testing.assert_close(found, torch.tensor([[-0.15, 0.15]]))


def test_a_pose_is_integrated() -> None:
    pose = torch.zeros(1, 3)
    quarter = torch.tensor([[1.0, 0.0, math.pi / 2.0]])
    places = []
    for _ in range(4):
        pose = moved(pose, quarter)
        places.append(pose[0, :2].tolist())
    square = [[1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [0.0, 0.0]]
    torch.testing.assert_close(torch.tensor(places), torch.tensor(square), atol=1e-6, rtol=0.0)
    assert float(pose[0, 2]) == pytest.approx(2.0 * math.pi)


def new_memory(slots: int = 4) -> ExternalMemory:
    torch.manual_seed(0)
    return ExternalMemory(
        MemoryConfig(num_slots=slots, slot_width=8, controller_width=32),
        latent_shape=(1, 2, 2), vector_size=2, action_size=1,
    )  # fmt: skip


def test_a_window_recalls_what_a_stream_does() -> None:
    memory = new_memory()
    latent, vector, action = torch.randn(3, 6, 1, 2, 2), torch.randn(3, 6, 2), torch.randn(3, 6, 1)
    whole = memory.recall(latent, vector, action)
    state = memory.initial(3, torch.device("cpu"))
    assert float(state.content_BSE.max()) == pytest.approx(EMPTY)
    for t in range(6):
        found, state = memory(state, latent[:, t], vector[:, t], action[:, t])
        torch.testing.assert_close(found, whole[:, t])


def test_it_remembers_what_was_shown_twelve_frames_ago() -> None:
    """A sign of ±1 is shown once; twelve frames later it is to be told."""
    memory, length = new_memory(), 12
    tell = torch.nn.Linear(8, 1)
    parameters = [*memory.parameters(), *tell.parameters()]
    optimiser = torch.optim.Adam(parameters, 1e-2)
    generator = torch.Generator().manual_seed(0)

    def error() -> Tensor:
        sign = torch.randint(0, 2, (64, 1), generator=generator) * 2.0 - 1.0
        vector = torch.zeros(64, length + 1, 2)
        vector[:, 0, 0] = sign[:, 0]
        vector[:, length, 1] = 1.0
        zero = torch.zeros(64, length + 1, 1)
        found = memory.recall(zero[..., None, None].expand(-1, -1, 1, 2, 2), vector, zero)
        return (tell(found[:, length]) - sign).square().mean()

    assert float(error().detach()) > 0.8
    for _ in range(120):
        loss = error()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 10.0)
        optimiser.step()
    assert float(error().detach()) < 0.05


def model_with(slots: int) -> WorldModel:
    torch.manual_seed(0)
    return WorldModel(
        WorldModelConfig(
            vector_names=("a", "b"), causes=("end",), action_size=1,
            tokenizer=TokenizerConfig(image_size=16, latent_channels=2, width=8, coarse_width=8),
            transformer=DynamicsConfig(
                width=32, num_layers=2, num_heads=2, num_key_heads=1, window=4,
                memory=MemoryConfig(num_slots=slots, slot_width=16, controller_width=32),
            ),
        )
    )  # fmt: skip


def lively(slots: int) -> WorldModel:
    model = model_with(slots)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.2)
    return model.eval().requires_grad_(False)


def test_a_frame_is_written_once_however_many_steps_it_takes() -> None:
    model = lively(4)
    state = model.observe_latent(model.init_state(2), torch.randn(2, 2, 2, 2), torch.randn(2, 2))
    generator = torch.Generator()
    after = [
        model.imagine_step(
            state, torch.zeros(2, 1), generator=generator.manual_seed(0), num_steps=n
        )
        for n in (1, 4)
    ]
    one, four = (step.memory for step, _ in after)
    assert isinstance(one, Remembered)
    for mine, other in zip(one.external, four.external, strict=True):
        assert torch.equal(mine, other)
    assert not torch.equal(one.external.content_BSE, state.memory.external.content_BSE)


def test_rows_are_reset_alone() -> None:
    model = lively(4)
    start = model.init_state(2)
    state = model.observe_latent(start, torch.randn(2, 2, 2, 2), torch.randn(2, 2))
    state, _ = model.imagine_step(state, torch.zeros(2, 1))
    mixed = state.where(torch.tensor([True, False]), start)
    content = mixed.memory.external.content_BSE
    assert torch.equal(content[0], start.memory.external.content_BSE[0])
    assert torch.equal(content[1], state.memory.external.content_BSE[1])


def test_muted_it_recalls_nothing_and_without_slots_there_is_none() -> None:
    model = lively(4)
    dynamics = model.dynamics
    assert isinstance(dynamics, TransformerDynamics)
    state = model.observe_latent(model.init_state(1), torch.randn(1, 2, 2, 2), torch.randn(1, 2))
    noise = torch.randn(1, 2, 2, 2), torch.randn(1, 2)

    def step() -> Tensor:
        return model.imagine_step(state, torch.ones(1, 1), noise=noise)[1].vector_BK

    heard = step()
    dynamics.is_muted = True
    assert not torch.equal(step(), heard)
    window = torch.randn(1, 3, 2, 2, 2), torch.randn(1, 3, 2), torch.randn(1, 3, 1)
    recalled = dynamics.recall(*window)
    assert recalled is not None
    assert float(recalled.abs().max()) == 0.0
    bare = lively(0).dynamics
    assert isinstance(bare, TransformerDynamics)
    assert bare.recall(*window) is None
    assert not any(name.startswith("external") for name, _ in bare.named_parameters())


def revealed(count: int, length: int, seed: int) -> Batch:
    """Windows in which a picture is shown for two frames, then hidden, then shown again."""
    generator = torch.Generator().manual_seed(seed)
    sign = torch.randint(0, 2, (count, 1), generator=generator) * 2.0 - 1.0
    picture = sign[..., None, None, None].expand(count, 1, 2, 2, 2)
    shown = torch.zeros(length)
    shown[:2] = 1.0
    shown[-1] = 1.0
    latent = picture * shown[None, :, None, None, None]
    vector = torch.zeros(count, length, 2)
    # The vector counts down to the moment of the reveal, so that when is known, but not what.
    vector[..., 0] = torch.linspace(-1.0, 1.0, length)
    zero = torch.zeros(count, length)
    return Batch(latent, vector, zero[..., None], zero, zero.long())


@pytest.mark.slow
def test_what_left_the_window_comes_back_only_with_the_memory() -> None:
    """The loop-closure probe at its smallest: hidden for longer than the window, then revealed."""
    length, errors = 10, {}
    for name, slots in (("memory", 8), ("none", 0)):
        model = model_with(slots)
        optimiser = torch.optim.Adam(model.dynamics.parameters(), 3e-3)
        generator = torch.Generator().manual_seed(0)
        config = LossConfig(history_noise=0.0, noise_free_share=1.0)
        for step in range(900):
            loss, _ = flow_loss(model, revealed(32, length, step), config, generator)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.dynamics.parameters(), 1.0)
            optimiser.step()
        dynamics = model.dynamics
        assert isinstance(dynamics, TransformerDynamics)
        batch = revealed(256, length, 10_000)
        for muted in (False, True) if slots else (False,):
            dynamics.is_muted = muted
            state = model.init_state(256)
            for t in range(length - 1):
                action = batch.action[:, t] if t else None
                state = model.observe_latent(state, batch.latent[:, t], batch.vector[:, t], action)
            with torch.no_grad():
                _, seen = model.imagine_step(state, batch.action[:, -1])
            error = (seen.latent_BCHW - batch.latent[:, -1]).square().mean()
            errors[name + ", muted" * muted] = float(error)
    # The variance of the picture is 1: that is what not knowing costs.
    assert errors["memory"] < 0.4
    assert errors["memory, muted"] > 0.8
    assert errors["none"] > 0.8
