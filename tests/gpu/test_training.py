"""On a GPU: every training runs there, goes on after a stop, and leaves what the CPU can open."""

import pytest
import torch

from dreamdrive.agents.actor_critic import ActorCriticConfig
from dreamdrive.experiments.train_agent import TrainAgentConfig, train_agent
from dreamdrive.experiments.train_student import TrainStudentConfig, train_student
from dreamdrive.experiments.train_tokenizer import TrainTokenizerConfig, train_tokenizer
from dreamdrive.experiments.train_worldmodel import TrainWorldModelConfig, train_worldmodel
from dreamdrive.worldmodel.adversary import AdversaryConfig
from dreamdrive.worldmodel.losses import LossConfig
from dreamdrive.worldmodel.model import WorldModel
from dreamdrive.worldmodel.tokenizer import TokenizerConfig
from support.tiny_episodes import save_tiny_episodes
from support.tiny_world import tiny_model

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return save_tiny_episodes(tmp_path_factory.mktemp("episodes"), steps=30)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory, data):
    config = TrainTokenizerConfig(
        data=data, out=tmp_path_factory.mktemp("tokenizer"), steps=4, device="cuda",
        tokenizer=TokenizerConfig(latent_channels=4, width=4, coarse_width=8),
    )  # fmt: skip
    return train_tokenizer(config)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_world_model_learns_there_and_dreams_here(tmp_path, data, tokenizer, precision):
    def train(steps):
        config = TrainWorldModelConfig(
            data=(data,), init=tokenizer, out=tmp_path, steps=steps, save_every=4, device="cuda",
            batch_size=8, window=6, context=2, horizon=5, precision=precision,
            transformer=tiny_model().config.transformer, loss=LossConfig(adversarial=0.1, jepa=0.1),
            adversary=AdversaryConfig(dreams=4, between=1, judged=2),
        )  # fmt: skip
        return train_worldmodel(config)

    train(4)
    model = WorldModel.from_pretrained(train(8))
    _, outcome = model.imagine_step(model.init_state(2), torch.zeros(2, 2))
    assert outcome.latent_BCHW.isfinite().all()


def test_a_student_learns_there(tmp_path, data):
    tiny_model().save_pretrained(tmp_path / "teacher")
    config = TrainStudentConfig(
        teacher=str(tmp_path / "teacher"), data=(data,), out=tmp_path / "student", steps=3,
        batch_size=4, device="cuda",
    )  # fmt: skip
    assert (train_student(config) / "config.json").is_file()


@pytest.mark.parametrize("gradient", ["dynamics", "score"])
def test_an_agent_learns_there(tmp_path, data, gradient):
    tiny_model().save_pretrained(tmp_path / "world")
    config = TrainAgentConfig(
        model=str(tmp_path / "world"), data=(data,), out=tmp_path / "agent", clone="all",
        clone_steps=3, updates=2, batch_size=4, num_starts=16, context=3, save_every=1,
        device="cuda", agent=ActorCriticConfig(gradient=gradient, horizon=3),
    )  # fmt: skip
    assert (train_agent(config) / "config.json").is_file()
