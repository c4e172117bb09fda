"""A training says where each tensor belongs, so that it runs on a GPU as it does on a processor."""

from dataclasses import fields, replace

import pytest
import torch

from dreamdrive.errors import ConfigError
from dreamdrive.experiments.devices import device_of
from dreamdrive.experiments.latent_table import LatentTable
from dreamdrive.experiments.train_tokenizer import images
from dreamdrive.experiments.train_worldmodel import TrainWorldModelConfig, judging
from dreamdrive.experiments.training_state import TrainingState, restore_generator
from dreamdrive.experiments.training_step import Ways, window_loss
from dreamdrive.worldmodel.adversary import AdversaryConfig
from dreamdrive.worldmodel.distillation import DistillationConfig, distillation_loss, student_of
from dreamdrive.worldmodel.episodes import EpisodeStore, FrameTable
from dreamdrive.worldmodel.jepa import Jepa, JepaConfig
from dreamdrive.worldmodel.losses import LossConfig
from support.pretended import pretended_gpu
from support.tiny_episodes import save_tiny_episodes
from support.tiny_world import tiny_model


def test_which_device_a_name_is(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert device_of("auto") == device_of("cpu") == torch.device("cpu")
    with pytest.raises(ConfigError, match="finds 0 CUDA devices"):
        device_of("cuda")
    with pytest.raises(ConfigError, match="no device 'gpu'"):
        device_of("gpu")
    with pytest.raises(ConfigError, match="Nothing here"):
        device_of("meta")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    assert device_of("auto") == device_of("cuda") == torch.device("cuda")
    with pytest.raises(ConfigError, match="'cuda:1' is none of them"):
        device_of("cuda:1")


@pytest.fixture
def moved(monkeypatch):
    with pretended_gpu(monkeypatch) as moved:
        yield moved


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    folder = save_tiny_episodes(tmp_path_factory.mktemp("episodes"), steps=16)
    return FrameTable.load(EpisodeStore(folder), tiny_model().config.causes)


@pytest.fixture
def table(recorded, moved):
    names = [field.name for field in fields(recorded) if field.name != "drivers"]
    return replace(recorded, **{name: moved(getattr(recorded, name)) for name in names})


@pytest.fixture
def model(moved):
    model = moved(tiny_model()).requires_grad_(True)
    model.tokenizer.requires_grad_(False)
    return model


def test_a_run_goes_on_on_the_kind_of_device_that_it_began_on(tmp_path):
    generator, other = torch.Generator().manual_seed(1), torch.Generator().manual_seed(2)
    restore_generator(other, generator.get_state(), tmp_path)
    assert torch.equal(torch.rand(3, generator=generator), torch.rand(3, generator=other))
    with pytest.raises(ConfigError, match="another kind of device"):
        restore_generator(generator, torch.zeros(16, dtype=torch.uint8), tmp_path)


def test_pretending_notices_what_lies_elsewhere(moved):
    there, here = moved(torch.ones(3)), torch.ones(3)
    with pytest.raises(RuntimeError, match="same device"):
        there + here
    with pytest.raises(AssertionError, match="indices lie on the GPU"):
        here[there.long()]
    with pytest.raises(AssertionError, match="draws elsewhere"):
        torch.rand(3, generator=torch.Generator(there.device))


@pytest.mark.parametrize(
    ("rollout_share", "loss"),
    [
        (0.0, LossConfig(jepa=0.1)),
        (1.0, LossConfig(adversarial=0.1, consistency=0.1)),
    ],
)  # fmt: skip
def test_a_world_model_learns_on_one_device(model, table, moved, rollout_share, loss):
    config = TrainWorldModelConfig(
        batch_size=2, window=4, context=1, horizon=3, rollout_share=rollout_share, loss=loss,
        adversary=AdversaryConfig(dreams=2, between=0, judged=1),
    )  # fmt: skip
    data = LatentTable(model, table, episodes=[0])
    learning = torch.nn.ModuleDict({"dynamics": model.dynamics, "heads": model.heads})
    if loss.adversarial:
        learning.update(judging(model, config))
    if loss.jepa:
        learning["jepa"] = Jepa(JepaConfig(), model.dynamics.agent_size)
    state = TrainingState(moved(learning), learning_rate=1e-3, steps=10, seed=0)
    found, parts = window_loss(model, data, config, state, Ways.of(model, config))
    assert found.device == table.device
    assert {"flow", "jepa"} <= set(parts) or {"adversarial", "consistency"} <= set(parts)
    state.update(found)
    assert all(x.device == table.device for x in state.ema.values())


def test_a_tokenizer_learns_on_one_device(model, table):
    tokenizer = model.tokenizer.requires_grad_(True)
    state = TrainingState(tokenizer, learning_rate=1e-3, steps=10, seed=0)
    loss, _ = tokenizer.loss(images(table, table.windows(2, 4, state.generator)), state.generator)
    assert loss.device == table.device
    state.update(loss)


def test_a_student_learns_on_one_device(model, table, moved):
    student = moved(student_of(model)).requires_grad_(True)
    state = TrainingState(student.dynamics, learning_rate=1e-3, steps=10, seed=0)
    data = LatentTable(model, table, episodes=[0])
    batch = data.batch(table.windows(2, 3, state.generator))
    loss, _ = distillation_loss(student, model, batch, DistillationConfig(), state.generator)
    assert loss.device == table.device
    state.update(loss)
