import json
from pathlib import Path
from typing import Literal

import pytest
import torch

from dreamdrive.errors import CheckpointError
from dreamdrive.worldmodel import losses
from dreamdrive.worldmodel.dynamics import DynamicsConfig
from dreamdrive.worldmodel.losses import Batch, LossConfig, flow_loss, rollout_loss
from dreamdrive.worldmodel.model import WorldModel, WorldModelConfig
from dreamdrive.worldmodel.recurrent import RecurrentConfig
from dreamdrive.worldmodel.tokenizer import TokenizerConfig


def small(kind: Literal["transformer", "recurrent"] = "transformer") -> WorldModel:
    torch.manual_seed(0)
    return WorldModel(
        WorldModelConfig(
            vector_names=("a", "b", "c"), causes=("crash", "red"), kind=kind,
            tokenizer=TokenizerConfig(image_size=32, latent_channels=4, width=8, coarse_width=8),
            transformer=DynamicsConfig(width=32, num_layers=2, num_heads=2, num_key_heads=1),
            recurrent=RecurrentConfig(width=32, hidden=64),
        )
    )  # fmt: skip


def random_batch(model: WorldModel, B: int = 4, T: int = 6) -> Batch:
    g = torch.Generator().manual_seed(3)
    return Batch(
        torch.randn(B, T, *model.latent_shape, generator=g), torch.randn(B, T, 3, generator=g),
        torch.rand(B, T, 2, generator=g), torch.rand(B, T, generator=g) * 0.01,
        torch.zeros(B, T, dtype=torch.long), torch.rand(B, T, 3, 32, 32, generator=g),
    )  # fmt: skip


def test_a_saved_model_comes_back_the_same(tmp_path: Path) -> None:
    model = small().eval()
    model.save_pretrained(tmp_path / "m", step=3)
    loaded = WorldModel.from_pretrained(tmp_path / "m")
    assert loaded.config == model.config
    for name, value in model.state_dict().items():
        assert torch.equal(value, loaded.state_dict()[name]), name


def test_half_precision_halves_the_file_and_stays_near(tmp_path: Path) -> None:
    model = small()
    model.save_pretrained(tmp_path / "full")
    model.save_pretrained(tmp_path / "half", half=True)
    sizes = [(tmp_path / n / "model.safetensors").stat().st_size for n in ("full", "half")]
    assert sizes[1] < 0.6 * sizes[0]
    loaded = WorldModel.from_pretrained(tmp_path / "half")
    torch.testing.assert_close(
        loaded.tokenizer.stem.weight, model.tokenizer.stem.weight, atol=1e-3, rtol=1e-3
    )


def test_bad_checkpoints_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="There is no such checkpoint"):
        WorldModel.from_pretrained(tmp_path / "nothing")
    folder = tmp_path / "m"
    small().save_pretrained(folder)
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match="truncated"):
        WorldModel.from_pretrained(folder)
    weights.write_bytes(whole)
    header = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(header | {"schema": 99}))
    with pytest.raises(CheckpointError, match="schema 99"):
        WorldModel.from_pretrained(folder)
    header["config"]["transformer"]["width"] = 64
    (folder / "config.json").write_text(json.dumps(header))
    with pytest.raises(CheckpointError, match="do not fit"):
        WorldModel.from_pretrained(folder)


@pytest.mark.parametrize("kind", ["transformer", "recurrent"])
def test_a_seed_fixes_a_rollout_and_its_size_never_grows(
    kind: Literal["transformer", "recurrent"],
) -> None:
    model = small(kind).eval()
    runs = []
    for _ in range(2):
        g = torch.Generator().manual_seed(5)
        state = model.init_state(2)
        shapes = [x.shape for x in torch.utils._pytree.tree_leaves(state)]
        with torch.no_grad():
            for _ in range(15):
                state, seen = model.imagine_step(
                    state, torch.full((2, 2), 0.3), generator=g, num_steps=2
                )
        assert [x.shape for x in torch.utils._pytree.tree_leaves(state)] == shapes
        runs.append(seen)
    assert torch.equal(runs[0].latent_BCHW, runs[1].latent_BCHW)
    assert torch.equal(runs[0].reward_B, runs[1].reward_B)


def test_the_action_has_a_gradient_once_training_has_begun() -> None:
    model = small()
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    g = torch.Generator().manual_seed(0)
    for _ in range(3):
        loss, _ = flow_loss(model, random_batch(model), LossConfig(), g)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    action = torch.zeros(1, 2, requires_grad=True)
    _, seen = model.imagine_step(model.init_state(1), action, generator=g)
    seen.latent_BCHW.square().sum().backward()
    assert action.grad is not None
    assert float(action.grad.abs().sum()) > 0.0


def test_termination_is_a_distribution_over_causes_and_none() -> None:
    model = small().requires_grad_(False)
    _, seen = model.imagine_step(model.init_state(3), torch.zeros(3, 2))
    assert seen.termination_BC.shape == (3, 2)
    assert float(seen.termination_BC.min()) >= 0.0
    assert float(seen.termination_BC.sum(1).max()) <= 1.0
    assert float(seen.uncertainty_B.min()) >= 0.0


@pytest.mark.parametrize("kind", ["transformer", "recurrent"])
def test_rollout_training_learns_a_constant_change(
    kind: Literal["transformer", "recurrent"],
) -> None:
    model = small(kind)
    drift = torch.linspace(0.0, 1.0, 6)[None, :, None, None, None].expand(4, 6, *model.latent_shape)
    batch = random_batch(model)._replace(latent=drift.contiguous(), image=None)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    g = torch.Generator().manual_seed(0)
    losses = []
    for _ in range(60):
        loss, parts = rollout_loss(model, batch, LossConfig(vector=0.0), g, context=2)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(parts["latent"].detach()))
    assert losses[-1] < 0.1 * losses[0]


def test_a_rollouts_pictures_are_compared_with_their_own_frames_by_the_absolute_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = small().eval()
    batch = random_batch(model, T=9)
    frames = torch.arange(batch.latent.shape[1]) / 10.0
    image = frames[None, :, None, None, None].expand(len(batch.latent), -1, 3, 32, 32)
    batch = batch._replace(image=image.contiguous())
    seen = []

    def compare(
        predicted: torch.Tensor, truth: torch.Tensor, *, squares: float, is_weighted: bool
    ) -> torch.Tensor:
        assert is_weighted
        seen.append((predicted, truth[0, :, 0, 0, 0], squares))
        return predicted.sum()

    monkeypatch.setattr(model.tokenizer, "reconstruction_loss", compare)
    g = torch.Generator().manual_seed(0)
    for _ in range(12):
        rollout_loss(model, batch, LossConfig(), g, context=batch.latent.shape[1])
    # A new model repeats the frame before, which here is the true one.
    with torch.no_grad():
        repeated = model.decode(batch.latent[:, :-1])
    for predicted, shown, squares in seen:
        assert squares == 0.0
        number = (shown * 10.0).round().long()
        assert torch.equal(number, torch.arange(int(number[0]), int(number[-1]) + 1))
        torch.testing.assert_close(
            predicted[:, -1].clamp(0.0, 1.0), repeated[:, number[-1] - 1], atol=1e-4, rtol=1e-4
        )
    assert len({int(shown[-1] * 10) for _, shown, _ in seen}) > 1


def test_streamed_observation_equals_encoding_the_clip() -> None:
    model = small().eval()
    image = torch.rand(1, 5, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        whole = model.encode(image)
        state = model.init_state(1)
        for t in range(5):
            action = torch.zeros(1, 2) if t else None
            state = model.observe(state, image[:, t], torch.zeros(1, 3), action)
            torch.testing.assert_close(state.latent_BCHW, whole[:, t], atol=1e-5, rtol=1e-5)
    assert state.memory.count_B.tolist() == [4]


def test_a_fork_and_a_masked_reset_touch_only_their_rows() -> None:
    model = small().eval()
    with torch.no_grad():
        state, _ = model.imagine_step(model.init_state(2), torch.ones(2, 2))
        forked = state.select(torch.tensor([1, 1, 0]))
        assert torch.equal(forked.latent_BCHW[2], state.latent_BCHW[0])
        mixed = state.where(torch.tensor([True, False]), model.init_state(2))
    assert float(mixed.latent_BCHW[0].abs().sum()) == 0.0
    assert torch.equal(mixed.latent_BCHW[1], state.latent_BCHW[1])
    assert mixed.memory.count_B.tolist() == [0, 1]


def test_rare_content_weighs_more_in_the_flow_loss() -> None:
    error = torch.zeros(1, 2, 3, 2, 2)
    error[0, 1, :, 0, 0] = 2.0
    weight = torch.ones(1, 3, 2, 2)
    weight[0, 2, 0, 0] = 5.0
    assert losses._weighted(error, None).item() == pytest.approx(0.5)
    assert losses._weighted(error, weight).item() == pytest.approx(2.5)
