"""The folder that recordings are in: which files clients may name, and how much they may hold."""

from pathlib import Path

from dreamdrive.errors import RecordingError


class RecordingFolder:
    """A folder that no name leads out of.

    Args:
        path: The folder; it is made when something is recorded.
        max_bytes: What all its files may hold together.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        self.path, self.max_bytes = path, max_bytes

    def file(self, name: str) -> Path:
        """Returns the file of a name, whether it exists or not.

        Raises:
            RecordingError: If the name is empty or leads out of the folder.
        """
        folder = self.path.resolve()
        try:
            found = (folder / name).resolve()
        except (ValueError, OSError, RuntimeError) as error:  # A zero byte, or links in a circle.
            raise self._refused(name) from error
        if not name or found == folder or not found.is_relative_to(folder) or found.is_dir():
            raise self._refused(name)
        return found

    def _refused(self, name: str) -> RecordingError:
        return RecordingError(
            f"{name[:200]!r} is no file in the folder of recordings", where=self.path,
            do="Name a file without a folder, or start the server with --recordings DIR.",
        )  # fmt: skip

    def room_for(self, path: Path) -> int:
        """Returns how many bytes a file that is written anew may have; makes its folder.

        Raises:
            RecordingError: If there is no room, or the folder cannot be made.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            others = [file for file in self.path.rglob("*") if file.is_file() and file != path]
            room = self.max_bytes - sum(file.stat().st_size for file in others)
        except OSError as error:
            raise RecordingError(
                f"Nothing can be recorded here: {error.strerror}", where=path
            ) from error
        if room <= 0:
            raise RecordingError(
                f"The recordings hold the {self.max_bytes} bytes that they may", where=self.path,
                do="Remove some, or start the server with a larger --max-recording-bytes.",
            )  # fmt: skip
        return room
