"""Drives one policy along one frozen route, and survives the server's death."""

import contextlib
import os
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreamdrive.driving.actions import checked_action
from dreamdrive.errors import DreamdriveError, ServerError
from dreamdrive.experiments.drive_jobs import (
    DriveJob,
    DriverSettings,
    blank_result,
    route_seed,
)
from dreamdrive.experiments.drives import SIM_ERROR, DriveResult
from dreamdrive.experiments.log_writer import LogWriter
from dreamdrive.experiments.policies import AtTheWheel, Privileged, make_policy
from dreamdrive.experiments.policy_turn import POLICY_ERROR, PolicyFaultError, Turn
from dreamdrive.experiments.recorder import Recorder, log_start
from dreamdrive.experiments.video import STRIDE, Film, compose
from dreamdrive.seeding import numpy_generator

if TYPE_CHECKING:
    from dreamdrive.agents.policy import Policy
    from dreamdrive.envs.carla.env import CarlaDriveEnv
    from dreamdrive.envs.carla.routes import Route

ALIVE_EVERY_S = 2.0


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
            session, before = _lost_ticks(env)
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
            result = log.result(self._turn.thought_s, POLICY_ERROR if fault else "", fault)
            same, after = _lost_ticks(env)
            return replace(result, lost_ticks=after - before if same is session else after)

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
        return Recorder(blank, length_m, observation, scene, writer, env.town_map.lane_at)

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


def _lost_ticks(env: "CarlaDriveEnv") -> tuple[Any, int]:
    """Returns the session with the server, if there is one, and how many ticks it lost so far."""
    try:
        return env.session, env.session.num_lost_ticks
    except ServerError:
        return None, 0


def _is_of_server(error: BaseException | None) -> bool:
    """Whether an error is what CARLA's client raises of a server that takes too long."""
    of_client = isinstance(error, RuntimeError) and "waiting for the simulator" in str(error)
    return of_client or isinstance(error, ServerError)


def _use_one_thread() -> None:
    """Keeps networks to one core: workers and servers share the others."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)
