"""Collects episodes from a CARLA server with a mixture of drivers.

Every episode is fixed by its number: its town, its driver, its traffic and its seed do not depend
on how many workers there are or on what was collected before. So a run that was killed goes on with
the episodes that are missing.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dreamdrive.driving.actions import DECISION_DT_S
from dreamdrive.driving.causes import CAUSE_INDEX, CAUSES
from dreamdrive.driving.motion import motion_between
from dreamdrive.envs.carla.drivers import (
    DEFAULT_SHARES,
    Driver,
    PedalInterruptions,
    make_driver,
)
from dreamdrive.envs.carla.env import CarlaDriveEnv
from dreamdrive.envs.carla.server_kinds import server_of
from dreamdrive.envs.embedded.towns import TRAIN_TOWNS
from dreamdrive.experiments.folder_lock import only_one
from dreamdrive.experiments.run import RunLog, begin_run
from dreamdrive.experiments.workers import spread
from dreamdrive.seeding import derive_seed, numpy_generator
from dreamdrive.worldmodel.episodes import Episode, save_episode
from dreamdrive.worldmodel.fitting import STEP

COSTS = ("collision", "rule", "progress", "comfort")
AGENT = "agent"
"""Name of the driver that a policy's folder stands behind."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CollectConfig:
    """What to collect, where and with whom."""

    out: Path = Path("data/train")
    """Folder of episodes; those that stand there are kept."""
    episodes: int = 600
    towns: tuple[str, ...] = TRAIN_TOWNS
    shares: dict[str, float] = field(default_factory=lambda: dict(DEFAULT_SHARES))
    """Share of the episodes of each driver."""
    policy: Path | None = None
    """A trained policy that drives as well: its folder, or a shipped one's name."""
    policy_share: float = 0.5
    """Its share of the episodes."""
    policy_explores: bool = True
    """Whether it drives by turns by its mode, by its draws, and interrupted; else by its mode."""
    vehicles: tuple[int, int] = (6, 16)
    """Bounds of the number of vehicles around a route."""
    walkers: tuple[int, int] = (0, 3)
    route_length_m: tuple[float, float] = (150.0, 400.0)
    max_steps: int = 250
    """Decisions until an episode is cut."""
    seed: int = 0
    workers: int = 2
    """Processes, each with a server of its own."""
    host: str = "127.0.0.1"
    port: int | None = None
    """A CARLA server that runs already; needs `workers 1`. By default each worker starts one."""
    server: str = "embedded"
    """Which servers are started: embedded, unreal (in the folder that CARLA_ROOT names), or the
    path of a CarlaUE4.sh or of its folder."""
    road_hazards: bool = False
    """Kerbs jolt, posts are solid and tyres grip less on wet roads, on embedded servers that are
    started."""

    def __post_init__(self) -> None:
        """Checks the ranges.

        Raises:
            ValueError: If a value is outside its range.
        """
        if self.episodes < 1 or self.workers < 1 or not self.towns:
            raise ValueError("episodes, workers and towns cannot be none")
        if self.port is not None and self.workers != 1:
            raise ValueError("one server serves one worker: give workers 1 with a port")
        if not self.shares or min(self.shares.values()) < 0 or sum(self.shares.values()) <= 0:
            raise ValueError("shares must be positive")
        if not 0.0 <= self.policy_share <= 1.0:
            raise ValueError(f"policy_share must lie in [0, 1], got {self.policy_share}")


@dataclass(frozen=True, kw_only=True, slots=True)
class EpisodePlan:
    """What fixes one episode."""

    number: int
    town: str
    driver: str
    num_vehicles: int
    num_walkers: int
    seed: int

    @property
    def name(self) -> str:
        """The episode's folder below the output folder."""
        return f"{self.town}/{self.number:06d}-{self.driver}"


def plan_episode(config: CollectConfig, number: int) -> EpisodePlan:
    """Returns what the episode of a number is."""
    rng = numpy_generator(config.seed, "episode", number)
    names = list(config.shares)
    shares = np.array([config.shares[name] for name in names], float)
    driver = names[int(rng.choice(len(names), p=shares / shares.sum()))]
    if config.policy is not None and rng.random() < config.policy_share:
        driver = AGENT
    return EpisodePlan(
        number=number,
        town=config.towns[number * len(config.towns) // config.episodes % len(config.towns)],
        driver=driver,
        num_vehicles=int(rng.integers(config.vehicles[0], config.vehicles[1] + 1)),
        num_walkers=int(rng.integers(config.walkers[0], config.walkers[1] + 1)),
        seed=derive_seed(config.seed, "traffic", number) % 2**31,
    )


class PolicyDriver:
    """A trained policy as a driver: by turns its mode, its draws, and its mode interrupted.

    Args:
        policy: The policy's folder, or a shipped one's name.
        explores: False for the mode alone.
    """

    def __init__(self, policy: Path, *, explores: bool = True) -> None:
        from dreamdrive.agents.artefact import load_policy

        self._parts, self._explores = load_policy(policy), explores

    def reset(self, rng: np.random.Generator) -> None:
        """Begins an episode; draws which of the three it is."""
        from dreamdrive.agents.artefact import DreamPolicy

        kind = int(rng.integers(3)) if self._explores else 1
        self._policy = DreamPolicy(
            *self._parts, deterministic=kind > 0, seed=int(rng.integers(2**31))
        )
        self._policy.reset()
        self._interruptions = PedalInterruptions(rng) if kind > 1 else None

    def act(self, env: CarlaDriveEnv) -> Any:
        """Returns the policy's action."""
        action = self._policy.act(env.observation)
        return action if self._interruptions is None else self._interruptions.over(action)


def drive_episode(env: CarlaDriveEnv, driver: Driver, plan: EpisodePlan) -> Episode | None:
    """Drives one episode and returns it; None if the server died before the first decision.

    Raises:
        ServerError: If no server can be reached or started.
    """
    driver.reset(numpy_generator(plan.seed, "driver"))
    env.set_traffic(plan.num_vehicles, plan.num_walkers)
    observation, begun = env.reset(seed=plan.seed, options={"town": plan.town})
    frames, poses = [observation], [_pose(env)]
    rows: list[dict[str, Any]] = []
    while True:
        action = driver.act(env)
        observation, reward, terminated, truncated, info = env.step(action)
        if info["sim_error"] is not None:
            if not rows:
                return None
            rows[-1]["truncated"], rows[-1]["cause"] = True, CAUSE_INDEX["sim_error"]
            break
        frames.append(observation)
        poses.append(_pose(env))
        rows.append(
            {
                "action": action, "reward": reward, "terminated": terminated,
                "truncated": truncated, "cause": CAUSE_INDEX[info["cause"]],
                "cost": [info["cost"][name] for name in COSTS],
            }
        )  # fmt: skip
        if terminated or truncated:
            break
    kinds = {"action": np.float32, "reward": np.float32, "terminated": np.bool_,
             "truncated": np.bool_, "cause": np.uint8, "cost": np.float32}  # fmt: skip
    return Episode(
        image=np.stack([frame["image"] for frame in frames]),
        state=np.stack([frame["state"] for frame in frames]),
        **{name: np.array([row[name] for row in rows], kind) for name, kind in kinds.items()},
        meta={
            "source": "CarlaDrive-v0", "town": plan.town, "driver": plan.driver,
            "seed": plan.seed, "vehicles": plan.num_vehicles, "walkers": plan.num_walkers,
            "causes": list(CAUSES), "costs": list(COSTS), STEP: DECISION_DT_S,
            "weather": begun["setup"]["weather"]["preset"],
        },
        motion=motion_between(np.array(poses)),
    )  # fmt: skip


def _pose(env: CarlaDriveEnv) -> tuple[float, float, float]:
    ego = env.playing.scene.ego
    return ego.x, ego.y, ego.yaw_rad


def _collect_part(config: CollectConfig, plans: list[EpisodePlan]) -> Iterator[tuple[int, str]]:
    """Drives and commits episodes one by one; yields frames and cause of each."""
    drivers: dict[str, Driver] = {}
    first = plans[0].town
    with CarlaDriveEnv(
        host=config.host, port=config.port, server=config.server, road_hazards=config.road_hazards,
        town=first,
        max_steps=config.max_steps, route_length_m=config.route_length_m,
    ) as env:  # fmt: skip
        for plan in plans:
            if plan.driver not in drivers:
                is_agent = plan.driver == AGENT and config.policy is not None
                drivers[plan.driver] = (
                    PolicyDriver(config.policy, explores=config.policy_explores)  # type: ignore[arg-type]
                    if is_agent
                    else make_driver(plan.driver)
                )
            episode = drive_episode(env, drivers[plan.driver], plan)
            if episode is None:
                yield 0, "sim_error"
                continue
            save_episode(config.out / plan.name, episode)
            yield len(episode) + 1, CAUSES[int(episode.cause[-1])]


def collect(config: CollectConfig) -> Path:
    """Collects episodes and returns their folder; episodes that stand there are not driven again.

    Raises:
        ConfigError: If a driver is unknown or the server does not exist, or another process works
            in the folder.
        ServerError: If no server can be reached or started.
        StorageError: If an episode could not be written; those before it stand.
        WorkerError: If a worker died; the episodes that stand are kept.
    """
    for name in config.shares:
        make_driver(name)
    if config.port is None:
        server_of(config.server, road_hazards=config.road_hazards)
    with only_one(config.out):
        return _collect_missing(config)


def _collect_missing(config: CollectConfig) -> Path:
    begin_run(config.out, config)
    plans = [plan_episode(config, number) for number in range(config.episodes)]
    missing = [p for p in plans if not (config.out / p.name / "episode.json").is_file()]
    causes: dict[str, int] = {}
    frames, done = 0, len(plans) - len(missing)
    with RunLog(config.out, "collect", config.episodes, "episode") as log:
        for num_frames, cause in spread(_collect_part, config, missing, config.workers):
            frames += num_frames
            causes[cause] = causes.get(cause, 0) + 1
            done += 1
            shares = {f"share_{k}": v / sum(causes.values()) for k, v in causes.items() if k}
            log(done, {"frames": float(frames), **shares})
    return config.out
