"""Drives policies closed loop on the same frozen routes in the same traffic, and scores them."""

import json
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

from dreamdrive.envs.carla.scenarios.registry import check_types
from dreamdrive.envs.carla.server_kinds import server_of
from dreamdrive.envs.embedded.towns import TEST_TOWNS, check_towns
from dreamdrive.errors import ConfigError, ServerError
from dreamdrive.experiments.drive_jobs import Conditions, DriveJob, DriverSettings, route_name
from dreamdrive.experiments.drive_pool import DrivePool
from dreamdrive.experiments.drives import (
    DriveResult,
    Trial,
    drive_path,
    load_drive,
    log_path,
    save_drive,
)
from dreamdrive.experiments.folder_lock import only_one
from dreamdrive.experiments.live_table import LiveTable
from dreamdrive.experiments.log_writer import finish_log
from dreamdrive.experiments.policies import (
    NamedPolicy,
    fingerprint,
    mounts_sensors,
    parse_policy,
)
from dreamdrive.experiments.ray_pool import RayConfig, RayPool
from dreamdrive.experiments.rescore import scorers_of, write_scores
from dreamdrive.experiments.route_choice import RouteChoice, chosen_routes
from dreamdrive.experiments.run import RunLog, begin_run, console
from dreamdrive.experiments.score_tables import tables_of
from dreamdrive.experiments.scorers.registry import DEFAULT, find_scorers
from dreamdrive.experiments.scores import SCORER, score
from dreamdrive.experiments.standing import missing
from dreamdrive.experiments.summary import (
    groups_of,
    lost_drives,
    scenario_table,
    summarise,
    table_of,
    warnings_of,
)
from dreamdrive.files import write_atomically


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluateConfig:
    """What is evaluated, where, and how often."""

    policies: tuple[str, ...] = ("standing", "random", "straight", "expert")
    """Each is SPEC or NAME=SPEC: standing, random, straight, expert, driver:NAME, planner
    (around the shipped agent), planner:WHICH, a policy's folder or a shipped one's name, a
    Stable-Baselines3 .zip, leaderboard:AGENT.py[:CONFIG], basic-agent[:FOLDER],
    behavior-agent[:STYLE][:FOLDER], or module:factory."""
    towns: tuple[str, ...] = TEST_TOWNS
    routes_per_town: int = 15
    routes: Path | None = None
    """File of routes in the leaderboard's XML, any version, instead of towns and routes_per_town;
    the server must have the towns that it names."""
    triggers: Path | None = None
    """JSON file of the leaderboard 1.0 with the triggers of the scenarios on these routes."""
    subset: str = ""
    """Ids of the file's routes that are driven, as in 0-4,7; all without it."""
    scenarios: tuple[str, ...] = ()
    """Types of scenarios that are played, by the leaderboard's names, or all, or none. On a seed's
    routes they are placed where there is room; of a file, all are played without this option."""
    skip_unknown_scenarios: bool = False
    """Leave out scenarios of a type that there is none of here, and say how many."""
    maps: tuple[Path, ...] = ()
    """OpenDRIVE files that embedded servers offer as towns, by the files' names."""
    seeds: tuple[int, ...] = (0,)
    """Traffic seeds; every policy drives every route with each."""
    repetitions: int = 1
    """How often every policy drives every route with every seed. The traffic is the same, so that
    they differ by the policy's own draws, and on an Unreal server by what it does not repeat."""
    conditions: Conditions = field(default_factory=Conditions)
    videos: int = 1
    """The first drives of each policy that are filmed."""
    workers: int = 2
    """Processes that drive, each with a server of its own; 0 drives in this process."""
    ray: str = ""
    """Drive on the machines of a Ray cluster: `auto` for the one that this machine belongs to,
    HOST:PORT, or `local` to start one here; `workers` is then the number on all machines. Needs
    the extra `ray`."""
    ray_cpus: float = 1.0
    """CPUs of the cluster that one process and its server count for."""
    ray_gpus: float = 0.0
    """The same of GPUs."""
    host: str = "127.0.0.1"
    port: int | None = None
    """RPC port of a running server, which one process drives on; without it servers are
    started."""
    server: str = "embedded"
    """Which servers are started: embedded, unreal (in the folder that CARLA_ROOT names), or the
    path of a CarlaUE4.sh or of its folder."""
    server_memory_mib: float | None = None
    """Memory that such a server may hold; by default 4,096, and 24,576 for CARLA's own."""
    retries: int = 2
    """How often a drive is repeated after its server died."""
    policy_deadline_s: float = 60.0
    """A policy that takes longer for one action has failed, and its drive counts as far as it
    came; not with `workers 0`."""
    worker_memory_mib: float = 8192.0
    """Memory that a process which drives may hold, the policy's own; 0 is no limit."""
    tick_deadline_s: float = 10.0
    device: str = "cpu"
    planner: Path | None = None
    """JSON file of a PlannerConfig, for the policies that plan."""
    bootstrap_samples: int = 2000
    scorers: tuple[str, ...] = (DEFAULT,)
    """Who scores, as in `dreamdrive rescore`; each beyond leaderboard-2.1 prints a table. Without a
    choice, Bench2Drive's abilities are told too where scenarios ask for them."""
    out: Path = Path("runs/evaluate")

    def __post_init__(self) -> None:
        """Checks the values.

        Raises:
            ConfigError: If one is impossible.
        """
        if (
            not (self.policies and self.towns and self.seeds)
            or min(self.routes_per_town, self.repetitions) < 1
        ):
            raise ConfigError(
                "There is nothing to evaluate: policy, town, route, seed and repetition needed"
            )
        names = [policy.name for policy in self.named]
        names += [group for group, runs in groups_of(self.named).items() if group not in runs]
        for name in names:
            if names.count(name) > 1:
                raise ConfigError(
                    f"Two policies are called {name!r}", where="policies",
                    do="Give them names: NAME=SPEC.",
                )  # fmt: skip
        if self.scenarios not in (("all",), ("none",)):
            check_types(self.scenarios, "scenarios")
        if len(set(self.seeds)) < len(self.seeds) or min(self.seeds) < 0:
            raise ConfigError("Seeds must differ from each other and not be negative")
        if min(self.tick_deadline_s, self.policy_deadline_s) <= 0.0 or self.worker_memory_mib < 0.0:
            raise ConfigError("Deadlines must be positive, and memory cannot be negative")
        if min(self.workers, self.retries, self.videos) < 0 or self.bootstrap_samples < 100:
            raise ConfigError("Counts cannot be negative, and bootstrap_samples is at least 100")
        if self.ray and (self.port is not None or self.workers < 1):
            raise ConfigError(
                "Workers on a Ray cluster start servers of their own, one each", where="ray",
                do="Leave out --port, and give --workers at least 1.",
            )  # fmt: skip
        RayConfig(address=self.ray, cpus=self.ray_cpus, gpus=self.ray_gpus)

    @property
    def choice(self) -> RouteChoice | None:
        """The file of routes; None for those of the seed."""
        return chosen_routes(self.routes, self.triggers, self.subset, self.skip_unknown_scenarios)

    @property
    def met(self) -> Conditions:
        """The conditions with the routes' file in them.

        Raises:
            RouteError: If the file cannot be read.
        """
        choice = self.choice
        return replace(
            self.conditions, scenarios=self.scenarios or self.conditions.scenarios,
            route_file="" if choice is None else choice.digest,
        )  # fmt: skip

    @property
    def route_list(self) -> list[tuple[str, int, str]]:
        """Town, number and name of each route, town by town.

        Raises:
            RouteError: If there is a file of routes and it is broken.
        """
        choice = self.choice
        if choice is not None:
            found = [(entry.town, i, entry.name) for i, entry in enumerate(choice.entries)]
            towns = list(dict.fromkeys(town for town, _, _ in found))
            return sorted(found, key=lambda route: towns.index(route[0]))
        return [
            (town, index, route_name(town, self.conditions.route_seed, index))
            for town in self.towns
            for index in range(self.routes_per_town)
        ]

    @property
    def named(self) -> tuple[NamedPolicy, ...]:
        """The policies by name."""
        return tuple(parse_policy(text) for text in self.policies)


def evaluate(config: EvaluateConfig) -> Path:
    """Drives what has not been driven yet and returns the folder of the evaluation.

    It holds `drives/POLICY/ROUTE-SEED.json` with an event log `.jsonl` beside each, `videos/`,
    `summary.json`, `scores.json`, in the leaderboard's own form `leaderboard/POLICY.json`, and
    `report.html`, which shows all of it. An evaluation that was interrupted goes on where it was;
    drives of a policy whose files have changed are made again.

    Raises:
        ConfigError: If a policy, a scorer or the server does not exist, or `out` holds results
            under other conditions, or another process works there.
        CheckpointError: If the files of a policy are broken.
        ServerError: If the given server is gone; and at the end, when all is written, if drives
            were lost to the simulator.
        StorageError: If a result could not be written.
    """
    from dreamdrive.experiments.report import ReportConfig, report

    settings = DriverSettings(
        conditions=config.met, num_routes=config.routes_per_town, host=config.host,
        port=config.port, server=config.server, tick_deadline_s=config.tick_deadline_s,
        retries=config.retries, device=config.device, planner=config.planner,
        choice=config.choice, maps=config.maps, policy_deadline_s=config.policy_deadline_s,
        worker_memory_mib=config.worker_memory_mib, server_memory_mib=config.server_memory_mib,
        draws=any(mounts_sensors(policy.spec) for policy in config.named),
    )  # fmt: skip
    find_scorers(config.scorers)
    if config.port is None:
        server_of(config.server, maps=config.maps, road_hazards=config.conditions.road_hazards)
    _check_policies(config)
    _check_routes(config)
    with only_one(config.out):
        _drive_missing(config, settings)
        summary = summarise(config, read_drives(config))
        path = config.out / "summary.json"
        write_atomically(path, (json.dumps(summary, indent=1) + "\n").encode())
        console.print(table_of(summary))
        if any(policy["scenarios"] for policy in summary["policies"].values()):
            console.print(scenario_table(summary))
        for warning in warnings_of(summary):
            console.print(warning, style="yellow", markup=False, highlight=False)
        paths = _result_paths(config)
        scorers = scorers_of(config.scorers, [path for found in paths.values() for path in found])
        scores = write_scores(config.out, paths, scorers, config.bootstrap_samples)
    for scorer, table in zip(scorers, tables_of(scores), strict=True):
        if scorer.name != SCORER:
            console.print(table)
    page = report(ReportConfig(run=config.out))
    console.print(f"Open {page.resolve().as_uri()}", markup=False, highlight=False)
    if lost := lost_drives(summary):
        raise ServerError(
            f"Drives were lost to the simulator: {lost}", where=config.out,
            do="The same command makes them again.",
        )  # fmt: skip
    return config.out


def _drive_missing(config: EvaluateConfig, settings: DriverSettings) -> None:
    """Drives what does not stand there yet, and writes each result as it comes.

    Raises:
        TownError: If the servers that are started lack the town of a drive.
    """
    jobs = plan(config)
    to_drive = missing(config.out, jobs, settings)
    if config.port is None and config.server == "embedded":
        check_towns([job.town for job in to_drive], config.maps)
    begin_run(config.out, config)
    _clear_leftovers(config.out)
    pool = _pool(config, settings)
    planned = Counter(job.policy.name for job in jobs)
    table = LiveTable(dict(planned), pool.under_way)
    again = {job.log for job in to_drive}
    for job in jobs:
        standing = None if job.log in again else load_drive(_result_path(config, job))
        if standing is not None:
            table.add(standing)
    with RunLog(config.out, "evaluate", len(jobs), "drive", table) as log:
        done = len(jobs) - len(to_drive)
        for result in pool.drive(to_drive):
            finish_log(log_path(config.out, result.policy, result.key), result)
            save_drive(config.out, result)
            done += 1
            table.add(result)
            log(done, {"score": score(result).driving_score, "completion": result.completion_pct})


def _clear_leftovers(out: Path) -> None:
    """Removes what an evaluation that was killed left half written."""
    found = list(out.glob(".*.tmp"))
    for folder in ("drives", "leaderboard", "videos"):
        for pattern in (".*.tmp", ".*.tmp.mp4", ".*.jsonl.part"):
            found += (out / folder).rglob(pattern)
    for leftover in found:
        leftover.unlink(missing_ok=True)


def _pool(config: EvaluateConfig, settings: DriverSettings) -> DrivePool | RayPool:
    """Returns who drives: processes of this machine, or of a cluster's."""
    if config.ray:
        where = RayConfig(address=config.ray, cpus=config.ray_cpus, gpus=config.ray_gpus)
        return RayPool(settings, config.workers, where, config.named, console.print)
    return DrivePool(settings, config.workers if config.port is None else min(1, config.workers))


def plan(config: EvaluateConfig) -> list[DriveJob]:
    """Returns all drives of an evaluation, town by town and route by route.

    All policies meet a route one after the other, so that what an interrupted evaluation holds is
    comparable, and a server changes towns as rarely as possible.
    """
    prints = {named: fingerprint(named.spec, config.planner) for named in config.named}
    jobs, films = [], 0
    for town, index, route in config.route_list:
        for trial in (Trial(s, r) for s in config.seeds for r in range(config.repetitions)):
            for named in config.named:
                video = config.out / "videos" / named.name / f"{route}-{trial}.mp4"
                jobs.append(
                    DriveJob(
                        policy=named, fingerprint=prints[named], town=town, index=index,
                        seed=trial.seed, repetition=trial.repetition, route=route,
                        video=video if films < config.videos else None,
                        log=log_path(config.out, named.name, (route, trial)),
                    )
                )  # fmt: skip
            films += 1
    return jobs


def _result_path(config: EvaluateConfig, job: DriveJob) -> Path:
    return drive_path(config.out, job.policy.name, job.key)


def _result_paths(config: EvaluateConfig) -> dict[str, list[Path]]:
    """Returns where the results stand, by policy, in the order of the plan."""
    found: dict[str, list[Path]] = {named.name: [] for named in config.named}
    for job in plan(config):
        found[job.policy.name].append(_result_path(config, job))
    return found


def read_drives(config: EvaluateConfig) -> dict[str, list[DriveResult]]:
    """Returns the results that stand, by policy, in the order of the plan."""
    found: dict[str, list[DriveResult]] = {named.name: [] for named in config.named}
    for name, paths in _result_paths(config).items():
        found[name] += [result for result in map(load_drive, paths) if result is not None]
    return found


def _check_policies(config: EvaluateConfig) -> None:
    """Makes every policy once, so that a wrong name is said before the first drive."""
    from dreamdrive.experiments.policies import make_policy

    for named in config.named:
        make_policy(named.spec, device=config.device, planner=config.planner)


def _check_routes(config: EvaluateConfig) -> None:
    """Reads the file of routes, if there is one, and says what of it is left out."""
    choice = config.choice
    if choice is None:
        return
    left_out = choice.check()
    if left_out:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(left_out.items()))
        console.print(f"Left out {left_out.total()} scenarios of unknown types: {kinds}")
