"""The command that distils: it measures, resumes, and leaves a dream of 1, 2, 4 or 8 steps."""

import json

import pytest
import torch

from dreamdrive.errors import ConfigError
from dreamdrive.experiments.train_student import TrainStudentConfig, train_student
from dreamdrive.experiments.training_state import TrainingState
from dreamdrive.worldmodel.distillation import DistillationConfig
from dreamdrive.worldmodel.model import WorldModel
from dreamdrive.worldmodel.shortcut import NUM_STEPS
from support.tiny_episodes import save_tiny_episodes
from support.tiny_world import tiny_model


def student_config(folder, **fields):
    settings = {
        "teacher": str(folder / "teacher"), "data": (folder / "episodes",), "out": folder / "a",
        "steps": 3, "batch_size": 2, "window": 4, "horizon": 2, "save_every": 1,
    }  # fmt: skip
    return TrainStudentConfig(**(settings | fields))


@pytest.fixture
def folder(tmp_path):
    tiny_model().save_pretrained(tmp_path / "teacher")
    return save_tiny_episodes(tmp_path / "episodes", count=2, steps=12).parent


def test_a_student_is_distilled_and_measured(folder):
    saved = train_student(student_config(folder))
    student = WorldModel.from_pretrained(saved)
    assert student.config.transformer.has_step_size
    vector = torch.zeros(1, student.config.vector_size)
    state = student.observe(student.init_state(1), torch.zeros(1, 3, 64, 64), vector)
    for num_steps in NUM_STEPS:
        _, seen = student.imagine_step(state, torch.zeros(1, 2), num_steps=num_steps)
        assert torch.isfinite(seen.latent_BCHW).all()
    measured = json.loads((folder / "a" / "diversity.json").read_text())
    names = {"teacher_1", "teacher_4", "kept", *(f"student_{n}" for n in NUM_STEPS)}
    assert measured.keys() == names
    assert measured["kept"] == pytest.approx(measured["student_1"] / measured["teacher_4"])
    assert json.loads((saved / "config.json").read_text())["diversity"] == measured
    line = json.loads((folder / "a" / "metrics.jsonl").read_text().splitlines()[0])
    assert {"distillation", "reflow", "kept", "consistency"} <= line.keys()
    config = student_config(
        folder, teacher=str(saved), out=folder / "d", loss=DistillationConfig(teacher_steps=3)
    )
    with pytest.raises(ConfigError, match="in 3 steps"):
        train_student(config)


def test_a_killed_run_ends_as_an_unbroken_one(folder, monkeypatch):
    whole = WorldModel.from_pretrained(train_student(student_config(folder)))
    update = TrainingState.update

    def dies(self, *args, **kwargs):
        if self.step == 2:
            raise KeyboardInterrupt
        return update(self, *args, **kwargs)

    monkeypatch.setattr(TrainingState, "update", dies)
    with pytest.raises(KeyboardInterrupt):
        train_student(student_config(folder, out=folder / "b"))
    monkeypatch.undo()
    resumed = WorldModel.from_pretrained(train_student(student_config(folder, out=folder / "b")))
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name
