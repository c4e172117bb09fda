"""What recordings tell as text: what is in them, who collided, and who was held up.

The lines are those of CARLA's own queries, so that programs which read these find what they look
for.
"""

import time
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamdrive.envs.embedded.blueprints import VEHICLES, WALKERS
from dreamdrive.envs.embedded.recorder.file_format import VERSION, Frame, RecordingReader
from dreamdrive.envs.embedded.recorder.moments import MomentReader

MAX_TEXT = 8 << 20
"""Length of an answer; a longer one ends there and says so."""
TYPES = "hvwtoa"
"""Hero, vehicle, walker, traffic light, other, any."""


def _text(lines: Iterable[str]) -> str:
    found, length = [], 0
    for line in lines:
        found.append(line)
        length += len(line) + 1
        if length > MAX_TEXT:
            found.append("... the rest is left out, since the text would be too long")
            break
    return "\n".join(found) + "\n"


def _head(reader: RecordingReader) -> Iterator[str]:
    yield f"Version: {VERSION}"
    yield f"Map: {reader.town}"
    yield f"Date: {time.strftime('%x %X', time.localtime(reader.date_s))}"
    yield ""


def _foot(reader: RecordingReader) -> Iterator[str]:
    yield ""
    yield f"Frames: {reader.num_frames}"
    yield f"Duration: {reader.duration_s:g} seconds"
    if reader.is_cut:
        yield "The file ends in the middle of a frame: the recording was broken off"


class Cast:
    """Who is on stage, frame by frame."""

    def __init__(self) -> None:
        self.kinds: dict[int, str] = {}
        self.heroes: set[int] = set()

    def follow(self, frame: Frame) -> tuple[list[Any], list[int]]:
        """Takes in a frame; returns the actors that have come, and the numbers of those gone."""
        added = frame.content.get("added", ())
        come = [entry for entry in added if entry[0] not in self.kinds]
        gone = [actor for actor in frame.content.get("gone", ()) if actor in self.kinds]
        for actor in gone:
            del self.kinds[actor]
        for actor, kind, attributes, *_ in come:
            self.kinds[actor] = kind
            if attributes.get("role_name") == "hero":
                self.heroes.add(actor)
        return come, gone

    def is_of(self, actor: int, wanted: str) -> bool:
        """Returns whether an actor is of one of the types; 0 is a building."""
        kind = self.kinds.get(actor, "")
        if wanted == "a":
            return True
        if wanted == "h":
            return actor in self.heroes
        return self.letter(actor) == wanted if kind or wanted == "o" else False

    def letter(self, actor: int) -> str:
        """Returns the type of an actor."""
        kind = self.kinds.get(actor, "")
        return "v" if kind in VEHICLES else "w" if kind in WALKERS else "o"


def file_info(reader: RecordingReader, *, show_all: bool) -> str:
    """Returns what a recording holds: who came, went and collided, and with `show_all` all else.

    Raises:
        RecordingError: If a frame is broken.
    """

    def lines() -> Iterator[str]:
        yield from _head(reader)
        cast, moments = Cast(), MomentReader()
        for frame in reader.frames():
            come, gone = cast.follow(frame)
            said = [*_comings(come), *(f" Destroy {actor}" for actor in gone)]
            for first, other, *_ in frame.content.get("hits", ()):
                hero = " (hero)" if first in cast.heroes else ""
                said.append(f" Collision between {first}{hero} with {other}")
            if show_all:
                said += _tables(moments.read(frame).tables)
            if said:
                yield f"Frame {frame.number + 1} at {frame.time_s:g} seconds"
                yield from said
        yield from _foot(reader)

    return _text(lines())


def _comings(come: list[Any]) -> Iterator[str]:
    for actor, kind, attributes, parent, place, _ in come:
        yield f" Create {actor}: {kind} at ({place[0]:g}, {place[1]:g}, {place[2]:g})"
        yield from (f"  {name} = {value}" for name, value in sorted(attributes.items()))
        if parent:
            yield f" Parenting {actor} with {parent} (parent)"


def _tables(tables: dict[str, tuple[NDArray[np.int64], NDArray[Any]]]) -> Iterator[str]:
    bodies = [(i, row) for n in ("vehicles", "walkers") for i, row in zip(*tables[n], strict=True)]
    yield f" Positions: {len(bodies)}"
    for actor, row in bodies:
        x, y, yaw = row["pose"]
        yield (
            f"  Id: {actor} Location: ({x:g}, {y:g}, {row['z']:g}) "
            f"Rotation: (0, {np.degrees(yaw):g}, 0)"
        )
    yield f" State traffic lights: {len(tables['lights'][0])}"
    for light, row in zip(*tables["lights"], strict=True):
        frozen, elapsed = int(row["frozen"]), row["elapsed_s"]
        yield f"  Light: {light} state: {row['colour']} frozen: {frozen} elapsedTime: {elapsed:g}"
    yield f" Vehicle animations: {len(tables['vehicles'][0])}"
    for actor, row in zip(*tables["vehicles"], strict=True):
        yield (
            f"  Id: {actor} Steering: {row['steer']:g} Throttle: {row['throttle']:g} "
            f"Brake: {row['brake']:g} Handbrake: {int(row['hand_brake'])} Gear: {int(row['gear'])}"
        )
    yield f" Walker animations: {len(tables['walkers'][0])}"
    for actor, row in zip(*tables["walkers"], strict=True):
        yield f"  Id: {actor} speed: {row['speed']:g}"


def collisions(reader: RecordingReader, first: str, second: str) -> str:
    """Returns who of two types collided, once for each touch.

    Args:
        reader: The recording.
        first, second: Types of the two, each one letter of `TYPES`.

    Raises:
        RecordingError: If a frame is broken.
    """

    def lines() -> Iterator[str]:
        yield from _head(reader)
        yield f"{'Time':>8}  {'Types':<6} {'Id Actor 1':<42} Id Actor 2"
        cast, touching = Cast(), set[tuple[int, int]]()
        for frame in reader.frames():
            cast.follow(frame)
            before, touching = touching, set()
            for one, other, *_ in frame.content.get("hits", ()):
                if not cast.is_of(one, first) or not cast.is_of(other, second):
                    continue
                if (other, one) in touching or (other, one) in before:
                    continue
                touching.add((one, other))
                if (one, other) not in before:
                    names = [
                        f"{actor:>6} {cast.kinds.get(actor, 'static')}" for actor in (one, other)
                    ]
                    types = f"{cast.letter(one)} {cast.letter(other)}"
                    yield f"{frame.time_s:>8.2f}  {types:<6} {names[0]:<42} {names[1]}"
        yield from _foot(reader)

    return _text(lines())


def blocked(reader: RecordingReader, min_time_s: float, min_distance_cm: float) -> str:
    """Returns which vehicles and walkers stood for long, the longest first.

    Args:
        reader: The recording.
        min_time_s: How long.
        min_distance_cm: Who moved less than that in all this time stood.

    Raises:
        RecordingError: If a frame is broken.
    """
    cast, moments = Cast(), MomentReader()
    found: list[tuple[float, float, int, str]] = []
    stands: dict[int, tuple[float, float, float]] = {}
    reach_m = 0.01 * min_distance_cm

    def end(actor: int, now_s: float) -> None:
        since_s = stands.pop(actor)[2]
        if now_s - since_s >= min_time_s:
            found.append((now_s - since_s, since_s, actor, cast.kinds.get(actor, "")))

    now_s = 0.0
    for frame in reader.frames():
        now_s = frame.time_s
        for actor in frame.content.get("gone", ()):
            if actor in stands:
                end(actor, now_s)
        cast.follow(frame)
        for ids, rows in list(moments.read(frame).tables.values())[:2]:
            pose = rows["pose"]
            for actor, (x, y, _) in zip(ids.tolist(), pose.tolist(), strict=True):
                at = stands.get(actor)
                if at is None or (x - at[0]) ** 2 + (y - at[1]) ** 2 > reach_m**2:
                    if at is not None:
                        end(actor, now_s)
                    stands[actor] = (x, y, now_s)
    for actor in list(stands):
        end(actor, now_s)
    lines = [*_head(reader), f"{'Time':>8} {'Id':>6} {'Actor':<42} {'Duration':>10}"]
    for duration_s, since_s, actor, kind in sorted(found, key=lambda entry: (-entry[0], entry[2])):
        lines.append(f"{since_s:>8.2f} {actor:>6} {kind:<42} {duration_s:>10.2f}")
    return _text([*lines, *_foot(reader)])
