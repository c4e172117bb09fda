"""The environment that all adapters share: the spaces, rewards and ends of `CarlaDrive-v0`."""

import math
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from dreamdrive.driving.actions import DECISION_DT_S, checked_action
from dreamdrive.driving.rewards import REWARDS, StepFacts
from dreamdrive.driving.state import STATE_INDEX
from dreamdrive.envs.roads.line import RouteLine, wrapped
from dreamdrive.envs.roads.simulator import Simulator, Traffic
from dreamdrive.envs.roads.view import LaneView
from dreamdrive.envs.spaces import driving_action_space, driving_observation_space
from dreamdrive.errors import ConfigError
from dreamdrive.seeding import numpy_generator

WHEELBASE_M, FULL_STEER_RAD = 2.9, 1.1
"""Of the ego of `CarlaDrive-v0`: 70 degrees at the wheel less the steering curve at town speeds."""
FULL_THROTTLE_MPS2, FULL_BRAKE_MPS2 = 4.5, 8.0
GRIP_MPS2 = 7.8
FINISH_M, STANDING_MPS = 2.0, 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """When an episode is over.

    Attributes:
        max_steps: Decisions until the time limit.
        deviation_m: Offset from the route that counts as leaving it.
        blocked_s: Time standing that ends it.
    """

    max_steps: int = 600
    deviation_m: float = 5.0
    blocked_s: float = 60.0


class RoadsEnv(gym.Env[Any, Any]):
    """Drives a route in somebody's simulator, seen and steered as in `CarlaDrive-v0`.

    An action turns and accelerates the ego as it does CARLA's car: it is a curvature and an
    acceleration, which the simulator's own vehicle follows. There are no lights and no stop signs,
    and comfort is not reckoned.

    Args:
        simulator: Whose simulator.
        name: Of what is driven, for `info`.
        reward: Name of the reward.
        rules: When an episode is over.
        render_mode: `rgb_array`, or None.

    Raises:
        ConfigError: If there is no such reward or render mode.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012

    def __init__(
        self, simulator: Simulator, name: str, *, reward: str, rules: Rules,
        render_mode: str | None,
    ) -> None:  # fmt: skip
        if reward not in REWARDS:
            raise ConfigError(f"There is no reward {reward!r}", do=f"Known: {', '.join(REWARDS)}.")
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise ConfigError(f"There is no render mode {render_mode!r}", do="Use 'rgb_array'.")
        self.render_mode = render_mode
        self.observation_space = driving_observation_space()
        self.action_space = driving_action_space()
        self._simulator, self._name, self._rules = simulator, name, rules
        self._reward = REWARDS[reward]
        self._route: RouteLine | None = None
        self._is_over = True

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Starts an episode; the seed fixes all of it."""
        super().reset(seed=seed)
        episode_seed = int(self.np_random.integers(2**31)) if seed is None else int(seed)
        layout = self._simulator.begin(numpy_generator(episode_seed, "roads", self._name))
        self._route, self._view = layout.route, LaneView(layout)
        self._arc_m, self._steps, self._standing, self._steer = 0.0, 0, 0, 0.0
        self._is_over = False
        traffic = self._simulator.traffic()
        self._yaw = float(traffic.ego[2])
        self._arc_m, self._lateral_m = layout.route.progress(traffic.ego, 0.0)
        return self._observe(traffic, 0.0), self._info("")

    def step(
        self, action: NDArray[np.float32]
    ) -> tuple[dict[str, NDArray[Any]], float, bool, bool, dict[str, Any]]:
        """Holds an action for 0.1 s.

        Raises:
            ActionError: If the action has a wrong shape, is not finite or is out of bounds.
            gymnasium.error.ResetNeeded: If the episode is over.
        """
        if self._is_over or self._route is None:
            raise gym.error.ResetNeeded("The episode is over: call reset() first.")
        steer, pedal = (float(value) for value in checked_action(action))
        speed_mps = self._simulator.traffic().speed_mps
        self._simulator.drive(curvature_of(steer, speed_mps), acceleration_of(pedal, speed_mps))
        traffic = self._simulator.traffic()
        self._steps += 1
        before_m = self._arc_m
        self._arc_m, self._lateral_m = self._route.progress(traffic.ego, self._arc_m)
        is_standing = abs(traffic.speed_mps) < STANDING_MPS
        self._standing = self._standing + 1 if is_standing else 0
        cause = self._cause(traffic)
        terminated = cause in ("off_road", "route_deviation") or cause.startswith("collision")
        self._is_over = bool(cause)
        yaw_rate = wrapped(float(traffic.ego[2]) - self._yaw) / DECISION_DT_S
        self._yaw = float(traffic.ego[2])
        observation = self._observe(traffic, yaw_rate)
        facts = StepFacts(
            progress_m=self._arc_m - before_m, speed_mps=traffic.speed_mps,
            speed_limit_mps=traffic.speed_limit_mps, lateral_offset_m=self._lateral_m,
            heading_error_rad=float(observation["state"][STATE_INDEX["heading_error"]]),
            steer_change=steer - self._steer,
            outside_lane=not traffic.is_on_road, comfort_violations=0,
            desired_speed_mps=traffic.speed_limit_mps, terminated=terminated,
            infraction=terminated and cause.startswith("collision"),
            finished=cause == "route_finished",
        )  # fmt: skip
        self._steer = steer
        reward = self._reward(facts)
        info = self._info(cause) | {"reward_terms": dict(reward.terms)}
        return observation, reward.value, terminated, bool(cause) and not terminated, info

    def _cause(self, traffic: Traffic) -> str:
        assert self._route is not None
        if traffic.collision:
            return traffic.collision
        if not traffic.is_on_road:
            return "off_road"
        if abs(self._lateral_m) > self._rules.deviation_m:
            return "route_deviation"
        if self._arc_m >= self._route.length_m - FINISH_M:
            return "route_finished"
        if self._standing * DECISION_DT_S >= self._rules.blocked_s:
            return "blocked"
        return "time_limit" if self._steps >= self._rules.max_steps else ""

    def _observe(self, traffic: Traffic, yaw_rate_radps: float) -> dict[str, NDArray[Any]]:
        assert self._route is not None
        state = self._route.state(
            traffic.ego, self._arc_m, self._lateral_m, traffic.speed_mps, yaw_rate_radps,
            traffic.speed_limit_mps,
        )  # fmt: skip
        image = self._view.draw(traffic, self._arc_m)
        self._image = image
        return {"image": image, "state": state.vector()}

    def _info(self, cause: str) -> dict[str, Any]:
        assert self._route is not None
        return {
            "cause": cause, "progress_m": self._arc_m, "route_length_m": self._route.length_m,
            "route": self._name,
        }  # fmt: skip

    def render(self) -> NDArray[np.uint8] | None:  # type: ignore[override]
        """Returns the simulator's own picture, or the bird's-eye view where it draws none."""
        if self.render_mode is None or self._route is None:
            return None
        picture = self._simulator.picture()
        return self._image.repeat(8, 0).repeat(8, 1) if picture is None else picture

    def close(self) -> None:
        """Frees the simulator."""
        self._simulator.close()
        super().close()


def curvature_of(steer: float, speed_mps: float) -> float:
    """Returns the curvature of CARLA's car under a steer, in 1/m, as far as its tyres grip."""
    curvature = math.tan(steer * FULL_STEER_RAD) / WHEELBASE_M
    grip = GRIP_MPS2 / max(speed_mps, 1.0) ** 2
    return max(-grip, min(grip, curvature))


def acceleration_of(pedal: float, speed_mps: float) -> float:
    """Returns the acceleration of a pedal in m/s²; the brake stops and does not drive back."""
    wanted = pedal * (FULL_THROTTLE_MPS2 if pedal > 0.0 else FULL_BRAKE_MPS2)
    return max(wanted, -max(speed_mps, 0.0) / DECISION_DT_S)
