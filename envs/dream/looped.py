"""The static program on a processor: what stands around the model as compiled loops.

A step of one dream is so little work that PyTorch's own dozens of calls for noise, ends and costs
took a third of it. The loops are `kernels.processor_dream`; what they mean is `DreamProgram`, and
the dreams are the same but for rounding.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from dreamdrive.envs.dream.program import DreamProgram
from dreamdrive.kernels.processor_dream import judge, normals
from dreamdrive.worldmodel.state import Imagined

NO_LIMIT = np.finfo(np.float32).max
"""Stands for no limit: loops that may sum in any order are compiled as if nothing were infinite."""


class LoopedProgram(DreamProgram):
    """`DreamProgram` on a processor, with the same arguments; it may look at its own memory."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        B, size = self.num_envs, self._noise_sizes
        self._latent_noise = torch.zeros(B, *self.model.config.latent_shape)
        self._vector_noise = torch.zeros(B, size[1])
        self._halves = np.zeros((2, (sum(size) + 1) // 2), np.float32)
        self._none_B = np.zeros(B, np.float32)
        limits = [NO_LIMIT if x is None else x for x in (self._limit, self._doubt_limit)]
        self._limits = np.array(limits, np.float32)
        self._numbers = self._info.time_limit, self._info.uncertain

    def _may_hold(self, mask_B: Tensor) -> bool:
        """Returns whether a mask holds any dream."""
        return bool(mask_B.numpy().any())

    def _noise(self) -> tuple[Tensor, Tensor]:
        """Returns the Gaussians of this step, which the next one writes over."""
        latent, vector = self._latent_noise, self._vector_noise
        step = self.step_B.numpy().view(np.uint64)
        normals(*self._stream(), step, self._halves, latent.flatten(1).numpy(), vector.numpy())
        return latent, vector

    def _stream(self) -> tuple[Any, Any]:
        noise = self.noise
        return noise.seed_B.numpy().view(np.uint64), noise.episode_B.numpy().view(np.uint64)

    def _costs(self, seen: Imagined) -> dict[str, Tensor]:
        """Returns the cost terms of the decision."""
        return self._face.costs_by_loops(seen.vector_BK, seen.termination_BC)

    def _judged(self, seen: Imagined) -> tuple[Tensor, Tensor, Tensor]:
        """Counts the step and returns terminated, truncated, and the number of the cause."""
        B = self.num_envs
        doubt = self._none_B if seen.doubt_B is None else seen.doubt_B.contiguous().numpy()
        ended, cause = np.empty((2, B), np.bool_), np.empty(B, np.int64)
        judge(
            seen.termination_BC.contiguous().numpy(),
            (seen.uncertainty_B.contiguous().numpy(), doubt), self._limits, *self._stream(),
            self.step_B.numpy(), self._max_steps, self._is_sampled, self._numbers, ended, cause,
        )  # fmt: skip
        terminated, truncated = torch.from_numpy(ended).unbind()
        return terminated, truncated, torch.from_numpy(cause)
