"""The state of a rollout: a value of fixed size that can be forked, reset and selected."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

LAG = 4
"""Frames between the two that an agent sees: one frame alone shows no motion."""


class RolloutState(NamedTuple):
    """Everything that the next step depends on; each tensor has the batch B in front.

    Attributes:
        latent_BCHW: The current frame's normalised latent.
        vector_BK: The current frame's vector in its own units.
        memory: What the dynamics keeps of the frames before.
        encoder_cache: The tokenizer's cache for the next real frame.
        decoder_cache: The tokenizer's cache for the next decoded frame.
        past_BLCHW: The latents of the `LAG` frames before, oldest first; those before an episode's
            first frame are that frame's.
    """

    latent_BCHW: Tensor
    vector_BK: Tensor
    memory: Any
    encoder_cache: Tensor
    decoder_cache: Tensor
    past_BLCHW: Tensor

    @property
    def seen(self) -> Tensor:
        """What an agent sees: the current latent and that of `LAG` frames ago, (B, 2C, H, W)."""
        return torch.cat([self.latent_BCHW, self.past_BLCHW[:, 0]], 1)

    def followed_by(self, latent_BCHW: Tensor) -> "RolloutState":
        """Returns the state with a new current latent, the old one being past."""
        past = torch.cat([self.past_BLCHW[:, 1:], self.latent_BCHW[:, None]], 1)
        return self._replace(latent_BCHW=latent_BCHW, past_BLCHW=past)

    def beginning_with(self, latent_BCHW: Tensor) -> "RolloutState":
        """Returns the state with the latent of an episode's first frame."""
        past = latent_BCHW[:, None].expand_as(self.past_BLCHW).clone()
        return self._replace(latent_BCHW=latent_BCHW, past_BLCHW=past)

    def map(self, function: Callable[[Tensor], Tensor]) -> "RolloutState":
        """Returns the state with a function applied to every tensor."""
        mapped: RolloutState = tree_map(function, self)
        return mapped

    def select(self, index: Tensor) -> "RolloutState":
        """Returns the rows that an index or mask picks; an index may repeat rows to fork them."""
        return self.map(lambda x: x[index])

    def fork(self, num_branches: int) -> "RolloutState":
        """Returns branches of every row, one after the other, (B · n): for plans from one state.

        The transformer's past, by far the most of a state, is shared and not copied where the step
        can read it there (the engine `fused`); this state must not be stepped in place meanwhile.
        Branches can be stepped, and nothing else.
        """
        repeated = self._replace(memory=()).map(lambda x: x.repeat_interleave(num_branches, 0))
        memory = self.memory
        if hasattr(memory, "fork"):
            return repeated._replace(memory=memory.fork(num_branches))
        many = tree_map(lambda x: x.repeat_interleave(num_branches, 0), memory)
        return repeated._replace(memory=many)

    def clone(self) -> "RolloutState":
        """Returns a copy that shares no memory."""
        return self.map(torch.clone)

    def detach(self) -> "RolloutState":
        """Returns the state cut off from the graph that computed it."""
        return self.map(torch.Tensor.detach)

    def where(self, mask_B: Tensor, other: "RolloutState") -> "RolloutState":
        """Returns `other` in the rows of the mask and this state elsewhere: a masked reset."""

        def choose(mine: Tensor, theirs: Tensor) -> Tensor:
            return torch.where(mask_B.view(-1, *[1] * (mine.dim() - 1)), theirs, mine)

        chosen: RolloutState = tree_map(choose, self, other)
        return chosen

    def leaves(self) -> list[Tensor]:
        """Returns every tensor, in a fixed order."""
        found: list[Tensor] = []
        _gather(self, found)
        return found

    def overwrite(self, other: "RolloutState") -> None:
        """Writes the values of another state into the tensors of this one.

        What both share, a ring that was written in place, is not touched.
        """
        for mine, theirs in zip(self.leaves(), other.leaves(), strict=True):
            if mine.data_ptr() != theirs.data_ptr():
                mine.copy_(theirs)

    def put(self, index: Tensor, other: "RolloutState") -> "RolloutState":
        """Returns this state with the rows of `other` at the indices; both are left intact."""

        def place(mine: Tensor, theirs: Tensor) -> Tensor:
            return mine.index_copy(0, index, theirs)

        placed: RolloutState = tree_map(place, self, other)
        return placed

    @staticmethod
    def concatenate(states: list["RolloutState"]) -> "RolloutState":
        """Returns the rows of several states end to end."""
        joined: RolloutState = tree_map(lambda *parts: torch.cat(parts), *states)
        return joined


def _gather(part: Any, found: list[Tensor]) -> None:
    """Adds the tensors of nested tuples; a step of one dream asks so often that a tree is dear."""
    for inner in part:
        if isinstance(inner, Tensor):
            found.append(inner)
        else:
            _gather(inner, found)


class Imagined(NamedTuple):
    """What one imagined step shows.

    Attributes:
        latent_BCHW: Normalised latent of the new frame.
        vector_BK: Its vector, in its own units.
        reward_B: Expected reward of the decision, in units of the model's `reward_scale`.
        termination_BC: Probability of each cause of termination.
        uncertainty_B: Disagreement of the heads' ensemble.
        doubt_B: Probability that the model does not know, where it is calibrated.
        quantity_BQ: The model's `quantities`, in their own units, where it tells any.
    """

    latent_BCHW: Tensor
    vector_BK: Tensor
    reward_B: Tensor
    termination_BC: Tensor
    uncertainty_B: Tensor
    doubt_B: Tensor | None = None
    quantity_BQ: Tensor | None = None


@runtime_checkable
class Observes(Protocol):
    """A step that takes in a real frame for less than it takes to imagine one."""

    def observe(self, state: RolloutState, action_BA: Tensor) -> Any:
        """Returns the memory after the frame that an action led to, written in place."""
