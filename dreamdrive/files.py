"""Files are written under a temporary name, then renamed: readers see the old one or the new."""

import contextlib
import os
import uuid
from pathlib import Path

from dreamdrive.errors import StorageError


def write_atomically(path: Path, data: bytes) -> None:
    """Writes a file under a temporary name in the same folder, then renames it.

    Raises:
        StorageError: If it could not be written, for example because the disk is full; the file
            that stood there before is intact.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise StorageError(
            f"Could not write: {error.strerror or error}", where=path,
            do="Free some space or choose another folder, then run the same command again.",
        ) from error  # fmt: skip


def cache_folder() -> Path:
    """Returns the user's folder for what can be made again."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "dreamdrive"
