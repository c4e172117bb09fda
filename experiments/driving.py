"""Drives one policy along one frozen route, and survives the server's death."""

import contextlib
import hashlib
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreamdrive.config import to_dict
from dreamdrive.driving.actions import DECISION_DT_S, checked_action
from dreamdrive.errors import DreamdriveError, ServerError
from dreamdrive.experiments.drives import SIM_ERROR, DriveResult, Key, Trial
from dreamdrive.experiments.log_writer import LogWriter
from dreamdrive.experiments.policies import AtTheWheel, NamedPolicy, Privileged, make_policy
from dreamdrive.experiments.policy_turn import POLICY_ERROR, PolicyFaultError, Turn
from dreamdrive.experiments.recorder import Recorder, log_start
from dreamdrive.experiments.route_choice import RouteChoice
from dreamdrive.experiments.video import STRIDE, Film, compose
from dreamdrive.seeding import derive_seed, numpy_generator

if TYPE_CHECKING:
    from dreamdrive.agents.policy import Policy
    from dreamdrive.envs.carla.env import CarlaDriveEnv
    from dreamdrive.envs.carla.routes import Route

ALIVE_EVERY_S = 2.0


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


class RouteDriver:
    """One environment that all policies drive in, one after the other; a context manager.

    Args:
        settings: Where and how.
        alive: Called every few seconds of a drive.
        turn: Notes whose turn it is.
    """

    def __init__(
        self,
        settings: DriverSettings,
        alive: Callable[[], None] | None = None,
        turn: Turn | None = None,
    ) -> None:
        self.settings = settings
        self._turn = turn or Turn()
        self._alive = alive or (lambda: None)
        self._seen = time.monotonic()
        self._env: CarlaDriveEnv | None = None
        self._home = Path.cwd()
        self._asks_server = False
        self._routes: dict[str, list[Route]] = {}
        self._loaded: dict[str, Any] = {}

    @property
    def server_pid(self) -> int | None:
        """The process id of the server that was started here, if there is one."""
        supervisor = self._env.supervisor if self._env is not None else None
        return supervisor.pid if supervisor is not None else None

    def drive(self, job: DriveJob) -> DriveResult:
        """Returns the result of a drive; `sim_error` if the server died in every attempt.

        What fails outside the policy's turn is the simulator's fault, whatever it is.

        Raises:
            ServerError: If a server that is not ours is gone.
            DreamdriveError: If the policy or the route does not exist, or nothing can be written.
        """
        errors: list[str] = []
        for _ in range(self.settings.retries + 1):
            try:
                result = self._attempt(job)
            except ServerError as error:
                if self.settings.port is not None and len(errors) == self.settings.retries:
                    raise
                errors.append(str(error))
                self.close()
                continue
            except DreamdriveError:
                raise
            except Exception:
                errors.append(traceback.format_exc(limit=-3))
                self.close()
                continue
            finally:
                # Paths of logs and checkpoints are relative to where the evaluation was started.
                os.chdir(self._home)
            if result.is_valid:
                return replace(result, sim_errors=(*errors,))
            errors += result.sim_errors
        return blank_result(job, self.settings, errors)

    def _attempt(self, job: DriveJob) -> DriveResult:
        env = self.environment(job.town)
        route = self.route(env, job)
        conditions = self.settings.conditions
        env.rules = replace(env.rules, max_steps=conditions.max_decisions(route.length_m))
        seed, self._asks_server = route_seed(conditions, job), False
        with contextlib.ExitStack() as stack:
            film = stack.enter_context(Film(job.video)) if job.video is not None else None
            observation, info = env.reset(seed=seed, options={"route": route})
            log = self._recorder(stack, job, route.length_m, observation, env)
            fault = ""
            try:
                policy = self._policy(job, env, stack)
                self._turn.thought_s = 0.0
                while not info["cause"]:
                    with self._turn.of_policy():
                        action = checked_action(policy.act(observation))
                    observation, _, _, _, info = env.step(action)
                    log.add(observation, info, env.privileged(), action)
                    if film is not None and (log.decisions % STRIDE == 0 or info["cause"]):
                        film.add(compose(observation["image"], log.caption(action)))
                    self._show_life()
            except PolicyFaultError as error:
                # One that looks at the environment fails where the server does, be it that the
                # server answers again.
                env.session.check_answers()
                if self._asks_server and _is_of_server(error.__cause__):
                    raise ServerError(f"The server did not answer the policy: {error}") from error
                fault = str(error)
            if film is not None and info["cause"] != SIM_ERROR:
                film.keep()
            return log.result(self._turn.thought_s, POLICY_ERROR if fault else "", fault)

    def _policy(self, job: DriveJob, env: "CarlaDriveEnv", stack: contextlib.ExitStack) -> "Policy":
        """Returns the policy, at the start of an episode; the stack ends it.

        Raises:
            PolicyFaultError: If it does not come so far.
            DreamdriveError: If there is none, or its files are broken.
        """
        try:
            with self._turn.of_policy(is_made=False):
                policy = make_policy(
                    job.policy.spec, seed=job.policy_seed,
                    device=self.settings.device, planner=self.settings.planner, loaded=self._loaded,
                )  # fmt: skip
                self._asks_server = isinstance(policy, Privileged)
                if isinstance(policy, AtTheWheel):
                    self._asks_server = True
                    stack.callback(self._end, policy)
                    policy.attach(env)
                    env.hand_wheel(lambda tick: self._controlled(policy, tick))
        except PolicyFaultError as error:
            if isinstance(error.__cause__, DreamdriveError):
                raise error.__cause__ from None
            raise
        _use_one_thread()
        with self._turn.of_policy():
            if isinstance(policy, Privileged) and not isinstance(policy, AtTheWheel):
                policy.attach(env)
            policy.reset()
        return policy

    def _controlled(self, policy: AtTheWheel, tick: int) -> Any:
        """Returns the policy's control of a physics step; its errors are no server's."""
        with self._turn.of_policy():
            return policy.control(tick)

    def _end(self, policy: AtTheWheel) -> None:
        """Lets a policy end its drive, whose result an error no longer changes."""
        with contextlib.suppress(PolicyFaultError), self._turn.of_policy():
            policy.close()

    def _recorder(
        self, stack: contextlib.ExitStack, job: DriveJob, length_m: float,
        observation: dict[str, Any], env: "CarlaDriveEnv",
    ) -> Recorder:  # fmt: skip
        blank, scene = blank_result(job, self.settings, []), env.privileged()
        writer = None
        if job.log is not None:
            assert env.route is not None
            writer = stack.enter_context(LogWriter(job.log, log_start(blank, env.route, scene)))
        return Recorder(blank, length_m, observation, scene, writer)

    def environment(self, town: str) -> "CarlaDriveEnv":
        """Returns the environment of all drives; the first call makes it, with a server.

        Args:
            town: Which town it opens first.

        Raises:
            ServerError: If no server can be reached or started.
        """
        if self._env is None:
            from dreamdrive.envs.carla.env import CarlaDriveEnv
            from dreamdrive.envs.carla.server_kinds import server_of

            settings, conditions = self.settings, self.settings.conditions
            self._env = CarlaDriveEnv(
                host=settings.host, port=settings.port, town=town,
                num_vehicles=conditions.num_vehicles, num_walkers=conditions.num_walkers,
                infractions_end_episode=False, deviation_m=conditions.deviation_m,
                blocked_s=conditions.blocked_s, start_speed_mps=(0.0, 0.0),
                tick_deadline_s=settings.tick_deadline_s,
                server=server_of(
                    settings.server, draws=settings.draws, maps=settings.maps,
                    road_hazards=conditions.road_hazards,
                    memory_limit_mib=settings.server_memory_mib,
                ),
            )  # fmt: skip
            self._alive()
        return self._env

    def route(self, env: "CarlaDriveEnv", job: DriveJob) -> "Route":
        """Returns the route of a drive, whose town is then open.

        Raises:
            RouteError: If it does not lie on the map.
            ServerError: If the server does not have the town, or stops answering.
        """
        from dreamdrive.envs.carla.routes import fixed_routes

        choice = self.settings.choice
        if choice is not None:
            env.session.open_town(job.town)
            return self._played(env, choice.load(env.session.map, job.route))
        if job.town not in self._routes:
            env.session.open_town(job.town)
            conditions = self.settings.conditions
            self._routes[job.town] = fixed_routes(
                env.session.map, conditions.route_seed, self.settings.num_routes,
                length_m=conditions.route_length_m,
            )  # fmt: skip
            self._alive()
        route = self._routes[job.town][job.index]
        assert route.name == job.route
        return self._played(env, route)

    def _played(self, env: "CarlaDriveEnv", route: "Route") -> "Route":
        """Returns the route with the scenarios that the conditions ask for."""
        from dreamdrive.envs.carla.scenarios.registry import SCENARIO_TYPES, placed

        asked, conditions = self.settings.conditions.scenarios, self.settings.conditions
        if not asked:
            return route
        kinds = SCENARIO_TYPES if asked == ("all",) else () if asked == ("none",) else asked
        if self.settings.choice is not None:
            kept = tuple(spec for spec in route.scenarios if spec.type in kinds)
            return replace(route, scenarios=kept)
        rng = numpy_generator(conditions.route_seed, "scenarios", route.name)
        order = [kinds[i] for i in rng.permutation(len(kinds))]
        return placed(env.session.map, route, order, rng, conditions.scenarios_per_route)

    def _show_life(self) -> None:
        if time.monotonic() - self._seen > ALIVE_EVERY_S:
            self._seen = time.monotonic()
            self._alive()

    def close(self) -> None:
        """Closes the environment, and stops the server where it was started here."""
        env, self._env = self._env, None
        if env is not None:
            env.close()

    def __enter__(self) -> "RouteDriver":
        """Starts nothing yet: the first drive does."""
        return self

    def __exit__(self, *error: object) -> None:
        """Closes the environment."""
        self.close()


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


def _is_of_server(error: BaseException | None) -> bool:
    """Whether an error is what CARLA's client raises of a server that takes too long."""
    of_client = isinstance(error, RuntimeError) and "waiting for the simulator" in str(error)
    return of_client or isinstance(error, ServerError)


def _use_one_thread() -> None:
    """Keeps networks to one core: workers and servers share the others."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)
