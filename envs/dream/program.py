"""One step of many dreams as one static program: tensors in and out, nothing asked of the host.

A step is action → denoising → heads → termination and truncation → masked reset from a bank of
starts → decoding. What goes on from step to step lies in buffers that are made once and written in
place; no shape depends on what happens; noise is a function of counters. So the program costs the
same at every step, can be captured as one CUDA graph (`graph`), and a mode of the tests can forbid
everything that would break that.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from gymnasium.vector import AutoresetMode
from torch import Tensor

from dreamdrive.envs.dream.faces import Face
from dreamdrive.envs.dream.info import DreamInfo, merged_infos
from dreamdrive.envs.dream.noise import NoiseStreams
from dreamdrive.envs.dream.starts import Start
from dreamdrive.kernels.masked_rows import masked_rows_
from dreamdrive.worldmodel.model import WorldModel
from dreamdrive.worldmodel.state import Imagined
from dreamdrive.worldmodel.surroundings import Situated

LATENT_LIMIT = 20.0
"""Bound of latent observations, in standard deviations; latents beyond it are clipped."""


class Shown(NamedTuple):
    """What a frame shows.

    Attributes:
        image_BHWC: uint8; the buffer that the next step writes to.
        latent_BCHW: Within `LATENT_LIMIT`.
        vector_BK: Within the bounds of the observation.
    """

    image_BHWC: Tensor
    latent_BCHW: Tensor
    vector_BK: Tensor


class Stepped(NamedTuple):
    """What one step of B dreams leads to.

    Attributes:
        shown: What is seen now; of a new episode where one was begun.
        reward_B: Of the decision, in the environment's units.
        terminated_B: Whether the model ended the episode.
        truncated_B: Whether time or the model's doubt did.
        info: The values of `info`, see `DreamInfo`.
        final: What was seen before an episode was begun in the same step; None in other modes.
        final_info: Its `info`.
    """

    shown: Shown
    reward_B: Tensor
    terminated_B: Tensor
    truncated_B: Tensor
    info: dict[str, Any]
    final: Shown | None
    final_info: dict[str, Any] | None


class DreamProgram:
    """The buffers of B dreams and the step that moves them.

    Args:
        model: The world model.
        num_envs: B.
        face: Bounds and costs of the environment.
        info: Numbers of the causes.
        num_steps: Euler steps of the sampler.
        max_steps: Decisions until the time limit.
        autoreset_mode: When an episode that is over is begun again.
        is_sampled: Whether terminations are drawn; else they come above one half.
        uncertainty_limit: Truncates where the model's uncertainty exceeds it, if it is given.
        doubt_limit: Truncates where the probability that the model does not know exceeds it,
            likewise.
        has_pixels: Whether frames are decoded.
    """

    def __init__(
        self,
        model: WorldModel,
        num_envs: int,
        face: Face,
        info: DreamInfo,
        *,
        num_steps: int,
        max_steps: int,
        autoreset_mode: AutoresetMode,
        is_sampled: bool,
        uncertainty_limit: float | None,
        doubt_limit: float | None = None,
        has_pixels: bool,
    ) -> None:
        config, device = model.config, model.device
        self.model, self._face, self._info = model, face, info
        self._num_steps, self._max_steps, self._mode = num_steps, max_steps, autoreset_mode
        self._is_sampled, self._has_pixels = is_sampled, has_pixels
        self._limit, self._doubt_limit = uncertainty_limit, doubt_limit
        C, H, W = config.latent_shape
        self._noise_sizes = (C * H * W, config.vector_size)
        self.noise = NoiseStreams(num_envs, sum(self._noise_sizes), device)
        self.reward_scale = config.reward_scale
        self.imagine: Callable[..., Any] = model.imagine_step
        """How the model makes a step; whoever has a faster way puts it here."""
        self.decode: Callable[..., Any] = model.decode_step
        """How the model shows a frame, likewise."""
        self.state = model.init_state(num_envs)
        self.image_BHWC = torch.zeros(
            num_envs, config.image_size, config.image_size, 3, dtype=torch.uint8, device=device
        )
        self.step_B = torch.zeros(num_envs, dtype=torch.long, device=device)
        self.start_B = torch.full_like(self.step_B, -1)
        self.over_B = torch.ones(num_envs, dtype=torch.bool, device=device)
        self.bank: Start | None = None
        """Where episodes are begun again; without it none is."""

    @property
    def num_envs(self) -> int:
        """B."""
        return len(self.step_B)

    @property
    def is_on_gpu(self) -> bool:
        """Whether the dreams are on a CUDA device."""
        return self.step_B.is_cuda

    def buffers(self) -> list[Tensor]:
        """Returns every tensor that goes on from step to step."""
        return [
            *self.state.leaves(), self.image_BHWC, self.step_B, self.start_B, self.over_B,
            self.noise.seed_B, self.noise.episode_B, *self._face.buffers(),
        ]  # fmt: skip

    # --- begin -----------------------------------------------------------------------------------

    def begin(self, mask_B: Tensor, start_B: Tensor, bank: Start, index_B: Tensor) -> None:
        """Puts the dreams of a mask at starts.

        Args:
            mask_B: Which.
            start_B: The numbers that `info` gives for their starts.
            bank: The starts.
            index_B: The row of the bank that each takes.
        """
        masked_rows_(
            [*self.state.leaves(), self.image_BHWC], mask_B,
            [*bank.state.leaves(), bank.image_BHWC], index_B,
        )  # fmt: skip
        self.start_B.copy_(torch.where(mask_B, start_B, self.start_B))
        self.step_B.masked_fill_(mask_B, 0)
        self.over_B.logical_and_(~mask_B)
        self._face.restart(mask_B, self.state.vector_BK)

    def situate(self, mask_B: Tensor, surroundings_X: Tensor) -> None:
        """Tells the dreams of a mask what holds for their episode, if their model can be told."""
        memory = self.state.memory
        if isinstance(memory, Situated):
            around_X = surroundings_X.to(memory.surroundings_BX.device)
            memory.surroundings_BX.copy_(
                torch.where(mask_B[:, None], around_X, memory.surroundings_BX)
            )

    def restart(self, mask_B: Tensor) -> None:
        """Begins the next episode of the dreams of a mask, at starts that their seeds draw.

        Without a bank it does nothing: there is nowhere to begin.
        """
        if self.bank is None:
            return
        self.noise.episode_B.add_(mask_B)
        index_B = self.noise.integers(len(self.bank.image_BHWC))
        self.begin(mask_B, index_B, self.bank, index_B)

    # --- step ------------------------------------------------------------------------------------

    def step(self, action_BA: Tensor) -> Stepped:
        """Moves all dreams by one decision; actions are the model's, in [-1, 1]."""
        reward, terminated, truncated, info = self._imagine(action_BA)
        done_B = terminated | truncated
        final, final_info = None, None
        if self._mode is AutoresetMode.NEXT_STEP:
            over_B = self.over_B.clone()
            self.over_B.copy_(done_B & ~over_B)
            if self.bank is not None and self._may_hold(over_B):
                self.restart(over_B)
                reward = reward.masked_fill(over_B, 0.0)
                terminated, truncated = terminated & ~over_B, truncated & ~over_B
                info = merged_infos(over_B, self._info.values_at_start(self.start_B), info)
        else:
            self.over_B.copy_(done_B)
        if self._mode is AutoresetMode.SAME_STEP and self.bank is not None:
            final, final_info = self.shown(keep=True), info
            self.restart(done_B)
            info = merged_infos(done_B, self._info.values_at_start(self.start_B), info)
        return Stepped(self.shown(), reward, terminated, truncated, info, final, final_info)

    def shown(self, *, keep: bool = False) -> Shown:
        """Returns what the dreams show.

        Args:
            keep: Give a copy of the picture, which the buffer's next frame does not replace.
        """
        latent = self.state.latent_BCHW.clamp(-LATENT_LIMIT, LATENT_LIMIT)
        image = self.image_BHWC.clone() if keep else self.image_BHWC
        return Shown(image, latent, self._face.bounded(self.state.vector_BK))

    def _imagine(self, action_BA: Tensor) -> tuple[Tensor, Tensor, Tensor, dict[str, Any]]:
        """Returns reward, terminated, truncated and the values of `info`."""
        state, seen = self.imagine(
            self.state, action_BA, noise=self._noise(), num_steps=self._num_steps, in_place=True
        )
        self.state.overwrite(state)
        terminated, truncated, cause_B = self._judged(seen)
        if self._has_pixels:
            self._draw()
        cost = self._costs(seen)
        info = self._info.values(seen, cause_B, self.start_B.clone(), cost)
        return seen.reward_B * self.reward_scale, terminated, truncated, info

    def _may_hold(self, mask_B: Tensor) -> bool:
        """Returns False only where it is known that a mask is empty; here nobody asks the host."""
        return True

    def _noise(self) -> tuple[Tensor, Tensor]:
        """Returns the Gaussians of this step, for latents (B, C, H, W) and vectors (B, K)."""
        size = self._noise_sizes
        latent, vector = self.noise.normals(self.step_B, sum(size)).split(size, 1)
        return latent.unflatten(1, self.model.config.latent_shape), vector

    def _costs(self, seen: Imagined) -> dict[str, Tensor]:
        """Returns the cost terms of the decision."""
        return self._face.costs(seen.vector_BK, seen.termination_BC)

    def _judged(self, seen: Imagined) -> tuple[Tensor, Tensor, Tensor]:
        """Counts the step and returns terminated, truncated, and the number of the cause."""
        total_BJ = seen.termination_BC.cumsum(1)
        if self._is_sampled:
            draw_B = self.noise.uniforms(self.step_B)
            terminated = draw_B < total_BJ[:, -1]
            cause_B = 1 + (total_BJ <= draw_B[:, None]).sum(1)
        else:
            terminated = total_BJ[:, -1] > 0.5
            cause_B = 1 + seen.termination_BC.argmax(1)
        self.step_B.add_(1)
        late_B = self.step_B >= self._max_steps
        cause_B = torch.where(terminated, cause_B, late_B * self._info.time_limit)
        truncated = late_B & ~terminated
        for limit, doubt_B in (
            (self._limit, seen.uncertainty_B), (self._doubt_limit, seen.doubt_B)
        ):  # fmt: skip
            if limit is not None and doubt_B is not None:
                lost_B = (doubt_B > limit) & ~terminated
                cause_B = torch.where(lost_B, self._info.uncertain, cause_B)
                truncated = truncated | lost_B
        return terminated, truncated, cause_B

    def _draw(self) -> None:
        image_BCHW, state = self.decode(self.state)
        self.state.overwrite(state)
        pixels = (image_BCHW * 255.0).round_().to(torch.uint8)
        self.image_BHWC.copy_(pixels.permute(0, 2, 3, 1))

    def copy_of(self) -> list[Tensor]:
        """Returns copies of all buffers, for `put_back`."""
        return [x.clone() for x in self.buffers()]

    def put_back(self, copies: list[Tensor]) -> None:
        """Goes back to where `copy_of` was called."""
        for buffer, kept in zip(self.buffers(), copies, strict=True):
            buffer.copy_(kept)
