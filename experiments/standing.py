"""What stands in the folder of an evaluation: what may stay, and what refuses it."""

from collections.abc import Sequence
from pathlib import Path

from dreamdrive.errors import ConfigError
from dreamdrive.experiments.drive_jobs import DriveJob, DriverSettings, served_by
from dreamdrive.experiments.drives import DriveResult, drive_path, load_drive


def missing(out: Path, jobs: Sequence[DriveJob], settings: DriverSettings) -> list[DriveJob]:
    """Returns the drives that are to be made, in their order.

    One is made again if the server took it, the policy's files have changed since, or its film is
    wanted and not there.

    Raises:
        ConfigError: If results stand there that these may not be mixed with, be it of a policy that
            does not drive now: tables and reports are made of the whole folder.
    """
    asked = {drive_path(out, job.policy.name, job.key): job for job in jobs}
    standing: dict[Path, DriveResult] = {}
    for path in sorted((out / "drives").glob("*/*.json")):
        result, job = load_drive(path), asked.get(path)
        if result is None or not result.is_valid:
            continue
        if job is not None and result.fingerprint != job.fingerprint:
            continue
        _check_alike(result, out, settings, is_asked=job is not None)
        standing[path] = result
    return [
        job
        for path, job in asked.items()
        if path not in standing or not _is_filmed(job, standing[path])
    ]


def _check_alike(
    result: DriveResult, out: Path, settings: DriverSettings, *, is_asked: bool
) -> None:
    """Raises a ConfigError if a result was made on another server or under other conditions."""
    if result.conditions != settings.conditions.digest:
        raise ConfigError(
            "Results under other conditions stand here", where=out,
            do="Choose another --out, or the same traffic, routes and limits.",
        )  # fmt: skip
    before, now = result.server, served_by(settings, result.town)
    if not is_asked:
        # Its town's file need not be given where nothing drives there.
        before, now = before.partition(",")[0], now.partition(",")[0]
    if before and before != now:
        raise ConfigError(
            f"Results of another server stand here: {before}, and this would drive on {now}",
            where=out, do="Choose another --out for this server, or give the one of before.",
        )  # fmt: skip


def _is_filmed(job: DriveJob, result: DriveResult) -> bool:
    return job.video is None or job.video.is_file() or bool(result.policy_fault)
