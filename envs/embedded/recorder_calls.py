"""Calls about recordings: making them, reading them, replaying them.

Each method is a remote procedure of its own name; arguments and answers are as the wire has them.
"""

from typing import Any

from dreamdrive.envs.embedded import wire
from dreamdrive.envs.embedded.arguments import CallError, flag, integer, number, text, transform
from dreamdrive.envs.embedded.recorder.file_format import RecordingReader, fingerprint
from dreamdrive.envs.embedded.recorder.queries import TYPES, blocked, collisions, file_info
from dreamdrive.envs.embedded.recorder.replayer import Replayer, Wishes
from dreamdrive.envs.embedded.render.view import Pose
from dreamdrive.envs.embedded.simulator import Simulator
from dreamdrive.envs.embedded.towns import available_towns, load_town
from dreamdrive.errors import DreamdriveError

MAX_SECONDS = 1e9
BEHIND = [[-10.0, 0.0, 5.0], [-25.0, 0.0, 0.0]]
"""Where the spectator follows from if nobody says otherwise."""


class RecorderCalls:
    """Procedures that concern recordings."""

    def __init__(self, simulator: Simulator) -> None:
        self.sim = simulator

    # --- recording -------------------------------------------------------------------------------

    def start_recorder(self, name: str, additional_data: bool = False, *_: Any) -> Any:
        text(name, "name")
        flag(additional_data, "additional_data")
        try:
            return wire.ok(self.sim.recordings.start(self.sim, name))
        except DreamdriveError as error:
            raise CallError(str(error)) from error

    def stop_recorder(self) -> None:
        self.sim.recordings.stop()

    # --- reading ---------------------------------------------------------------------------------

    def show_recorder_file_info(self, name: str, show_all: bool) -> Any:
        flag(show_all, "show_all")
        return self._told(name, lambda reader: file_info(reader, show_all=show_all))

    def show_recorder_collisions(self, name: str, first: Any, second: Any) -> Any:
        one, other = _type(first), _type(second)
        return self._told(name, lambda reader: collisions(reader, one, other))

    def show_recorder_actors_blocked(self, name: str, min_time: float, min_distance: float) -> Any:
        seconds = number(min_time, "min_time", 0.0, MAX_SECONDS)
        reach = number(min_distance, "min_distance", 0.0, 1e9)
        return self._told(name, lambda reader: blocked(reader, seconds, reach))

    def _told(self, name: str, tell: Any) -> Any:
        text(name, "name")
        try:
            reader = self.sim.recordings.open(name)
            try:
                return wire.ok(tell(reader))
            finally:
                reader.close()
        except DreamdriveError as error:
            raise CallError(str(error)) from error

    # --- replaying -------------------------------------------------------------------------------

    def replay_file(
        self, name: str, start: float, duration: float, follow_id: int,
        replay_sensors: bool = False, offset: Any = None, *_: Any,
    ) -> Any:  # fmt: skip
        recordings = self.sim.recordings
        wishes = Wishes(
            number(start, "time_start", -MAX_SECONDS, MAX_SECONDS),
            number(duration, "duration", 0.0, MAX_SECONDS), integer(follow_id, "follow_id"),
            flag(replay_sensors, "replay_sensors"), Pose(*transform(offset or BEHIND, "offset")),
            recordings.ignores_hero, recordings.ignores_spectator,
        )  # fmt: skip
        text(name, "name")
        try:
            reader = recordings.open(name)
            try:
                self._enter(reader)
                recordings.stop_replay(keeps_actors=True)
                made = Replayer(self.sim, reader, wishes)
            except BaseException:
                reader.close()
                raise
        except DreamdriveError as error:
            raise CallError(str(error)) from error
        recordings.replayer = made
        return wire.ok(
            f"Replaying File: {made.path}\n"
            f"Total time recorded: {reader.duration_s:g}\n"
            f"Replaying from {made.start_s:g} s - {made.stop_s:g} s ({reader.duration_s:g} s) at "
            f"{recordings.time_factor:.1f}x\n"
        )

    def _enter(self, reader: RecordingReader) -> None:
        """Loads the town of a recording, if the world is another.

        Raises:
            CallError: If there is none that has the recording's map.
            MapError: If it cannot be read any more.
        """
        world, name = self.sim.world, reader.town
        town = world.town
        if name != town.name:
            if name not in available_towns():
                raise CallError(f"the recording is of {name[:80]!r}, which has to be loaded first")
            town = load_town(name)
        if fingerprint(town) != reader.map:
            raise CallError(f"the recording is of another map than the {name} that there is")
        if town is not world.town:
            self.sim.enter(town)
            self.sim.on_tick()

    def stop_replayer(self, keep_actors: bool) -> None:
        self.sim.recordings.stop_replay(keeps_actors=flag(keep_actors, "keep_actors"))

    def set_replayer_time_factor(self, factor: float) -> None:
        self.sim.recordings.time_factor = number(factor, "time_factor", 0.0, 1e3)

    def set_replayer_ignore_hero(self, ignore: bool) -> None:
        self.sim.recordings.ignores_hero = flag(ignore, "ignore_hero")

    def set_replayer_ignore_spectator(self, ignore: bool) -> None:
        self.sim.recordings.ignores_spectator = flag(ignore, "ignore_spectator")


def _type(value: Any) -> str:
    """Returns the letter of a type of actors, which clients send as its code.

    Raises:
        CallError: If there is no such type.
    """
    letter = chr(value) if type(value) is int and 0 <= value < 128 else value
    if not isinstance(letter, str) or len(letter) != 1 or letter not in TYPES:
        raise CallError(f"a type of actors must be one of {', '.join(TYPES)}, got {value!r}")
    return letter
