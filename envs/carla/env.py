"""`CarlaDrive-v0`: routes in traffic on any CARLA 0.9.16 server, or on one of its own."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from dreamdrive.driving.actions import ActionKind, checked_action, chosen_action
from dreamdrive.envs.carla.connection import Connection
from dreamdrive.envs.carla.episode import EpisodeRules
from dreamdrive.envs.carla.expert import Expert
from dreamdrive.envs.carla.observer import CAMERA, Observer
from dreamdrive.envs.carla.play import Play
from dreamdrive.envs.carla.ports import RunningServers
from dreamdrive.envs.carla.privileged import PrivilegedView
from dreamdrive.envs.carla.reckoning import NO_COST, Reckoning
from dreamdrive.envs.carla.route_wish import checked_bounds
from dreamdrive.envs.carla.scene import SceneReader
from dreamdrive.envs.carla.server_kinds import SupervisorConfig, server_of
from dreamdrive.envs.carla.server_pool import ServerPool
from dreamdrive.envs.carla.session import SessionConfig
from dreamdrive.envs.carla.setup import Defaults, ResetWish, parse_options, settle
from dreamdrive.envs.spaces import driving_action_space
from dreamdrive.errors import ConfigError, ServerError, ServerVersionError, TownError

RENDER_SCALE = 8
RESET_ATTEMPTS = 3


class CarlaDriveEnv(PrivilegedView, gym.Env[Any, Any]):
    """Drives a route through traffic, lights and walkers on a CARLA server.

    ## Action space
    `Box(-1, 1, (2,), float32)`: steer (positive to the left) and acceleration (throttle where
    positive, brake where negative). One action is held for 0.1 s, two physics steps. With
    `actions="discrete"`: `Discrete(28)`, seven steers times four pedals, the rows of
    `dreamdrive.driving.actions.DISCRETE_ACTIONS`.

    ## Observation space
    `Dict(image, state)`. `image` is a bird's-eye semantic view, `uint8 (64, 64, 3)`, 0.75 m a
    pixel, the ego at column 32 and row 48 with its heading up, in the colours of
    `dreamdrive.driving.palette`. A stop sign's line is drawn while it binds: it goes when the ego
    has stood before it, as in Roach (Zhang et al. 2021, arXiv:2108.08265), or has run it, since one
    frame would not tell. `state` is `float32 (14,)`, listed in
    `dreamdrive.driving.state.STATE_FIELDS`.

    With `observation="camera"`, `image` is what a front camera sees, RGB, `uint8 (height, width,
    3)`, 1.5 m before the ego's middle and 2.4 m above it, 90 degrees wide, at the observation's own
    tick. With `"both"` it stands beside the bird's-eye view as `camera`. The server must render.

    With `observation="objects"`, as in `CarlaDriveObjects-v0`, there are `objects` `float32 (32,
    9)` instead of an image, vehicles, walkers, things, and the lights and stop signs across the
    route; their `object_mask` `int8 (32,)`; and `route`, `float32 (20, 3)`, points each 2 m ahead:
    all in the ego's frame, as `dreamdrive.driving.objects` lists them. Names joined by `+`, such as
    `"bev+objects"`, give the parts together.

    ## Rewards
    One of `dreamdrive.driving.rewards.REWARDS`; `route_completion` by default.

    ## Starting state
    The start of a route, at a random speed within `start_speed_mps`. `seed` fixes the route, the
    traffic, the walkers and the weather.

    ## Episode end
    Terminated by a contact, a red light, a stop sign, leaving the lanes or the route. Truncated at
    the end of the route, at `max_steps`, when blocked, and when the server dies. `info["cause"]`
    names which, as in `dreamdrive.driving.causes`.

    ## Information
    `cause`, `cost` (`collision`, `rule`, `progress`, `comfort`; dimensionless, 0 is best),
    `progress_m`, `route_length_m`, `route`, `town`, `events` (the event log's new entries),
    `outside_m` (distance driven outside the lanes), `scenarios` (how those that are over ended),
    `sim_error` (what killed the server, or None), `reward_terms` (what the reward of a step is made
    of, by name, as the reward's docstring says).

    ## Arguments
    Args:
        host: Where the server is.
        port: Its RPC port, or those of several, of which it takes one that no other environment of
            this machine has; None starts a server at the first reset, which `close` stops.
        server: Which server is started without a port: `embedded`, `unreal` (found through the
            environment variable `CARLA_ROOT`), the path of a `CarlaUE4.sh` or of its folder, or how
            it is started. From a `ServerPool` one is borrowed, which `close` gives back.
        town: Town that is opened.
        actions: `continuous` or `discrete`.
        reward: Name of the reward.
        observation: `bev`, `camera`, `objects`, several of them joined by `+` or in a list, or
            `both` for `bev+camera`.
        camera_size: Width and height of the camera's picture in pixels.
        num_vehicles: Traffic Manager vehicles around the route.
        num_walkers: Walkers beside and across the route.
        route_length_m: Bounds of a random route's length.
        max_steps: Decisions until the time limit.
        infractions_end_episode: False counts infractions and drives on, as leaderboards do.
        deviation_m: Offset from the route that ends the episode; 5 m by default, and 30 m where
            infractions do not end it.
        blocked_s: Time standing that ends the episode.
        start_speed_mps: Bounds of the speed at the start.
        tick_deadline_s: A server that takes longer for a step counts as dead.
        render_mode: `rgb_array`, or None.
        road_hazards: Whether kerbs jolt, posts are solid and tyres grip less on wet roads, on an
            embedded server that is started by its name here; others are as they were started.

    ## Many at once
    `gym.make_vec("dreamdrive:CarlaDrive-v0", num_envs=4, vectorization_mode="async")` drives in
    processes of its own, each with a server of its own; a server that dies costs one truncated
    episode of one of them. An environment's episodes depend on its seed alone, `seed + i` for
    number i. A process that has opened a client before, as a test might, should not fork:
    `vector_kwargs={"context": "spawn"}`.

    ## Reset arguments
    `options` fixes what it names; the seed draws the rest. All entries are optional:

    * `seed`: the same as the argument.
    * `town`: the name of one of the server's towns.
    * `route`: a `Route`; the name of one of a seed, such as `"Dream01-5"`; `{"file":
      "routes.xml", "id": "3"}` of the leaderboard. See `route_wish.FORMS`.
    * `weather`: the name of a preset of CARLA's, `"random"`, or a mapping of fields of
      `carla.WeatherParameters`, which change the `"preset"` that it may name.
    * `traffic`: `{"vehicles": 8, "walkers": 2, "seed": 5}`.
    * `scenario`: what happens on the way, by the leaderboard's name of a type, for which a place is
      looked for, and a route that has one; or a list of scenarios with their places, `[]` for none.
    * `start_speed_mps`: the speed at the start.

    The `info` of a reset has two entries more: `setup`, all of these as they are, such that
    `reset(options=info["setup"])` repeats the episode to the last bit; and `spawned`, how many
    vehicles and walkers found room.

    Raises:
        ConfigError: If an argument is impossible.
        ServerError: If no server can be reached or started.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int | Sequence[int] | None = None,
        server: str | SupervisorConfig | ServerPool = "embedded",
        town: str = "Dream01",
        actions: ActionKind = "continuous",
        reward: str = "route_completion",
        observation: str | Sequence[str] = "bev",
        camera_size: tuple[int, int] = (64, 64),
        num_vehicles: int = 8,
        num_walkers: int = 0,
        route_length_m: tuple[float, float] = (150.0, 400.0),
        max_steps: int = 1000,
        infractions_end_episode: bool = True,
        deviation_m: float | None = None,
        blocked_s: float = 60.0,
        start_speed_mps: tuple[float, float] = (0.0, 5.0),
        tick_deadline_s: float = 10.0,
        render_mode: str | None = None,
        road_hazards: bool = False,
    ) -> None:
        self._reckoning = Reckoning(reward, lambda: self._expert.desired_speed_mps(self))
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise ConfigError(f"There is no render mode {render_mode!r}", do="Use 'rgb_array'.")
        if num_vehicles < 0 or num_walkers < 0 or max_steps < 1:
            raise ConfigError("Counts of vehicles and walkers are at least 0, those of steps 1")
        self.render_mode = render_mode
        self._observer = Observer(observation, camera_size)
        self.observation_space = self._observer.space()
        self.action_space = driving_action_space(actions)
        self.rules = EpisodeRules(
            infractions_end_episode=infractions_end_episode,
            deviation_m=deviation_m,
            blocked_s=blocked_s,
            max_steps=max_steps,
        )
        self._defaults = Defaults(
            town=town,
            vehicles=num_vehicles,
            walkers=num_walkers,
            route_length_m=checked_bounds(route_length_m),
            start_speed_mps=start_speed_mps,
        )
        self._reader = SceneReader({})
        self._own_servers: ServerPool | None = None
        if port is None and not isinstance(server, ServerPool):
            if isinstance(server, str):
                server = server_of(
                    server, draws=CAMERA in self._observer.parts, road_hazards=road_hazards
                )
            server = self._own_servers = ServerPool(1, server)
        running = RunningServers(host, port) if isinstance(port, Sequence) else None
        pool = server if isinstance(server, ServerPool) and port is None else None
        where = SessionConfig(
            host=host,
            port=port if isinstance(port, int) else 0,
            tick_deadline_s=tick_deadline_s,
        )
        super().__init__(Connection(where, pool, town, running))
        self._expert = Expert()
        self._is_over = True
        if self._own_servers is None and running is None:
            # A server that is not there is said at once; a process that forks has no client yet.
            try:
                self._connection.ensure()
            except BaseException:
                self.close()
                raise

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Starts an episode; see the class for what `seed` and `options` fix.

        Raises:
            ConfigError: If an option is unknown or impossible; it says what is possible. Also if
                the server has no such town (`TownError`).
            RouteError: If there is no such route, or none of the wanted length or with room for
                the scenario.
            ServerError: If no server can be reached or started.
        """
        super().reset(seed=seed)
        wish = parse_options(options, self._defaults.route_length_m)
        if None not in (seed, wish.seed) and seed != wish.seed:
            raise ConfigError(
                f"The seed is given twice, as {seed} and as {wish.seed}", do="Leave one out."
            )
        given = wish.seed if seed is None else int(seed)
        episode_seed = int(self.np_random.integers(2**31)) if given is None else given
        self._is_over = True
        for attempt in range(1, RESET_ATTEMPTS + 1):
            try:
                self._connection.ensure()
                picture = self._begin(episode_seed, wish)
                break
            except TownError:
                raise
            except RuntimeError as error:
                lost = self._connection.lose(error)
                fatal = self.supervisor is None or isinstance(error, ServerVersionError)
                if fatal or attempt == RESET_ATTEMPTS:
                    raise lost from error
        self._is_over = False
        info = self._info((), "", 0.0, NO_COST, None)
        info["setup"] = self.playing.setup.as_options()
        info["spawned"] = dict(self.playing.spawned)
        return self._observe(picture), info

    def _begin(self, seed: int, wish: ResetWish) -> NDArray[np.uint8] | None:
        """Sets an episode up and returns the camera's first picture of it."""
        self.session.destroy_all()
        self._connection.open_town(wish.town or self._defaults.town)
        setup = settle(wish, seed, self._defaults, self.session.map)
        self._play = Play(
            self.session, self.town_map, setup, self.rules, self._reader, self._observer.mount
        )
        self._expert.reset()
        self._reckoning.begin(self._play.scene)
        return self._observer.photograph(self._play.scene.frame)

    def step(
        self, action: NDArray[np.float32] | int
    ) -> tuple[dict[str, NDArray[Any]], float, bool, bool, dict[str, Any]]:
        """Holds an action for one decision; see the class for what comes back.

        Raises:
            ActionError: If the action has a wrong shape, is not finite or is out of bounds.
            gymnasium.error.ResetNeeded: If the episode is over.
        """
        play = self._play
        if self._is_over or play is None:
            raise gym.error.ResetNeeded("The episode is over: call reset() first.")
        is_chosen = isinstance(self.action_space, gym.spaces.Discrete)
        held = chosen_action(action) if is_chosen else checked_action(action)
        steer, acceleration = (float(value) for value in held)
        before = play.scene
        try:
            scene = play.act(steer, acceleration)
            picture = self._observer.photograph(scene.frame)
        except RuntimeError as error:
            return self._sim_error(error)
        self._observer.remember(before)
        outcome = play.judge(scene)
        reward, cost = self._reckoning.reckon(outcome, scene, steer, self.speed_limit_mps)
        self._is_over = outcome.terminated or outcome.truncated
        try:
            events = play.events(outcome)
        except ServerError as error:
            return self._sim_error(error)
        info = self._info(events, outcome.cause, outcome.progress_m, cost, None)
        info["reward_terms"] = reward.terms
        return self._observe(picture), reward.value, outcome.terminated, outcome.truncated, info

    def _sim_error(
        self, error: RuntimeError
    ) -> tuple[dict[str, NDArray[Any]], float, bool, bool, dict[str, Any]]:
        """Ends the episode without blame; the next reset gets a fresh server where it can."""
        self._is_over = True
        lost = str(self._connection.lose(error))
        info = self._info((), "sim_error", 0.0, NO_COST, lost)
        return self._observer.last, 0.0, False, True, info

    def _observe(self, picture: NDArray[np.uint8] | None) -> dict[str, NDArray[Any]]:
        play = self.playing
        return self._observer.observe(
            play.scene, play.drive, self.town_map, play.speed_limit_mps, picture, play.things
        )

    def _info(
        self,
        events: tuple[Any, ...],
        cause: str,
        gained_m: float,
        cost: dict[str, float],
        sim_error: str | None,
    ) -> dict[str, Any]:
        drive, director = self.playing.drive, self.playing.director
        return {
            "cause": cause,
            "cost": dict(cost),
            "progress_m": drive.position.arc_m,
            "progress_gained_m": gained_m,
            "route_length_m": drive.route.length_m,
            "route": drive.route.name,
            "town": drive.route.town,
            "events": [asdict(event) for event in events],
            "outside_m": drive.outside_m,
            "scenarios": [] if director is None else list(map(asdict, director.outcomes)),
            "sim_error": sim_error,
        }

    def set_traffic(self, num_vehicles: int, num_walkers: int) -> None:
        """Sets how many vehicles and walkers the next episodes have."""
        self._defaults = replace(self._defaults, vehicles=num_vehicles, walkers=num_walkers)

    @property
    def observation(self) -> dict[str, NDArray[Any]]:
        """The observation of the present scene, as `reset` or `step` returned it last."""
        return self._observer.last

    def expert_action(self) -> NDArray[np.float32]:
        """Returns the rule-based expert's action for the present scene, shape (2,)."""
        return self._expert.act(self)

    def render(self) -> NDArray[np.uint8] | None:  # type: ignore[override]
        """Returns the observation's `image`, eight times enlarged: (512, 512, 3) by default.

        Where it has none, the bird's-eye view is drawn for it.
        """
        if self.render_mode is None or self._play is None:
            return None
        image = self._observer.last.get("image")
        if image is None:
            image = self._observer.view(self._play.scene, self._play.drive, self.town_map)
        return image.repeat(RENDER_SCALE, 0).repeat(RENDER_SCALE, 1)

    def close(self) -> None:
        """Leaves the server clean, and stops it if it is the environment's own."""
        self._connection.close()
        if self._own_servers is not None:
            self._own_servers.close()
        super().close()
