"""Rollouts of the diffusion transformer: the sampler around the network.

Reference:
    Lipman et al. 2023, arXiv:2210.02747; Liu et al. 2023, arXiv:2209.03003 (few steps).
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from dreamdrive.errors import ConfigError
from dreamdrive.worldmodel.blocks import Branch, Ring
from dreamdrive.worldmodel.dynamics import Dynamics, DynamicsConfig, Frames, Predicted
from dreamdrive.worldmodel.memory import ExternalMemory, MemoryState
from dreamdrive.worldmodel.path import euler_step
from dreamdrive.worldmodel.shortcut import NUM_STEPS, Field, Parts
from dreamdrive.worldmodel.surroundings import Situated


class Step(NamedTuple):
    """The next latent (B, C, H, W), the next vector (B, K), the agent token (B, D), the memory."""

    latent: Tensor
    vector: Tensor
    agent: Tensor
    memory: NamedTuple


class Remembered(NamedTuple):
    """What a transformer with an external memory keeps: the last frames, and what lies before."""

    ring: Ring | Branch
    external: MemoryState

    def fork(self, num_branches: int) -> "Remembered":
        """Returns branches of every row, one after the other; see `Ring.fork`."""
        assert isinstance(self.ring, Ring)
        external: MemoryState = tree_map(
            lambda x: x.repeat_interleave(num_branches, 0), self.external
        )
        return Remembered(self.ring.fork(num_branches), external)


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
        self.external: ExternalMemory | None = None
        if config.memory.num_slots:
            self.external = ExternalMemory(
                config.memory, latent_shape=latent_shape, vector_size=vector_size,
                action_size=action_size,
            )  # fmt: skip
        self.is_muted = False
        """Whether zeros are read from the external memory: the control that it is measured by."""
        self.guidance = 1.0
        """How far predictions under an action are moved away from those under none: x̂_∅ + g (x̂_a -
        x̂_∅); 1 is off (classifier-free guidance, Ho & Salimans 2022, arXiv:2207.12598)."""

    def init_memory(self, batch_size: int, device: torch.device) -> Any:
        """Returns the memory before any frame, in unknown surroundings if it may be in some."""
        memory: Any = self.network.init_ring(batch_size, device)
        if self.external is not None:
            memory = Remembered(memory, self.external.initial(batch_size, device))
        if names := self.network.config.surroundings:
            nothing = torch.full((batch_size, len(names)), torch.nan, device=device)
            memory = Situated(memory, nothing)
        return memory

    def recall(self, latent_BTCHW: Tensor, vector_BTK: Tensor, action_BTA: Tensor) -> Tensor | None:
        """Returns what the external memory recalls after each frame of a window, (B, T, E).

        None without a memory, which is empty where a window begins.

        Args:
            latent_BTCHW: Clean normalised latents.
            vector_BTK: Clean normalised vectors.
            action_BTA: The action taken on each frame.
        """
        if self.external is None:
            return None
        found = self.external.recall(latent_BTCHW, vector_BTK, self._known(action_BTA))
        return torch.zeros_like(found) if self.is_muted else found

    def field(self, frames: Frames) -> Field:
        """Returns the flow of a window of frames: clean data from z = (latent, vector), τ and step.

        Args:
            frames: What is beside the noisy frames; `latent`, `vector`, `tau` and `step` are not
                read.
        """
        has_step_size = self.network.config.has_step_size

        def predict(z: Parts, tau: Tensor, step: Tensor) -> Parts:
            latent, vector = z
            now = frames._replace(
                latent=latent, vector=vector, tau=tau, step=step if has_step_size else None
            )
            predicted, _ = self.network(now)
            return predicted.latent, predicted.vector

        return predict

    def step(
        self,
        latent: Tensor,
        vector: Tensor,
        action: Tensor,
        memory: Ring | Branch | Remembered | Situated,
        noise: tuple[Tensor, Tensor],
        num_steps: int = 1,
        *,
        in_place: bool = False,
    ) -> Step:
        """Returns the frame after `latent` and `vector` under `action`.

        With one step the prediction at τ = 0 is the answer: the mean of what may follow. With more,
        the flow is integrated from the noise, which draws one of the things that may follow. A
        network that is told the size of its steps draws in one step too, as far as it learned to.

        Args:
            latent: Normalised latent, shape (B, C, H, W).
            vector: Normalised vector, shape (B, K).
            action: Shape (B, A).
            memory: What the frames before left behind.
            noise: Unit Gaussian of the shapes of `latent` and `vector`.
            num_steps: Euler steps.
            in_place: Write into the memory's ring, which saves a copy of it; see `RingWriter`.

        Raises:
            ConfigError: If the network is told the size of its steps and never learned these, or
                `guidance` is on for a network without a null action.
        """
        has_step_size = self.network.config.has_step_size
        if has_step_size and num_steps not in NUM_STEPS:
            raise ConfigError(
                f"This model learned to dream in {NUM_STEPS} steps, not in {num_steps}",
                do="Give one of those as num_steps.",
            )
        around, surroundings = memory, None
        if isinstance(around, Situated):
            memory, surroundings = around.kept, around.surroundings_BX[:, None]
        ring: Any = memory
        external, recalled = None, None
        if isinstance(memory, Remembered):
            assert self.external is not None
            ring = memory.ring
            found, external = self.external(memory.external, latent, vector, self._known(action))
            recalled = (torch.zeros_like(found) if self.is_muted else found)[:, None]
        if isinstance(ring, Branch):
            ring = ring.joined()
        z, u = noise
        size = None
        if has_step_size:
            size = torch.full((len(z), 1), 1.0 / num_steps, device=z.device)
        for i in range(num_steps):
            tau = i / num_steps
            frames = Frames(
                z[:, None], u[:, None], latent[:, None], vector[:, None], action[:, None],
                torch.full((len(z), 1), tau, device=z.device), recalled, size, surroundings,
            )  # fmt: skip
            # Every pass writes the same slot, so that the last one's frame is what stays.
            without = self._unguided(frames, ring) if self.guidance != 1.0 else None
            predicted, written = self.network(frames, ring, in_place=in_place)
            if without is not None:
                predicted = self._guided(predicted, without)
            if i + 1 < num_steps:
                now = torch.full((), tau, device=z.device)
                z = euler_step(predicted.latent[:, 0], z, now, 1.0 / num_steps)
                u = euler_step(predicted.vector[:, 0], u, now, 1.0 / num_steps)
        kept: Any = written if external is None else Remembered(written, external)
        if isinstance(around, Situated):
            kept = around._replace(kept=kept)
        return Step(predicted.latent[:, 0], predicted.vector[:, 0], predicted.agent[:, 0], kept)

    def _known(self, action: Tensor) -> Tensor:
        """Returns actions with zeros for those that are missing, if any may be."""
        has_null_action = self.network.config.has_null_action
        return torch.where(action.isnan(), 0.0, action) if has_null_action else action

    def _unguided(self, frames: Frames, ring: Any) -> Predicted:
        """Returns what is predicted under no action."""
        if not self.network.config.has_null_action:
            raise ConfigError(
                "This model has no null action to be guided away from",
                do="Leave guidance at 1, or train with --transformer.has-null-action.",
            )
        nothing = frames._replace(action=torch.full_like(frames.action, torch.nan))
        predicted, _ = self.network(nothing, ring)
        return predicted

    def _guided(self, predicted: Predicted, without: Predicted) -> Predicted:
        return predicted._replace(
            latent=torch.lerp(without.latent, predicted.latent, self.guidance),
            vector=torch.lerp(without.vector, predicted.vector, self.guidance),
        )
