"""Scores drives again from their event logs, without a simulator."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tyro.conf import Positional

from dreamdrive.errors import ConfigError
from dreamdrive.experiments.drives import load_drive
from dreamdrive.experiments.leaderboard_json import leaderboard_results
from dreamdrive.experiments.run import console
from dreamdrive.experiments.score_tables import summarise_scores, tables_of
from dreamdrive.experiments.scored_drives import drives_in, score_drive
from dreamdrive.experiments.scorers.bench2drive_abilities import NAME as ABILITIES_NAME
from dreamdrive.experiments.scorers.bench2drive_abilities import abilities_of
from dreamdrive.experiments.scorers.registry import DEFAULT, find_scorer, find_scorers
from dreamdrive.experiments.scorers.scorer import Scorer
from dreamdrive.files import write_atomically


@dataclass(frozen=True, kw_only=True, slots=True)
class RescoreConfig:
    """Which drives are scored, and by what."""

    folder: Positional[Path]
    """Folder of an evaluation."""
    scorers: tuple[str, ...] = (DEFAULT,)
    """leaderboard-1.0, leaderboard-2.0, leaderboard-2.1, leaderboard-2.1-min-speed,
    bench2drive-0.0.3, bench2drive-corrected, bench2drive-abilities-0.0.3, nuplan-comfort,
    pdms-style-1, or your own as module:attribute. Without a choice, the abilities too
    where drives had scenarios that ask for them."""
    bootstrap_samples: int = 2000
    out: Path | None = None
    """Where `scores.json` and `leaderboard/` are written; by default into the folder itself."""

    def __post_init__(self) -> None:
        """Checks the values.

        Raises:
            ConfigError: If one is impossible.
        """
        if self.bootstrap_samples < 100:
            raise ConfigError("bootstrap_samples is at least 100")


def rescore(config: RescoreConfig) -> Path:
    """Prints a table for each scorer and returns the path of `scores.json`.

    Raises:
        ConfigError: If no drives stand in the folder, or a scorer does not exist.
        EventLogError: If a result or a log cannot be read.
        StorageError: If the scores could not be written.
    """
    paths = drives_in(config.folder)
    scorers = scorers_of(config.scorers, [path for found in paths.values() for path in found])
    out = config.out or config.folder
    summary = write_scores(out, paths, scorers, config.bootstrap_samples)
    for table in tables_of(summary):
        console.print(table)
    return out / "scores.json"


def scorers_of(names: tuple[str, ...], paths: Iterable[Path]) -> list[Scorer]:
    """Returns scorers by their names; without a choice, what Bench2Drive's abilities need is added.

    Args:
        names: Those that were asked for.
        paths: The results that are scored, whose scenarios may ask for an ability.

    Raises:
        ConfigError: If there are none, one is unknown, or two have one name.
    """
    if names == (DEFAULT,):
        results = [result for result in map(load_drive, paths) if result is not None]
        if abilities_of(results):
            names = (DEFAULT, ABILITIES_NAME)
    return find_scorers(names)


def write_scores(
    out: Path, paths: Mapping[str, Sequence[Path]], scorers: Sequence[Scorer], samples: int
) -> dict[str, Any]:
    """Writes `scores.json` and `leaderboard/POLICY.json`, and returns what the former holds.

    Args:
        out: The folder that they are written to.
        paths: The results of each policy.
        scorers: Who scores; the leaderboard's files are always scored by 2.1.
        samples: Bootstrap samples.

    Raises:
        EventLogError: If a result or a log cannot be read.
        StorageError: If they could not be written.
    """
    is_told = any(scorer.name == DEFAULT for scorer in scorers)
    everyone = scorers if is_told else [*scorers, find_scorer(DEFAULT)]
    drives = {
        policy: [score_drive(path, everyone) for path in found] for policy, found in paths.items()
    }
    for policy, scored in drives.items():
        _write(Path(out) / "leaderboard" / f"{policy}.json", leaderboard_results(scored, DEFAULT))
    summary = summarise_scores(drives, scorers, samples)
    _write(Path(out) / "scores.json", summary)
    return summary


def _write(path: Path, content: dict[str, Any]) -> None:
    write_atomically(path, (json.dumps(content, indent=1) + "\n").encode())
