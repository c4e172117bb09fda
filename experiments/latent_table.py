"""Frames of recorded episodes as a tokenizer's latents, from which trainings draw their windows."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dreamdrive.experiments.devices import device_of
from dreamdrive.experiments.train_tokenizer import images
from dreamdrive.worldmodel.episodes import EpisodeStore, FrameTable
from dreamdrive.worldmodel.losses import Batch
from dreamdrive.worldmodel.model import WorldModel
from dreamdrive.worldmodel.state import LAG


class LatentTable:
    """The frames of a table as normalised latents and vectors, encoded episode by episode.

    Args:
        model: Encodes them.
        table: The frames, where the model is.
        episodes: Numbers of the episodes to encode; the latents of others stay zero.
        quantity_NQ: The model's quantities, those of a decision at its outcome.
    """

    def __init__(
        self, model: WorldModel, table: FrameTable, episodes: Sequence[int] | None = None,
        quantity_NQ: Tensor | None = None,
    ) -> None:  # fmt: skip
        self.table, self.quantity_NQ = table, quantity_NQ
        self.surroundings_EX: Tensor | None = None
        """Of each episode, where the model is told them."""
        self.episodes = list(range(len(table.start_E))) if episodes is None else list(episodes)
        half: dict[str, Any] = {"dtype": torch.float16, "device": table.device}
        self.latent_N = torch.zeros(len(table), *model.latent_shape, **half)
        self.weight_N = torch.ones(len(table), *model.latent_shape[1:], **half)
        with torch.no_grad():
            for episode in self.episodes:
                start, length = int(table.start_E[episode]), int(table.length_E[episode])
                rows = torch.arange(start, start + length, device=table.device)
                image = images(table, rows[None])
                self.latent_N[rows] = model.encode(image)[0].half()
                weight = model.tokenizer.pixel_weight(image)[0]
                self.weight_N[rows] = F.avg_pool2d(weight, 8)[:, 0].half()
        self.vector_N = model.normalise_vector(table.vector_NK)
        self.reward_N = table.reward_N / model.config.reward_scale
        self.first_N = table.start_E.repeat_interleave(table.length_E, output_size=len(table))

    def decision_rows(self) -> torch.Tensor:
        """Returns the rows of the encoded frames on which a decision was taken."""
        ends = self.table.start_E + self.table.length_E - 1
        return torch.cat(
            [
                torch.arange(int(self.table.start_E[e]), int(ends[e]), device=ends.device)
                for e in self.episodes
            ]
        )

    def seen(self, rows_B: torch.Tensor) -> torch.Tensor:
        """Returns what an agent sees on some frames, as `RolloutState.seen`."""
        earlier = torch.maximum(rows_B - LAG, self.first_N[rows_B])
        return torch.cat([self.latent_N[rows_B], self.latent_N[earlier]], 1).float()

    def _around(self, rows_BT: Tensor) -> Tensor | None:
        if self.surroundings_EX is None:
            return None
        episode = torch.searchsorted(self.table.start_E, rows_BT[:, 0].contiguous(), right=True) - 1
        return self.surroundings_EX[episode]

    def batch(self, rows_BT: torch.Tensor, *, with_images: bool = False) -> Batch:
        """Returns the windows whose rows are given."""
        table = self.table
        return Batch(
            self.latent_N[rows_BT].float(), self.vector_N[rows_BT], table.action_NA[rows_BT],
            self.reward_N[rows_BT], table.cause_N[rows_BT],
            images(table, rows_BT) if with_images else None, self.weight_N[rows_BT].float(),
            quantity=None if self.quantity_NQ is None else self.quantity_NQ[rows_BT],
            surroundings=self._around(rows_BT),
        )  # fmt: skip


def encoded_frames(init: Path, folders: Sequence[Path], device: str = "auto") -> LatentTable:
    """Returns the frames of some folders as a checkpoint's tokenizer encodes them, on a device.

    Raises:
        CheckpointError: If the checkpoint is missing or damaged.
        EpisodeError: If there are no episodes, or one is damaged or does not fit the model.
    """
    model = WorldModel.from_pretrained(init, device_of(device))
    table = FrameTable.load(EpisodeStore(*folders), model.config.causes)
    return LatentTable(model, table.to(model.device))
