"""Dreams that go on from one training step to the next, so that training sees frames of any age.

A rollout from a recorded window costs its whole length, which is why training rollouts are short.
These dreams are kept instead: each step takes them on for a few frames, the first of them without
gradient, and what the last look like is judged (`worldmodel.adversary`). They are driven by the
recorded actions of moments whose vector is like their own, looked up anew for every few frames: the
actions of a drive that went elsewhere would lead off the road sooner or later, and dynamics whose
every frame has to look like a real one would learn to bend the road under the ego. Where the model
foresees its end, or it has lived as long as was drawn for it, a dream is begun anew from recorded
frames.

Shapes: P dreams, T frames, K vector.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

from dreamdrive.experiments.latent_table import LatentTable
from dreamdrive.worldmodel.adversary import AdversaryConfig, Clip
from dreamdrive.worldmodel.model import WorldModel
from dreamdrive.worldmodel.rolling import Rolling
from dreamdrive.worldmodel.surroundings import situated

CANDIDATES = 4096
"""Recorded moments among which a dream looks for one that is like it."""
ENDED = 0.5
"""Chance of an end up to now from which on a dream has ended."""
DUE_SHARE = 0.125
"""Dreams are begun anew as soon as so many of them are due, all in one go."""


class FarDreams(nn.Module):
    """The dreams: tensors alone, which are saved with a training and nothing learns.

    Args:
        model: Dreams.
        config: How many, and how far.
        context: Recorded frames that each begins with.
    """

    def __init__(self, model: WorldModel, config: AdversaryConfig, context: int) -> None:
        super().__init__()
        self.config, self.context = config, context
        P = config.dreams
        kept, self._structure = tree_flatten(model.dynamics.init_memory(P, model.device))
        for number, tensor in enumerate(kept):
            self.register_buffer(f"memory_{number}", tensor.clone())
        self.register_buffer("latent", model.latent_mean.new_zeros(P, *model.latent_shape))
        self.register_buffer("vector", model.latent_mean.new_zeros(P, model.config.vector_size))
        for name in ("row", "age", "left"):
            self.register_buffer(name, torch.zeros(P, dtype=torch.long, device=model.device))
        self.register_buffer("alive", torch.ones(P, device=model.device))
        self.latent: Tensor
        self.vector: Tensor
        self.alive: Tensor
        """Chance that none has ended yet, by what the model says."""
        self.row: Tensor
        """The row of the recorded frame that each dream stands at."""
        self.age: Tensor
        """Frames that each has dreamed."""
        self.left: Tensor
        """Frames after which each is begun anew."""

    @property
    def _memory(self) -> Any:
        count = self._structure.num_leaves
        return tree_unflatten([getattr(self, f"memory_{i}") for i in range(count)], self._structure)

    @_memory.setter
    def _memory(self, memory: Any) -> None:
        for number, tensor in enumerate(tree_flatten(memory)[0]):
            setattr(self, f"memory_{number}", tensor)

    def go_on(
        self, model: WorldModel, data: LatentTable, generator: torch.Generator, rolling: Rolling
    ) -> tuple[Clip, Clip, dict[str, float]]:
        """Returns the frames that came and those dreamed, and facts of the dreams.

        The dreamed ones have their gradient; the dreams themselves go on without.

        Args:
            model: Dreams.
            data: Recorded frames.
            generator: Source of randomness.
            rolling: Takes the steps, for as many dreams as there are.

        Raises:
            EpisodeError: If every episode is shorter than what is dreamed in a step.
        """
        config = self.config
        frames = config.between + config.judged
        with torch.no_grad():
            self._begin_anew(model, rolling, data, frames, generator)
            self._find_actions(data, frames, generator)
        memory = rolling.open(self._memory)
        with torch.no_grad():
            _, memory = self._dream(model, rolling, memory, data, config.between, generator)
        rows = self.row[:, None] + torch.arange(1, config.judged + 1, device=self.row.device)
        dreamed, memory = self._dream(model, rolling, memory, data, config.judged, generator)
        self.latent, self.vector = self.latent.detach(), self.vector.detach()
        self._memory = tree_map(torch.Tensor.detach, rolling.close(memory))
        self.age, self.left = self.age + frames, self.left - frames
        self.left = torch.where(self.alive < 1.0 - ENDED, 0, self.left)
        batch = data.batch(rows)
        real = Clip(batch.latent, batch.vector, batch.action)
        return real, dreamed, {"dream_age": float(self.age.float().mean())}

    def _dream(
        self, model: WorldModel, rolling: Rolling, memory: Any, data: LatentTable, frames: int,
        generator: torch.Generator,
    ) -> tuple[Clip, Any]:  # fmt: skip
        """Takes the dreams on and returns the new frames and the memory."""
        device = self.row.device
        ahead = torch.arange(1, frames + 1, device=device)
        actions = data.table.action_NA[self.row[:, None] + ahead]
        latents, vectors = [self.latent], [self.vector]
        for t in range(frames):
            noise = (
                torch.randn(self.latent.shape, generator=generator, device=device),
                torch.randn(self.vector.shape, generator=generator, device=device),
            )
            step = rolling.step(latents[-1], vectors[-1], actions[:, t], memory, noise)
            latents.append(step.latent)
            vectors.append(step.vector)
            memory = step.memory
            with torch.no_grad():
                ends = model.heads(step.agent.detach()).termination.sum(-1)
                self.alive = self.alive * (1.0 - ends).clamp(0.0, 1.0)
        self.latent, self.vector = latents[-1], vectors[-1]
        self.row = self.row + frames
        if not frames:
            return Clip(self.latent[:, None], self.vector[:, None], actions), memory
        clip = Clip(torch.stack(latents[1:], 1), torch.stack(vectors[1:], 1), actions)
        return clip, memory

    def _begin_anew(
        self, model: WorldModel, rolling: Rolling, data: LatentTable, frames: int,
        generator: torch.Generator,
    ) -> None:  # fmt: skip
        """Begins dreams that are due anew, once there are enough; all take the same steps.

        A batch of always the same size is what a compiled network is made for.
        """
        due = self.left <= 0
        P = len(due)
        if int(due.sum()) < DUE_SHARE * P:
            return
        rows = data.table.windows(P, self.context + frames, generator)[:, : self.context]
        batch = data.batch(rows)
        memory: Any = model.dynamics.init_memory(P, model.device)
        memory = rolling.open(situated(memory, batch.surroundings))
        for t in range(1, self.context):
            noise = (torch.zeros_like(batch.latent[:, 0]), torch.zeros_like(batch.vector[:, 0]))
            memory = rolling.step(
                batch.latent[:, t - 1], batch.vector[:, t - 1], batch.action[:, t], memory, noise
            ).memory
        memory = rolling.close(memory)
        longest = torch.full((P,), self.config.longest, device=due.device)
        longest[: round(self.config.young_share * P)] = self.config.young
        life = 1 + (torch.rand(P, generator=generator, device=due.device) * longest).long()

        def choose(new: Tensor, old: Tensor) -> Tensor:
            return torch.where(due.view(-1, *[1] * (old.dim() - 1)), new, old)

        self._memory = tree_map(choose, memory, self._memory)
        self.latent = choose(batch.latent[:, -1], self.latent)
        self.vector = choose(batch.vector[:, -1], self.vector)
        self.row, self.left = choose(rows[:, -1], self.row), choose(life, self.left)
        self.age, self.alive = self.age.masked_fill(due, 0), self.alive.masked_fill(due, 1.0)

    def _find_actions(self, data: LatentTable, frames: int, generator: torch.Generator) -> None:
        """Moves each dream to the recorded moment that is most like it; new ones are there."""
        found = data.table.windows(CANDIDATES, frames + 1, generator)[:, 0]
        nearest = found[torch.cdist(self.vector, data.vector_N[found]).argmin(1)]
        self.row = torch.where(self.age == 0, self.row, nearest)
