"""What a decision is worth: its reward and its named costs."""

from collections.abc import Callable

from dreamdrive.driving.causes import is_collision
from dreamdrive.driving.rewards import REWARDS, Reward, StepFacts
from dreamdrive.envs.carla.comfort import (
    ComfortMeter,
    comfort_cost,
    count_violations,
    progress_cost,
    speeding_cost,
)
from dreamdrive.envs.carla.episode import DecisionOutcome
from dreamdrive.envs.carla.scene import Scene
from dreamdrive.errors import ConfigError

NO_COST = {"collision": 0.0, "rule": 0.0, "progress": 0.0, "comfort": 0.0}
RULES = ("red_light", "stop_sign")


class Reckoning:
    """Reckons one episode at a time.

    Args:
        reward: Name of one of `dreamdrive.driving.rewards.REWARDS`.
        desired_speed_mps: Returns the speed that an expert would drive in the present scene; asked
            for by the rewards that compare with it alone.

    Raises:
        ConfigError: If there is no such reward.
    """

    def __init__(self, reward: str, desired_speed_mps: Callable[[], float]) -> None:
        if reward not in REWARDS:
            raise ConfigError(f"There is no reward {reward!r}", do=f"Known: {', '.join(REWARDS)}.")
        self._name, self._reward, self._desired = reward, REWARDS[reward], desired_speed_mps
        self._comfort = ComfortMeter()
        self._steer = 0.0

    def begin(self, scene: Scene) -> None:
        """Starts an episode at its first scene."""
        self._comfort = ComfortMeter()
        self._comfort.update(scene.ego)
        self._steer = 0.0

    def reckon(
        self, outcome: DecisionOutcome, scene: Scene, steer: float, limit_mps: float
    ) -> tuple[Reward, dict[str, float]]:
        """Returns the reward of a decision with its terms, and its costs by name.

        Args:
            outcome: What it led to.
            scene: The scene that it led to.
            steer: How it steered, positive to the left.
            limit_mps: The speed limit there.
        """
        signals = self._comfort.update(scene.ego)
        position, speed = outcome.position, scene.ego.speed_mps
        reward = self._reward(
            StepFacts(
                progress_m=outcome.progress_m,
                speed_mps=speed,
                speed_limit_mps=limit_mps,
                lateral_offset_m=position.lateral_m,
                heading_error_rad=position.heading_error_rad,
                steer_change=steer - self._steer,
                outside_lane=outcome.is_outside,
                comfort_violations=count_violations(signals),
                desired_speed_mps=(
                    limit_mps if self._name == "route_completion" else self._desired()
                ),
                terminated=outcome.terminated,
                infraction=is_collision(outcome.cause) or outcome.cause in RULES,
                finished=outcome.cause == "route_finished",
            )
        )
        self._steer = steer
        causes = [event.cause for event in outcome.events]
        broken = sum(cause in RULES for cause in causes)
        return reward, {
            "collision": float(any(map(is_collision, causes))),
            "rule": broken + float(outcome.is_outside) + speeding_cost(speed, limit_mps),
            "progress": progress_cost(outcome.progress_m, limit_mps),
            "comfort": comfort_cost(signals),
        }
