"""Distils a transformer that dreams in several steps into one that also dreams in one."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import torch

from dreamdrive.config import to_dict
from dreamdrive.envs.dream.contexts import Contexts
from dreamdrive.errors import ConfigError
from dreamdrive.experiments.devices import device_of
from dreamdrive.experiments.latent_table import LatentTable
from dreamdrive.experiments.run import RunLog, begin_run
from dreamdrive.experiments.surroundings import surroundings_of
from dreamdrive.experiments.train_worldmodel import averaged, facts_of
from dreamdrive.experiments.training_state import TrainingState
from dreamdrive.files import write_atomically
from dreamdrive.worldmodel.distillation import (
    DistillationConfig,
    distillation_loss,
    diversity,
    student_of,
)
from dreamdrive.worldmodel.episodes import EpisodeStore, FrameTable
from dreamdrive.worldmodel.fitting import check_episodes
from dreamdrive.worldmodel.model import WorldModel
from dreamdrive.worldmodel.shortcut import NUM_STEPS

STARTS, DRAWS = 16, 8
"""Starts, and futures of each, that diversity is measured on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainStudentConfig:
    """How to distil."""

    teacher: str = "runs/worldmodel/model"
    """The world model to distil: a folder, or the name of a shipped one."""
    data: tuple[Path, ...] = (Path("data/train"),)
    """Folders of episodes, whose frames the teacher dreams on from."""
    out: Path = Path("runs/student")
    """Run folder; the student goes to `out/model`, its diversity to `out/diversity.json`."""
    steps: int = 2000
    batch_size: int = 32
    window: int = 8
    """Frames of a training window."""
    horizon: int = 4
    """Frames over which diversity is measured."""
    learning_rate: float = 3e-4
    device: str = "auto"
    """`cpu`, `cuda`, `cuda:1`; `auto` is a GPU where there is one."""
    seed: int = 0
    save_every: int = 500
    loss: DistillationConfig = field(default_factory=DistillationConfig)

    def __post_init__(self) -> None:
        """Checks the lengths."""
        if not 1 <= self.horizon < self.window:
            raise ValueError("horizon must be at least 1 and less than window")


def train_student(config: TrainStudentConfig) -> Path:
    """Distils and returns the folder of the student, which dreams in 1, 2, 4 or 8 steps.

    The run resumes from `out/training` where that stands.

    Raises:
        ConfigError: If `out` holds a run of other settings, or the teacher has no flow or never
            learned the steps that it shall take.
        CheckpointError: If the teacher is missing or damaged.
        EpisodeError: If there are no episodes, or one is damaged.
        DivergedError: If a loss is not finite; the last saved state is intact.
        StorageError: If a checkpoint could not be written.
    """
    device = device_of(config.device)
    teacher = WorldModel.from_pretrained(config.teacher, device)
    torch.manual_seed(config.seed)
    student = student_of(teacher).to(device)
    if teacher.config.transformer.has_step_size and config.loss.teacher_steps not in NUM_STEPS:
        raise ConfigError(
            f"This teacher never learned to dream in {config.loss.teacher_steps} steps",
            do=f"Give --loss.teacher-steps one of {NUM_STEPS[1:]}.",
        )  # fmt: skip
    store = EpisodeStore(*config.data)
    check_episodes(store, teacher.config)
    table = FrameTable.load(store, teacher.config.causes)
    begin_run(config.out, config, may_change=("steps", "save_every"))
    student.requires_grad_(True)
    student.tokenizer.requires_grad_(False)
    recorded, table = table, table.to(device)
    data = LatentTable(teacher, table)
    if names := teacher.config.transformer.surroundings:
        data.surroundings_EX = surroundings_of(store, names).to(device)
    trained = torch.nn.ModuleDict({"dynamics": student.dynamics, "heads": student.heads})
    state = TrainingState(
        trained, learning_rate=config.learning_rate, steps=config.steps, seed=config.seed
    )
    state.restore(config.out / "training")
    with RunLog(config.out, "train student", config.steps) as log:
        while state.step < config.steps:
            rows = table.windows(config.batch_size, config.window, state.generator)
            loss, parts = distillation_loss(
                student, teacher, data.batch(rows), config.loss, state.generator
            )
            norm = state.update(loss)
            metrics = {name: float(value.detach()) for name, value in parts.items()}
            log(state.step, {"loss": float(loss.detach())} | metrics | {"grad_norm": norm})
            if state.step % config.save_every == 0 or state.step == config.steps:
                state.save(config.out / "training", to_dict(config))
    student = averaged(student, state).to(device)
    measured = measure_diversity(student, teacher, data, config)
    write_atomically(
        config.out / "diversity.json", (json.dumps(measured, indent=2) + "\n").encode()
    )
    student.save_pretrained(
        config.out / "model", step=state.step, seconds=round(state.seconds),
        teacher=config.teacher, diversity=measured, **facts_of(table, config.data),
    )  # fmt: skip
    Contexts.choose(recorded, seed=config.seed).save(config.out / "model")
    return config.out / "model"


def measure_diversity(
    student: WorldModel, teacher: WorldModel, data: LatentTable, config: TrainStudentConfig
) -> dict[str, float]:
    """Returns how far futures of one start lie apart, by model and number of steps.

    `kept` is the student's in one step over the teacher's in its own number: near 0 where the
    student has collapsed to one future.
    """
    generator = torch.Generator(data.table.device).manual_seed(config.seed)
    batch = data.batch(data.table.windows(STARTS, config.window, generator))
    steps = config.loss.teacher_steps
    found = {}
    for name, model, counts in (
        ("teacher", teacher, (1, steps)), ("student", student, NUM_STEPS),
    ):  # fmt: skip
        for count in counts:
            found[f"{name}_{count}"] = diversity(
                model, batch, num_steps=count, draws=DRAWS, horizon=config.horizon,
                seed=config.seed,
            )  # fmt: skip
    found["kept"] = found["student_1"] / max(found[f"teacher_{steps}"], 1e-8)
    return found
