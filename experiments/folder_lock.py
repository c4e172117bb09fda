"""One process at a time works in a run folder."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from dreamdrive.errors import ConfigError, StorageError

NAME = ".lock"


@contextlib.contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Holds a folder until the exit; the lock ends with the process, however that ends.

    Raises:
        ConfigError: If another process holds it.
        StorageError: If the folder cannot be written.
    """
    path = Path(folder) / NAME
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.open("a+")
    except OSError as error:
        raise StorageError(f"Could not write: {error.strerror or error}", where=path) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            holder = lock.read().strip()
            raise ConfigError(
                f"Process {holder or 'another'} works in this folder", where=folder,
                do="Wait for it, or choose another --out.",
            ) from None  # fmt: skip
        with contextlib.suppress(OSError):
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
        yield
