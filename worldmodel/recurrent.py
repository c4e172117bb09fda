"""A small recurrent latent model: the yardstick that the transformer is measured beside."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dreamdrive.worldmodel.transformer import Step


@dataclass(frozen=True, kw_only=True, slots=True)
class RecurrentConfig:
    """Sizes of the recurrent model."""

    width: int = 256
    hidden: int = 512


class Hidden(NamedTuple):
    """The recurrent state, shape (B, hidden)."""

    hidden_BD: Tensor


class RecurrentDynamics(nn.Module):
    """A gated recurrent unit over flat latents; deterministic, so the noise is not used."""

    def __init__(
        self,
        config: RecurrentConfig,
        *,
        latent_shape: tuple[int, int, int],
        vector_size: int,
        action_size: int,
    ) -> None:
        super().__init__()
        self.config = config
        flat = latent_shape[0] * latent_shape[1] * latent_shape[2]
        self.inside = nn.Sequential(
            nn.Linear(flat + vector_size + action_size, config.width), nn.SiLU(),
            nn.Linear(config.width, config.width), nn.SiLU(),
        )  # fmt: skip
        self.cell = nn.GRUCell(config.width, config.hidden)
        self.outside = nn.Sequential(
            nn.Linear(config.hidden + config.width, config.hidden), nn.SiLU(),
            nn.Linear(config.hidden, flat + vector_size),
        )  # fmt: skip
        self.agent_size = config.hidden

    def init_memory(self, batch_size: int, device: torch.device) -> Hidden:
        """Returns the memory before any frame."""
        return Hidden(torch.zeros(batch_size, self.config.hidden, device=device))

    def step(
        self,
        latent: Tensor,
        vector: Tensor,
        action: Tensor,
        memory: Hidden,
        noise: tuple[Tensor, Tensor],
        num_steps: int = 1,
    ) -> Step:
        """Returns the frame after `latent` and `vector`; arguments as in the transformer's step."""
        seen = self.inside(torch.cat([latent.flatten(1), vector, action], -1))
        hidden = self.cell(seen, memory.hidden_BD.to(seen.dtype))
        change = self.outside(torch.cat([hidden, seen], -1)).float()
        flat = latent[0].numel()
        return Step(
            latent + change[:, :flat].reshape(latent.shape),
            vector + change[:, flat:],
            F.silu(hidden),
            Hidden(hidden.float()),
        )
