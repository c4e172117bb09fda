"""A world and what the protocol keeps beside it: settings, episodes, tokens, actors as wired."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreamdrive.envs.embedded import blueprints, wire
from dreamdrive.envs.embedded.ackermann import Ackermann
from dreamdrive.envs.embedded.arguments import CallError
from dreamdrive.envs.embedded.bodies import Bodies
from dreamdrive.envs.embedded.debug_shapes import DebugShapes
from dreamdrive.envs.embedded.environment import ALL_LAYERS, in_layers
from dreamdrive.envs.embedded.limits import Limits
from dreamdrive.envs.embedded.navigation.meshes import Meshes
from dreamdrive.envs.embedded.recorder.folder import RecordingFolder
from dreamdrive.envs.embedded.recorder.recordings import Recordings
from dreamdrive.envs.embedded.render.attributes import RENDERED
from dreamdrive.envs.embedded.sensors import georeference, is_due, messages
from dreamdrive.envs.embedded.touching import FIRST_SOLID, SIDEWALK
from dreamdrive.envs.embedded.towns import Town
from dreamdrive.envs.embedded.wet_roads import DRY, kept_grip
from dreamdrive.envs.embedded.world import MAX_SUBSTEP_S, World

if TYPE_CHECKING:
    from dreamdrive.envs.embedded.render.eyes import Eyes

CLEAR_NOON = [5.0, 0.0, 0.0, 10.0, -1.0, 45.0, 2.0, 0.75, 0.1, 0.0, 1.0, 0.03, 0.0331, 0.0]
SUN_ALTITUDE = 5
DEFAULT_DT_S = 0.05
DEFAULT_STEPS = [0.01, 10]
"""Longest step in seconds and most steps of a tick, as clients send them if nothing is set."""
LOADED_AFTER_S = 1.0
"""How long a town waits at most for the client that asked for it."""
SIDEWALK_TAG = 2
STATIC_KINDS = {
    2: "sidewalk", 3: "building", 4: "wall", 6: "pole", 9: "vegetation", 14: "car", 20: "static",
}  # fmt: skip
"""How CARLA calls what is no actor: after its semantic tag, small and in the singular."""
RECORDINGS = Path("recordings")
"""The folder of recordings if no other is named; it is made when one is."""
KINDS = {
    attribute[0]: attribute[1]
    for definition in blueprints.definitions()
    for attribute in definition[3]
}


@dataclass(slots=True)
class NextTown:
    """A town that is to be opened.

    Attributes:
        town: The town.
        layers: The layers of its map that are there, CARLA's flags.
        caller: The client that asked for it.
        due_s: When to open it at the latest, by the monotonic clock.
        has_stream: Whether that client has left its old stream for another.
    """

    town: Town
    layers: int
    caller: int
    due_s: float
    has_stream: bool = False


class Simulator:
    """A world and everything that the protocol keeps beside it.

    Attributes:
        world: The current world; replaced when another map is loaded.
        episode: Number of the current world.
        synchronous: Whether time stands still between `tick_cue` calls.
        on_tick: Called after each tick, to send it.
        stream_port: Where clients fetch streams.
        gravity_mps2: What inertial units measure of gravity, where the world has 9.81.
        limits: What clients may ask for.
        ackermann: Vehicles that hold a speed and an angle by themselves.
        physics_controls: What vehicles were told of their physics, by actor.
        wheel_angles: Angles that wheels without physics show, by actor, axis and wheel.
        dead: Actors that were declared dead.
        debug_shapes: What clients have drawn.
        poses: How much of a client's pose walkers show, and the pose, by actor; never written to,
            always replaced.
        next_town: What the next tick opens, once the client that asked for it is ready.
        is_map_new: Whether the last tick opened it.
        are_lamps_new: Whether the sun has switched the lamps since the last tick.
        recordings: What is recorded and replayed.
        meshes: The navigation meshes of towns.
        has_road_hazards: Whether kerbs jolt and posts are solid.
        has_wet_grip: Whether tyres grip less on wet roads.
    """

    def __init__(
        self, town: Town, *, synchronous: bool = False, only_answer: bool = False,
        limits: Limits | None = None, recordings: Path = RECORDINGS, has_road_hazards: bool = False,
        has_wet_grip: bool = False,
    ) -> None:  # fmt: skip
        self.episode, self.synchronous = 1, synchronous
        self.dt_s: float | None = DEFAULT_DT_S if synchronous else None
        self.settings: list[Any] = [
            synchronous, True, [True, DEFAULT_DT_S] if synchronous else [False], True,
            *DEFAULT_STEPS,
            0.0, True, 3000.0, 2000.0, True,
        ]  # fmt: skip
        self.only_answer = only_answer
        self.limits = limits or Limits()
        self.stream_port = 0
        self.gravity_mps2 = 9.81
        self.on_tick: Callable[[], None] = lambda: None
        self.has_road_hazards, self.has_wet_grip = has_road_hazards, has_wet_grip
        self._weather = list(CLEAR_NOON)
        self.definitions = blueprints.definitions()
        self.uid = {definition[1]: definition[0] for definition in self.definitions}
        self.caller = 0
        self.dead_boxes: dict[int, list[Any]] = {}
        self.debug_shapes = DebugShapes(self.limits.max_debug_shapes)
        self.recordings = Recordings(RecordingFolder(recordings, self.limits.max_recording_bytes))
        self.meshes = Meshes()
        self.traffic_managers: dict[int, tuple[str, int, int]] = {}
        self.next_town: NextTown | None = None
        self.is_map_new = False
        self._has_begun = False
        self.open(World(town, has_hazards=has_road_hazards))

    def open(self, world: World) -> None:
        """Makes a world the current one; recording and replay of the one before end."""
        self.recordings.close()
        self.world = world
        self.weather = self._weather
        self._eyes: Eyes | None = None
        self.physics_controls: dict[int, list[Any]] = {}
        self.wheel_angles: dict[tuple[int, str, int], float] = {}
        self.dead: set[int] = set()
        self.poses: dict[int, tuple[float, dict[str, Any]]] = {}
        self.ackermann = Ackermann()
        self.are_lamps_new = False
        self.let_lamps_follow_sun()
        self.debug_shapes.clear()
        self.reference = georeference(world.town.xodr)

    @property
    def weather(self) -> list[float]:
        """The weather's parameters, as the wire has them; always replaced, never written to."""
        return self._weather

    @weather.setter
    def weather(self, parameters: list[float]) -> None:
        self._weather = parameters
        self.world.kept_grip = kept_grip(parameters) if self.has_wet_grip else DRY

    def enter(self, town: Town) -> None:
        """Opens a new world of a town, as another episode."""
        old = self.world
        hazards = self.has_road_hazards
        self.open(World(town, first_id=old.next_id, frame=old.frame + 1, has_hazards=hazards))
        self.episode += 1
        self.is_map_new = True

    def load(self, town: Town, layers: int) -> None:
        """Lets one of the next ticks begin an episode in a town, with some layers of its map.

        A client that loads a town forgets its stream and makes another before it looks for the new
        episode. If it learnt of that from the old stream meanwhile, its Traffic Manager would start
        anew in another thread, on what the first is throwing away: both crash.
        """
        self.next_town = NextTown(town, layers, self.caller, time.monotonic() + LOADED_AFTER_S)

    def town_of_caller(self) -> Town:
        """Returns the current town, or the next to the client that asked for it.

        That client fetches the town's files before it has a stream.
        """
        if self.next_town is not None and self.next_town.caller == self.caller:
            return self.next_town.town
        return self.world.town

    @property
    def doors(self) -> dict[int, int]:
        """Flags of the doors that stand open, by vehicle."""
        return self.world.doors

    @property
    def light_states(self) -> dict[int, int]:
        """Flags of the lamps that are on, by vehicle."""
        return self.world.light_states

    def let_lamps_follow_sun(self) -> None:
        """Lets the lamps be switched by the sun of the weather."""
        if self.world.lamps.see_sun(self.weather[SUN_ALTITUDE]):
            self.are_lamps_new = True

    def hear(self, caller: int) -> None:
        """Notes that a client has its new stream: it asks for the lamps or for a tick."""
        if self.next_town is not None and self.next_town.caller == caller:
            self.next_town.due_s = 0.0

    @property
    def is_loading(self) -> bool:
        """Whether a client that asked for a town is leaving its old stream.

        A world that ticks by itself stands still meanwhile: a snapshot that reaches the client
        there can crash it.
        """
        town = self.next_town
        return town is not None and not town.has_stream and time.monotonic() < town.due_s

    def note_stream(self, caller: int | None) -> None:
        """Notes that a client has come to the stream of snapshots."""
        if self.next_town is not None and self.next_town.caller == caller:
            self.next_town.has_stream = True

    def _begin_episode(self) -> None:
        """Opens the next town if it is time."""
        if self.next_town is not None and time.monotonic() >= self.next_town.due_s:
            town, layers = self.next_town.town, self.next_town.layers
            self.next_town = None
            self.enter(town)
            if ~layers & ALL_LAYERS:
                self.world.take_away(in_layers(town, ~layers))

    def begin_tick(self) -> int:
        """Returns the frame of the tick that `finish_tick` is to make.

        As in CARLA, who asks for a tick is told its number before it is made, and meanwhile wakes
        up to look for its snapshot.
        """
        self.is_map_new = False
        self._begin_episode()
        self._has_begun = True
        return self.world.frame + 1

    def finish_tick(self) -> None:
        """Advances the world once and sends it, if a tick has begun."""
        if not self._has_begun:
            return
        self._has_begun = False
        if self.only_answer:
            self.world.frame += 1
            self.world.time_s += self.dt_s or DEFAULT_DT_S
            self.world.dt_s = self.dt_s or DEFAULT_DT_S
        else:
            self.ackermann.steer(self.world.vehicles, self.dt_s or DEFAULT_DT_S)
            dt_s = self.dt_s or DEFAULT_DT_S
            self.world.tick(dt_s, self._longest_step_s(dt_s))
            self.debug_shapes.pass_time(self.world.time_s)
            self.recordings.after_tick(self.world.dt_s)
        self.on_tick()
        self.are_lamps_new = False

    def _longest_step_s(self, dt_s: float) -> float:
        """Returns the longest step of motion: what a client asks for, if that is shorter than ours.

        CARLA's default of at most ten steps of 10 ms asks for nothing.
        """
        is_on, longest_s, most = self.settings[3:6]
        if not is_on or longest_s <= 0.0 or most < 1 or [longest_s, most] == DEFAULT_STEPS:
            return MAX_SUBSTEP_S
        return min(MAX_SUBSTEP_S, max(longest_s, dt_s / most))

    def tick(self) -> int:
        """Advances the world once, sends it, and returns the new frame."""
        frame = self.begin_tick()
        self.finish_tick()
        return frame

    def snapshot(self) -> bytes:
        """Returns the current snapshot."""
        world = self.world
        dt_s = self.dt_s or world.dt_s or DEFAULT_DT_S
        return wire.snapshot(
            self.episode,
            world.frame,
            world.time_s,
            time.monotonic(),
            dt_s,
            world.records(),
            wire.NEW_MAP if self.is_map_new else wire.NEW_LAMPS if self.are_lamps_new else 0,
        )

    def destroy(self, actor: int) -> bool:
        """Removes an actor and all that is kept of it; returns whether there was one."""
        known = self.world.actors.get(actor)
        box = self.box(actor) if known else []
        if not self.world.destroy(actor):
            return False
        if len(self.dead_boxes) > 4096:
            self.dead_boxes.clear()
        self.dead_boxes[actor] = box
        self.physics_controls.pop(actor, None)
        self.wheel_angles = {k: v for k, v in self.wheel_angles.items() if k[0] != actor}
        self.dead.discard(actor)
        self.poses.pop(actor, None)
        self.ackermann.release(actor)
        return True

    def open_eyes(self, kind: str, attributes: dict[str, str]) -> None:
        """Builds what sensors that look at geometry need, if that is not done yet.

        Raises:
            SpawnError: If such a sensor cannot have these attributes.
        """
        from dreamdrive.envs.embedded.render.settings import settings_of

        settings_of(kind, attributes)
        self.eyes()

    def eyes(self) -> "Eyes":
        """Returns what looks at the world's geometry; worlds without such sensors have none."""
        if self._eyes is None:
            from dreamdrive.envs.embedded.render.eyes import Eyes

            self._eyes = Eyes(self.world, self.describe, self.weather, self.debug_shapes)
        return self._eyes

    def sensed(self, sensor: int) -> list[bytes]:
        """Returns what a sensor sends after the last tick."""
        world = self.world
        if world.actors[sensor].kind not in RENDERED:
            return messages(world, sensor, self.reference, self.gravity_mps2, self.describe)
        return self.eyes().messages(sensor, self.weather) if is_due(world, sensor) else []

    def describe(self, actor: int) -> list[Any]:
        """Returns an actor as the wire has it; numbers below 0 are those of `CollisionEvent`.

        What is no actor has the number 0 and a type after its semantic tag, as with CARLA.
        """
        if actor not in self.world.actors:
            return self._describe_static(actor)
        known = self.world.actors[actor]
        attributes = [
            [name, attribute_kind(name), value] for name, value in known.attributes.items()
        ]
        token = b""
        if known.kind.startswith("sensor.") and known.kind != "sensor.other.lane_invasion":
            token = wire.token(actor, self.stream_port)
        model = blueprints.VEHICLES.get(known.kind)
        tags = bytes([model.tag]) if model else bytes([12]) if "walker." in known.kind else b""
        description = [self.uid.get(known.kind, 0), known.kind, attributes]
        return [actor, known.parent, description, self.box(actor), tags, token]

    def _describe_static(self, number: int) -> list[Any]:
        town, tag = self.world.town, SIDEWALK_TAG
        box = wire.bounding_box((0.0, 0.0, 0.0), (0.0, 0.0, 0.0), 0)
        if number != SIDEWALK:
            place = FIRST_SOLID - number
            if not 0 <= place < len(town.static_tags):
                return [0, 0, [0, "static.unknown", []], box, b"", b""]
            tag = int(town.static_tags[place])
            x, y, length, width, yaw = town.static_boxes[place].tolist()
            low, high = town.static_spans[place].tolist()
            box = wire.bounding_box(
                (x, y, (low + high) / 2.0), (length, width, (high - low) / 2.0), 0,
                math.degrees(yaw),
            )  # fmt: skip
        return [0, 0, [0, f"static.{STATIC_KINDS[tag]}", []], box, bytes([tag]), b""]

    def box(self, actor: int) -> list[Any]:
        """Returns an actor's bounding box; that of a light or sign is its trigger volume."""
        known = self.world.actors[actor]
        if actor in self.world.light_index:
            x, y, *half = self.world.town.lights[self.world.light_index[actor]].trigger
            return wire.bounding_box((x, y, 1.0), (half[0], half[1], 2.0), actor)
        if actor in self.world.sign_ids:
            x, y, *half = self.world.sign_ids[actor].trigger
            return wire.bounding_box((x, y, 1.0), (half[0], half[1], 2.0), actor)
        height = known.extent[2] if known.kind.startswith("vehicle.") else 0.0
        return wire.bounding_box((0.0, 0.0, height), known.extent, actor)

    def vehicle(self, actor: int) -> int:
        """Returns a vehicle's row.

        Raises:
            CallError: If there is no such vehicle.
        """
        row = self.world.vehicles.row.get(actor)
        if row is None:
            raise CallError(f"unable to control actor {actor}: vehicle not found")
        return row

    def body(self, actor: int) -> tuple[Bodies, int]:
        """Returns the bodies that an actor is one of, and its row.

        Raises:
            CallError: If it is none.
        """
        body = self.world.body(actor)
        if body is None:
            raise CallError(f"actor {actor} not found")
        return body, body.row[actor]


def attribute_kind(name: str) -> int:
    """Returns the type of an attribute by its name, as its definition has it."""
    return KINDS.get(name, blueprints.STRING)
