"""Which program is started as a server: the embedded one, or CARLA's own Unreal server."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from dreamdrive.errors import ConfigError

LAUNCHER = "CarlaUE4.sh"
UNREAL_ROOT = "CARLA_ROOT"
"""Environment variable with the folder of an unpacked CARLA, as the leaderboard uses it."""

ROAD_HAZARDS, WET_GRIP = "--road-hazards", "--wet-grip"
"""Options of an embedded server: with kerbs and posts; with wet roads that cost tyres grip."""

LEASH = Path(__file__).with_name("leash.py")


@dataclass(frozen=True, kw_only=True, slots=True)
class SupervisorConfig:
    """How a server is started and given up on.

    Attributes:
        command: Program and arguments, with `{port}`, `{next_port}`, `{last_port}` and `{town}`
            filled in. Its standard input closes when this process ends, however it ends, upon which
            it must end as well.
        says_ready: Whether it prints a line that starts with `ready` once it answers; else it is
            asked for its version until it answers.
        opens_town: Whether `{town}` in the command is the town that it begins with.
        num_ports: How many neighbouring ports it listens on.
        start_deadline_s: How long it may take until it is ready.
        stop_deadline_s: How long it may take to end when asked, before it is killed.
        start_attempts: How often a start is tried, each on other ports.
        memory_limit_mib: Resident memory of its process group above which it is ended; 0 is none.
        backoff_s: Pause before the second start in a row that follows a failure; the first comes at
            once, and each further pause is twice as long.
        backoff_cap_s: The longest pause.
        steady_s: A server that lived for so long has not failed by starting badly.
    """

    command: tuple[str, ...] = (
        sys.executable, "-m", "dreamdrive.envs.embedded",
        "--port", "{port}", "--town", "{town}", "--sync", "--until-stdin-closes",
    )  # fmt: skip
    says_ready: bool = True
    opens_town: bool = True
    num_ports: int = 2
    start_deadline_s: float = 60.0
    stop_deadline_s: float = 3.0
    start_attempts: int = 3
    memory_limit_mib: float = 4096.0
    backoff_s: float = 1.0
    backoff_cap_s: float = 30.0
    steady_s: float = 60.0

    @classmethod
    def with_sensors(cls) -> Self:
        """Returns how an embedded server is started that can draw from its first tick on.

        On a new machine it compiles for longer than a tick may take.
        """
        return cls(command=(*cls().command, "--sensors"))

    def with_maps(self, paths: Sequence[Path]) -> Self:
        """Returns how a server is started that also has towns from OpenDRIVE files."""
        if not paths:
            return self
        maps = ("--maps", *(str(Path(path).resolve()) for path in paths))
        return replace(self, command=(*self.command, *maps))

    def with_road_hazards(self) -> Self:
        """Returns how an embedded server is started with kerbs, posts, and slippery wet roads."""
        return replace(self, command=(*self.command, ROAD_HAZARDS, WET_GRIP))

    @classmethod
    def unreal(cls, launcher: Path) -> Self:
        """Returns how CARLA's own server is started, without a window.

        Args:
            launcher: The file `CarlaUE4.sh`.
        """
        return cls(
            command=(
                sys.executable, "-I", str(LEASH), str(launcher), "-RenderOffScreen", "-nosound",
                "-carla-rpc-port={port}", "-carla-streaming-port={next_port}",
                "-carla-secondary-port={last_port}",
            ),
            says_ready=False, opens_town=False, num_ports=3, start_deadline_s=180.0,
            stop_deadline_s=10.0, memory_limit_mib=24_576.0,
        )  # fmt: skip


def server_of(
    name: str,
    *,
    draws: bool = False,
    maps: Sequence[Path] = (),
    road_hazards: bool = False,
    memory_limit_mib: float | None = None,
) -> SupervisorConfig:
    """Returns how the server of a name is started.

    Args:
        name: `embedded`; `unreal`, found through the environment variable `CARLA_ROOT`; or the path
            of `CarlaUE4.sh` or of the folder that it stands in.
        draws: Whether it must be able to draw from its first tick on.
        maps: OpenDRIVE files that an embedded server offers as towns.
        road_hazards: Whether an embedded server has kerbs, posts, and slippery wet roads.
        memory_limit_mib: Resident memory above which it is ended; None for what its kind may hold.

    Raises:
        ConfigError: If there is no such server, or it has its own towns and its own grip.
    """
    if name == "embedded":
        found = SupervisorConfig.with_sensors() if draws else SupervisorConfig()
        found = found.with_maps(maps)
        found = found.with_road_hazards() if road_hazards else found
    elif maps:
        raise ConfigError(
            "CARLA's own server has its own towns", where=maps[0], do="Leave the maps out."
        )
    elif road_hazards:
        raise ConfigError(
            "Weather does not change the grip of tyres on CARLA's own server", do="Leave it out."
        )
    else:
        found = SupervisorConfig.unreal(find_unreal(name))
    return found if memory_limit_mib is None else replace(found, memory_limit_mib=memory_limit_mib)


def find_unreal(name: str) -> Path:
    """Returns the launcher of CARLA's own server.

    Args:
        name: As for `server_of`, `embedded` apart.

    Raises:
        ConfigError: If it is not there or cannot be run.
    """
    place = os.environ.get(UNREAL_ROOT, "") if name == "unreal" else name
    if not place:
        raise ConfigError(
            "It is not known where CARLA's own server stands",
            do=f"Set {UNREAL_ROOT} to the folder with {LAUNCHER}, or give the folder instead of "
            "'unreal'.",
        )  # fmt: skip
    found = Path(place).expanduser()
    found = (found / LAUNCHER if found.is_dir() else found).absolute()
    if not found.is_file():
        raise ConfigError(
            f"There is no server {name!r}", where=found,
            do=f"Give 'embedded', 'unreal', or the path of {LAUNCHER} or of its folder.",
        )  # fmt: skip
    if not os.access(found, os.X_OK):
        raise ConfigError("This file cannot be run", where=found, do=f"chmod +x {found}")
    return found
