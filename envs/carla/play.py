"""One episode as it is played on a server: its actors, its weather, its scenarios, its judge."""

import math
from collections.abc import Callable, Container
from typing import Any

from dreamdrive.driving.actions import DECISION_DT_S, PHYSICS_DT_S
from dreamdrive.envs.carla.client import carla, iso_xy
from dreamdrive.envs.carla.episode import DecisionOutcome, Drive, EpisodeRules
from dreamdrive.envs.carla.events import ContactLog, DrivingEvent, EgoInstant
from dreamdrive.envs.carla.scenarios.director import Director
from dreamdrive.envs.carla.scenarios.stage import Stage
from dreamdrive.envs.carla.scene import Scene, SceneReader
from dreamdrive.envs.carla.session import Session
from dreamdrive.envs.carla.setup import EpisodeSetup
from dreamdrive.envs.carla.start import nudged, push_off, spawn_ego
from dreamdrive.envs.carla.town_map import TownMap
from dreamdrive.envs.carla.traffic import Walkers, deadlock_breaker, spawn_vehicles
from dreamdrive.envs.carla.weather import OF_ROUTE, RouteWeather
from dreamdrive.errors import ServerError

TICKS_PER_DECISION = round(DECISION_DT_S / PHYSICS_DT_S)
KMH_PER_MPS = 3.6
DEFAULT_LIMIT_MPS = 30.0 / KMH_PER_MPS


class Play:
    """Sets an episode up on a server, and plays it a decision at a time.

    Args:
        session: The server, with nothing of an earlier episode on it.
        town: The route's town, which is open.
        setup: What is played.
        rules: When it is over.
        reader: Reads the scenes.
        mount: Puts sensors on the ego while it stands; time may pass in it.

    Raises:
        ServerError: If the server has no room for the ego, or stops answering.

    Attributes:
        setup: What is played.
        ego: The ego's actor.
        scene: The present scene.
        drive: The judge of the drive.
        spawned: How many vehicles and walkers found room.
        director: Plays the route's scenarios; None where it has none.
        wheel: Who controls each physics step instead of the actions, given its number in the
            decision; it returns a `carla.VehicleControl`.
    """

    def __init__(
        self, session: Session, town: TownMap, setup: EpisodeSetup, rules: EpisodeRules,
        reader: SceneReader, mount: Callable[[Session, Any], None],
    ) -> None:  # fmt: skip
        route, traffic = setup.route, setup.traffic
        self.setup = setup
        self._session, self._reader = session, reader
        self.ego = spawn_ego(session, route)
        # The only time that passes before the episode, and a number of ticks that nobody can know:
        # the ego stands, nothing else is there, and the lights begin anew.
        mount(session, self.ego)
        session.world.reset_all_traffic_lights()
        session.world.set_weather(setup.weather.parameters())
        way = route.weather if setup.weather.preset == OF_ROUTE else ()
        self._weather = RouteWeather(way, route.length_m)
        self._weather.step(session.world, 0.0)
        push_off(self.ego, route, setup.start_speed_mps)
        contacts = ContactLog()
        sensor = session.spawn(
            session.world.get_blueprint_library().find("sensor.other.collision"),
            carla.Transform(),
            self.ego,
        )
        sensor.listen(contacts.add)
        vehicles = spawn_vehicles(session, route, traffic.vehicles, traffic.seed)
        self._walkers = Walkers(session, route, traffic.walkers, traffic.seed)
        self.spawned = {"vehicles": len(vehicles), "walkers": len(self._walkers.ids)}
        self._deadlocks = deadlock_breaker(session, vehicles)
        snapshot = session.tick()
        others = session.world.get_actors([*vehicles, *self._walkers.ids])
        reader.watch(self.ego, [actor for actor in others if actor is not None])
        self.scene = reader.read(snapshot)
        contacts.take(wait=False)
        self._contacts = contacts
        self.drive = Drive(route, town, contacts, rules, self.scene)
        self.director: Director | None = None
        if route.scenarios:
            stage = Stage(session, town, route, vehicles, reader.add)
            self.director = Director(stage, setup.seed, self.scene.frame)
        self.wheel: Callable[[int], Any] | None = None

    def act(self, steer: float, acceleration: float) -> Scene:
        """Holds an action for one decision and returns the scene that it leads to.

        Args:
            steer: In [-1, 1], positive to the left.
            acceleration: In [-1, 1], throttle where positive, brake where negative.

        Raises:
            ServerError: If the server stops answering or has lost the ego.
            RuntimeError: The same, where the client says so itself.
        """
        session, scene, arc_m = self._session, self.scene, self.drive.position.arc_m
        error = (0.0, 0.0)
        if self.director is not None:
            self.director.direct(scene, arc_m)
            self.drive.tolerates_oncoming = self.director.tolerates_oncoming
            asked = steer, acceleration
            steer, acceleration = self.director.disturbed(steer, acceleration)
            error = steer - asked[0], acceleration - asked[1]
        self.ego.apply_control(
            carla.VehicleControl(
                throttle=max(0.0, acceleration), steer=-steer, brake=max(0.0, -acceleration)
            )
        )
        self._weather.step(session.world, arc_m)
        self._walkers.step(scene)
        self._deadlocks.step(scene)
        for tick in range(TICKS_PER_DECISION):
            if self.wheel is not None:
                self.ego.apply_control(nudged(self.wheel(tick), *error))
            snapshot = session.tick()
            ego = snapshot.find(self.ego.id)
            if ego is None:
                raise ServerError("The ego no longer exists on the server")
            at, velocity = iso_xy(ego.get_transform().location), ego.get_velocity()
            speed_mps = math.hypot(velocity.x, velocity.y)
            instant = EgoInstant(frame=snapshot.frame, x=at[0], y=at[1], speed_mps=speed_mps)
            self._contacts.note_ego(instant)
        return self._reader.read(snapshot)

    def judge(self, scene: Scene) -> DecisionOutcome:
        """Takes the scene that a decision led to as the present one, and returns the outcome."""
        self.scene = scene
        return self.drive.advance(scene)

    def events(self, outcome: DecisionOutcome) -> tuple[DrivingEvent, ...]:
        """Returns the events of a decision, those that scenarios add included.

        Raises:
            ServerError: If the server stops answering.
        """
        if self.director is None:
            return outcome.events
        arc_m = outcome.position.arc_m
        judged = self.director.judge(self.scene, arc_m, outcome.events, outcome.cause)
        return (*outcome.events, *judged)

    @property
    def things(self) -> Container[int]:
        """Ids of the scene's actors that are no vehicles and no walkers."""
        return self._reader.things

    @property
    def speed_limit_mps(self) -> float:
        """The speed limit at the ego."""
        limit = self.ego.get_speed_limit() / KMH_PER_MPS
        return limit if limit > 0.0 else DEFAULT_LIMIT_MPS

    def steer_limit_rad(self) -> float:
        """Returns the angle of the front wheels at full steer."""
        return math.radians(self.ego.get_physics_control().wheels[0].max_steer_angle)
