"""The world: actors, physics, lights and what a tick brings; no wire is needed to step it."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamdrive.envs.embedded import dynamics, walking
from dreamdrive.envs.embedded.blueprints import (
    FLAT_M,
    FRICTION_TRIGGER,
    PROPS,
    VEHICLES,
    WALKER_EXTENT,
    WALKERS,
)
from dreamdrive.envs.embedded.bodies import ACTIVE, Bodies, Vehicles, Walkers
from dreamdrive.envs.embedded.ground import settle_vehicles, settle_walkers
from dreamdrive.envs.embedded.hazards import Hazards
from dreamdrive.envs.embedded.lamps import Lamps
from dreamdrive.envs.embedded.lights import TrafficLights
from dreamdrive.envs.embedded.records import fill_lights, fill_vehicles, fill_walkers
from dreamdrive.envs.embedded.render.view import Pose, attached
from dreamdrive.envs.embedded.slippery import Slippery, extent_of, slippery_of
from dreamdrive.envs.embedded.stop_signs import StopSigns
from dreamdrive.envs.embedded.touching import (
    FIRST_SOLID,
    SIDEWALK,
    CollisionEvent,
    Solids,
    Touching,
    solids_of,
)
from dreamdrive.envs.embedded.town_signals import TownSignal
from dreamdrive.envs.embedded.towns import CELL_M, Town
from dreamdrive.envs.embedded.wet_roads import DRY
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
        touching: What bodies may touch.
        away: Numbers of the town's solid objects that are not there; replaced, never changed.
        events: Collisions of the last tick.
        hazards: Kerbs and posts, None without.
        paints: Colours that clients gave to solid objects of the town, by number, red, green and
            blue within [0, 1]; replaced, never changed.
        doors: Flags of the doors that stand open, by vehicle.
        light_states: Flags of the lamps that are on, by vehicle; of others nobody has told.
        lamps: The town's street lamps.
        kept_grip: What wet roads leave of a tyre's grip, as `wet_roads.kept_grip` has it.
    """

    def __init__(
        self, town: Town, *, first_id: int = 1, frame: int = 0, has_hazards: bool = False
    ) -> None:
        self.town, self.frame, self.time_s, self.dt_s = town, frame, 0.0, 0.0
        self.actors: dict[int, Actor] = {}
        self.vehicles, self.walkers = Vehicles(), Walkers()
        self.lights = TrafficLights(town)
        self.events: list[CollisionEvent] = []
        self.kept_grip = DRY
        self.doors: dict[int, int] = {}
        self.light_states: dict[int, int] = {}
        self.lamps = Lamps(town)
        self.paints: dict[int, tuple[float, float, float]] = {}
        self.next_id = first_id
        self._yaw_rates = np.zeros(0)  # Those of vehicles before the last tick.
        self._statics = np.zeros(0, ACTOR_RECORD)
        self._seeing: list[tuple[int, int]] = []  # Rows of sensors that move with others.
        self.away: frozenset[int] = frozenset()
        grid = town.grid
        self._grid = (grid.nearest, *grid.origin, CELL_M, grid.speed_mps, grid.light)
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
        for sign in town.signs:
            extent = (sign.trigger[2], sign.trigger[3], 2.0)
            place = (sign.x, sign.y, sign.z, sign.yaw_deg)
            self.sign_ids[self._add(sign.sign, extent=extent, place=place).id] = sign
        self._stop_signs = StopSigns(town) if town.signs_hold and town.stop_signs else None
        self._slippery: Slippery | None = None
        self.hazards = Hazards(town, self.light_ids, self.sign_ids) if has_hazards else None
        self.touching = Touching(self._still())
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
        elif kind in PROPS or kind == FRICTION_TRIGGER:
            extent = PROPS[kind] if kind in PROPS else extent_of(attributes)
            actor = self._add(kind, attributes=attributes, extent=extent, place=(x, y, z, yaw_deg))
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
        if not self.touching.is_free(box, span, self.vehicles, self.walkers):
            raise SpawnError(SPAWN_COLLISION)

    def destroy(self, actor: int) -> bool:
        """Removes an actor and what is attached to it; returns whether there was one."""
        if actor not in self.actors or actor in self.light_index or actor == self.spectator:
            return False
        for child in [a.id for a in self.actors.values() if a.parent == actor]:
            self.destroy(child)
        del self.actors[actor]
        self.doors.pop(actor, None)
        self.light_states.pop(actor, None)
        body = self.body(actor)
        if body is not None:
            body.remove(actor)
            self.fill()
        else:
            self._rebuild_statics()
        return True

    def take_away(self, objects: frozenset[int]) -> None:
        """Lets some solid objects of the town be gone, by number, and all others be there."""
        self.away = objects
        self.touching.stand(self._still())

    def _still(self) -> Solids:
        """Returns what stands in the town that no client has put there."""
        town = self.town
        kept = [k for k in range(len(town.static_boxes)) if k not in self.away]
        ids = FIRST_SOLID - np.array(kept, np.int64)
        found = Solids(town.static_boxes[kept], town.static_spans[kept], ids)
        if self.hazards is None:
            return found
        posts = self.hazards.posts
        return Solids(
            np.concatenate([found.boxes, posts.boxes]), np.concatenate([found.spans, posts.spans]),
            np.concatenate([ids, posts.ids]),
        )  # fmt: skip

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

    def tick(self, dt_s: float, longest_step_s: float = MAX_SUBSTEP_S) -> None:
        """Lets time pass: lights, motion, collisions, records.

        Args:
            dt_s: How much.
            longest_step_s: Motion is computed in steps no longer than this.
        """
        self.events = []
        before, self._yaw_rates = self.vehicles.velocity.copy(), self.vehicles.yaw_rate.copy()
        substeps = max(1, math.ceil(dt_s / longest_step_s - 1e-6))
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
        cars = self.vehicles
        if self._slippery is not None:
            self._slippery.lie_under(cars)
        dynamics.drive(cars.state, cars.tuning, self.kept_grip, dt_s)
        if len(self.walkers):
            walking.walk(self.walkers.state, dt_s)
        self._settle(dt_s)
        if self.hazards is not None:
            for actor, x, y in self.hazards.climb(cars, dt_s):
                self.events.append(CollisionEvent(actor, SIDEWALK, (x, y)))
        self.touching.part(self.vehicles, self.walkers, self.events)

    def _settle(self, dt_s: float) -> None:
        ground = self.town.ground
        if ground:
            surface = (ground.sample, ground.surface, *ground.origin)
            settle_vehicles(self.vehicles.state, *surface, dt_s)
            settle_walkers(self.walkers.state, *surface, dt_s)

    # --- records ---------------------------------------------------------------------------------

    def fill(self) -> None:
        """Brings the records up to date."""
        cars, walkers, lights = self.vehicles, self.walkers, self.lights
        fill_vehicles(cars.state, cars.record, *self._grid, lights.state, self._light_actor)
        if self._stop_signs is not None and len(cars):
            self._stop_signs.show(cars, self.time_s)
        if len(walkers):
            fill_walkers(walkers.state, walkers.record)
        fill_lights(lights.state, self._light_record, lights.frozen)
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
        props, spans, ids, areas = [], [], [], []
        for row, actor in zip(self._statics, still, strict=True):
            pose = self.pose(actor.id)
            row["id"], row["state"] = actor.id, ACTIVE
            row["location"], row["rotation"] = pose[:3], pose[3:]
            if actor.id in self.sign_ids:
                row["rest"] = self.sign_ids[actor.id].id.encode().ljust(54, b"\0")
            if actor.kind in PROPS and actor.extent[2] > FLAT_M:
                props.append((*pose[:2], *actor.extent[:2], np.radians(pose.yaw)))
                spans.append((pose.z, pose.z + 2.0 * actor.extent[2]))
                ids.append(actor.id)
            if actor.kind == FRICTION_TRIGGER:
                friction = float(actor.attributes.get("friction", "3.5"))
                areas.append((*pose[:3], math.radians(pose.yaw), actor.extent, friction))
        if self._slippery is not None and not areas:
            self.vehicles.slip[:] = 0.0
        self._slippery = slippery_of(areas)
        self.touching.props = solids_of(props, spans, ids)
        self._seeing = [
            (row, actor.id) for row, actor in enumerate(still)
            if actor.parent and actor.kind.startswith("sensor.")
        ]  # fmt: skip
