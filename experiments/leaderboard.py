"""Drives a policy under the unmodified public CARLA leaderboard, against any 0.9.16 server."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from dreamdrive.errors import ConfigError, WorkerError
from dreamdrive.experiments.run import console
from dreamdrive.files import write_atomically

AGENT = Path(__file__).parent / "leaderboard_door" / "dreamdrive_agent.py"
EVALUATOR, RUNNER = "leaderboard/leaderboard_evaluator.py", "srunner/scenariomanager"
AGENTS = "agents/navigation"
NEEDED = (
    "py-trees==0.8.3 antlr4-python3-runtime==4.10 dictor ephem graphviz networkx "
    "opencv-python-headless psutil requests shapely simple-watchdog-timer six tabulate "
    "transforms3d xmlschema"
)
"""What the leaderboard and scenario_runner import; their own requirement files pin older ones."""

TRAFFIC_MANAGER_OFFSET = 6000


@dataclass(frozen=True, kw_only=True, slots=True)
class LeaderboardConfig:
    """Which policy drives which routes under the public evaluator."""

    leaderboard: Path
    """A checkout of carla-simulator/leaderboard, branch master."""
    scenario_runner: Path
    """A checkout of carla-simulator/scenario_runner, branch master."""
    carla: Path
    """The folder PythonAPI/carla of CARLA 0.9.16, for its `agents`."""
    routes: Path
    """Routes in the leaderboard's XML, as `dreamdrive routes` writes them."""
    policy: str = "dreamdrive-cpu-agent"
    """As `dreamdrive evaluate --policies` takes it."""
    subset: str = ""
    """Ids of the routes that are driven, as in 0-4,7; all without it."""
    host: str = "127.0.0.1"
    port: int | None = None
    """RPC port of a running server; without it an embedded one is started."""
    maps: tuple[Path, ...] = ()
    """OpenDRIVE files that the embedded server offers as towns, by the files' names."""
    python: Path = Path(sys.executable)
    """Interpreter with this project and what the leaderboard imports."""
    timeout_s: float = 60.0
    """How long a call of the client may take."""
    out: Path = Path("runs/leaderboard")

    @property
    def checkpoint(self) -> Path:
        """Where the evaluator writes its results."""
        return self.out / "results.json"

    def check(self) -> None:
        """Checks that what it needs is there.

        Raises:
            ConfigError: If something is missing.
        """
        for folder, holds, what in (
            (self.leaderboard, EVALUATOR, "a checkout of carla-simulator/leaderboard"),
            (self.scenario_runner, RUNNER, "a checkout of carla-simulator/scenario_runner"),
            (self.carla, AGENTS, "PythonAPI/carla of a CARLA 0.9.16"),
        ):
            if not (folder / holds).exists():
                raise ConfigError(f"This is not {what}: it has no {holds}", where=folder)
        if not self.routes.is_file():
            raise ConfigError(
                "There is no such file of routes", where=self.routes,
                do="Write one with: dreamdrive routes --test Dream07 --out routes",
            )  # fmt: skip

    def command(self, port: int) -> list[str]:
        """Returns the evaluator's command line, as its own documentation has it."""
        command = [
            str(self.python), str((self.leaderboard / EVALUATOR).resolve()),
            "--host", self.host, "--port", str(port),
            "--traffic-manager-port", str(port + TRAFFIC_MANAGER_OFFSET),
            "--routes", str(self.routes.resolve()), "--track", "MAP", "--agent", str(AGENT),
            "--agent-config", self.policy, "--checkpoint", str(self.checkpoint.resolve()),
            "--debug-checkpoint", str((self.out / "live.txt").resolve()),
            "--timeout", f"{self.timeout_s:g}",
        ]  # fmt: skip
        return [*command, "--routes-subset", self.subset] if self.subset else command

    def environment(self) -> dict[str, str]:
        """Returns the evaluator's environment.

        CARLA's `agents` come first: whoever works in this project's folder has one of his own.
        """
        folders = [self.leaderboard, self.scenario_runner, self.carla]
        path = [str(folder.resolve()) for folder in folders]
        path += [os.environ["PYTHONPATH"]] if os.environ.get("PYTHONPATH") else []
        return {
            **os.environ, "PYTHONPATH": os.pathsep.join(path), "PYTHONUNBUFFERED": "1",
            "SCENARIO_RUNNER_ROOT": str(self.scenario_runner.resolve()),
            "LEADERBOARD_ROOT": str(self.leaderboard.resolve()),
            "SDL_VIDEODRIVER": "dummy", "MPLBACKEND": "Agg",
        }  # fmt: skip


def leaderboard(config: LeaderboardConfig) -> dict[str, Any]:
    """Runs the evaluator to its end, and returns and prints what it says.

    Raises:
        ConfigError: If the leaderboard, its routes or CARLA's agents are not where they should be.
        ServerError: If no server can be started.
        WorkerError: If the evaluator ends without results.
    """
    config.check()
    config.out.mkdir(parents=True, exist_ok=True)
    config.checkpoint.unlink(missing_ok=True)
    log = config.out / "output.txt"
    with _server(config) as port, log.open("w") as file:
        console.print(f"The evaluator writes to {log}")
        ended = subprocess.run(
            config.command(port), cwd=config.out, env=config.environment(), stdout=file,
            stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
    results = _results(config.checkpoint)
    records = results.get("_checkpoint", {}).get("records", [])
    if not records:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-12:])
        raise WorkerError(
            f"The leaderboard's evaluator ended with status {ended.returncode} and no results:\n"
            f"{tail}\n",
            where=log, do=f"If it misses a module: pip install {NEEDED}",
        )  # fmt: skip
    console.print(table_of(records, config.policy))
    write_atomically(
        config.out / "summary.json", (json.dumps(summary_of(results), indent=1) + "\n").encode()
    )
    return results


def summary_of(results: dict[str, Any]) -> dict[str, Any]:
    """Returns the evaluator's means and, of each route, its scores and counts of infractions."""
    checkpoint = results["_checkpoint"]
    return {
        "entry_status": results.get("entry_status"),
        "mean": checkpoint.get("global_record", {}).get("scores_mean", {}),
        "routes": {
            record["route_id"]: {
                "status": record["status"],
                **record["scores"],
                "infractions": {k: len(v) for k, v in record["infractions"].items() if v},
            }
            for record in checkpoint["records"]
        },
    }


def table_of(records: list[dict[str, Any]], policy: str) -> Table:
    """Returns a table of the evaluator's records, a row for each route."""
    table = Table(title=f"The public leaderboard on {policy}")
    for name in ("route", "status", "completion %", "penalty", "score", "infractions"):
        table.add_column(name)
    for record in records:
        scores = record["scores"]
        counts = {k: len(v) for k, v in record["infractions"].items() if v}
        table.add_row(
            record["route_id"], record["status"], f"{scores['score_route']:.1f}",
            f"{scores['score_penalty']:.3f}", f"{scores['score_composed']:.1f}",
            ", ".join(f"{count} {name}" for name, count in counts.items()) or "none",
        )  # fmt: skip
    return table


def _results(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


@contextlib.contextmanager
def _server(config: LeaderboardConfig) -> Iterator[int]:
    """Yields the RPC port of a server for as long as the block lasts."""
    if config.port is not None:
        yield config.port
        return
    from dreamdrive.envs.carla.server_kinds import server_of
    from dreamdrive.envs.carla.supervisor import ServerSupervisor
    from dreamdrive.envs.embedded.towns import TRAIN_TOWNS

    kind = server_of("embedded", draws=True, maps=config.maps)
    with ServerSupervisor(TRAIN_TOWNS[0], kind) as supervisor:
        yield supervisor.ensure_ready()
