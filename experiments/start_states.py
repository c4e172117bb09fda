"""Where dreams begin: windows of recorded frames, encoded once, with traffic in view more often."""

from dataclasses import dataclass

import torch

from dreamdrive.envs.dream.contexts import vehicle_pixels
from dreamdrive.experiments.train_tokenizer import images
from dreamdrive.worldmodel.episodes import FrameTable
from dreamdrive.worldmodel.losses import Batch, start_states
from dreamdrive.worldmodel.model import WorldModel
from dreamdrive.worldmodel.state import RolloutState

BUSY_PIXELS = 8
"""A frame with so many pixels of other vehicles has traffic in view."""

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
    ) -> "StartStates":
        """Returns random windows whose last frame is not an episode's end.

        Args:
            model: Encodes them.
            table: The episodes.
            count: How many windows.
            context: Frames in each.
            busy: Least share of windows with other vehicles in view.
            generator: Source of randomness.
        """
        rows = table.windows(4 * count, context + 1, generator)[:, :context]
        pixels = vehicle_pixels(table.image_NHWC[rows[:, -1]].numpy())
        is_busy = torch.from_numpy(pixels >= BUSY_PIXELS)
        num_busy = min(int(is_busy.sum()), max(round(busy * count), round(0.01 * count)))
        rows = torch.cat([rows[is_busy][:num_busy], rows[: count - num_busy]])
        latents = []
        with torch.no_grad():
            for part in rows.split(ENCODED_AT_ONCE):
                latents.append(model.encode(images(table, part)))
        windows = Batch(
            torch.cat(latents), model.normalise_vector(table.vector_NK[rows]),
            table.action_NA[rows], table.reward_N[rows], table.cause_N[rows],
        )  # fmt: skip
        return StartStates(model, windows)

    def __len__(self) -> int:
        """Returns the number of windows."""
        return len(self.windows.latent)

    def sample(self, batch_size: int, generator: torch.Generator) -> RolloutState:
        """Returns the states after the last frames of random windows."""
        pick = torch.randint(len(self), (batch_size,), generator=generator)
        chosen = (part[pick] for part in self.windows[:5])
        return start_states(self.model, Batch(*chosen))
