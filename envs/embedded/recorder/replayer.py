"""Replays a recording in a world: brings its actors back and puts them where they were.

While it is replayed an actor has no physics of its own, and whatever else moves it between two
ticks is undone by the next. At a time that the recording has a frame of, all is as it was, bit for
bit; between two frames bodies move in straight lines.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dreamdrive.envs.embedded.blueprints import PROPS, VEHICLES, WALKERS
from dreamdrive.envs.embedded.bodies import Bodies
from dreamdrive.envs.embedded.recorder.file_format import Frame, RecordingReader
from dreamdrive.envs.embedded.recorder.moments import Moment, MomentReader, Table, between
from dreamdrive.envs.embedded.recorder.recorder import KEPT
from dreamdrive.envs.embedded.render.view import Pose
from dreamdrive.envs.embedded.world import SpawnError
from dreamdrive.errors import RecordingError

if TYPE_CHECKING:
    from dreamdrive.envs.embedded.simulator import Simulator

SAME_TIME_S = 1e-6
"""Times so near to each other are one: sums of ticks differ by rounding."""
ASIDE_M = 1e6
"""Actors come back far away, where nothing is in their way, and are then put in place."""


class Wishes(NamedTuple):
    """What a caller wants to see of a recording.

    Attributes:
        start_s: Where to begin; negative times are counted from the end.
        duration_s: How long, 0 for all.
        follow: The recorded actor that the spectator follows, 0 for none.
        with_sensors: Whether sensors come back too.
        offset: Where the spectator is, in the axes of what it follows.
        ignores_hero, ignores_spectator: Whether these are left alone.
    """

    start_s: float
    duration_s: float
    follow: int
    with_sensors: bool
    offset: Pose
    ignores_hero: bool
    ignores_spectator: bool


class Replayer:
    """A recording that is being replayed.

    Args:
        sim: The world in which it is replayed, of the recording's town.
        reader: The recording; it is closed when the replay ends.
        wishes: What to see of it.

    Attributes:
        path: The recording's file.
        start_s, stop_s: The times between which it is replayed.
        live: The living actor of each recorded one.

    Raises:
        RecordingError: If a frame is broken.
    """

    def __init__(self, sim: "Simulator", reader: RecordingReader, wishes: Wishes) -> None:
        self._sim, self._reader, self._wishes = sim, reader, wishes
        self.path = reader.path
        total = reader.duration_s
        start = wishes.start_s if wishes.start_s >= 0.0 else total + wishes.start_s
        self.start_s = min(max(0.0, start), total)
        self.stop_s = min(self.start_s + wishes.duration_s, total) if wishes.duration_s else total
        self.live: dict[int, int] = {}
        self._spawned: set[int] = set()
        self._kinds: dict[int, str] = {}
        self._now_s = self.start_s
        self._frames = reader.frames(self.start_s)
        self._moments = MomentReader()
        self._next: tuple[Frame, Moment] | None = self._read()
        self._current: Moment | None = None
        self._show()

    # --- time ------------------------------------------------------------------------------------

    def tick(self, dt_s: float) -> bool:
        """Lets so much of the recording's time pass; returns whether something was left.

        Raises:
            RecordingError: If a frame is broken.
        """
        if self._now_s >= self.stop_s - SAME_TIME_S:
            return False
        self._now_s = min(self._now_s + dt_s, self.stop_s)
        self._show()
        return True

    def _read(self) -> tuple[Frame, Moment] | None:
        frame = next(self._frames, None)
        return None if frame is None else (frame, self._moments.read(frame))

    def _show(self) -> None:
        """Brings the world to the present moment of the recording."""
        while self._next is not None and self._next[1].time_s <= self._now_s + SAME_TIME_S:
            frame, self._current = self._next
            self._change(frame)
            self._next = self._read()
        if self._current is None:
            return
        tables = self._current.tables
        if self._next is not None and self._now_s > self._current.time_s + SAME_TIME_S:
            tables = between(self._current, self._next[1], self._now_s)
        world = self._sim.world
        for bodies, name in ((world.vehicles, "vehicles"), (world.walkers, "walkers")):
            self._put(bodies, tables[name])
        for name, state in (("lights", world.lights.state), ("junctions", world.lights.junctions)):
            rows = tables[name][1]
            if len(rows) == len(state):
                state[:] = rows
        self._follow()
        world.fill()

    def _put(self, bodies: Bodies, table: Table) -> None:
        """Puts bodies where a table has them."""
        ids, rows = table
        places = np.array([bodies.row.get(self.live.get(i, 0), -1) for i in ids.tolist()], np.int64)
        found: NDArray[np.bool_] = places >= 0
        bodies.state[places[found]] = rows[found]
        bodies.physics[places[found]] = 0.0

    # --- changes ---------------------------------------------------------------------------------

    def _change(self, frame: Frame) -> None:
        """Lets actors come and go and takes over what else a frame says has changed.

        Raises:
            RecordingError: If it says so in a way that cannot be read.
        """
        content, world = frame.content, self._sim.world
        try:
            if frame.is_whole:
                there = {entry[0] for entry in content.get("added", ())}
                self._remove([actor for actor in self.live if actor not in there])
            self._remove(content.get("gone", ()))
            for actor, kind, attributes, parent, place, tilt in content.get("added", ()):
                if self.live.get(actor) not in world.actors:
                    self._add(actor, kind, attributes, parent, place, tilt)
            for actor, place, tilt in content.get("moved", ()):
                if actor in self.live and self._may_move(self._kinds[actor]):
                    self._move(self.live[actor], place, tilt)
            if "weather" in content:
                self._sim.weather = list(content["weather"])
            if "lamps" in content:
                self._sim.world.lamps.update(list(content["lamps"].values()))
            if "frozen" in content:
                world.lights.frozen = bool(content["frozen"])
            for name in (name for name in KEPT if name in content):
                kept, told = getattr(self._sim, name), content[name]
                for actor, live in self.live.items():
                    kept.pop(live, None)
                    if actor in told:
                        kept[live] = told[actor]
        except (TypeError, ValueError, LookupError, AttributeError) as error:
            raise RecordingError(
                f"Frame {frame.number} cannot be read: {error}", where=self.path
            ) from error

    def _move(self, live: int, place: Sequence[float], tilt: Sequence[float]) -> None:
        x, y, z, yaw_deg = place
        pitch, roll = tilt
        self._sim.world.move(live, x, y, z, yaw_deg, (pitch, roll))

    def _may_move(self, kind: str) -> bool:
        return kind != "spectator" or not (self._wishes.ignores_spectator or self._wishes.follow)

    def _remove(self, actors: Sequence[int]) -> None:
        for actor in actors:
            live = self.live.pop(actor, 0)
            if live and live != self._sim.world.spectator:
                self._sim.destroy(live)
            self._spawned.discard(live)

    def _add(
        self, actor: int, kind: str, attributes: dict[str, str], parent: int,
        place: Sequence[float], tilt: Sequence[float],
    ) -> None:  # fmt: skip
        """Finds a recorded actor in the world or spawns it; leaves out what nobody wants to see."""
        world = self._sim.world
        if kind == "spectator":
            self.live[actor], self._kinds[actor] = world.spectator, kind
            if self._may_move(kind):
                self._move(world.spectator, place, tilt)
            return
        is_hero = kind in VEHICLES and attributes.get("role_name") == "hero"
        is_wanted = kind in VEHICLES or kind in WALKERS or kind in PROPS
        if kind.startswith("sensor."):
            is_wanted = self._wishes.with_sensors and (not parent or parent in self.live)
        if not is_wanted or (is_hero and self._wishes.ignores_hero):
            return
        known = world.actors.get(actor)
        if known is not None and known.kind == kind and actor not in self.live.values():
            self.live[actor], self._kinds[actor] = actor, kind
            return
        after = world.next_id
        world.next_id = max(actor, after)  # Its old number, if nobody can know it as another's.
        x, y, z, yaw_deg = place
        if kind in VEHICLES or kind in WALKERS:
            x, y = ASIDE_M + 100.0 * world.next_id, ASIDE_M
        try:
            made = world.spawn(
                kind, dict(attributes), x, y, z, yaw_deg, self.live.get(parent, 0),
                (tilt[0], tilt[1]),
            )  # fmt: skip
        except SpawnError as error:
            world.next_id = after
            raise ValueError(str(error)) from error
        self.live[actor], self._kinds[actor] = made.id, kind
        self._spawned.add(made.id)

    def _follow(self) -> None:
        """Keeps the spectator beside the actor that it follows."""
        world, live = self._sim.world, self.live.get(self._wishes.follow, 0)
        if live not in world.actors:
            return
        x, y, z, yaw_deg = world.place(live)
        ahead, right, up = Pose(0.0, 0.0, 0.0, 0.0, yaw_deg, 0.0).axes()
        offset = self._wishes.offset
        at = np.array([x, y, z]) + offset.x * ahead + offset.y * right + offset.z * up
        place = [*at.tolist(), yaw_deg + offset.yaw]
        self._move(world.spectator, place, (offset.pitch, offset.roll))

    # --- the end ---------------------------------------------------------------------------------

    def stop(self, *, keeps_actors: bool) -> None:
        """Ends the replay: what stays stands still and has physics again."""
        world = self._sim.world
        if not keeps_actors:
            for actor in self._spawned:
                self._sim.destroy(actor)
        for live in self.live.values():
            body = world.body(live)
            if body is None:
                continue
            row = body.row[live]
            body.physics[row], body.velocity[row], body.yaw_rate[row] = 1.0, 0.0, 0.0
            if body is world.vehicles:
                for name in ("throttle", "steer", "brake", "hand_brake", "reverse", "spin"):
                    body.state[name][row] = 0.0
            else:
                world.walkers.speed[row] = 0.0
        world.fill()
        self.close()

    def close(self) -> None:
        """Lets the file go."""
        self._reader.close()
