"""Collects episodes from any Gymnasium environment: `dreamdrive collect --env ID`.

Every episode is fixed by its number, as are those of `CarlaDrive-v0`: a run that was killed goes on
with those that are missing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from dreamdrive.config import to_dict
from dreamdrive.envs.interface import Pictures, open_env
from dreamdrive.errors import EpisodeError
from dreamdrive.experiments.env_policies import (
    EnvPolicy,
    Interrupted,
    Seen,
    make_env_policy,
    parse_name,
    parse_options,
)
from dreamdrive.experiments.run import RunLog, begin_run
from dreamdrive.experiments.workers import spread
from dreamdrive.seeding import derive_seed, numpy_generator
from dreamdrive.worldmodel.episodes import Episode, save_episode
from dreamdrive.worldmodel.interface import TERMINATED, Interface

CAUSES = ("", TERMINATED)
NO_COST = "none"
"""Name of the one cost term, always 0: an environment of one's own names none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CollectEnvConfig:
    """What to collect from which environment, and with whom."""

    env: str
    """What `gymnasium.make` takes: an id, or module:id, which imports the module first."""
    env_options: str = "{}"
    """Keyword arguments of the environment, as JSON."""
    pictures: Pictures = "auto"
    """Where the model's pictures come from: the observation, `render()`, nowhere (black), or the
    first of these that there is."""
    out: Path = Path("data/env")
    """Folder of episodes; those that stand there are kept."""
    episodes: int = 200
    policies: tuple[str, ...] = ("held", "random")
    """Who acts, by turns: random, held, a trained policy's folder, a Stable-Baselines3 .zip, or
    module:factory; NAME= before it names the driver in the episodes."""
    interruptions: float = 0.0
    """Chance at each decision that a random action takes the policy's place and is held a while."""
    image_size: int = 64
    """Height and width of the model's pictures, a multiple of 8."""
    action_repeat: int = 1
    """Steps of the environment for which each action is held; they make up one decision."""
    max_steps: int = 1000
    """Decisions after which an episode is cut, where the environment's limit is not nearer."""
    seed: int = 0
    workers: int = 2
    """Processes, each with an environment of its own."""

    def __post_init__(self) -> None:
        """Checks the ranges.

        Raises:
            ValueError: If a value is outside its range.
        """
        if (
            min(self.episodes, self.workers, self.max_steps, self.action_repeat) < 1
            or not self.policies
        ):
            raise ValueError("episodes, workers, steps and policies cannot be none")
        if not 0 <= self.interruptions <= 1:
            raise ValueError(f"interruptions are a chance, got {self.interruptions}")
        if self.image_size < 8 or self.image_size % 8:
            raise ValueError(f"image_size must be a multiple of 8, got {self.image_size}")


def collect_env(config: CollectEnvConfig) -> Path:
    """Collects episodes and returns their folder; episodes that stand there are not repeated.

    Raises:
        CheckpointError: If a policy's file is missing or damaged.
        ConfigError: If the environment or a policy cannot be made, or they do not fit.
        EpisodeError: If an observation or a reward is not finite.
        StorageError: If an episode could not be written; those before it stand.
        WorkerError: If a worker died; the episodes that stand are kept.
    """
    env, interface = open_env(
        config.env, parse_options(config.env_options), config.pictures, config.action_repeat
    )
    for text in config.policies:
        make_env_policy(
            parse_name(text)[1], env.action_space, interface, image_size=config.image_size
        )
    env.close()
    begin_run(config.out, config, may_change=("episodes", "workers"))
    missing = [n for n in range(config.episodes) if not _is_there(config, n)]
    frames, returns = 0, []
    with RunLog(config.out, "collect", config.episodes, "episode") as log:
        done = config.episodes - len(missing)
        for num_frames, gained in spread(_collect_part, config, missing, config.workers):
            frames += num_frames
            returns.append(gained)
            done += 1
            log(done, {"frames": float(frames), "return": float(np.mean(returns))})
    return config.out


def _is_there(config: CollectEnvConfig, number: int) -> bool:
    return (config.out / _name(config, number) / "episode.json").is_file()


def _driver(config: CollectEnvConfig, number: int) -> str:
    return config.policies[number % len(config.policies)]


def _name(config: CollectEnvConfig, number: int) -> str:
    return f"{number:06d}-{parse_name(_driver(config, number))[0].replace(':', '.')}"


def _collect_part(config: CollectEnvConfig, numbers: list[int]) -> Iterator[tuple[int, float]]:
    """Plays and commits episodes one by one; yields frames and return of each."""
    env, interface = open_env(
        config.env, parse_options(config.env_options), config.pictures, config.action_repeat
    )
    policies: dict[str, EnvPolicy] = {}
    try:
        for number in numbers:
            driver = _driver(config, number)
            if driver not in policies:
                policy = make_env_policy(
                    parse_name(driver)[1],
                    env.action_space,
                    interface,
                    image_size=config.image_size,
                    explores=True,
                )
                if config.interruptions > 0:
                    policy = Interrupted(policy, env.action_space, config.interruptions)
                policies[driver] = policy
            episode = play(
                env, interface, policies[driver], image_size=config.image_size,
                max_steps=config.max_steps, seed=derive_seed(config.seed, "env", number) % 2**31,
                driver=parse_name(driver)[0],
            )  # fmt: skip
            save_episode(config.out / _name(config, number), episode)
            yield len(episode) + 1, float(episode.reward.sum())
    finally:
        env.close()


def play(
    env: gym.Env[Any, Any],
    interface: Interface,
    policy: EnvPolicy,
    *,
    image_size: int,
    max_steps: int,
    seed: int,
    driver: str = "",
) -> Episode:
    """Returns one episode of a policy in an environment.

    Args:
        env: The environment, from `open_env`.
        interface: Its interface.
        policy: Who acts.
        image_size: Height and width of the model's pictures.
        max_steps: Decisions after which the episode is cut.
        seed: Fixes the environment's chance and the policy's.
        driver: Name of the policy, for the episode's facts.

    Raises:
        EpisodeError: If an observation or a reward is not finite.
    """
    policy.reset(numpy_generator(seed, "driver"))
    observation, _ = env.reset(seed=seed)
    seen = look(env, interface, observation, image_size)
    frames, rows = [seen], list[tuple[Any, ...]]()
    while True:
        action = policy.act(seen)
        unit = interface.to_unit(np.asarray(action)[None], 1)[0]
        observation, reward, terminated, truncated, _ = env.step(action)
        truncated = truncated or (len(rows) + 1 >= max_steps and not terminated)
        rows.append((unit, float(reward), bool(terminated), bool(truncated)))
        seen = look(env, interface, observation, image_size)
        frames.append(seen)
        if terminated or truncated:
            break
    action_TA, reward_T, terminated_T, truncated_T = zip(*rows, strict=True)
    ended = np.array(terminated_T)
    return Episode(
        image=np.stack([frame.image for frame in frames]),
        state=np.stack([frame.vector for frame in frames]),
        action=np.stack(action_TA), reward=np.array(reward_T, np.float32), terminated=ended,
        truncated=np.array(truncated_T), cause=ended.astype(np.uint8),
        cost=np.zeros((len(rows), 1), np.float32),
        meta={
            "source": interface.env_id, "driver": driver, "seed": seed, "causes": list(CAUSES),
            "costs": [NO_COST], "interface": to_dict(interface),
        },
    )  # fmt: skip


def look(env: gym.Env[Any, Any], interface: Interface, observation: Any, size: int) -> Seen:
    """Returns a frame as it is and as a world model reads it.

    Raises:
        EpisodeError: If the observation is not finite.
    """
    rendered = env.render() if interface.pictures == "render" else None
    vector = interface.vector(observation)
    if not np.isfinite(vector).all():
        raise EpisodeError(
            "The environment observes a number that is not finite", where=interface.env_id
        )
    return Seen(observation, interface.picture(observation, rendered, size), vector)
