"""The world: actors, physics, lights and what a tick brings; no wire is needed to step it."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dreamdrive.envs.embedded import dynamics, walking
from dreamdrive.envs.embedded.blueprints import FLAT_M, PROPS, VEHICLES, WALKER_EXTENT, WALKERS
from dreamdrive.envs.embedded.bodies import ACTIVE, Bodies, Vehicles, Walkers
from dreamdrive.envs.embedded.collision import (
    ClearanceMap,
    Contacts,
    at_one_height,
    find_contacts,
    resolve,
)
from dreamdrive.envs.embedded.ground import settle_vehicles, settle_walkers
from dreamdrive.envs.embedded.lights import TrafficLights
from dreamdrive.envs.embedded.records import fill_lights, fill_vehicles, fill_walkers
from dreamdrive.envs.embedded.render.view import Pose, attached
from dreamdrive.envs.embedded.towns import CELL_M, Town, TownSignal
from dreamdrive.envs.embedded.wire import ACTOR_RECORD, LIGHT_RECORD

SPAWN_COLLISION = "Spawn failed because of collision at spawn position"
MAX_SUBSTEP_S = 0.05
SPAWN_M = 0.3
"""Height of spawn points above the road."""
HIDDEN_M = -1.0
"""Who is spawned below this height is meant to be out of the way and stays there."""


@dataclass
class Actor:
    """What is known of an actor besides its motion.

    Attributes:
        id: Its number.
        kind: Name of its blueprint.
        attributes: Values by name.
        parent: The actor that it is attached to, 0 for none.
        extent: Half sizes of its box.
        place: x, y, z and yaw in degrees; relative to the parent where there is one.
        tilt: Pitch and roll in degrees, likewise; those of bodies that move are in their rows.
        born: The frame in which it was spawned.
    """

    id: int
    kind: str
    attributes: dict[str, str] = field(default_factory=dict)
    parent: int = 0
    extent: tuple[float, float, float] = (0.0, 0.0, 0.0)
    place: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    tilt: tuple[float, float] = (0.0, 0.0)
    born: int = 0


class CollisionEvent(NamedTuple):
    """Two bodies touched; `other` is 0 for a building. The impulse is in N s."""

    actor: int
    other: int
    impulse: tuple[float, float]


class SpawnError(Exception):
    """An actor cannot be spawned."""


class World:
    """A town with everything in it.

    Attributes:
        town: Its map.
        frame: Ticks since the server started.
        time_s: Simulated time.
        actors: All actors by number.
        vehicles, walkers: Those that move.
        lights: Traffic lights; `light_ids` gives their actors.
        events: Collisions of the last tick.
    """

    def __init__(self, town: Town, *, first_id: int = 1, frame: int = 0) -> None:
        self.town, self.frame, self.time_s, self.dt_s = town, frame, 0.0, 0.0
        self.actors: dict[int, Actor] = {}
        self.vehicles, self.walkers = Vehicles(), Walkers()
        self.lights = TrafficLights(town)
        self.events: list[CollisionEvent] = []
        self.next_id = first_id
        self._yaw_rates = np.zeros(0)  # Those of vehicles before the last tick.
        self._statics = np.zeros(0, ACTOR_RECORD)
        self._seeing: list[tuple[int, int]] = []  # Rows of sensors that move with others.
        self._props, self._prop_spans = np.zeros((0, 5)), np.zeros((0, 2))
        self._clearance = ClearanceMap(town.static_boxes)
        self.spectator = self._add("spectator", place=(0.0, 0.0, 20.0, 0.0)).id
        self.light_ids = [
            self._add(
                "traffic.traffic_light", extent=(light.trigger[2], light.trigger[3], 2.0),
                place=(light.x, light.y, light.z, light.yaw_deg),
            ).id
            for light in town.lights
        ]  # fmt: skip
        self._light_actor = np.array(self.light_ids, np.int64)
        self.light_index = {actor: i for i, actor in enumerate(self.light_ids)}
        self.sign_ids: dict[int, TownSignal] = {}
        for sign in town.stop_signs:
            extent = (sign.trigger[2], sign.trigger[3], 2.0)
            place = (sign.x, sign.y, sign.z, sign.yaw_deg)
            self.sign_ids[self._add("traffic.stop", extent=extent, place=place).id] = sign
        self._light_record = self._light_records()
        self._rebuild_statics()
        self.fill()

    def _add(self, kind: str, **values: Any) -> Actor:
        actor = Actor(self.next_id, kind, born=self.frame, **values)
        self.actors[actor.id] = actor
        self.next_id += 1
        return actor

    # --- actors ----------------------------------------------------------------------------------

    def spawn(
        self, kind: str, attributes: dict[str, str], x: float, y: float, z: float, yaw_deg: float,
        parent: int = 0, tilt: tuple[float, float] = (0.0, 0.0),
    ) -> Actor:  # fmt: skip
        """Returns a new actor.

        Raises:
            SpawnError: If its place is taken, its parent is gone, or there is no such blueprint.
        """
        if parent and parent not in self.actors:
            raise SpawnError(f"unable to attach actor: parent actor {parent} not found")
        pose = [x, y, float(np.radians(yaw_deg))]
        if kind in VEHICLES:
            model = VEHICLES[kind]
            extent = (model.half_length, model.half_width, model.half_height)
            if self.town.ground:
                z -= SPAWN_M
            elif z >= HIDDEN_M:
                z = max(0.0, z - SPAWN_M)
            self._check_free(pose, extent, (z, z + 2.0 * model.half_height))
            actor = self._add(kind, attributes=attributes, extent=extent)
            self.vehicles.spawn(actor.id, model, pose, z)
            self._settle(0.0)
            self.fill()
        elif kind in WALKERS:
            self._check_free(pose, WALKER_EXTENT, (z - WALKER_EXTENT[2], z + WALKER_EXTENT[2]))
            actor = self._add(kind, attributes=attributes, extent=WALKER_EXTENT)
            if not self.town.ground and z > HIDDEN_M:
                z = max(z, WALKER_EXTENT[2])
            self.walkers.spawn(actor.id, pose, z)
            self._settle(0.0)
            self.fill()
        elif kind in PROPS:
            actor = self._add(
                kind, attributes=attributes, extent=PROPS[kind], place=(x, y, z, yaw_deg)
            )
            self._rebuild_statics()
        elif kind.startswith(("sensor.", "controller.")):
            place = (x, y, z, yaw_deg)
            actor = self._add(kind, attributes=attributes, parent=parent, place=place, tilt=tilt)
            self._rebuild_statics()
        else:
            raise SpawnError(f"unable to spawn actor: unknown blueprint {kind!r}")
        return actor

    def _check_free(
        self, pose: list[float], extent: tuple[float, float, float], span: tuple[float, float]
    ) -> None:
        box = np.array([[pose[0], pose[1], extent[0], extent[1], pose[2]]])
        for others, spans in (
            (self.vehicles.solid_boxes(), self.vehicles.spans()),
            (self.walkers.solid_boxes(), self.walkers.spans()),
            (self.town.static_boxes, self.town.static_spans),
            (self._props, self._prop_spans),
        ):
            contacts = find_contacts(box, others)
            low, high = spans[contacts.second].T
            if np.any((low < span[1]) & (span[0] < high)):
                raise SpawnError(SPAWN_COLLISION)

    def destroy(self, actor: int) -> bool:
        """Removes an actor and what is attached to it; returns whether there was one."""
        if actor not in self.actors or actor in self.light_index or actor == self.spectator:
            return False
        for child in [a.id for a in self.actors.values() if a.parent == actor]:
            self.destroy(child)
        del self.actors[actor]
        body = self.body(actor)
        if body is not None:
            body.remove(actor)
            self.fill()
        else:
            self._rebuild_statics()
        return True

    def body(self, actor: int) -> Bodies | None:
        """Returns the bodies that an actor is one of, or None if it does not move by itself."""
        for bodies in (self.vehicles, self.walkers):
            if actor in bodies.row:
                return bodies
        return None

    def place(self, actor: int) -> tuple[float, float, float, float]:
        """Returns where an actor is: x, y, z and yaw in degrees."""
        x, y, z, _, yaw_deg, _ = self.pose(actor)
        return x, y, z, yaw_deg

    def pose(self, actor: int) -> Pose:
        """Returns where an actor is, with all its angles."""
        body = self.body(actor)
        if body is not None:
            row = body.row[actor]
            x, y, yaw = body.pose[row]
            pitch, yaw, roll = (
                float(np.degrees(angle)) for angle in (body.pitch[row], yaw, body.roll[row])
            )
            return Pose(float(x), float(y), float(body.z[row]), pitch, yaw, roll)
        known = self.actors[actor]
        dx, dy, dz, turn = known.place
        own = Pose(dx, dy, dz, known.tilt[0], turn, known.tilt[1])
        if not known.parent or known.parent not in self.actors:
            return own
        parent = self.pose(known.parent)
        if parent.pitch or parent.roll:
            return attached(parent, own)
        cos, sin = np.cos(np.radians(parent.yaw)), np.sin(np.radians(parent.yaw))
        return own._replace(
            x=float(parent.x + dx * cos - dy * sin), y=float(parent.y + dx * sin + dy * cos),
            z=parent.z + dz, yaw=parent.yaw + turn,
        )  # fmt: skip

    def move(
        self, actor: int, x: float, y: float, z: float, yaw_deg: float,
        tilt: tuple[float, float] = (0.0, 0.0),
    ) -> None:  # fmt: skip
        """Puts an actor somewhere else; it keeps its velocity.

        Bodies with physics stand as the ground has them: the tilt is that of what has none.
        """
        body = self.body(actor)
        if body is None:
            self.actors[actor].place, self.actors[actor].tilt = (x, y, z, yaw_deg), tilt
            self._rebuild_statics()
            return
        row = body.row[actor]
        body.pose[row] = x, y, np.radians(yaw_deg)
        body.z[row] = z
        if not body.physics[row]:
            body.pitch[row], body.roll[row] = np.radians(tilt)
        self.fill()

    # --- time ------------------------------------------------------------------------------------

    def tick(self, dt_s: float) -> None:
        """Lets time pass: lights, motion, collisions, records."""
        self.events = []
        before, self._yaw_rates = self.vehicles.velocity.copy(), self.vehicles.yaw_rate.copy()
        substeps = max(1, int(np.ceil(dt_s / MAX_SUBSTEP_S - 1e-6)))
        for _ in range(substeps):
            self._move(dt_s / substeps)
        dynamics.accelerate(self.vehicles.state, before, dt_s)
        self.lights.tick(dt_s)
        self.frame += 1
        self.time_s += dt_s
        self.dt_s = dt_s
        self.fill()

    def yaw_acceleration(self, actor: int) -> float:
        """Returns how a vehicle's turn rate changed in the last tick, in rad/s²; 0 of others."""
        row, before = self.vehicles.row.get(actor), self._yaw_rates
        if row is None or len(before) != len(self.vehicles) or self.dt_s <= 0.0:
            return 0.0
        return float(self.vehicles.yaw_rate[row] - before[row]) / self.dt_s

    def _move(self, dt_s: float) -> None:
        dynamics.drive(self.vehicles.state, dt_s)
        walking.walk(self.walkers.state, dt_s)
        self._settle(dt_s)
        self._collide()
        self._keep_walkers_out()

    def _settle(self, dt_s: float) -> None:
        ground = self.town.ground
        if ground:
            surface = (ground.sample, ground.surface, *ground.origin)
            settle_vehicles(self.vehicles.state, *surface, dt_s)
            settle_walkers(self.walkers.state, *surface, dt_s)

    def _collide(self) -> None:
        cars, walkers = self.vehicles, self.walkers
        if not len(cars):
            return
        boxes = cars.solid_boxes()
        self._part(at_one_height(find_contacts(boxes), cars.spans, cars.spans), cars.id, None)
        if len(walkers):
            on_foot = (walkers.pose[:, :2], walkers.velocity, walkers.mass)
            contacts = find_contacts(boxes, walkers.solid_boxes())
            contacts = at_one_height(contacts, cars.spans, walkers.spans)
            self._knock_over(contacts, self._part(contacts, walkers.id, on_foot))
        near = self._clearance.near(boxes)
        if len(near):
            contacts = find_contacts(boxes[near], self.town.static_boxes)
            contacts = contacts._replace(first=near[contacts.first])
            contacts = at_one_height(contacts, cars.spans, lambda: self.town.static_spans)
            self._part_from_solid(contacts)
        if len(self._props):
            contacts = find_contacts(boxes, self._props)
            contacts = at_one_height(contacts, cars.spans, lambda: self._prop_spans)
            self._part_from_solid(contacts)

    def _knock_over(self, contacts: Contacts, impulses: NDArray[np.float64]) -> None:
        """Lets walkers slide that vehicles have hit."""
        walkers = self.walkers
        hard = np.hypot(*impulses.T) > walking.KNOCKED_OVER_MPS * walkers.mass[contacts.second]
        rows = contacts.second[hard]
        walkers.knocked[rows] = walkers.velocity[rows]

    def _keep_walkers_out(self) -> None:
        """Parts walkers from buildings and props."""
        if len(self.walkers):
            boxes = self.walkers.solid_boxes()
            near = self._clearance.near(boxes)
            if len(near):
                contacts = find_contacts(boxes[near], self.town.static_boxes)
                self._stop_walkers(
                    contacts._replace(first=near[contacts.first]), self.town.static_spans
                )
            if len(self._props):
                self._stop_walkers(find_contacts(boxes, self._props), self._prop_spans)

    def _stop_walkers(self, contacts: Contacts, spans: NDArray[np.float64]) -> None:
        walkers = self.walkers
        contacts = at_one_height(contacts, walkers.spans, lambda: spans)
        for row, normal, depth in zip(
            contacts.first.tolist(), contacts.normal, contacts.depth.tolist(), strict=True
        ):
            if walkers.physics[row]:
                closing = min(float(walkers.velocity[row] @ normal), 0.0)
                walkers.pose[row, :2] += normal * depth
                walkers.velocity[row] -= closing * normal
                x, y = (-closing * walkers.mass[row] * normal).tolist()
                self.events.append(CollisionEvent(int(walkers.id[row]), 0, (x, y)))

    def _part_from_solid(self, contacts: Contacts) -> None:
        if not len(contacts.first):
            return
        count = int(contacts.second.max()) + 1
        wall = (np.zeros((count, 2)), np.zeros((count, 2)), np.full(count, np.inf))
        self._part(contacts, None, wall)

    def _part(
        self, contacts: Contacts, ids: NDArray[np.int64] | None,
        others: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]] | None,
    ) -> NDArray[np.float64]:  # fmt: skip
        """Parts vehicles from what they touch and notes the collisions; no ids are buildings.

        Returns the impulse on the vehicle of each contact, shape (p, 2).
        """
        if not len(contacts.first):
            return np.zeros((0, 2))
        cars = self.vehicles
        impulses = resolve(contacts, cars.pose[:, :2], cars.velocity, cars.mass, others)
        touching = cars.id[contacts.first].tolist()
        touched = [0] * len(touching) if ids is None else ids[contacts.second].tolist()
        for first, other, (x, y) in zip(touching, touched, impulses.tolist(), strict=True):
            self.events.append(CollisionEvent(first, other, (x, y)))
            if other:
                self.events.append(CollisionEvent(other, first, (-x, -y)))
        return impulses

    # --- records ---------------------------------------------------------------------------------

    def fill(self) -> None:
        """Brings the records up to date."""
        cars, grid = self.vehicles, self.town.grid
        fill_vehicles(
            cars.state, cars.record, grid.nearest, *grid.origin, CELL_M, grid.speed_mps, grid.light,
            self.lights.state, self._light_actor,
        )  # fmt: skip
        fill_walkers(self.walkers.state, self.walkers.record)
        fill_lights(self.lights.state, self._light_record, self.lights.frozen)
        for row, actor in self._seeing:
            pose = self.pose(actor)
            self._statics[row]["location"], self._statics[row]["rotation"] = pose[:3], pose[3:]

    def records(self) -> list[NDArray[Any]]:
        """Returns the records of all live actors, for a snapshot."""
        return [self.vehicles.record, self.walkers.record, self._light_record, self._statics]

    def _light_records(self) -> NDArray[Any]:
        record = np.zeros(len(self.light_ids), LIGHT_RECORD)
        record["id"], record["state"] = self.light_ids, ACTIVE
        for row, light in zip(record, self.town.lights, strict=True):
            row["location"] = light.x, light.y, light.z
            row["rotation"][1] = light.yaw_deg
            row["sign_id"] = light.id.encode()
        record["pole"] = self.lights.poles()
        return record

    def _rebuild_statics(self) -> None:
        still = [
            actor for actor in self.actors.values()
            if actor.id not in self.light_index and self.body(actor.id) is None
        ]  # fmt: skip
        self._statics = np.zeros(len(still), ACTOR_RECORD)
        props, spans = [], []
        for row, actor in zip(self._statics, still, strict=True):
            pose = self.pose(actor.id)
            row["id"], row["state"] = actor.id, ACTIVE
            row["location"], row["rotation"] = pose[:3], pose[3:]
            if actor.id in self.sign_ids:
                row["rest"] = self.sign_ids[actor.id].id.encode().ljust(54, b"\0")
            if actor.kind in PROPS and actor.extent[2] > FLAT_M:
                props.append((*pose[:2], *actor.extent[:2], np.radians(pose.yaw)))
                spans.append((pose.z, pose.z + 2.0 * actor.extent[2]))
        self._props = np.array(props, np.float64).reshape(-1, 5)
        self._prop_spans = np.array(spans, np.float64).reshape(-1, 2)
        self._seeing = [
            (row, actor.id) for row, actor in enumerate(still)
            if actor.parent and actor.kind.startswith("sensor.")
        ]  # fmt: skip
