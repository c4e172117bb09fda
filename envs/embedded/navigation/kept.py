"""Meshes that were made before, in the user's folder for what can be made again."""

import contextlib
import hashlib
import os
from pathlib import Path

from dreamdrive.errors import StorageError
from dreamdrive.files import cache_folder, write_atomically

MOST_BYTES = 64 << 20
"""What all of them may hold together; beyond that those go that were not used for longest."""
DIGEST_BYTES = 32


def kept_mesh(name: str) -> bytes | None:
    """Returns the mesh that is kept under a name, None if there is none or it is broken."""
    try:
        path = _path(name)
        content = path.read_bytes()
    except (OSError, RuntimeError):  # The latter where the user has no home.
        return None
    with contextlib.suppress(OSError):
        os.utime(path)
    digest, mesh = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
    return mesh if hashlib.sha256(mesh).digest() == digest else None


def keep(name: str, mesh: bytes) -> None:
    """Keeps a mesh under a name; where nothing can be written it is made again next time."""
    try:
        path = _path(name)
        write_atomically(path, hashlib.sha256(mesh).digest() + mesh)
    except (StorageError, RuntimeError):
        return
    with contextlib.suppress(OSError):
        found = [(entry.stat(), entry) for entry in path.parent.iterdir()]
        room = MOST_BYTES
        for status, entry in sorted(found, key=lambda pair: -pair[0].st_mtime_ns):
            room -= status.st_size
            if room < 0:
                entry.unlink()


def _path(name: str) -> Path:
    return cache_folder() / "navigation" / name.rsplit("/", 1)[-1]
