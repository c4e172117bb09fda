"""Runs one program of others on an embedded server and judges what came of it."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from dreamdrive.errors import ServerError
from dreamdrive.experiments.foreign_programs import Program

PORT, BEAT_S, ENDS_WITHIN_S, STOPS_WITHIN_S = 2000, 0.6, 30.0, 10.0
ERROR = re.compile(r"^(?!KeyboardInterrupt)\S*(?:Error|Exception|Empty|Full)\b.*", re.MULTILINE)
FAULT = re.compile(r"(?:Fatal Python error|terminate called|  what\(\)).*")
ENDINGS = (0, 1, 128 + signal.SIGINT, -signal.SIGINT)
"""What a program may end with that was interrupted."""
NOTE_CHARACTERS = 160


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where programs come from and where they are run."""

    out: Path
    python: str
    carla: Path
    leaderboard: Path | None
    scenario_runner: Path | None

    @property
    def routes(self) -> Path:
        """The file with the routes of an evaluator."""
        return self.out / "routes.xml"

    def command(self, program: Program) -> list[str]:
        """Returns the command line of a program."""
        folder = self.carla if program.origin == "carla" else self.leaderboard
        values = {"folder": folder, "out": self.out, "routes": self.routes}
        command = [self.python, str(Path(str(folder)) / program.script)]
        command += [argument.format(**values) for argument in program.arguments]
        if program.keys:
            keys = " ".join(key or "-" for key in program.keys)
            command[1:1] = [str(Path(__file__).with_name("foreign_keys.py")), keys, str(BEAT_S)]
        return command

    def environment(self) -> dict[str, str]:
        """Returns the environment: no display, and where the programs' own modules are."""
        folders = [self.carla / "PythonAPI/carla", self.leaderboard, self.scenario_runner]
        return {
            **os.environ, "SDL_VIDEODRIVER": "dummy", "SDL_AUDIODRIVER": "dummy",
            "MPLBACKEND": "Agg", "PYTHONUNBUFFERED": "1",
            "PYTHONPATH": os.pathsep.join(str(folder) for folder in folders if folder),
            "SCENARIO_RUNNER_ROOT": str(self.scenario_runner or ""),
            "LEADERBOARD_ROOT": str(self.leaderboard or ""),
        }  # fmt: skip


@dataclass(slots=True)
class Outcome:
    """What came of a program.

    Attributes:
        program: The program.
        verdict: Whether it did what it is for.
        seconds: How long it ran.
        notes: What it showed, or what was wrong, or what was refused.
    """

    program: Program
    verdict: Literal["works", "refused", "fails", "not run"]
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)


@contextlib.contextmanager
def serving(town: str, maps: list[Path], folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """Runs a server as long as the block lasts.

    Raises:
        ServerError: If it does not start.
    """
    command = [sys.executable, "-m", "dreamdrive.envs.embedded", "--port", str(PORT), "--sensors"]
    command += ["--recordings", str(folder / "recordings")]
    command += ["--town", town, *(["--maps", *map(str, maps)] if maps else [])]
    log = folder / "server.log"
    with log.open("w") as file:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=file, text=True)
    try:
        assert process.stdout is not None
        if not process.stdout.readline().startswith("ready"):
            raise ServerError(f"The server did not start: {log.read_text().strip()}")
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOPS_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _heed_interrupts() -> None:
    """Lets a program be interrupted although what started this one ignores that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def run(program: Program, place: Place, server: "subprocess.Popen[str]") -> Outcome:
    """Runs a program to its end, or to Ctrl-C, and returns what came of it."""
    log, faults = place.out / "output.txt", []
    began = time.monotonic()
    with log.open("w") as file:
        process = subprocess.Popen(
            place.command(program), cwd=place.out, env=place.environment(), stdout=file,
            stderr=subprocess.STDOUT, start_new_session=True, preexec_fn=_heed_interrupts,
        )  # fmt: skip
    try:
        process.wait(program.interrupted_s or program.within_s)
        if program.interrupted_s:
            faults.append("ended before it was interrupted")
    except subprocess.TimeoutExpired:
        if not program.interrupted_s:
            faults.append(f"still there after {program.within_s:.0f} s")
        process.send_signal(signal.SIGINT)
        try:
            process.wait(ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            faults.append(f"still there {ENDS_WITHIN_S:.0f} s after Ctrl-C")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    seconds = time.monotonic() - began
    output = log.read_text(errors="replace")
    if process.returncode not in (ENDINGS if program.interrupted_s else (0,)):
        faults.append(f"ended with status {process.returncode}")
    if server.poll() is not None:
        faults.append("the server ended")
    return judged(program, output, [*faults, *missing(program, output, place.out)], seconds)


def missing(program: Program, output: str, folder: Path) -> list[str]:
    """Returns what a program should have printed and written and did not, and its last error."""
    found = [
        *FAULT.findall(output)[-1:], *ERROR.findall(output)[-1:],
        *(f"does not print {p!r}" for p in program.prints if not re.search(p, output, re.DOTALL)),
        *(f"does not write {p}" for p in program.writes if not any(folder.glob(p))),
    ]  # fmt: skip
    return [text[:NOTE_CHARACTERS] for text in found]


def judged(program: Program, output: str, faults: list[str], seconds: float) -> Outcome:
    """Returns the outcome of a program from its output and what was wrong with it."""
    if program.refused:
        if program.refused in output:
            return Outcome(program, "refused", seconds, [program.refused])
        faults.append(f"was not told {program.refused!r}")
    if faults:
        return Outcome(program, "fails", seconds, faults)
    matches = (re.search(pattern, output, re.DOTALL) for pattern in program.prints)
    return Outcome(
        program, "works", seconds, [found.group(1) for found in matches if found and found.groups()]
    )
