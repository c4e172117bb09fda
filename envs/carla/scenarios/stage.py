"""What a scenario plays on: a server, a route, and who else is there."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamdrive.envs.carla.client import carla, iso_pose, to_carla_transform
from dreamdrive.envs.carla.routes import Route, arcs_of_lines
from dreamdrive.envs.carla.scenarios.layout import Layout
from dreamdrive.envs.carla.scenarios.puppet import Pedestrian, Puppet
from dreamdrive.envs.carla.scene import VEHICLE, Scene
from dreamdrive.envs.carla.session import Session
from dreamdrive.envs.carla.town_map import TownMap
from dreamdrive.envs.carla.traffic import cars_of

VEHICLE_HEIGHT_M, WALKER_HEIGHT_M = 0.3, 1.0
SPARED_M = 12.0
"""Background vehicles this near to the ego are not taken away."""

PATIENCE_S, STANDING_MPS, LANE_M = 4.0, 0.3, 2.6


class Stage:
    """What scenarios of one episode share.

    Args:
        session: Owns whatever is put on the stage.
        town: The town.
        route: The route.
        background: Vehicles of the Traffic Manager, which may be taken away.
        watch: Called with each new actor, so that scenes hold it.
    """

    def __init__(
        self, session: Session, town: TownMap, route: Route, background: list[int],
        watch: Callable[[Any], None],
    ) -> None:  # fmt: skip
        self.session, self.town, self.route = session, town, route
        self.layout = Layout(session.map, route)
        self.background = set(background)
        self._watch = watch
        self._limits: dict[str, float] = {}
        self._light_arcs = arcs_of_lines(route, town.light_lines.boxes)
        self._waiting_s: dict[int, float] = {}

    def vehicle(
        self, kind: str, pose: tuple[float, float, float], z: float, rng: np.random.Generator,
        line: NDArray[np.float64] | None = None,
    ) -> Puppet | None:  # fmt: skip
        """Returns a vehicle at a pose (x, y, yaw in ISO); None where there is no room for it.

        Args:
            kind: `car`, or a `special_type` of CARLA's vehicles such as `emergency`; where the
                server has none of it, a van or any car.
            pose: Where it stands.
            z: Height of the road there.
            rng: Chooses among the blueprints.
            line: Where it will drive; None for one that only stands.

        Raises:
            ServerError: If the server stops answering.
        """
        blueprint = _pick(self.session.world.get_blueprint_library(), kind, rng)
        blueprint.set_attribute("role_name", "scenario")
        place = to_carla_transform(*pose, z=z + VEHICLE_HEIGHT_M)
        actor = self.session.try_spawn(blueprint, place)
        if actor is None:
            return None
        if actor.type_id not in self._limits:
            wheels = actor.get_physics_control().wheels
            self._limits[actor.type_id] = math.radians(wheels[0].max_steer_angle)
        self._watch(actor)
        return Puppet(actor, line, self._limits[actor.type_id])

    def walker(
        self, start: NDArray[np.float64], target: NDArray[np.float64], z: float, speed_mps: float,
        rng: np.random.Generator,
    ) -> Pedestrian | None:  # fmt: skip
        """Returns a walker that waits at `start`; None where there is no room for it.

        Raises:
            ServerError: If the server stops answering.
        """
        library = self.session.world.get_blueprint_library().filter("walker.pedestrian.*")
        kinds = sorted(library, key=lambda b: b.id)
        blueprint = kinds[rng.integers(len(kinds))]
        if blueprint.has_attribute("is_invincible"):
            blueprint.set_attribute("is_invincible", "false")
        yaw = math.atan2(*(target - start)[::-1])
        place = to_carla_transform(start[0], start[1], yaw, z + WALKER_HEIGHT_M)
        actor = self.session.try_spawn(blueprint, place)
        if actor is None:
            return None
        self._watch(actor)
        return Pedestrian(actor, target, speed_mps)

    def prop(
        self, kinds: tuple[str, ...], pose: tuple[float, float, float], z: float
    ) -> int | None:
        """Returns the id of a thing at a pose; None where the server has none of the kinds.

        Raises:
            ServerError: If the server stops answering.
        """
        library = self.session.world.get_blueprint_library()
        for kind in kinds:
            found = list(library.filter(kind))
            if found:
                actor = self.session.try_spawn(found[0], to_carla_transform(*pose, z=z))
                if actor is not None:
                    self._watch(actor)
                    return int(actor.id)
        return None

    def clear(self, scene: Scene, line: NDArray[np.float64], width_m: float = 3.0) -> None:
        """Takes background vehicles away that are on a line, but for those near the ego.

        The leaderboard, too, keeps its background traffic out of the scenarios' way.
        """
        gone = []
        for i in np.flatnonzero(scene.kinds == VEHICLE):
            box, actor = scene.boxes[i], int(scene.ids[i])
            if actor not in self.background:
                continue
            if np.hypot(box[0] - scene.ego.x, box[1] - scene.ego.y) < SPARED_M:
                continue
            if np.hypot(*(line - box[:2]).T).min() < width_m:
                gone.append(actor)
        self.remove(gone)

    def free_way(self, scene: Scene, line: NDArray[np.float64], passed_s: float) -> None:
        """Takes background vehicles away that have stood on a line for a while.

        They queue behind what a scenario has put there, and would hold the ego for ever.

        Args:
            scene: The present scene.
            line: Where the ego is going, ISO world axes, shape (n, 2).
            passed_s: Time since the last call.
        """
        standing: dict[int, float] = {}
        for i in np.flatnonzero(scene.kinds == VEHICLE):
            actor = int(scene.ids[i])
            is_standing = np.hypot(*scene.velocity[i]) < STANDING_MPS
            if actor not in self.background or not is_standing:
                continue
            if np.hypot(*(line - scene.boxes[i, :2]).T).min() < LANE_M:
                standing[actor] = self._waiting_s.get(actor, 0.0) + passed_s
        self._waiting_s = standing
        self.remove([actor for actor, since_s in standing.items() if since_s >= PATIENCE_S])

    def remove(self, actors: list[int]) -> None:
        """Destroys actors of the stage, or background vehicles.

        Raises:
            ServerError: If the server stops answering.
        """
        self.background -= set(actors)
        self.session.destroy(actors)

    def dismiss(self, puppets: list[Puppet]) -> None:
        """Hands vehicles that drive over to the Traffic Manager, as background.

        Raises:
            ServerError: If the server stops answering.
        """
        port = self.session.traffic_manager.get_port()
        self.session.send(carla.command.SetAutopilot(p.id, True, port) for p in puppets)
        self.background |= {p.id for p in puppets}

    def set_lights(self, arc_m: float, *, own: Any, facing: Any, others: Any) -> None:
        """Sets the light that holds the route shortly before a place, and its junction's others.

        Args:
            arc_m: Where the route enters the junction.
            own: State of the light on the route.
            facing: State of those that hold who comes towards the route.
            others: State of all others of the junction.
        """
        lines = self.town.light_lines
        gap = np.abs(self._light_arcs - arc_m)
        if not np.isfinite(gap).any():
            return
        at = int(np.nanargmin(gap))
        if gap[at] > 20.0:
            return
        mine = self.town.lights[lines.light[at]]
        group = {light.id for light in mine.get_group_traffic_lights()}
        yaw = lines.boxes[:, 2]
        faces = set(lines.light[np.cos(yaw - yaw[at]) < -0.7].tolist())
        for i, light in enumerate(self.town.lights):
            wanted = own if light.id == mine.id else facing if i in faces else others
            if light.id in group | {mine.id} and light.state != wanted:
                light.set_state(wanted)


def _pick(library: Any, kind: str, rng: np.random.Generator) -> Any:
    cars = cars_of(library)
    if kind != "car":
        special = [
            b for b in sorted(library.filter("vehicle.*"), key=lambda b: b.id)
            if b.has_attribute("special_type")
            and b.get_attribute("special_type").as_str() == kind
            and b.get_attribute("number_of_wheels").as_int() == 4
        ]  # fmt: skip
        vans = [
            b for b in cars
            if b.has_attribute("base_type") and b.get_attribute("base_type").as_str() == "van"
        ]  # fmt: skip
        cars = special or vans or cars
    return cars[rng.integers(len(cars))]


def pose_beside(pose: tuple[float, float, float], left_m: float) -> tuple[float, float, float]:
    """Returns a pose moved to its left by a distance."""
    x, y, yaw = pose
    return x - left_m * math.sin(yaw), y + left_m * math.cos(yaw), yaw


def line_of(
    layout: Layout, begin_m: float, end_m: float, left_m: float = 0.0
) -> NDArray[np.float64]:
    """Returns the route between two places as points, moved to its left; shape (n, 2)."""
    arcs = np.arange(begin_m, end_m + 0.5, 1.0)
    return np.array([pose_beside(layout.pose(float(a)), left_m)[:2] for a in arcs])


def iso_of(waypoint: Any) -> tuple[float, float, float]:
    """Returns a waypoint's pose in ISO axes."""
    return iso_pose(waypoint.transform)
