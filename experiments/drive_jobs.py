"""What a drive is: who drives, on which route, and what every policy meets alike."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from dreamdrive.config import to_dict
from dreamdrive.driving.actions import DECISION_DT_S
from dreamdrive.experiments.drives import SIM_ERROR, DriveResult, Key, Trial
from dreamdrive.experiments.policies import NamedPolicy
from dreamdrive.experiments.route_choice import RouteChoice
from dreamdrive.seeding import derive_seed


@dataclass(frozen=True, kw_only=True, slots=True)
class Conditions:
    """What every policy meets alike; results under other conditions are not comparable.

    Attributes:
        route_seed: Seed of the frozen routes, and of traffic, walkers and weather on them.
        route_length_m: Bounds of a route's length.
        num_vehicles: Traffic Manager vehicles around a route.
        num_walkers: Walkers beside and across a route.
        time_limit_s: Time limit of a route of no length.
        time_limit_s_per_m: What each metre adds to it.
        blocked_s: Time standing that ends a drive.
        deviation_m: Offset from the route that ends a drive.
        route_file: Digest of the file that the routes come from, and of how it is read; empty for
            those of the seed. An evaluation fills it in.
        scenarios: Types of scenarios that are played, by the leaderboard's names; `all` for all. On
            routes of a seed they are placed where there is room, on those of a file the others are
            left out. None by default, but for a file, all that it has; `none` for none.
        scenarios_per_route: How many are placed on a route of a seed at most.
        road_hazards: Whether kerbs jolt, posts are solid and tyres grip less on wet roads, on
            embedded servers that are started.
    """

    route_seed: int = 1
    route_length_m: tuple[float, float] = (150.0, 400.0)
    num_vehicles: int = 8
    num_walkers: int = 0
    time_limit_s: float = 60.0
    time_limit_s_per_m: float = 0.4
    blocked_s: float = 60.0
    deviation_m: float = 30.0
    route_file: str = ""
    scenarios: tuple[str, ...] = ()
    scenarios_per_route: int = 2
    road_hazards: bool = False

    @property
    def digest(self) -> str:
        """A short name of exactly these conditions.

        What is empty or off is left out, so that older results keep their names.
        """
        told = {name: value for name, value in to_dict(self).items() if value not in ("", [])}
        if not self.road_hazards:
            del told["road_hazards"]
        if not self.scenarios:
            del told["scenarios_per_route"]
        text = json.dumps(told, sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()

    def max_decisions(self, length_m: float) -> int:
        """Returns the decisions until the time limit of a route."""
        return round((self.time_limit_s + self.time_limit_s_per_m * length_m) / DECISION_DT_S)


@dataclass(frozen=True, kw_only=True, slots=True)
class DriveJob:
    """One drive to be made: a policy, a route by town and number, a traffic seed, a repetition.

    Attributes:
        policy: What drives.
        fingerprint: Digest of its files.
        town: The map.
        index: Number of the route in its town.
        seed: Seed of the traffic.
        repetition: Number of the drive among those with the same seed; the traffic is the same, and
            the policy draws anew.
        route: Name of the route.
        video: Where a film goes; None films nothing.
        log: Where the event log will stand when it is finished; None keeps none.
    """

    policy: NamedPolicy
    fingerprint: str
    town: str
    index: int
    seed: int
    route: str
    video: Path | None = None
    log: Path | None = None
    repetition: int = 0

    @property
    def key(self) -> Key:
        """Route and trial."""
        return self.route, Trial(self.seed, self.repetition)

    @property
    def policy_seed(self) -> int:
        """Fixes the policy's draws."""
        again = (self.repetition,) if self.repetition else ()
        return derive_seed(0, self.route, self.seed, *again)


@dataclass(frozen=True, kw_only=True, slots=True)
class DriverSettings:
    """Where and how drives are made.

    Attributes:
        conditions: What every policy meets.
        num_routes: How many routes each town has.
        host: Where the server is.
        port: Its RPC port; None starts a server.
        server: Which one is started, as `CarlaDrive-v0` takes it.
        server_memory_mib: Memory that it may hold; None for what its kind may.
        tick_deadline_s: A server that takes longer for a step counts as dead.
        retries: How often a drive is repeated after a death of the server.
        draws: Whether a policy mounts cameras.
        policy_deadline_s: A policy that takes longer for one action has failed.
        worker_memory_mib: Resident memory that a process which drives may hold.
        device: Where networks run.
        planner: JSON file of the planners' configuration.
        choice: The file of routes; None for those of the conditions' seed.
        maps: OpenDRIVE files that embedded servers offer as towns.
    """

    conditions: Conditions
    num_routes: int
    choice: RouteChoice | None = None
    maps: tuple[Path, ...] = ()
    host: str = "127.0.0.1"
    port: int | None = None
    server: str = "embedded"
    server_memory_mib: float | None = None
    tick_deadline_s: float = 10.0
    retries: int = 2
    draws: bool = False
    policy_deadline_s: float = 60.0
    worker_memory_mib: float = 8192.0
    device: str = "cpu"
    planner: Path | None = None


def route_name(town: str, route_seed: int, index: int) -> str:
    """Returns the name that `fixed_routes` gives to a town's route number `index`."""
    return f"{town}-{route_seed}-{index:03d}"


def route_seed(conditions: Conditions, job: DriveJob) -> int:
    """Returns the seed of the environment's reset for a drive."""
    return derive_seed(conditions.route_seed, job.route, job.seed) % 2**31


def blank_result(job: DriveJob, settings: DriverSettings, errors: list[str]) -> DriveResult:
    """Returns the result of a drive that no server lived through."""
    return DriveResult(
        policy=job.policy.name, spec=job.policy.spec, fingerprint=job.fingerprint,
        conditions=settings.conditions.digest, town=job.town, route=job.route, seed=job.seed,
        length_m=0.0, progress_m=0.0, outside_m=0.0, outside_route_m=0.0, cause=SIM_ERROR,
        sim_errors=tuple(errors), repetition=job.repetition, server=served_by(settings, job.town),
    )  # fmt: skip


def served_by(settings: DriverSettings, town: str) -> str:
    """Returns what a town is driven on, so that results of different servers are kept apart.

    It is `HOST:PORT` of a given server, else the kind of the server that is started, and of a town
    from a file, a digest of the file too.
    """
    if settings.port is not None:
        return f"{settings.host}:{settings.port}"
    if settings.server != "embedded":
        return "unreal"
    for path in settings.maps:
        if path.stem == town:
            digest = hashlib.blake2b(path.read_bytes(), digest_size=6).hexdigest()
            return f"embedded, {path.name} {digest}"
    return "embedded"
