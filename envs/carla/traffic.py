"""Other road users: Traffic Manager vehicles and walkers, all from one seed."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamdrive.envs.carla.client import carla, iso_pose, to_carla_transform
from dreamdrive.envs.carla.deadlock import DeadlockBreaker
from dreamdrive.envs.carla.placement import Place, Placement
from dreamdrive.envs.carla.routes import Route
from dreamdrive.envs.carla.scene import Scene
from dreamdrive.envs.carla.session import Session
from dreamdrive.seeding import derive_seed, numpy_generator

SPAWN_HEIGHT_M = 0.3
WALKER_HEIGHT_M = 1.0
WALKER_UPDATE_DECISIONS = 5
WALKER_EDGE_M = 2.0
"""How far beyond the edge of the outermost driving lane walkers walk."""

CROSSING_SHARE = 0.4
MODELS = (
    "vehicle.audi.a2", "vehicle.audi.tt", "vehicle.bmw.grandtourer",
    "vehicle.carlamotors.carlacola", "vehicle.chevrolet.impala", "vehicle.citroen.c3",
    "vehicle.dodge.charger_2020", "vehicle.ford.mustang", "vehicle.jeep.wrangler_rubicon",
    "vehicle.lincoln.mkz_2017", "vehicle.lincoln.mkz_2020", "vehicle.mercedes.coupe",
    "vehicle.mercedes.sprinter", "vehicle.mini.cooper_s", "vehicle.nissan.micra",
    "vehicle.nissan.patrol", "vehicle.seat.leon", "vehicle.tesla.model3", "vehicle.toyota.prius",
    "vehicle.volkswagen.t2",
)  # fmt: skip
"""What traffic drives: named, so that a seed draws the same traffic whatever else a server has."""


def spawn_vehicles(session: Session, route: Route, count: int, seed: int) -> list[int]:
    """Spawns Traffic Manager vehicles around a route and returns their ids.

    They drive in front of the ego, towards it and into the junctions that it crosses, each slower
    than the limit by a share of its own. Fewer appear where the town has no room for them.

    Raises:
        ServerError: If the server stops answering.
    """
    rng, paints = numpy_generator(seed, "vehicles"), numpy_generator(seed, "paints")
    manager = session.traffic_manager
    manager.set_random_device_seed(derive_seed(seed, "traffic manager") % 2**31)
    blueprints = cars_of(session.world.get_blueprint_library())
    port = manager.get_port()
    places: dict[int, Place] = {}
    for place in Placement(session.map, route, rng).places(count):
        blueprint = blueprints[rng.integers(len(blueprints))]
        if blueprint.has_attribute("color"):
            colours = blueprint.get_attribute("color").recommended_values
            if colours:
                blueprint.set_attribute("color", colours[paints.integers(len(colours))])
        blueprint.set_attribute("role_name", "autopilot")
        spawn = carla.command.SpawnActor(blueprint, _raised(place.transform))
        autopilot = carla.command.SetAutopilot(carla.command.FutureActor, True, port)
        places.update((i, place) for i in session.apply([spawn.then(autopilot)]))
    for actor in session.world.get_actors(list(places)):
        place = places[actor.id]
        manager.vehicle_percentage_speed_difference(actor, place.slower_percent)
        if place.path:
            manager.set_path(actor, list(place.path))
    return list(places)


def deadlock_breaker(session: Session, ids: list[int]) -> DeadlockBreaker:
    """Returns what frees these Traffic Manager vehicles when they wait for each other."""
    actors = {actor.id: actor for actor in session.world.get_actors(ids)} if ids else {}

    def set_bold(bold: int, is_bold: bool) -> None:
        for other, actor in actors.items():
            if other != bold:
                session.traffic_manager.collision_detection(actors[bold], actor, not is_bold)

    return DeadlockBreaker(ids, set_bold)


def _raised(transform: Any) -> Any:
    """Returns a transform a little above the road, so that wheels do not start inside it."""
    at = transform.location
    return carla.Transform(carla.Location(at.x, at.y, at.z + SPAWN_HEIGHT_M), transform.rotation)


def cars_of(library: Any) -> list[Any]:
    """Returns the blueprints of `MODELS` that a server has, in their order."""
    known = {blueprint.id: blueprint for blueprint in library.filter("vehicle.*")}
    return [known[name] for name in MODELS if name in known]


@dataclass(slots=True)
class _Walk:
    """One walker's beat: to and fro between two points."""

    actor_id: int
    ends: NDArray[np.float64]
    speed_mps: float
    target: int
    wait_decisions: int


class Walkers:
    """Walkers beside and across the route, steered by plain walker controls.

    Args:
        session: The session that owns them.
        route: The route.
        count: How many are wanted; fewer where the server refuses a place.
        seed: Fixes places, speeds and who crosses.
    """

    def __init__(self, session: Session, route: Route, count: int, seed: int) -> None:
        self._session = session
        self._rng = numpy_generator(seed, "walkers")
        self._walks: list[_Walk] = []
        self._decision = 0
        blueprints = sorted(
            session.world.get_blueprint_library().filter("walker.pedestrian.*"), key=lambda b: b.id
        )
        if not blueprints:
            return
        for _ in range(count):
            ends, speed = self._beat(session.map, route)
            blueprint = blueprints[self._rng.integers(len(blueprints))]
            if blueprint.has_attribute("is_invincible"):
                blueprint.set_attribute("is_invincible", "false")
            yaw = float(np.arctan2(*(ends[1] - ends[0])[::-1]))
            x, y = ends[0]
            place = to_carla_transform(x, y, yaw, float(route.z[0]) + WALKER_HEIGHT_M)
            ids = session.apply([carla.command.SpawnActor(blueprint, place)])
            self._walks += [_Walk(i, ends, speed, 1, int(self._rng.integers(0, 40))) for i in ids]

    @property
    def ids(self) -> list[int]:
        """The ids of the walkers that exist."""
        return [walk.actor_id for walk in self._walks]

    def _beat(self, carla_map: Any, route: Route) -> tuple[NDArray[np.float64], float]:
        """Returns two ends of a walk, shape (2, 2), and a speed."""
        index = int(self._rng.integers(min(20, len(route.arc) - 1), len(route.arc)))
        point = carla_map.get_waypoint(carla.Location(route.xy[index, 0], -route.xy[index, 1]))
        right, left = road_edges(point)
        speed = float(self._rng.uniform(0.9, 1.8))
        if self._rng.random() < CROSSING_SHARE:
            ends = np.array([right, left])
        else:
            _, _, yaw = iso_pose(point.transform)
            length = self._rng.uniform(10.0, 30.0)
            ends = np.array([right, right + length * np.array([np.cos(yaw), np.sin(yaw)])])
        return (ends if self._rng.random() < 0.5 else ends[::-1].copy()), speed

    def step(self, scene: Scene) -> None:
        """Turns walkers round at the ends of their walks; call once a decision."""
        self._decision += 1
        if not self._walks or self._decision % WALKER_UPDATE_DECISIONS != 1:
            return
        where = {int(i): box[:2] for i, box in zip(scene.ids, scene.boxes, strict=True)}
        commands = []
        for walk in self._walks:
            here = where.get(walk.actor_id)
            if here is None:
                continue
            walk.wait_decisions -= WALKER_UPDATE_DECISIONS
            gap = walk.ends[walk.target] - here
            distance = float(np.hypot(*gap))
            if distance < 1.2 * walk.speed_mps and walk.wait_decisions <= 0:
                walk.target = 1 - walk.target
                walk.wait_decisions = int(self._rng.integers(10, 80))
                gap = walk.ends[walk.target] - here
                distance = float(np.hypot(*gap))
            speed = 0.0 if walk.wait_decisions > 0 else walk.speed_mps
            direction = gap / max(distance, 1e-6)
            control = carla.WalkerControl(
                carla.Vector3D(float(direction[0]), -float(direction[1]), 0.0), speed, False
            )
            commands.append(carla.command.ApplyWalkerControl(walk.actor_id, control))
        self._session.send(commands)


def road_edges(point: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns points beyond the right and the left edge of the road at a waypoint."""
    right, left = point, point
    while True:
        side = right.get_right_lane()
        if side is None or side.lane_type != carla.LaneType.Driving:
            break
        right = side
    for _ in range(8):
        is_same_way = left.lane_id * point.lane_id > 0
        side = left.get_left_lane() if is_same_way else left.get_right_lane()
        if side is None or side.lane_type != carla.LaneType.Driving:
            break
        left = side
    x, y, yaw = iso_pose(point.transform)
    normal = np.array([-np.sin(yaw), np.cos(yaw)])
    here = np.array([x, y])
    offsets = []
    for lane in (right, left):
        lane_x, lane_y, _ = iso_pose(lane.transform)
        offsets.append((float((np.array([lane_x, lane_y]) - here) @ normal), lane.lane_width / 2))
    return (
        here + normal * (offsets[0][0] - offsets[0][1] - WALKER_EDGE_M),
        here + normal * (offsets[1][0] + offsets[1][1] + WALKER_EDGE_M),
    )
