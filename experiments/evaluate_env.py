"""Plays policies in the environment that a dream was learned from: `dreamdrive evaluate --env ID`.

Every policy plays the same episodes: episode i has the seed `seed + i`. One file is written for
each, so that an evaluation that was killed goes on with those that are missing.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from dreamdrive.envs.interface import Pictures, open_env
from dreamdrive.errors import ConfigError
from dreamdrive.experiments.collect_env import play
from dreamdrive.experiments.env_policies import make_env_policy, parse_name, parse_options
from dreamdrive.experiments.policies import fingerprint
from dreamdrive.experiments.run import RunLog, begin_run, console
from dreamdrive.experiments.workers import spread
from dreamdrive.files import write_atomically
from dreamdrive.seeding import numpy_generator

PERCENTILES = (2.5, 97.5)


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluateEnvConfig:
    """Which policies play which environment."""

    env: str
    """What `gymnasium.make` takes: an id, or module:id, which imports the module first."""
    env_options: str = "{}"
    """Keyword arguments of the environment, as JSON."""
    pictures: Pictures = "auto"
    """As it was collected with."""
    policies: tuple[str, ...] = ("random",)
    """Each is POLICY or NAME=POLICY: random, held, a trained policy's folder, a Stable-Baselines3
    .zip, or module:factory."""
    episodes: int = 50
    seed: int = 10_000
    """Episode i has the seed `seed + i`, those of `collect` lie elsewhere."""
    action_repeat: int = 1
    """Steps of the environment for which each action is held, as it was collected with."""
    max_steps: int = 1000
    """Decisions after which an episode is cut, where the environment's limit is not nearer."""
    image_size: int = 64
    """Height and width of the model's pictures."""
    workers: int = 2
    bootstrap_samples: int = 10_000
    out: Path = Path("runs/evaluate-env")

    def __post_init__(self) -> None:
        """Checks the values.

        Raises:
            ValueError: If one is outside its range.
        """
        numbers = (self.episodes, self.workers, self.max_steps, self.bootstrap_samples)
        if min(*numbers, self.action_repeat) < 1:
            raise ValueError("episodes, workers, steps and bootstrap_samples cannot be none")
        names = [parse_name(text)[0] for text in self.policies]
        if not names or len(set(names)) < len(names):
            raise ValueError("give one or more policies, each with a name of its own")


@dataclass(frozen=True, kw_only=True, slots=True)
class Played:
    """One episode of a policy.

    Attributes:
        policy: Its name.
        fingerprint: Of its files, so that the result of an older one is not taken for its own.
        episode: Number of the episode.
        gained: Sum of its rewards.
        length: Decisions.
        terminated: Whether it ended otherwise than by a time limit.
    """

    policy: str
    fingerprint: str
    episode: int
    gained: float
    length: int
    terminated: bool


def evaluate_env(config: EvaluateEnvConfig) -> Path:
    """Plays, prints a table, and returns the file of the summary.

    Raises:
        CheckpointError: If a policy's file is missing or damaged.
        ConfigError: If the environment or a policy cannot be made, or they do not fit.
        EpisodeError: If an observation or a reward is not finite.
        StorageError: If a result could not be written; those before it stand.
        WorkerError: If a worker died; the results that stand are kept.
    """
    env, interface = open_env(
        config.env, parse_options(config.env_options), config.pictures, config.action_repeat
    )
    for text in config.policies:
        make_env_policy(
            parse_name(text)[1], env.action_space, interface, image_size=config.image_size
        )
    env.close()
    begin_run(config.out, config, may_change=("policies", "episodes", "workers"))
    jobs = [(text, number) for number in range(config.episodes) for text in config.policies]
    found = {job: _stored(config, *job) for job in jobs}
    missing = [job for job in jobs if found[job] is None]
    with RunLog(config.out, "evaluate", len(jobs), "episode") as log:
        done = len(jobs) - len(missing)
        for played in spread(_play_part, config, missing, config.workers):
            done += 1
            log(done, {f"return_{played.policy}": played.gained})
    results = [result for job in jobs if (result := _stored(config, *job)) is not None]
    summary = summarise(results, config.bootstrap_samples)
    console.print(_table(config.env, summary))
    facts = {"env": config.env, "episodes": config.episodes, "policies": summary}
    path = config.out / "summary.json"
    write_atomically(path, (json.dumps(facts, indent=2) + "\n").encode())
    return path


def _path(config: EvaluateEnvConfig, text: str, number: int) -> Path:
    return config.out / "episodes" / parse_name(text)[0] / f"{number:06d}.json"


def _stored(config: EvaluateEnvConfig, text: str, number: int) -> Played | None:
    """Returns a result that stands and is of the policy as it is now."""
    path = _path(config, text, number)
    if not path.is_file():
        return None
    try:
        played = Played(**json.loads(path.read_text()))
    except (ValueError, TypeError) as error:
        raise ConfigError(
            f"This is no result of an episode: {error}", where=path, do="Delete the file."
        ) from error
    return played if played.fingerprint == fingerprint(parse_name(text)[1]) else None


def _play_part(config: EvaluateEnvConfig, jobs: list[tuple[str, int]]) -> Iterator[Played]:
    env, interface = open_env(
        config.env, parse_options(config.env_options), config.pictures, config.action_repeat
    )
    policies, prints = {}, {}
    try:
        for text, number in jobs:
            name, spec = parse_name(text)
            if text not in policies:
                policies[text] = make_env_policy(
                    spec, env.action_space, interface, image_size=config.image_size
                )
                prints[text] = fingerprint(spec)
            episode = play(
                env, interface, policies[text], image_size=config.image_size,
                max_steps=config.max_steps, seed=config.seed + number,
            )  # fmt: skip
            played = Played(
                policy=name, fingerprint=prints[text], episode=number,
                gained=float(episode.reward.sum(dtype=np.float64)), length=len(episode),
                terminated=bool(episode.terminated[-1]),
            )  # fmt: skip
            content = json.dumps(asdict(played)) + "\n"
            write_atomically(_path(config, text, number), content.encode())
            yield played
    finally:
        env.close()


def summarise(results: Sequence[Played], samples: int) -> dict[str, dict[str, object]]:
    """Returns mean return with its 95 % bootstrap interval, and more, of each policy."""
    names = list(dict.fromkeys(played.policy for played in results))
    summary: dict[str, dict[str, object]] = {}
    for name in names:
        mine = [played for played in results if played.policy == name]
        gained = np.array([played.gained for played in mine])
        low, high = mean_interval(gained, samples)
        summary[name] = {
            "episodes": len(mine), "return": float(gained.mean()), "low": low, "high": high,
            "median": float(np.median(gained)),
            "length": float(np.mean([played.length for played in mine])),
            "terminated": float(np.mean([played.terminated for played in mine])),
        }  # fmt: skip
    return summary


def mean_interval(values: NDArray[np.float64], samples: int) -> tuple[float, float]:
    """Returns the 95 % percentile bootstrap interval of the mean (Efron 1979)."""
    drawn = numpy_generator(0, "bootstrap").integers(len(values), size=(samples, len(values)))
    low, high = np.percentile(values[drawn].mean(1), PERCENTILES)
    return float(low), float(high)


def _table(env: str, summary: dict[str, dict[str, object]]) -> Table:
    table = Table(title=env)
    for column in ("policy", "episodes", "return [95 %]", "median", "length", "terminated"):
        table.add_column(column, justify="left" if column == "policy" else "right")
    for name, row in summary.items():
        table.add_row(
            name, str(row["episodes"]),
            f"{row['return']:.1f} [{row['low']:.1f}, {row['high']:.1f}]", f"{row['median']:.1f}",
            f"{row['length']:.0f}", f"{row['terminated']:.0%}",
        )  # fmt: skip
    return table
