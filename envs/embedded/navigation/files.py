"""What the files with navigation meshes are called."""

import hashlib
import re

from dreamdrive.envs.embedded.towns import Town

EDITION = 1
"""To be raised whenever the same map gives another mesh."""


def navigation_file(town: Town) -> str:
    """Returns the name of the file with a town's mesh.

    Clients keep such files and ask for none that they have, so another mesh needs another name.
    """
    digest = hashlib.sha256(f"{EDITION} {town.xodr}".encode()).hexdigest()[:16]
    return f"Carla/Maps/Nav/{re.sub(r'[^A-Za-z0-9_]', '_', town.name)}-{digest}.bin"
