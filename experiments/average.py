"""The mean of the weights of world models that began as one: `dreamdrive average`.

Between a model and what fine-tuning made of it lies a straight line of models. Those on it can be
better than both its ends on what neither has seen: fine-tuned weights have learned something new,
and the first ones have learned less of it by heart (Wortsman et al. 2022, "Robust fine-tuning of
zero-shot models", arXiv:2109.01903; of several models at once: "Model soups", arXiv:2203.05482).
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from dreamdrive.checkpoint import load_facts
from dreamdrive.envs.dream.contexts import FILE as CONTEXTS
from dreamdrive.errors import CheckpointError
from dreamdrive.experiments.run import begin_run
from dreamdrive.worldmodel.model import WorldModel, find_checkpoint

LEARNED = ("dynamics.", "heads.")
"""Parts that fine-tuning changes; whatever else there is must be the same in all models."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AverageConfig:
    """Which models, and how much of each."""

    models: tuple[str, ...]
    """Folders or names of shipped models: one that others were fine-tuned from, and these."""
    shares: tuple[float, ...]
    """Weight of each, which sum to 1. Choose them by `dreamdrive truth` on a development town."""
    out: Path = Path("runs/average")
    """Run folder; the model goes to `out/model`, with the last one's start contexts."""
    half: bool = False
    """Store 16-bit floats, at half the size."""

    def __post_init__(self) -> None:
        """Checks the shares.

        Raises:
            ValueError: If there is not one for each of two models or more, or they do not sum to 1.
        """
        if len(self.models) < 2 or len(self.models) != len(self.shares):
            raise ValueError("give two models or more, and a share for each")
        if abs(sum(self.shares) - 1.0) > 1e-6:
            raise ValueError(f"the shares must sum to 1, not {sum(self.shares):g}")


def average(config: AverageConfig) -> Path:
    """Averages and returns the folder of the new model, which has the last one's facts.

    Raises:
        CheckpointError: If a model is missing or damaged, or they did not begin as one.
        StorageError: If the model could not be written.
    """
    folders = [find_checkpoint(name) for name in config.models]
    models = [WorldModel.from_pretrained(folder) for folder in folders]
    begin_run(config.out, config)
    mean = average_models(models, config.shares)
    facts = load_facts(folders[-1], "WorldModel")
    facts.pop("scores", None)
    facts["averaged"] = dict(zip(config.models, config.shares, strict=True))
    mean.save_pretrained(config.out / "model", half=config.half, **facts)
    contexts = folders[-1] / f"{CONTEXTS}.safetensors"
    if contexts.is_file():
        shutil.copy(contexts, config.out / "model")
    return config.out / "model"


def average_models(models: Sequence[WorldModel], shares: Sequence[float]) -> WorldModel:
    """Returns a model whose learned weights are the weighted mean of the others'.

    It has no calibration: what the doubt of one of them was worth, it does not know of itself.

    Raises:
        CheckpointError: If the models did not begin as one.
    """
    plain = [replace(model.config, calibration=None) for model in models]
    states = [model.state_dict() for model in models]
    for number in range(1, len(models)):
        where = f"model {number + 1}"
        if plain[number] != plain[0]:
            raise CheckpointError(
                "Its sizes, spaces or scales are other ones than the first model's", where=where,
                do="Average a model with those that were fine-tuned from it.",
            )  # fmt: skip
        for name in _kept(states[0]):
            if not torch.equal(states[number][name], states[0][name]):
                raise CheckpointError(
                    f"Its {name} is not the first model's, so that latents mean something else",
                    where=where, do="Average a model with those that were fine-tuned from it.",
                )  # fmt: skip
    mean = WorldModel(plain[0])
    mean.load_state_dict(
        states[0] | {name: _mean(states, shares, name) for name in states[0] if _learned(name)}
    )
    return mean.eval().requires_grad_(False)


def _learned(name: str) -> bool:
    return name.startswith(LEARNED)


def _kept(state: dict[str, Tensor]) -> list[str]:
    return [name for name in state if not _learned(name)]


def _mean(states: Sequence[dict[str, Tensor]], shares: Sequence[float], name: str) -> Tensor:
    values = [state[name] for state in states]
    if not values[0].is_floating_point():
        return values[0]
    total = torch.zeros_like(values[0])
    for share, value in zip(shares, values, strict=True):
        total += share * value
    return total
