"""The recording that is made of a world and the one that is replayed in it, at most one of each."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from dreamdrive.envs.embedded.recorder.file_format import RecordingReader
from dreamdrive.envs.embedded.recorder.folder import RecordingFolder
from dreamdrive.envs.embedded.recorder.recorder import Recorder
from dreamdrive.envs.embedded.recorder.replayer import Replayer
from dreamdrive.errors import RecordingError

if TYPE_CHECKING:
    from dreamdrive.envs.embedded.simulator import Simulator


class Recordings:
    """What is recorded and replayed.

    Args:
        folder: Where the files are.

    Attributes:
        time_factor: How much faster than recorded a replay is.
        ignores_hero: Whether vehicles whose role is `hero` are left out of replays.
        ignores_spectator: Whether the spectator stays where it is.
        say: Takes what nobody who called can be told.
    """

    def __init__(self, folder: RecordingFolder) -> None:
        self.folder = folder
        self.time_factor = 1.0
        self.ignores_hero, self.ignores_spectator = False, True
        self.say: Callable[[str], None] = lambda text: None
        self.recorder: Recorder | None = None
        self.replayer: Replayer | None = None

    def start(self, sim: "Simulator", name: str) -> str:
        """Starts a recording, ends the one before, and returns its file.

        Raises:
            RecordingError: If it cannot be written.
        """
        path = self.folder.file(name)
        self.stop()
        if self.replayer is not None and self.replayer.path == path:
            raise RecordingError("This file is being replayed", where=path, do="Name another.")
        self.recorder = Recorder(sim, path, self.folder.room_for(path))
        return str(path)

    def stop(self) -> None:
        """Ends the recording, if there is one."""
        if self.recorder is not None:
            try:
                self.recorder.close()
            except OSError as error:
                self.say(f"the end of {self.recorder.path} could not be written: {error.strerror}")
            self.recorder = None

    def open(self, name: str) -> RecordingReader:
        """Returns a recording to be read.

        Raises:
            RecordingError: If it cannot be read, or is still being written.
        """
        path = self.folder.file(name)
        if self.recorder is not None and self.recorder.path == path:
            raise RecordingError(
                "This recording is still being made", where=path, do="Call stop_recorder first."
            )
        return RecordingReader(path)

    def stop_replay(self, *, keeps_actors: bool) -> None:
        """Ends the replay, if there is one."""
        replayer, self.replayer = self.replayer, None
        if replayer is not None:
            replayer.stop(keeps_actors=keeps_actors)

    def after_tick(self, dt_s: float) -> None:
        """Replays and records what belongs to a tick."""
        if self.replayer is not None:
            try:
                if not self.replayer.tick(dt_s * self.time_factor):
                    self.stop_replay(keeps_actors=True)
            except RecordingError as error:
                self.say(f"the replay ended: {error}")
                self.stop_replay(keeps_actors=True)
        if self.recorder is not None:
            try:
                if not self.recorder.record():
                    self.say(f"{self.recorder.path} is as long as recordings may become")
                    self.stop()
            except OSError as error:
                self.say(f"{self.recorder.path} ends here: {error.strerror}")
                self.stop()

    def close(self) -> None:
        """Ends recording and replay, as another world begins or the server ends."""
        self.stop()
        if self.replayer is not None:
            self.replayer.close()
            self.replayer = None
