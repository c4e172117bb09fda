"""Rollouts of the diffusion transformer: the sampler around the network.

Reference:
    Lipman et al. 2023, arXiv:2210.02747; Liu et al. 2023, arXiv:2209.03003 (few steps).
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from dreamdrive.worldmodel.blocks import Ring
from dreamdrive.worldmodel.dynamics import Dynamics, DynamicsConfig, Frames
from dreamdrive.worldmodel.path import euler_step


class Step(NamedTuple):
    """The next latent (B, C, H, W), the next vector (B, K), the agent token (B, D), the memory."""

    latent: Tensor
    vector: Tensor
    agent: Tensor
    memory: NamedTuple


class TransformerDynamics(nn.Module):
    """Predicts the next frame by integrating the flow in one or more Euler steps."""

    def __init__(
        self,
        config: DynamicsConfig,
        *,
        latent_shape: tuple[int, int, int],
        vector_size: int,
        action_size: int,
    ) -> None:
        super().__init__()
        self.network = Dynamics(
            config, latent_shape=latent_shape, vector_size=vector_size, action_size=action_size
        )
        self.agent_size = config.width

    def init_memory(self, batch_size: int, device: torch.device) -> Ring:
        """Returns the memory before any frame."""
        return self.network.init_ring(batch_size, device)

    def step(
        self,
        latent: Tensor,
        vector: Tensor,
        action: Tensor,
        memory: Ring,
        noise: tuple[Tensor, Tensor],
        num_steps: int = 1,
    ) -> Step:
        """Returns the frame after `latent` and `vector` under `action`.

        With one step the prediction at τ = 0 is the answer: the mean of what may follow. With more,
        the flow is integrated from the noise, which draws one of the things that may follow.

        Args:
            latent: Normalised latent, shape (B, C, H, W).
            vector: Normalised vector, shape (B, K).
            action: Shape (B, A).
            memory: What the frames before left behind.
            noise: Unit Gaussian of the shapes of `latent` and `vector`.
            num_steps: Euler steps.
        """
        z, u = noise
        for i in range(num_steps):
            tau = i / num_steps
            frames = Frames(
                z[:, None], u[:, None], latent[:, None], vector[:, None], action[:, None],
                torch.full((len(z), 1), tau, device=z.device),
            )  # fmt: skip
            predicted, written = self.network(frames, memory)
            if i + 1 < num_steps:
                now = torch.tensor(tau, device=z.device)
                z = euler_step(predicted.latent[:, 0], z, now, 1.0 / num_steps)
                u = euler_step(predicted.vector[:, 0], u, now, 1.0 / num_steps)
        return Step(
            predicted.latent[:, 0], predicted.vector[:, 0], predicted.agent[:, 0], written
        )  # fmt: skip
