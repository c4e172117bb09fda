"""Makes a launcher of the stand-in for CARLA's Unreal server."""

import shlex
import sys
from dataclasses import replace
from pathlib import Path

from dreamdrive.envs.carla.server_kinds import SupervisorConfig, server_of

STAND_IN = Path(__file__).with_name("unreal_stand_in.py")


def launcher(folder, *faults):
    """Returns a `CarlaUE4.sh` whose starts have the faults in turn; the last one holds."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "CarlaUE4.sh"
    command = shlex.join([sys.executable, str(STAND_IN), str(folder), *(faults or ("none",)), "--"])
    # As CARLA's own: the server is a child of the shell, which does not pass signals on.
    path.write_text(f'#!/bin/sh\n{command} "$@"\nexit $?\n')
    path.chmod(0o755)
    return path


def starts(folder):
    """Returns how often the launcher in a folder was started."""
    return len(list(folder.glob("start-*")))


def unreal(folder, *faults, **changes) -> SupervisorConfig:
    """Returns how the stand-in is started, with short deadlines."""
    short = {"start_deadline_s": 20.0, "stop_deadline_s": 3.0, "start_attempts": 1}
    return replace(server_of(str(launcher(folder, *faults))), **(short | changes))
