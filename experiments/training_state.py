"""What a training run needs to go on after a kill: weights, averages, moments and randomness."""

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dreamdrive.checkpoint import load_header, load_tensors, save_checkpoint
from dreamdrive.errors import ConfigError, DreamdriveError


class DivergedError(DreamdriveError, RuntimeError):
    """A loss or its gradient is not finite; the run stopped before the optimiser step."""


class TrainingState:
    """Optimiser, exponential moving average and random generator of one module.

    A run that is saved and restored goes on exactly as one that was never interrupted.
    """

    def __init__(
        self, module: nn.Module, *, learning_rate: float, steps: int, seed: int,
        warmup: int = 100, average: float = 0.998, weight_decay: float = 0.01,
    ) -> None:  # fmt: skip
        self.module, self.steps, self.step, self.average = module, steps, 0, average
        self.learning_rate, self.warmup = learning_rate, warmup
        matrices = [p for p in module.parameters() if p.requires_grad and p.dim() >= 2]
        vectors = [p for p in module.parameters() if p.requires_grad and p.dim() < 2]
        groups = [
            {"params": matrices, "weight_decay": weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.98))
        device = next(module.parameters()).device
        self.generator = torch.Generator(device).manual_seed(seed)
        self.ema = {name: value.detach().clone() for name, value in module.state_dict().items()}
        self.seconds = 0.0
        """What the steps took so far, those before a kill included."""
        self._last_update = time.monotonic()

    def rate(self) -> float:
        """Returns the learning rate of the next step: linear warm-up, then a half cosine to 5 %."""
        if self.step < self.warmup:
            return self.learning_rate * (self.step + 1) / self.warmup
        done = (self.step - self.warmup) / max(1, self.steps - self.warmup)
        cosine = 0.5 * (1.0 + torch.cos(torch.tensor(min(done, 1.0) * torch.pi)).item())
        return self.learning_rate * (0.05 + 0.95 * cosine)

    def update(self, loss: Tensor, *, max_norm: float = 1.0) -> float:
        """Takes one optimiser step on a loss and returns the norm of its gradient.

        Raises:
            DivergedError: If the loss or its gradient is not finite; the weights are unchanged.
        """
        self._refuse_infinity("loss", float(loss.detach()))
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.module.parameters(), max_norm)
        self._refuse_infinity("norm of the gradient", float(norm))
        self.optimizer.step()
        self.step += 1
        now = time.monotonic()
        self.seconds, self._last_update = self.seconds + now - self._last_update, now
        keep = min(self.average, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, value in self.module.state_dict().items():
                if value.is_floating_point():
                    self.ema[name].lerp_(value, 1.0 - keep)
        return float(norm)

    def _refuse_infinity(self, name: str, value: float) -> None:
        if not math.isfinite(value):
            raise DivergedError(
                f"The {name} is {value}", where=f"step {self.step}",
                do="Lower the learning rate; the last saved checkpoint is intact.",
            )  # fmt: skip

    @contextmanager
    def averaging(self) -> Iterator[None]:
        """Inside, the module's weights are their moving averages; after it, its own again."""
        own = {name: value.clone() for name, value in self.module.state_dict().items()}
        self.module.load_state_dict(self.ema)
        try:
            yield
        finally:
            self.module.load_state_dict(own)

    def save(self, folder: Path, config: Mapping[str, Any]) -> None:
        """Writes everything as a checkpoint folder."""
        moments: dict[str, Tensor] = {}
        for index, state in self.optimizer.state_dict()["state"].items():
            moments |= {f"{index}.{name}": value for name, value in state.items()}
        save_checkpoint(
            folder, "TrainingState", config,
            {
                "module": self.module.state_dict(), "ema": self.ema, "moments": moments,
                "random": {"state": self.generator.get_state()},
            },
            step=self.step, seconds=round(self.seconds, 1),
        )  # fmt: skip

    def restore(self, folder: Path) -> bool:
        """Goes on from a folder that `save` wrote; returns False where there is none.

        Raises:
            ConfigError: If it was written on another kind of device, whose noise is another.
        """
        if not (Path(folder) / "config.json").is_file():
            return False
        header = load_header(folder, "TrainingState")
        restore_generator(self.generator, load_tensors(folder, "random")["state"], folder)
        device = self.generator.device
        self.step, self.seconds = header["step"], header.get("seconds", 0.0)
        self.module.load_state_dict(load_tensors(folder, "module"))
        self.ema = {name: x.to(device) for name, x in load_tensors(folder, "ema").items()}
        stored: dict[int, dict[str, Tensor]] = {}
        for key, value in load_tensors(folder, "moments").items():
            index, name = key.split(".", 1)
            stored.setdefault(int(index), {})[name] = value
        state = self.optimizer.state_dict()
        self.optimizer.load_state_dict({"state": stored, "param_groups": state["param_groups"]})
        return True


def restore_generator(generator: torch.Generator, state: Tensor, folder: Path) -> None:
    """Goes on with a generator where its state was taken.

    Raises:
        ConfigError: If that was on another kind of device, whose noise is another.
    """
    if state.shape != generator.get_state().shape:
        raise ConfigError(
            "This run was begun on another kind of device", where=folder,
            do="Go on with the --device that it began with, or give another --out.",
        )  # fmt: skip
    generator.set_state(state)
