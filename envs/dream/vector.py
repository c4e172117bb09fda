"""`WorldModelDream-v0`: many dreams at once, in one batch of a world model."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray
from torch import Tensor

from dreamdrive.driving.actions import ActionKind
from dreamdrive.envs.dream.contexts import Contexts
from dreamdrive.envs.dream.faces import arrays, make_face
from dreamdrive.envs.dream.graph import GraphedStep, copy_of
from dreamdrive.envs.dream.info import DreamInfo
from dreamdrive.envs.dream.looped import LoopedProgram
from dreamdrive.envs.dream.program import LATENT_LIMIT, DreamProgram, Shown, Stepped
from dreamdrive.envs.dream.room import check_room, out_of_memory
from dreamdrive.envs.dream.starts import Starts
from dreamdrive.envs.dream.window import Window
from dreamdrive.errors import CheckpointError, ConfigError
from dreamdrive.seeding import derive_seed
from dreamdrive.worldmodel.engine import Engine, build_decode, build_step
from dreamdrive.worldmodel.model import DEFAULT, WorldModel, find_checkpoint
from dreamdrive.worldmodel.packed import Precision
from dreamdrive.worldmodel.state import RolloutState
from dreamdrive.worldmodel.surroundings import surroundings_vector

RENDER_SCALE = 8
RESET_OPTIONS = ("reset_mask", "context", "clip", "image", "state", "surroundings")


class DreamVectorEnv(VectorEnv[Any, Any, Any]):
    """Drives in a learned world model; `DreamEnv` documents one of these environments.

    All arrays have the environments in front. `reset(seed=s)` gives environment i the seed s + i,
    `reset(seed=[...])` one each; the dream of a seed does not depend on the batch that it is in,
    but for rounding. `reset(options={"reset_mask": mask})` resets some. `metadata` names the
    autoreset mode.

    Args:
        num_envs: How many.
        model: A shipped world model's name, a checkpoint folder, or a `WorldModel`.
        contexts: Start contexts or the folder that holds them; those of the checkpoint by default.
        num_steps: Euler steps of the sampler: 1 gives the mean of what may follow, 4 a sample.
        max_steps: Decisions until the time limit; by default those of the environment that the
            model was learned from, 200 for `CarlaDrive-v0`.
        observations: `pixels`, or `latent` for `Dict(latent, state)`, which saves the decoder.
        actions: `continuous`, or `discrete` for the grid of `dreamdrive.driving.actions`, as
            `CarlaDrive-v0` has it.
        termination: `sampled` ends with the predicted probability, `threshold` above one half.
        uncertainty_limit: Truncates where the model's uncertainty exceeds it; None never does.
        doubt_limit: Truncates where the probability that the model does not know exceeds it, as
            `info["doubt"]` tells it of a model whose uncertainty is calibrated; None never does.
        as_torch: Takes and gives tensors on `device` instead of NumPy arrays.
        copy: Give pictures that are the caller's to keep. Otherwise they are the memory that the
            next step writes to, as with Gymnasium's vector environments.
        engine: How a step is computed, see `worldmodel.engine`: `eager` is the model itself;
            `fused` and `compiled` dream the same but for rounding, and faster on a processor;
            `auto` is eager until `dreamdrive bench engines` has measured what is fastest here.
        precision: Of the matrix products: float32, or bfloat16 with the engines `fused` and
            `openvino`.
        device: Where the model runs.
        autoreset_mode: One of Gymnasium's.
        render_mode: `rgb_array`, `human`, or None.

    Raises:
        CheckpointError: If the world model is missing or damaged.
        ConfigError: If an argument is impossible.
        KernelError: If an engine that was asked for by name cannot run here.
        MissingExtraError: If `human` is asked for and pygame is not installed.
    """

    def __init__(
        self,
        num_envs: int = 1,
        model: str | Path | WorldModel = DEFAULT,
        contexts: str | Path | Contexts | None = None,
        num_steps: int = 1,
        max_steps: int | None = None,
        observations: Literal["pixels", "latent"] = "pixels",
        actions: ActionKind = "continuous",
        termination: Literal["sampled", "threshold"] = "sampled",
        uncertainty_limit: float | None = None,
        doubt_limit: float | None = None,
        as_torch: bool = False,
        copy: bool = True,
        engine: Engine = "auto",
        precision: Precision = "float32",
        device: str = "cpu",
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
    ) -> None:
        self.metadata = {"render_modes": ["rgb_array", "human"], "render_fps": 10}
        if min(num_envs, num_steps, 1 if max_steps is None else max_steps) < 1:
            raise ConfigError("num_envs, num_steps and max_steps must be at least 1")
        for name, value, known in (
            ("observations", observations, ("pixels", "latent")),
            ("termination", termination, ("sampled", "threshold")),
            ("render_mode", render_mode, (None, "rgb_array", "human")),
        ):
            if value not in known:
                text = ", ".join(repr(choice) for choice in known)
                raise ConfigError(f"{name} cannot be {value!r}", do=f"Known: {text}.")
        try:
            self.autoreset_mode = AutoresetMode(autoreset_mode)
        except ValueError as error:
            modes = ", ".join(repr(mode.value) for mode in AutoresetMode)
            raise ConfigError(
                f"autoreset_mode cannot be {autoreset_mode!r}", do=f"Known: {modes}."
            ) from error
        self.metadata["autoreset_mode"] = self.autoreset_mode
        if isinstance(model, WorldModel):
            self.model = model.to(device).eval()
        else:
            self.model = WorldModel.from_pretrained(model, device)
            contexts = find_checkpoint(model) if contexts is None else contexts
        config = self.model.config
        if doubt_limit is not None and config.calibration is None:
            raise ConfigError(
                "This world model's uncertainty is not calibrated, so it has no doubt_limit",
                do="Calibrate it with `dreamdrive calibrate`, or give an uncertainty_limit.",
            )
        self._face = make_face(config, num_envs, self.model.device, actions)
        self.num_envs, self.render_mode, self.as_torch = num_envs, render_mode, as_torch
        self.device = self.model.device
        self.num_steps = num_steps
        self.max_steps = self._face.max_steps if max_steps is None else max_steps
        self._is_latent, self._copy = observations == "latent", copy
        shows = self._face.has_image and not self._is_latent
        self.single_observation_space = self._observation_space()
        self.single_action_space = self._face.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

        self._starts = Starts(self.model, contexts)
        self._info = DreamInfo(
            config.causes, num_envs, as_torch=as_torch, costs=self._face.cost_names,
            quantities=config.quantities, has_doubt=config.calibration is not None,
        )  # fmt: skip
        check_room(self.model, num_envs)
        imagine = build_step(self.model, num_envs, engine, precision)
        # The eager step is the meaning of the others, to the last bit, and so is what is around it.
        is_plain = imagine == self.model.imagine_step or self.device.type != "cpu"
        self._program = (DreamProgram if is_plain else LoopedProgram)(
            self.model, num_envs, self._face, self._info, num_steps=num_steps,
            max_steps=self.max_steps, autoreset_mode=self.autoreset_mode,
            is_sampled=termination == "sampled", uncertainty_limit=uncertainty_limit,
            doubt_limit=doubt_limit, has_pixels=shows or render_mode is not None,
        )  # fmt: skip
        self._program.imagine = imagine
        self._program.decode = build_decode(self.model, imagine)
        # On a GPU the whole step is one launch; on a processor there is nothing to capture.
        is_on_gpu = self._program.is_on_gpu
        self._step: Callable[[Tensor], Stepped] = (
            GraphedStep(self._program) if is_on_gpu else self._program.step
        )
        self.is_seeded, self._has_looked = False, False
        self._window = Window(self.metadata["render_fps"]) if render_mode == "human" else None

    def _observation_space(self) -> gym.Space[Any]:
        if not self._is_latent:
            return self._face.observation_space
        shape = self.model.config.latent_shape
        latent = gym.spaces.Box(-LATENT_LIMIT, LATENT_LIMIT, shape, np.float32)
        return gym.spaces.Dict({"latent": latent, "state": self._face.state_space})

    @property
    def state(self) -> RolloutState:
        """The world model's state of all environments, which the next step or reset writes to.

        Whoever keeps it takes a `clone()`; `select` copies rows of it, to branch from there.
        """
        return self._program.state

    # --- reset -----------------------------------------------------------------------------------

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> tuple[Any, dict[str, Any]]:
        """Starts episodes.

        Args:
            seed: Fixes the start contexts and all noise; None goes on with the seeds given before.
            options: `reset_mask`: bool (num_envs,), the environments to reset, all by default.
                `context`: number of a start context, or one for each environment.
                `clip`: a mapping with `image` uint8 (T, H, W, 3), `state` float32 (T, K) and
                `action` float32 (T, A), where action t led to frame t, in the model's own form:
                that of `CarlaDrive-v0`, K = 14 and A = 2, or of an `Interface`.
                `image`, `state`: a single frame.
                `surroundings`: what holds for this episode, such as `{"town": "Dream01"}`, of a
                model that was told such; nothing known by default.

        Raises:
            CheckpointError: If there are no start contexts and no clip is given.
            ConfigError: If an option is unknown or does not fit.
        """
        options = dict(options or {})
        unknown = sorted(set(options) - set(RESET_OPTIONS))
        if unknown:
            raise ConfigError(
                f"Unknown reset option {unknown[0]!r}", do=f"Known: {', '.join(RESET_OPTIONS)}."
            )
        names = self.model.config.transformer.surroundings
        around_X = surroundings_vector(options.pop("surroundings", None), names)
        mask = _reset_mask(options.pop("reset_mask", None), self.num_envs)
        mask_B = torch.from_numpy(mask).to(self.device)
        with self._guard():
            self._seed(seed, mask)
            start_B, bank, index_B = self._starts.pick(self._program.noise, options)
            self._program.begin(mask_B, start_B, bank, index_B)
            self._program.situate(mask_B, around_X)
            info = self._info.reset(self._kept(self._program.start_B), mask_B)
            observation = self._observation(self._program.shown())
        self._show()
        return observation, info

    def restart(self, mask_B: Tensor) -> Any:
        """Begins the next episodes of a mask, on the device alone, and returns the observations.

        Args:
            mask_B: Which, bool (B,), a tensor; it may be empty, and nobody asks the host about it.

        Raises:
            CheckpointError: If there are no start contexts.
        """
        with self._guard():
            if self._program.bank is None:
                self._program.bank = self._starts.bank()
            self._program.restart(mask_B)
            observation = self._observation(self._program.shown())
        self._show()
        return observation

    def _seed(self, seed: int | Sequence[int | None] | None, mask: NDArray[np.bool_]) -> None:
        """Gives the environments of the mask their seeds, or the next episode of the old ones."""
        if isinstance(seed, int | np.integer):
            super().reset(seed=int(seed))
            seeds: list[int | None] = [int(seed) + i for i in range(self.num_envs)]
        elif seed is None:
            seeds = [None] * self.num_envs
            if not self.is_seeded:
                drawn = self.np_random.integers(2**31, size=self.num_envs)
                seeds = [int(value) for value in drawn]
        else:
            seeds = list(seed)
            if len(seeds) != self.num_envs:
                raise ConfigError(f"There are {len(seeds)} seeds for {self.num_envs} environments")
        self.is_seeded, noise = True, self._program.noise
        for i in np.flatnonzero(mask):
            value = seeds[i]
            if value is None:
                noise.episode_B[i] += 1
            else:
                noise.seed_B[i] = derive_seed(value, "dream")
                noise.episode_B[i] = 0

    # --- step ------------------------------------------------------------------------------------

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Takes one decision in each environment.

        Raises:
            ActionError: If an action has a wrong shape, is not finite or is out of bounds. Tensors
                on another device than the CPU are clipped instead: a check would wait for them.
            ConfigError: If the device runs out of memory; it names a batch that fits.
            gymnasium.error.ResetNeeded: With autoreset disabled, if an episode is over.
        """
        action_BA = self._face.to_unit(actions, self.num_envs)
        if self.autoreset_mode is AutoresetMode.DISABLED and self._knows(self._program.over_B):
            raise gym.error.ResetNeeded("An episode is over: reset it first.")
        self._prepare()
        with self._guard():
            try:
                stepped = self._step(action_BA)
            except torch.OutOfMemoryError as error:
                raise out_of_memory(self.model, self.num_envs) from error
            if self._program.is_on_gpu and self._copy:
                stepped = copy_of(stepped)
            done_B = stepped.terminated_B | stepped.truncated_B
            if self._is_stuck(done_B):
                self._starts.bank()
            shown = self._info.shown(stepped.info)
            if stepped.final is not None:
                assert stepped.final_info is not None
                final = self._observation(stepped.final)
                if self.as_torch or self._any(done_B):
                    shown |= self._info.final(final, stepped.final_info, done_B)
            observation = self._observation(stepped.shown)
        self._show()
        reward, terminated, truncated = stepped.reward_B, stepped.terminated_B, stepped.truncated_B
        if self.as_torch:
            return observation, reward, terminated, truncated, shown
        return (
            observation, reward.double().cpu().numpy(), terminated.cpu().numpy(),
            truncated.cpu().numpy(), shown,
        )  # fmt: skip

    def _prepare(self) -> None:
        """Loads the starts of the episodes that the program begins by itself.

        Raises:
            CheckpointError: If an episode is over, there are no start contexts, and the program
                ought to begin another.
        """
        program, mode = self._program, self.autoreset_mode
        if mode is AutoresetMode.DISABLED or program.bank is not None:
            return
        with self._guard():
            if not self._has_looked:
                self._has_looked = True
                with suppress(CheckpointError):
                    program.bank = self._starts.bank()
            elif mode is AutoresetMode.NEXT_STEP and bool(program.over_B.any()):
                program.bank = self._starts.bank()

    def _is_stuck(self, done_B: Tensor) -> bool:
        """Returns whether an episode has ended that ought to begin again and has nowhere to."""
        is_same_step = self.autoreset_mode is AutoresetMode.SAME_STEP
        return self._program.bank is None and is_same_step and bool(done_B.any())

    def _observation(self, shown: Shown) -> Any:
        if self._is_latent:
            observation = {"latent": shown.latent_BCHW, "state": shown.vector_BK}
            return observation if self.as_torch else arrays(observation)
        image_BHWC = self._kept(shown.image_BHWC)
        return self._face.observations(image_BHWC, shown.vector_BK, as_torch=self.as_torch)

    def _kept(self, buffer: Tensor) -> Tensor:
        """Returns a copy of what the next step writes to, where the caller wants to keep it."""
        return buffer.clone() if self._copy else buffer

    def _guard(self) -> Any:
        """Tensors that go out must not be inference tensors: a policy may learn from them."""
        return torch.no_grad() if self.as_torch else torch.inference_mode()

    def _any(self, mask_B: Tensor) -> bool:
        """Returns False where it is known without waiting that the mask is empty."""
        return mask_B.device.type != "cpu" or bool(mask_B.any())

    def _knows(self, mask_B: Tensor) -> bool:
        return mask_B.device.type == "cpu" and bool(mask_B.any())

    # --- render ----------------------------------------------------------------------------------

    def _show(self) -> None:
        if self._window is not None:
            self._window.show(self._frames())

    def _frames(self) -> NDArray[np.uint8]:
        frames: NDArray[np.uint8] = self._program.image_BHWC.cpu().numpy()
        return frames.repeat(RENDER_SCALE, axis=1).repeat(RENDER_SCALE, axis=2)

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:  # type: ignore[override]
        """Returns the frame of each environment, eight times enlarged, (512, 512, 3) each."""
        return tuple(self._frames()) if self.render_mode == "rgb_array" else None

    def close_extras(self, **kwargs: Any) -> None:
        """Closes the window."""
        if self._window is not None:
            self._window.close()


def _reset_mask(mask: Any, num_envs: int) -> NDArray[np.bool_]:
    if mask is None:
        return np.ones(num_envs, bool)
    array = np.asarray(mask.cpu() if isinstance(mask, Tensor) else mask)
    if array.dtype != np.bool_ or array.shape != (num_envs,) or not array.any():
        raise ConfigError(
            f"reset_mask must be bool of shape ({num_envs},) with a True in it, "
            f"got {array.dtype} {array.shape}"
        )
    return array
