"""Makes a navigation mesh: `python -m dreamdrive.envs.embedded.navigation NAME < MAP > MESH`.

It is kept under its name too. A server runs this beside itself, so it loads as little as it can.
"""

import sys

from dreamdrive.envs.embedded.navigation.kept import keep
from dreamdrive.envs.embedded.navigation.mesh import navigation_mesh
from dreamdrive.errors import MapError


def main() -> None:
    """Makes one mesh.

    Raises:
        SystemExit: With the reason, if the map has none.
    """
    try:
        mesh = navigation_mesh(sys.stdin.buffer.read().decode())
    except MapError as error:
        sys.exit(str(error))
    sys.stdout.buffer.write(mesh)
    keep(sys.argv[1], mesh)


if __name__ == "__main__":
    main()
