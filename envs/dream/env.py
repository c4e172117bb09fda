"""One dream: the view of a batch of one."""

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray
from torch import Tensor

from dreamdrive.envs.dream.info import row_of
from dreamdrive.envs.dream.vector import DreamVectorEnv
from dreamdrive.errors import ConfigError
from dreamdrive.worldmodel.state import RolloutState


class DreamEnv(gym.Env[Any, Any]):
    """Drives in a learned world model.

    A model of another environment than `CarlaDrive-v0`, from `dreamdrive collect --env`, has that
    environment's own observations, actions, rewards and time limit, and no cost terms; everything
    else below holds for it as well.

    ## Action space
    `Box(-1, 1, (2,), float32)`: steer (positive to the left) and acceleration (throttle where
    positive, brake where negative), held for 0.1 s. With `actions="discrete"`: `Discrete(28)`, the
    same grid of these as in `CarlaDrive-v0`.

    ## Observation space
    That of `CarlaDrive-v0`: `Dict(image: uint8 (64, 64, 3), state: float32 (14,))`, a bird's-eye
    semantic view in the colours of `dreamdrive.driving.palette` and the fields of
    `dreamdrive.driving.state.STATE_FIELDS`. With `observations="latent"`: `Dict(latent, state)`.
    TorchRL's `GymEnv` calls the entry `state` `observation`.

    ## Rewards
    What the world model expects of the reward that it was trained on: `route_completion`, metres of
    progress / 100 times soft factors and -1 at a termination, for the shipped model.

    ## Starting state
    After one of the recorded clips that ship with the checkpoint, drawn by the seed. The first
    image is the clip's last, a real one.

    ## Episode end
    Terminated by one of the causes that the model predicts, drawn with its probability. Truncated
    at `max_steps` (`time_limit`) and above `uncertainty_limit` or `doubt_limit` (`uncertain`). A
    dream never finishes a route: it has no end of one.

    ## Information
    `cause` (name of the end, or empty), `uncertainty` (disagreement of the model's heads), `cost`
    (`collision`, `rule`, `progress`, `comfort`; dimensionless, 0 is best), `context` (number of the
    start context, -1 for a clip that was given). Models that can say so add `doubt` (probability
    that the model does not know: that its frame is further off than its calibration's threshold)
    and `quantities` (by name: how the ego moved, what the environment's own cost terms are expected
    to be).

    ## Arguments
    Those of `DreamVectorEnv`, but for `num_envs` and `autoreset_mode`. All are JSON.

    ## Reset arguments
    `options={"context": 3}`, or
    `{"clip": {"image": (T, H, W, 3), "state": (T, 14), "action": (T, 2)}}`
    where action t led to frame t, or a single frame `{"image": (H, W, 3), "state": (14,)}`.

    Raises:
        CheckpointError: If the world model is missing or damaged.
        ConfigError: If an argument is impossible.
        MissingExtraError: If `human` is asked for and pygame is not installed.
    """

    metadata = {"render_modes": ["rgb_array", "human"], "render_fps": 10}  # noqa: RUF012

    def __init__(self, render_mode: str | None = None, **how: Any) -> None:
        for name in ("num_envs", "autoreset_mode"):
            if name in how:
                raise ConfigError(f"{name} is of many dreams", do="Use gymnasium.make_vec.")
        self._batch = DreamVectorEnv(
            1, render_mode=render_mode, autoreset_mode=AutoresetMode.DISABLED, **how
        )
        self.render_mode = render_mode
        self.observation_space = self._batch.single_observation_space
        self.action_space = self._batch.single_action_space

    @property
    def state(self) -> RolloutState:
        """The world model's state, batch 1; the next step or reset replaces it."""
        return self._batch.state

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Starts an episode; see the class for what `seed` and `options` fix.

        Raises:
            CheckpointError: If there are no start contexts and no clip is given.
            ConfigError: If an option is unknown or does not fit.
        """
        super().reset(seed=seed)
        if seed is None and not self._batch.is_seeded:
            seed = int(self.np_random.integers(2**31))
        observation, info = self._batch.reset(seed=seed, options=options)
        return row_of(observation, 0), _first_info(info)

    def step(self, action: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Takes one decision.

        Raises:
            ActionError: If the action has a wrong shape, is not finite or is out of bounds.
            gymnasium.error.ResetNeeded: If the episode is over.
        """
        batch = action[None] if isinstance(action, Tensor) else np.asarray(action)[None]
        observation, reward, terminated, truncated, info = self._batch.step(batch)
        outcome = (reward[0], terminated[0], truncated[0])
        if not self._batch.as_torch:
            outcome = (float(reward[0]), bool(terminated[0]), bool(truncated[0]))
        return row_of(observation, 0), *outcome, _first_info(info)

    def render(self) -> NDArray[np.uint8] | None:  # type: ignore[override]
        """Returns the frame, eight times enlarged, shape (512, 512, 3)."""
        frames = self._batch.render()
        return None if frames is None else frames[0]

    def close(self) -> None:
        """Closes the window."""
        self._batch.close()
        super().close()


def _first_info(info: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the info of the only environment, without masks."""
    return {
        name: _first_info(value) if isinstance(value, Mapping) else _plain(value[0])
        for name, value in info.items()
        if not name.startswith("_")
    }


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
