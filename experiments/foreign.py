"""Runs programs that others wrote for CARLA, unmodified, on the embedded server.

`python -m dreamdrive.experiments.foreign --carla DIR --python PYTHON --out docs/foreign.toml`; then
`python -m dreamdrive.envs.carla.compatibility` writes the table. The interpreter is one that has
what the programs import; it need not have this project. Programs call the server on port 2000.
"""

import argparse
import contextlib
import datetime
import json
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path

from dreamdrive.errors import ConfigError, DreamdriveError
from dreamdrive.experiments.foreign_programs import LEFT_OUT, PROGRAMS, Program
from dreamdrive.experiments.foreign_routes import save_town_routes
from dreamdrive.experiments.foreign_run import Outcome, Place, run, serving
from dreamdrive.experiments.summary import machine
from dreamdrive.files import write_atomically

COMMAND = (
    "python -m dreamdrive.experiments.foreign --carla DIR --leaderboard DIR --scenario-runner DIR "
    "--python PYTHON --out docs/foreign.toml"
)


def chosen(options: argparse.Namespace) -> list[Program]:
    """Returns the programs whose folders are given and whose titles hold a wanted word."""
    origins = {"carla": options.carla, "leaderboard": options.leaderboard}
    return [
        program for program in PROGRAMS
        if origins[program.origin] is not None
        and (not options.only or any(word in program.title for word in options.only))
    ]  # fmt: skip


def run_all(options: argparse.Namespace) -> list[Outcome]:
    """Runs programs one after the other, each on a server of its own unless it follows another.

    Raises:
        ServerError: If a server does not start.
    """
    outcomes: list[Outcome] = []
    maps = {path.stem for path in options.maps}
    with contextlib.ExitStack() as stack:
        server = place = None
        for program in chosen(options):
            if not set(program.towns) <= maps:
                outcomes.append(Outcome(program, "not run", notes=[f"needs {program.towns[0]}"]))
                continue
            if server is None or place is None or not program.follows:
                stack.close()
                out = Path(stack.enter_context(tempfile.TemporaryDirectory()))
                place = Place(
                    out=out, python=options.python, carla=options.carla.resolve(),
                    leaderboard=options.leaderboard and options.leaderboard.resolve(),
                    scenario_runner=options.scenario_runner and options.scenario_runner.resolve(),
                )  # fmt: skip
                if program.origin == "leaderboard":
                    save_town_routes(place.routes, options.town)
                server = stack.enter_context(serving(options.town, options.maps, out))
            outcome = run(program, place, server)
            outcomes.append(outcome)
            print(f"{outcome.verdict:8} {outcome.seconds:4.0f} s  {program.title}", flush=True)
            for note in outcome.notes:
                print(f"                  {note}", flush=True)
    return outcomes


def record(outcomes: list[Outcome], town: str, old: str = "", sources: str = "") -> str:
    """Returns the outcomes as the file that the table is made of.

    Args:
        outcomes: What came of the programs that were run.
        town: Where they were run.
        old: The file as it was, whose other programs are kept.
        sources: What the programs' folders held, as in the old file if it is not said.
    """
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()  # fmt: skip
    when = {"date": str(datetime.date.today()), "commit": commit}
    kept = tomllib.loads(old)
    rows = {row["title"]: row for row in kept.get("program", ())}
    for outcome in outcomes:
        rows[outcome.program.title] = {
            "verdict": outcome.verdict, "seconds": round(outcome.seconds),
            "notes": [*outcome.notes, *filter(None, [outcome.program.flaw])],
            **when,
        }  # fmt: skip
    rows |= {title: {"verdict": "not run", "notes": [reason]} for title, reason in LEFT_OUT.items()}
    lines = [f"# Written by `{COMMAND}`."]
    facts = {
        "command": COMMAND, "machine": machine(), "town": town,
        "sources": sources or kept.get("sources", ""),
    }  # fmt: skip
    lines += [f"{name} = {json.dumps(value)}" for name, value in facts.items()]
    for title in (*(program.title for program in PROGRAMS), *LEFT_OUT):
        if title in rows:
            lines += ["", "[[program]]", f"title = {json.dumps(title)}"]
            for name in ("verdict", "seconds", "notes", "date", "commit"):
                if name in rows[title]:
                    lines.append(f"{name} = {json.dumps(rows[title][name])}")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the programs; returns 1 if one failed, 2 if they could not be run."""
    parser = argparse.ArgumentParser(
        prog="python -m dreamdrive.experiments.foreign", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument(
        "--carla",
        type=Path,
        required=True,
        help="a checkout of CARLA 0.9.16, of which PythonAPI is enough",
    )
    parser.add_argument("--leaderboard", type=Path, help="a checkout of CARLA's leaderboard")
    parser.add_argument("--scenario-runner", type=Path, help="one of scenario_runner, for it")
    parser.add_argument("--python", default=sys.executable, help="interpreter of the programs")
    parser.add_argument("--town", default="Dream01", help="as for `dreamdrive serve`")
    parser.add_argument("--maps", type=Path, nargs="+", default=[], help="likewise")
    parser.add_argument("--sources", default="", help="what the folders hold, for the page")
    parser.add_argument("--only", nargs="+", default=[], help="words of their titles")
    parser.add_argument("--out", type=Path, help="file for the outcomes; others in it are kept")
    options = parser.parse_args(arguments)
    try:
        if not (options.carla / "PythonAPI").is_dir():
            raise ConfigError("Holds no PythonAPI", where=options.carla)
        outcomes = run_all(options)
        if options.out is not None:
            old = options.out.read_text() if options.out.exists() else ""
            text = record(outcomes, Path(options.town).stem, old, options.sources)
            write_atomically(options.out, text.encode())
    except DreamdriveError as error:
        print(error, file=sys.stderr)
        return 2
    failed = sum(outcome.verdict == "fails" for outcome in outcomes)
    print(f"{failed} of {len(outcomes)} fail")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
