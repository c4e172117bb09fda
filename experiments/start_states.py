"""Where dreams begin: windows of recorded frames, encoded once, with traffic in view more often."""

from dataclasses import dataclass
from typing import Any

import torch

from dreamdrive.envs.dream.contexts import vehicle_pixels
from dreamdrive.experiments.train_tokenizer import images
from dreamdrive.worldmodel.engine import Imagine
from dreamdrive.worldmodel.episodes import FrameTable
from dreamdrive.worldmodel.losses import Batch, start_states
from dreamdrive.worldmodel.model import WorldModel
from dreamdrive.worldmodel.state import RolloutState

BUSY_PIXELS = 8
"""A frame with so many pixels of other vehicles has traffic in view."""

PERIL_LEAD = (6, 25)
"""Decisions before a recorded termination between which a dream can still avert it."""

ENCODED_AT_ONCE = 64


@dataclass(frozen=True)
class StartStates:
    """Encoded windows to dream from.

    Attributes:
        model: The world model that encoded them.
        windows: Latents, vectors, actions and rewards of the windows.
    """

    model: WorldModel
    windows: Batch

    @staticmethod
    def encode(
        model: WorldModel,
        table: FrameTable,
        *,
        count: int,
        context: int,
        busy: float,
        generator: torch.Generator,
        perilous: float = 0.0,
    ) -> "StartStates":
        """Returns random windows whose last frame is not an episode's end.

        Args:
            model: Encodes them.
            table: The episodes.
            count: How many windows.
            context: Frames in each.
            busy: Least share of windows with other vehicles in view, among those not perilous.
            generator: Source of randomness.
            perilous: Share of windows that lie shortly before a recorded termination, where there
                are any.
        """
        peril = before_terminations(table, round(perilous * count), context, generator)
        count -= len(peril)
        rows = table.windows(4 * count, context + 1, generator)[:, :context]
        stored = table.image_NHWC
        pixels = vehicle_pixels(stored[rows[:, -1].to(stored.device)].cpu().numpy())
        is_busy = torch.from_numpy(pixels >= BUSY_PIXELS).to(rows.device)
        num_busy = min(int(is_busy.sum()), max(round(busy * count), round(0.01 * count)))
        rows = torch.cat([peril, rows[is_busy][:num_busy], rows[: count - num_busy]])
        latents = []
        with torch.no_grad():
            for part in rows.split(ENCODED_AT_ONCE):
                latents.append(model.encode(images(table, part)))
        windows = Batch(
            torch.cat(latents), model.normalise_vector(table.vector_NK[rows]),
            table.action_NA[rows], table.reward_N[rows] / model.config.reward_scale,
            table.cause_N[rows],
        )  # fmt: skip
        return StartStates(model, windows)

    def __len__(self) -> int:
        """Returns the number of windows."""
        return len(self.windows.latent)

    def sample(
        self, batch_size: int, generator: torch.Generator, imagine: Imagine | None = None
    ) -> RolloutState:
        """Returns the states after the last frames of random windows.

        Args:
            batch_size: How many.
            generator: Source of randomness.
            imagine: A faster step of the model, made for so many; its own by default.
        """
        pick = torch.randint(
            len(self), (batch_size,), generator=generator, device=self.windows.latent.device
        )
        latent, vector, action, reward, cause = (part[pick] for part in self.windows[:5])
        batch = Batch(latent, vector, action, reward, cause)
        return start_states(self.model, batch, imagine=imagine)


def before_terminations(
    table: FrameTable, count: int, length: int, generator: torch.Generator
) -> torch.Tensor:
    """Returns rows of windows `PERIL_LEAD` decisions before terminations, (count, length) or none.

    Args:
        table: The episodes.
        count: How many windows, if any episode was terminated late enough.
        length: Frames in each.
        generator: Source of randomness.
    """
    nearest, farthest = PERIL_LEAD
    last_E = table.start_E + table.length_E - 1
    fatal = (table.cause_N[last_E] > 0) & (table.length_E >= length + nearest)
    fatal = torch.nonzero(fatal).squeeze(1)
    if not len(fatal):
        return torch.zeros(0, length, dtype=torch.long, device=table.device)
    drawn: dict[str, Any] = {"generator": generator, "device": table.device}
    episode = fatal[torch.randint(len(fatal), (count,), **drawn)]
    lead = torch.randint(nearest, farthest + 1, (count,), **drawn)
    lead = torch.minimum(lead, table.length_E[episode] - length)
    return (last_E[episode] - lead)[:, None] + torch.arange(1 - length, 1, device=table.device)
