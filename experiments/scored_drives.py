"""Scores the drives that stand in a folder, by their event logs."""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path

from dreamdrive.errors import ConfigError, EventLogError, NotMeasuredError
from dreamdrive.experiments.drives import DriveResult, Key, load_drive
from dreamdrive.experiments.event_log import DriveLog, LogEvent, log_of_result, read_log
from dreamdrive.experiments.scorers.scorer import RouteScore, Scorer


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoredDrive:
    """What scorers say of one drive.

    Attributes:
        result: What the drive came to.
        events: Its infractions.
        scores: By scorer; one that lacks a fact is missing here.
        reasons: What such a scorer lacks, by scorer.
    """

    result: DriveResult
    events: tuple[LogEvent, ...] = ()
    scores: Mapping[str, RouteScore] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)


def drives_in(folder: Path) -> dict[str, list[Path]]:
    """Returns the files of an evaluation's results by policy.

    Raises:
        ConfigError: If there are none.
    """
    found: dict[str, list[Path]] = {}
    for path in sorted((Path(folder) / "drives").glob("*/*.json")):
        found.setdefault(path.parent.name, []).append(path)
    if not found:
        raise ConfigError(
            "No drives stand here", where=folder,
            do="Give the folder of an evaluation, in which drives/POLICY/ROUTE-SEED.json stand.",
        )  # fmt: skip
    return found


def load_log(path: Path) -> DriveLog:
    """Returns the event log beside a result; of an older result, what the result alone tells.

    Args:
        path: The result's file.

    Raises:
        EventLogError: If result or log cannot be read, or the log is of another drive.
    """
    result = load_drive(path)
    if result is None:
        raise EventLogError("This result cannot be read", where=path, do="Make the drive again.")
    beside = path.with_suffix(".jsonl")
    if not beside.is_file():
        return log_of_result(result)
    log = read_log(beside)
    if _in_one_order(log.result) != _in_one_order(result):
        raise EventLogError(
            "The event log is of another drive than the result beside it", where=beside,
            do="Run the same evaluation again after deleting both files.",
        )  # fmt: skip
    return log


def _in_one_order(result: DriveResult) -> DriveResult:
    """Returns a result whose events stand in one order, those of one moment too.

    The log orders what happens at once by whom it met, which a result does not know.
    """
    return replace(result, events=tuple(sorted(result.events, key=astuple)))


def score_drive(path: Path, scorers: Sequence[Scorer]) -> ScoredDrive:
    """Returns what each scorer says of a drive; one that the server ended has no scores.

    Raises:
        EventLogError: If result or log cannot be read.
    """
    log = load_log(path)
    scores, reasons = {}, {}
    for scorer in scorers if log.result.is_valid else ():
        try:
            scores[scorer.name] = scorer.score(log)
        except NotMeasuredError as error:
            reasons[scorer.name] = str(error)
    return ScoredDrive(result=log.result, events=log.events, scores=scores, reasons=reasons)


def score_cells(scorer: Scorer, *runs: Sequence[ScoredDrive]) -> dict[Key, tuple[RouteScore, ...]]:
    """Returns a scorer's scores by route and seed, where every run of a policy has one."""
    by_run = [
        {
            drive.result.key: drive.scores[scorer.name]
            for drive in drives
            if scorer.name in drive.scores
        }
        for drives in runs
    ]
    common = sorted(set.intersection(*(set(run) for run in by_run)))
    return {key: tuple(run[key] for run in by_run) for key in common}
