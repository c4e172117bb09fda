"""Writes down each tick of a world: who is there, how everything moves, and what has changed.

Nothing of the world is written to, so that it goes on as it would without a recording.
"""

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dreamdrive.envs.embedded.recorder.columns import TableWriter
from dreamdrive.envs.embedded.recorder.file_format import TABLES, RecordingWriter
from dreamdrive.envs.embedded.world import Actor
from dreamdrive.errors import RecordingError

if TYPE_CHECKING:
    from dreamdrive.envs.embedded.simulator import Simulator

WHOLE_EVERY = 256
"""One frame in so many can be read without those before it."""
KEPT = ("light_states", "poses", "doors")
"""What a simulator keeps by actor beside what moves, and a recording too."""


def is_recorded(actor: Actor) -> bool:
    """Returns whether a recording names an actor: lights and signs come with the town."""
    return not actor.kind.startswith("traffic.")


def tables_of(sim: "Simulator") -> dict[str, tuple[Any, Any]]:
    """Returns ids and rows of each table, as they are now."""
    world = sim.world
    lights, junctions = world.lights.state, world.lights.junctions
    return {
        "vehicles": (world.vehicles.id, world.vehicles.state),
        "walkers": (world.walkers.id, world.walkers.state),
        "lights": (np.arange(len(lights)), lights),
        "junctions": (np.arange(len(junctions)), junctions),
    }


class Recorder:
    """Records a world from now on.

    Args:
        sim: What is recorded.
        path: The file.
        max_bytes: How long it may become; then the recording ends.

    Raises:
        RecordingError: If it cannot be written.
    """

    def __init__(self, sim: "Simulator", path: Path, max_bytes: int) -> None:
        self.path, self._sim, self._max_bytes = path, sim, max_bytes
        self._since_s, self._num_frames = sim.world.time_s, 0
        self._tables = {name: TableWriter() for name in TABLES}
        self._known: dict[int, tuple[Any, ...]] = {}
        self._statics: Any = None
        self._next_id = -1
        self._other: dict[str, Any] = {}
        try:
            self._writer = RecordingWriter(path, sim.world.town, time.time())
            with contextlib.ExitStack() as undo:
                undo.callback(self._writer.close)
                self.record()
                undo.pop_all()
        except OSError as error:
            raise RecordingError(
                f"Nothing can be recorded here: {error.strerror}", where=path
            ) from error

    def record(self) -> bool:
        """Writes the last tick; returns whether there was room for it.

        Raises:
            OSError: If it cannot be written.
        """
        if self._writer.num_bytes >= self._max_bytes:
            return False
        whole = self._num_frames % WHOLE_EVERY == 0
        content = self._changes(whole)
        for name, (ids, rows) in tables_of(self._sim).items():
            content[name] = self._tables[name].pack(ids, rows, whole=whole)
        self._writer.write(self._sim.world.time_s - self._since_s, whole, content)
        self._num_frames += 1
        return True

    def close(self) -> None:
        """Ends the recording."""
        self._writer.close()

    def _changes(self, whole: bool) -> dict[str, Any]:
        """Returns what has changed besides the tables since the last frame, or all if `whole`."""
        sim, world = self._sim, self._sim.world
        found: dict[str, Any] = {}
        if world.events:
            found["hits"] = [
                [event.actor, max(event.other, 0), *event.impulse] for event in world.events
            ]
        statics = world.records()[3]
        is_new = world.next_id != self._next_id or statics is not self._statics
        if whole or is_new or len(self._known) != self._count():
            self._next_id, self._statics = world.next_id, statics
            found |= self._cast(whole)
        other = {
            "weather": sim.weather, "lamps": world.lamps.states, "frozen": world.lights.frozen,
            **{name: getattr(sim, name) for name in KEPT},
        }  # fmt: skip
        for name, value in other.items():
            if whole or self._other[name] != value:
                self._other[name] = value if isinstance(value, bool) else value.copy()
                found[name] = value
        return found

    def _count(self) -> int:
        world = self._sim.world
        return len(world.actors) - len(world.light_ids) - len(world.sign_ids)

    def _cast(self, whole: bool) -> dict[str, Any]:
        """Returns the actors that came, went and were moved; all of them came if `whole`."""
        now = {
            actor.id: (actor.kind, actor.attributes, actor.parent, actor.place, actor.tilt)
            for actor in self._sim.world.actors.values()
            if is_recorded(actor)
        }
        before, self._known = self._known, now
        found = {
            "gone": [actor for actor in before if actor not in now],
            "added": [[a, *now[a]] for a in now if whole or a not in before],
            "moved": [
                [a, *now[a][3:]] for a in now if a in before and now[a][3:] != before[a][3:]
            ],
        }  # fmt: skip
        return {name: value for name, value in found.items() if value}
