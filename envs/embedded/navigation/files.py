"""What the files with navigation meshes are called."""

import hashlib
import re
from functools import cache, lru_cache
from importlib.metadata import version
from pathlib import Path

from dreamdrive.envs.embedded.towns import Town

SOURCES = (
    "curves", "map_checks", "navigation/areas", "navigation/borders", "navigation/detour",
    "navigation/mesh", "navigation/polygons", "opendrive", "render/appearance",
    "render/junctions", "render/mesh", "render/streets", "road_signals", "town_signals",
)  # fmt: skip
"""All that `navigation_mesh` runs of the embedded server."""
PACKAGES = ("matplotlib", "numpy")


@lru_cache(maxsize=16)
def navigation_file(town: Town) -> str:
    """Returns the name of the file with a town's mesh.

    Clients keep such files and ask for none that they have, and so does this machine: another map,
    and the same map by other code, have another name.
    """
    digest = hashlib.sha256(f"{_edition()} {town.xodr}".encode()).hexdigest()[:32]
    return f"Carla/Maps/Nav/{re.sub(r'[^A-Za-z0-9_]', '_', town.name)}-{digest}.bin"


@cache
def _edition() -> str:
    """Returns a number of the code that meshes are made by."""
    digest = hashlib.sha256(" ".join(map(version, PACKAGES)).encode())
    for source in SOURCES:
        digest.update((Path(__file__).parents[1] / f"{source}.py").read_bytes())
    return digest.hexdigest()
